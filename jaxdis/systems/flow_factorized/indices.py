"""Which transformation moves a held-out row: the true one, or one that is inferred."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdis import metrics
from jaxdis.systems.flow_factorized import networks
from jaxdis.systems.flow_factorized.heldout import (
    HeldOut,
    mean_of,
    of_seen_classes,
)
from jaxdis.systems.flow_factorized.measures import in_blocks
from jaxdis.systems.flow_factorized.networks import Model, ModelParams
from jaxdis.types import Metrics, PRNGKey

__all__ = ["Indices", "given", "inferred", "matched"]


class Indices(NamedTuple):
    """How rows are moved.

    Attributes:
      y: the transformation of each row, as weights.
      match: the learned index of each true transformation.
      figures: what is reported of them.
    """

    y: Float[Array, "r k"]
    match: Int[Array, "k"]
    figures: Metrics


def given(model: Model, params: ModelParams, data: HeldOut, key: PRNGKey) -> Indices:
    """The transformations that are known.

    Args:
      model: their number.
      params: the parameters of one seed, on which nothing here depends.
      data: held-out rows.
      key: a random key, on which nothing here depends.
    """
    return Indices(jax.nn.one_hot(data.k, model.k), jnp.arange(model.k), {})


def inferred(model: Model, params: ModelParams, data: HeldOut, key: PRNGKey) -> Indices:
    """Draws from q(k | sequence), matched to the truth where it is known.

    Args:
      model: the networks, one of which infers.
      params: the parameters of one seed.
      data: held-out rows.
      key: a random key.
    """
    logits = in_blocks(partial(networks.index_logits, model, params), data.x)
    if not model.names:
        drawn = jax.random.categorical(key, logits)
        return Indices(jax.nn.one_hot(drawn, model.k), jnp.arange(model.k), {})
    found = matched(logits, data.k, key, of_seen_classes(data))
    if data.new_class is None:
        return found
    right = found.match[data.k] == jnp.argmax(logits, -1)
    new = {"index_accuracy_new_class": mean_of(right, data.new_class)}
    return found._replace(figures=found.figures | new)


def matched(
    logits: Float[Array, "r k"],
    truth: Int[Array, "r"],
    key: PRNGKey,
    rows: Bool[Array, "r"],
) -> Indices:
    """Transformations drawn from logits; the learned index of each true one, by the
    assignment that agrees most; and how often it agrees.

    Args:
      logits: the logits of the indices.
      truth: the true transformations.
      key: a random key.
      rows: which rows the match and the figures are of.
    """
    k = logits.shape[-1]
    found, drawn = jnp.argmax(logits, -1), jax.random.categorical(key, logits)
    true = jax.nn.one_hot(truth, k) * rows[:, None]
    confusion = jnp.einsum("rk,rl->kl", true, jax.nn.one_hot(found, k))
    match = metrics.assign(confusion)
    count = jnp.maximum(confusion.sum(1, keepdims=True), 1)
    figures = {
        "index_accuracy": mean_of(match[truth] == found, rows),
        "index_accuracy_drawn": mean_of(match[truth] == drawn, rows),
        "confusion": (confusion / count)[:, match],
    }
    return Indices(jax.nn.one_hot(drawn, k), match, figures)
