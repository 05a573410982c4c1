"""The heads of label columns: what answers for new rows when training is over."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdis import heads
from jaxdis.systems.shared_features.columns import Columns

__all__ = ["LabelHeads", "follow", "no_heads", "predictions"]

MOMENTUM = 0.95  # of the running mean of the heads of a column


class LabelHeads(NamedTuple):
    """Running means of the heads that the steps fitted, by label column.

    A head of one step knows few samples; their mean over steps knows many.

    Attributes:
      w: the weights.
      b: the biases.
      seen: which columns have been a task so far.
    """

    w: Float[Array, "l m c"]
    b: Float[Array, "l c"]
    seen: Bool[Array, "l"]


def no_heads(columns: Columns, z_dim: int) -> LabelHeads:
    """Heads before any was fitted.

    Args:
      columns: the label columns.
      z_dim: the number of features.
    """
    count, c = len(columns.names), columns.outputs
    return LabelHeads(
        jnp.zeros((count, z_dim, c)), jnp.zeros((count, c)), jnp.zeros(count, bool)
    )


def follow(
    old: LabelHeads, w: Float[Array, "t m c"], b: Float[Array, "t c"], column: Array
) -> LabelHeads:
    """Running means with the heads of one more step.

    Args:
      old: those of the steps before.
      w: the weights that were fitted.
      b: the biases.
      column: the label column of each task `[t]`.
    """
    own = jax.nn.one_hot(column, len(old.seen))  # [t, l]
    count = own.sum(0)
    mean = own / jnp.maximum(count, 1.0)[None]
    share = jnp.where(old.seen, MOMENTUM, 0.0)
    share = jnp.where(count > 0, share, 1.0)

    def moved(before: Array, now: Array) -> Array:
        fitted = jnp.einsum("tl,t...->l...", mean, now, precision="highest")
        kept = share.reshape(-1, *(1,) * (before.ndim - 1))
        return kept * before + (1 - kept) * fitted

    return LabelHeads(moved(old.w, w), moved(old.b, b), old.seen | (count > 0))


def predictions(
    columns: Columns, found: LabelHeads, seen: Float[Array, "n m"]
) -> Float[Array, "n l"] | Float[Array, "n c l"]:
    """What the heads say of every label column; NaN of one that was no task.

    Args:
      columns: the label columns.
      found: their heads.
      seen: features of rows, standardised.

    Returns:
      Numbers `[n, l]` where all columns hold numbers. Else `[n, c, l]`: of a column of
      classes their probabilities, 0 for a class that it does not have; of a column of
      numbers the number in the first place, and NaN.
    """
    stacked = jnp.broadcast_to(seen[None], (len(found.seen), *seen.shape))
    outputs = heads.predict(found.w, found.b, stacked)
    if columns.classes is None:
        numbers = outputs[..., 0].T
        return jnp.where(found.seen[None], numbers, jnp.nan)
    of_numbers = columns.of_numbers
    answers = heads.answers(outputs, columns.of_classes, of_numbers)
    nothing = of_numbers[:, None] & (jnp.arange(columns.outputs) > 0)[None]
    known = found.seen[:, None] & ~nothing
    return jnp.moveaxis(jnp.where(known[:, None], answers, jnp.nan), 0, 2)
