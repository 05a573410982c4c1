"""What keeps numbers that are not finite out of the state of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool

from jaxdis.types import Batch, Hyper, Metrics, PRNGKey, TrainState

__all__ = ["LARGE", "GuardedStep", "all_finite", "attempted", "either"]

LARGE = 2**14  # numbers of an array that is looked at by itself


@dataclass(frozen=True)
class GuardedStep:
    """A step that says by itself whether all that it would write is finite.

    Attributes:
      step: `(state, batch, hyper, key) -> (state, metrics)`, unguarded; to call the
        whole is to call it.
      guarded: `(state, batch, hyper, key, wanted) -> (state, metrics, applied)`, with
        the state as it was, bit for bit, where the step is not wanted or not applied.
    """

    step: Callable[[TrainState, Batch, Hyper, PRNGKey], tuple[TrainState, Metrics]]
    guarded: Callable[..., tuple[TrainState, Metrics, Bool[Array, ""]]]

    def __call__(
        self, state: TrainState, batch: Batch, hyper: Hyper, key: PRNGKey
    ) -> tuple[TrainState, Metrics]:
        """The step, whatever it writes."""
        return self.step(state, batch, hyper, key)


def all_finite(tree: Any) -> Bool[Array, ""]:
    """Whether all numbers are finite.

    Large arrays are summed over their last axis, by a product, which runs at the speed
    of memory; such sums pass on what is not finite. Small ones are put together.

    Args:
      tree: arrays; those of integers and keys are not looked at.
    """
    leaves = [a for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.inexact)]
    large = [a for a in leaves if a.size >= LARGE]
    sums = [jnp.matmul(a, jnp.ones(a.shape[-1], a.dtype)) for a in large]
    small = [a for a in leaves if a.size < LARGE]
    return jnp.isfinite(ravel_pytree(small + sums)[0]).all()


def either(applied: Bool[Array, ""] | bool, new: Any, old: Any) -> Any:
    """The new tree where it is applied, else the old one, bit for bit."""
    return jax.tree.map(lambda a, b: jnp.where(applied, a, b), new, old)


def attempted(
    step: Callable[[TrainState, Batch, Hyper, PRNGKey], tuple[TrainState, Metrics]],
    state: TrainState,
    batch: Batch,
    hyper: Hyper,
    key: PRNGKey,
    wanted: Bool[Array, ""],
) -> tuple[TrainState, Metrics, Bool[Array, ""]]:
    """Any step as a guarded one: all that it would write is looked at.

    Args:
      step: the step of a system; a `GuardedStep` looks itself, at less.
      state, batch, hyper, key: what it takes.
      wanted: whether it is to be applied at all.

    Returns:
      The state after it or, where it is not applied, before; its metrics; and whether
      it is applied.
    """
    if isinstance(step, GuardedStep):
        return step.guarded(state, batch, hyper, key, wanted)
    new, metrics = step(state, batch, hyper, key)
    applied = all_finite((new, metrics)) & wanted
    return either(applied, new, state), metrics, applied
