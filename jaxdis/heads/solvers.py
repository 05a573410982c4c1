"""Ways to minimise J over the heads of all tasks."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxdis import losses
from jaxdis.heads.lasso import lasso
from jaxdis.heads.problem import Problem, loss
from jaxdis.types import PRNGKey, Scalar

__all__ = [
    "SOLVERS",
    "Penalty",
    "Solution",
    "Solver",
    "adam",
    "measure_usage",
    "reweighted_fista",
]

USAGE_FLOOR = 1e-3
ADAM_STEPS, ADAM_RATE, ADAM_SCALE = 100, 0.05, 1e-2


class Penalty(NamedTuple):
    """What J adds to the losses, and how it measures the usage of features.

    Attributes:
      alpha: the weight of `|w_t|_1` in each task.
      beta: the weight of the sharing term.
      features: m, their number.
      past: the usage of past steps, if there is any.
      decay: the share of the past in the usage.
    """

    alpha: Float[Array, "t"]
    beta: Scalar
    features: int
    past: Float[Array, "m"] | None
    decay: Scalar


class Solution(NamedTuple):
    """What a solver returns.

    Attributes:
      v: the unknowns.
      prices: the L1 weight of every row of v in the last round.
      objectives: J after every round.
      clipped: features whose price would have been negative, over all rounds.
    """

    v: Float[Array, "t p c"]
    prices: Float[Array, "t p"]
    objectives: Float[Array, "r"]
    clipped: Int[Array, ""]


Solver: TypeAlias = Callable[
    [Problem, Penalty, Array, PRNGKey | None, int, int], Solution
]
"""`(problem, penalty, start, key, rounds, iters) -> Solution`."""


def measure_usage(penalty: Penalty, v: Float[Array, "t p c"]) -> Float[Array, "m"]:
    """`decay * past + (1 - decay) * now`, now without a past."""
    now = losses.feature_usage(v[:, : penalty.features], USAGE_FLOOR)
    if penalty.past is None:
        return now
    return penalty.decay * penalty.past + (1 - penalty.decay) * now


def _objective(
    problem: Problem,
    penalty: Penalty,
    v: Float[Array, "t p c"],
    usage: Float[Array, "m"],
) -> Float[Array, ""]:
    """J."""
    w = v[:, : penalty.features]
    size = (w * jax.lax.stop_gradient(jnp.sign(w))).sum((1, 2))
    sharing = penalty.beta * w.shape[2] * losses.feature_sharing(usage)
    return (loss(problem, v) + penalty.alpha * size).mean() + sharing


def _prices(
    alpha: Float[Array, "t"], beta: Scalar, usage: Float[Array, "m"], p: int
) -> tuple[Float[Array, "t p"], Int[Array, ""]]:
    """`max(0, alpha + beta dH/da_m)`, 0 for the bias; and how often the max was 0."""
    wanted = alpha[:, None] + beta * losses.sharing_price(usage)[None]
    clipped = (wanted < 0).any(0).sum()
    bias = ((0, 0), (0, p - usage.shape[0]))
    return jnp.pad(jnp.maximum(wanted, 0.0), bias), clipped


def reweighted_fista(
    problem: Problem,
    penalty: Penalty,
    start: Float[Array, "t p c"],
    key: PRNGKey | None,
    rounds: int,
    iters: int,
) -> Solution:
    """Rounds of FISTA between which the prices of the features move; exact zeros.

    Beyond `WIDE` unknowns a round goes on in blocks until its lasso is solved.

    Args:
      problem: the tasks.
      penalty: the terms that are not smooth.
      start: unknowns to start from.
      key: not used.
      rounds: times that the prices are computed.
      iters: steps of FISTA in each round, or in each block.
    """
    p = start.shape[1]

    def once(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple, tuple]:
        v, prices = carry[:2]
        v = lasso(problem, prices, v, iters)
        usage = measure_usage(penalty, v)
        following, clipped = _prices(penalty.alpha, penalty.beta, usage, p)
        reached = _objective(problem, penalty, v, usage)
        return (v, following, prices), (reached, clipped)

    flat, _ = _prices(penalty.alpha, 0.0, jnp.ones(penalty.features), p)
    (v, _, prices), (reached, clipped) = jax.lax.scan(
        once, (start, flat, flat), None, length=rounds
    )
    return Solution(v, prices, reached, clipped.sum())


def adam(
    problem: Problem,
    penalty: Penalty,
    start: Float[Array, "t p c"],
    key: PRNGKey | None,
    rounds: int,
    iters: int,
) -> Solution:
    """100 steps of Adam on J, from small random weights; no exact zeros.

    Args:
      problem: the tasks.
      penalty: the terms that are not smooth.
      start: unknowns that the random weights are added to.
      key: draws them.
      rounds, iters: not used.

    Raises:
      ValueError: without a key.
    """
    if key is None:
        raise ValueError("key must be given for the solver adam, which draws its start")

    def objective(v: Array) -> Array:
        return _objective(problem, penalty, v, measure_usage(penalty, v))

    tx = optax.adam(ADAM_RATE)

    def improve(carry: tuple, _: None) -> tuple[tuple, None]:
        v, state = carry
        updates, state = tx.update(jax.grad(objective)(v), state)
        return (optax.apply_updates(v, updates), state), None

    start = start + ADAM_SCALE * jax.random.normal(key, start.shape)
    carry = (start, tx.init(start))
    v = jax.lax.scan(improve, carry, None, length=ADAM_STEPS)[0][0]
    usage = measure_usage(penalty, v)
    prices, clipped = _prices(penalty.alpha, penalty.beta, usage, start.shape[1])
    return Solution(v, prices, objective(v)[None], clipped)


SOLVERS: dict[str, Solver] = {"reweighted_fista": reweighted_fista, "adam": adam}
