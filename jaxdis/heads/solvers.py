"""Ways to minimise J over the heads of all tasks."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxdis import losses, prox
from jaxdis.heads.problem import (
    Problem,
    curvature,
    loss,
    matmul,
    outputs_at,
    restrict,
    slope,
    slope_at,
)
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
BLOCK, VISITS, NEGLIGIBLE = 32, 32, 1e-5
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


def _at_once(
    problem: Problem, prices: Float[Array, "t p"], start: Array, steps: int
) -> Float[Array, "t p c"]:
    """Every task by itself, given its prices, by FISTA in all unknowns."""
    t, p, c = start.shape

    # Rows of unknowns: a last axis of one output would keep XLA from vectorising.
    def rows(v: Float[Array, "t u"]) -> Float[Array, "t u"]:
        return slope(problem, v.reshape(t, p, c)).reshape(t, p * c)

    price = jnp.repeat(prices, c, axis=1)
    bound = curvature(problem)
    v = prox.fista(rows, price, bound, start.reshape(t, p * c), steps)
    return v.reshape(t, p, c)


class _Visited(NamedTuple):
    """Between two blocks.

    Attributes:
      v: the unknowns.
      outputs: what they predict.
      excess: how far every row of v is from optimal.
      inside, outside: the largest of it in the last block and outside.
      visits: the number of blocks until now.
    """

    v: Float[Array, "t p c"]
    outputs: Float[Array, "t n c"]
    excess: Float[Array, "t p"]
    inside: Float[Array, "t"]
    outside: Float[Array, "t"]
    visits: Int[Array, ""]


def _in_blocks(
    problem: Problem, prices: Float[Array, "t p"], start: Array, steps: int
) -> Float[Array, "t p c"]:
    """Every task by itself, given its prices, by FISTA in one block after the other."""
    task = jnp.arange(len(start))[:, None]

    def excess_at(v: Array, outputs: Array) -> Array:
        found = slope_at(problem, v, outputs)
        return prox.violation(found, prices[:, :, None], v).max(2)

    def visit(last: _Visited) -> _Visited:
        used = (last.v != 0).any(2)
        bonus = 0.5 * last.excess.max(1, keepdims=True)
        rows = jax.lax.top_k(last.excess + bonus * used, BLOCK)[1]
        old = last.v[task, rows]
        part = restrict(problem, rows, old, last.outputs)
        new = _at_once(part, prices[task, rows], old, steps)
        v = last.v.at[task, rows].set(new)
        outputs = last.outputs + matmul(part.design, new - old)
        excess = excess_at(v, outputs)
        inside = excess[task, rows].max(1)
        outside = excess.at[task, rows].set(0.0).max(1)
        return _Visited(v, outputs, excess, inside, outside, last.visits + 1)

    floor = NEGLIGIBLE * prices.max(1)

    def unfinished(last: _Visited) -> Array:
        wanting = last.outside > jnp.maximum(last.inside, floor)
        return wanting.any() & (last.visits < VISITS)

    outputs = outputs_at(problem, start)
    excess = excess_at(start, outputs)
    zero = jnp.zeros_like(excess[:, 0])
    first = _Visited(start, outputs, excess, zero, zero + jnp.inf, jnp.zeros((), int))
    return jax.lax.while_loop(unfinished, visit, first).v


def reweighted_fista(
    problem: Problem,
    penalty: Penalty,
    start: Float[Array, "t p c"],
    key: PRNGKey | None,
    rounds: int,
    iters: int,
) -> Solution:
    """Rounds of FISTA between which the prices of the features move; exact zeros.

    Args:
      problem: the tasks.
      penalty: the terms that are not smooth.
      start: unknowns to start from.
      key: not used.
      rounds: times that the prices are computed.
      iters: steps of FISTA in each round.
    """
    p = start.shape[1]
    lasso = _in_blocks if problem.gram is None else _at_once

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
