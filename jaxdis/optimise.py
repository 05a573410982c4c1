"""Steps that follow a gradient, and schedules that may be traced."""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdis.types import (
    Batch,
    Hyper,
    Metrics,
    Params,
    PRNGKey,
    Scalar,
    TrainState,
)

__all__ = ["Loss", "cosine", "in_one_pass", "minimise", "optimiser", "ramp"]

FEW = 2**20  # parameters that an optimiser takes as one vector

Loss: TypeAlias = Callable[
    [Params, TrainState, Batch, Hyper, PRNGKey], tuple[Array, tuple[Any, Metrics]]
]


def in_one_pass(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    """An element-wise optimiser on one vector of all parameters, if they are few.

    One pass instead of one per array is what small networks need; of large ones the
    copies into a vector would cost more than the passes.
    """
    flat = optax.flatten(tx)

    def pick(params: Params) -> optax.GradientTransformation:
        few = sum(a.size for a in jax.tree.leaves(params)) < FEW
        return flat if few else tx

    def init(params: Params) -> Any:
        return pick(params).init(params)

    def update(updates: Params, state: Any, params: Any = None) -> tuple[Any, Any]:
        return pick(updates).update(updates, state, params)

    return optax.GradientTransformation(init, update)


def minimise(
    loss: Loss, tx: Callable[[Hyper], optax.GradientTransformation]
) -> Callable[[TrainState, Batch, Hyper, PRNGKey], tuple[TrainState, Metrics]]:
    """The step of a system that follows one gradient.

    `params <- params + tx(grad loss)`; `extra` (multipliers, moving averages) is what
    the loss returns, computed from the values before the step.

    Args:
      loss: `(params, state, batch, hyper, key) -> (loss, (extra, metrics))`; state is
        the one before the step, for its `step` and `extra`.
      tx: `hyper -> optimiser`, so that its rates are traced.
    """

    def step(
        state: TrainState, batch: Batch, hyper: Hyper, key: PRNGKey
    ) -> tuple[TrainState, Metrics]:
        value_and_grad = jax.value_and_grad(loss, has_aux=True)
        (value, (extra, metrics)), gradient = value_and_grad(
            state.params, state, batch, hyper, key
        )
        updates, opt_state = tx(hyper).update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        state = TrainState(params, opt_state, extra, state.step + 1)
        return state, {"loss": value, **metrics}

    return step


def optimiser(
    given: Any, default: Callable[..., optax.GradientTransformation]
) -> Callable[..., optax.GradientTransformation]:
    """`hyper -> optimiser` of what a user gave in place of a method's own.

    Args:
      given: an optax transformation, the same for all hyper-parameters, or a function
        of them that gives one; None is the method's own.
      default: the method's own, a function of the hyper-parameters.

    Raises:
      ValueError: it is neither.
    """
    if given is None:
        return default
    if isinstance(given, optax.GradientTransformation):
        return lambda hyper: given
    if not callable(given):
        raise ValueError(
            "optimiser must be an optax transformation, or a function of the "
            f"hyper-parameters that gives one; got {type(given).__name__}"
        )
    return cast(Callable[..., optax.GradientTransformation], given)


def ramp(step: Array, steps: Scalar) -> Float[Array, ""]:
    """Rises from 0 to 1 along a line: `min(1, step / max(steps, 1))`.

    Args:
      step: the number of steps taken so far.
      steps: the length of the rise; traced if need be.
    """
    return jnp.minimum(1.0, step / jnp.maximum(steps, 1.0))


def cosine(start: Scalar, steps: Scalar) -> Callable[[Array], Array]:
    """The rate that falls to 0 along a cosine: `start (1 + cos(pi ramp)) / 2`.

    `optax.cosine_decay_schedule` wants its number of steps before tracing; here it may
    be a hyper-parameter.

    Args:
      start: the rate at the start.
      steps: the steps in which it falls to 0.

    Returns:
      `step -> rate`, a schedule as optax takes it.
    """

    def rate(count: Array) -> Array:
        return start * 0.5 * (1 + jnp.cos(jnp.pi * ramp(count, steps)))

    return rate
