"""Steps that follow a gradient, and schedules that may be traced."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxdis.guard import GuardedStep, all_finite, attempted, either
from jaxdis.types import (
    Batch,
    Hyper,
    Metrics,
    Params,
    PRNGKey,
    Scalar,
    TrainState,
)

__all__ = [
    "Careful",
    "Loss",
    "Rule",
    "adam",
    "cosine",
    "in_one_pass",
    "minimise",
    "optimiser",
    "ramp",
]

FEW = 2**20  # parameters that an optimiser takes as one vector
HUGE = 1e18  # slopes whose squares, and rates whose sums, are still numbers
B1, B2, EPS = 0.9, 0.999, 1e-8  # of Adam, as published

Loss: TypeAlias = Callable[
    [Params, TrainState, Batch, Hyper, PRNGKey], tuple[Array, tuple[Any, Metrics]]
]


class Careful(NamedTuple):
    """An optimiser that can be told to leave everything as it is.

    Of finite slopes and a rate up to 1e18 it makes finite parameters and moments.

    Attributes:
      init: `params -> state`.
      update: `(slopes, state, params, applied=True) -> (updates, state)`, as optax has
        it; where it is not applied, the state is the old one and the updates change no
        bit of what they are added to.
      rate: `state -> rate` of the next update.
    """

    init: Callable[[Params], Any]
    update: Callable[..., tuple[Any, Any]]
    rate: Callable[[Any], Array | float]


Rule: TypeAlias = optax.GradientTransformation | Careful


def _are_few(params: Params) -> bool:
    return sum(a.size for a in jax.tree.leaves(params)) < FEW


def in_one_pass(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    """An element-wise optimiser on one vector of all parameters, if they are few.

    One pass instead of one per array is what small networks need; of large ones the
    copies into a vector would cost more than the passes.
    """
    flat = optax.flatten(tx)

    def pick(params: Params) -> optax.GradientTransformation:
        return flat if _are_few(params) else tx

    def init(params: Params) -> Any:
        return pick(params).init(params)

    def update(updates: Params, state: Any, params: Any = None) -> tuple[Any, Any]:
        return pick(updates).update(updates, state, params)

    return optax.GradientTransformation(init, update)


def adam(rate: Scalar | Callable[[Array], Array]) -> Careful:
    """Adam, which reads and writes parameters and moments once, applied or not.

    `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`, and
    `p <- p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)`: numbers and state
    are those of `optax.adam`, in one vector where they are few, as of `in_one_pass`.

    Args:
      rate: the rate, or a function of the number of updates before.

    Note:
      A slope beyond +-1e18, whose square is no float32, counts as that.

    Source: Kingma and Ba 2015.
    """
    usual = optax.adam(rate)
    plain = in_one_pass(
        optax.GradientTransformation(
            usual.init, lambda g, state, params=None: usual.update(_cut(g), state)
        )
    )

    def of(state: Any) -> Array | float:
        return rate(state[1].count) if callable(rate) else rate

    def update(
        slopes: Params, state: Any, params: Any = None, applied: Any = True
    ) -> tuple[Any, Any]:
        if _are_few(slopes):
            updates, new = plain.update(slopes, state, params)
            new = either(applied, new, state)
        else:
            updates, new = _moved(_cut(slopes), state, of(state), applied)
        # What is added to -0 and leaves it as it is.
        nothing = jax.tree.map(lambda u: jnp.full_like(u, -0.0), updates)
        return either(applied, updates, nothing), new

    return Careful(plain.init, update, of)


def _cut(slopes: Params) -> Params:
    return jax.tree.map(lambda g: jnp.clip(g, -HUGE, HUGE), slopes)


def _moved(
    slopes: Params, state: Any, rate: Array | float, applied: Any
) -> tuple[Params, Any]:
    """Updates and state of Adam; the moments stay here already if they are to stay.

    So the updates are made of what is written, in the same pass, and not of moments
    that are written a second time.
    """
    moments, schedule = state
    count = moments.count + 1

    def moved(b: float, power: int) -> Callable[[Array, Array], Array]:
        def moment(old: Array, slope: Array) -> Array:
            return jnp.where(applied, (1 - b) * slope**power + b * old, old)

        return moment

    mu = jax.tree.map(moved(B1, 1), moments.mu, slopes)
    nu = jax.tree.map(moved(B2, 2), moments.nu, slopes)
    bias = 1 - B1**count, 1 - B2**count

    def move(m: Array, v: Array) -> Array:
        first, second = (b.astype(m.dtype) for b in bias)
        return (-rate * ((m / first) / (jnp.sqrt(v / second) + EPS))).astype(m.dtype)

    new = count, jax.tree.map(lambda number: number + 1, schedule)
    count, schedule = either(applied, new, (moments.count, schedule))
    state = moments._replace(count=count, mu=mu, nu=nu), schedule
    return jax.tree.map(move, mu, nu), state


def minimise(loss: Loss, tx: Callable[[Hyper], Rule]) -> GuardedStep:
    """The step of a system that follows one gradient.

    `params <- params + tx(grad loss)`; `extra` (multipliers, moving averages) is what
    the loss returns, computed from the values before the step.

    Args:
      loss: `(params, state, batch, hyper, key) -> (loss, (extra, metrics))`; state is
        the one before the step, for its `step` and `extra`.
      tx: `hyper -> optimiser`, so that its rates are traced. Of a `Careful` one the
        runner looks at the slopes, and not at all that it would write.
    """

    def look(
        state: TrainState, batch: Batch, hyper: Hyper, key: PRNGKey
    ) -> tuple[Params, Any, Metrics]:
        value_and_grad = jax.value_and_grad(loss, has_aux=True)
        (value, (extra, metrics)), slopes = value_and_grad(
            state.params, state, batch, hyper, key
        )
        return slopes, extra, {"loss": value, **metrics}

    def step(
        state: TrainState, batch: Batch, hyper: Hyper, key: PRNGKey
    ) -> tuple[TrainState, Metrics]:
        slopes, extra, metrics = look(state, batch, hyper, key)
        updates, opt_state = tx(hyper).update(slopes, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, extra, state.step + 1), metrics

    def guarded(
        state: TrainState,
        batch: Batch,
        hyper: Hyper,
        key: PRNGKey,
        wanted: Bool[Array, ""],
    ) -> tuple[TrainState, Metrics, Bool[Array, ""]]:
        rule = tx(hyper)
        if not isinstance(rule, Careful):
            return attempted(step, state, batch, hyper, key, wanted)
        slopes, extra, metrics = look(state, batch, hyper, key)
        rate = jnp.asarray(rule.rate(state.opt_state))
        bounded = jnp.abs(rate) <= HUGE  # no NaN is
        applied = all_finite((slopes, extra, metrics)) & bounded & wanted
        updates, opt_state = rule.update(
            slopes, state.opt_state, state.params, applied=applied
        )
        params = optax.apply_updates(state.params, updates)
        extra, count = either(
            applied, (extra, state.step + 1), (state.extra, state.step)
        )
        return TrainState(params, opt_state, extra, count), metrics, applied

    return GuardedStep(step, guarded)


def optimiser(given: Any, default: Callable[..., Rule]) -> Callable[..., Rule]:
    """`hyper -> optimiser` of what a user gave in place of a method's own.

    Args:
      given: an optax transformation or a `Careful` one, the same for all
        hyper-parameters, or a function of them that gives one; None is the method's
        own.
      default: the method's own, a function of the hyper-parameters.

    Raises:
      ValueError: it is neither.
    """
    if given is None:
        return default
    if isinstance(given, optax.GradientTransformation | Careful):
        return lambda hyper: given
    if not callable(given):
        raise ValueError(
            "optimiser must be an optax transformation, or a function of the "
            f"hyper-parameters that gives one; got {type(given).__name__}"
        )
    return cast(Callable[..., Rule], given)


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
