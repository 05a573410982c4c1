"""The lasso of every task by itself, given the prices of its features."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdis import prox
from jaxdis.heads.problem import (
    Problem,
    curvature,
    matmul,
    outputs_at,
    restrict,
    slope,
    slope_at,
)

__all__ = ["BLOCK", "NEGLIGIBLE", "VISITS", "lasso"]

BLOCK = 64  # rows of unknowns that are worked on together
VISITS = 16  # blocks at most
NEGLIGIBLE = 3e-6  # of the gradient where all unknowns are 0: rounding's size


def lasso(
    problem: Problem, prices: Float[Array, "t p"], start: Array, steps: int
) -> Float[Array, "t p c"]:
    """`min_v l_t(v) + sum_p price_p |v_p|_1` for every task t.

    All unknowns at once where there is a Gram matrix of them, else in blocks.

    Args:
      problem: the tasks.
      prices: the L1 weight of every row of v.
      start: unknowns to start from, [t, p, c].
      steps: of FISTA, for all unknowns or for every block; static.
    """
    solve = _in_blocks if problem.gram is None else _at_once
    return solve(problem, prices, start, steps)


def _at_once(
    problem: Problem, prices: Float[Array, "t p"], start: Array, steps: int
) -> Float[Array, "t p c"]:
    """FISTA in all unknowns."""
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
      visits: the number of blocks until now.
    """

    v: Float[Array, "t p c"]
    outputs: Float[Array, "t n c"]
    excess: Float[Array, "t p"]
    visits: Int[Array, ""]


def _in_blocks(
    problem: Problem, prices: Float[Array, "t p"], start: Array, steps: int
) -> Float[Array, "t p c"]:
    """FISTA in one block of rows after the other, until all tasks are solved.

    A block is the rows that are furthest from optimal, and before those that are less
    than half as far as the worst the rows in use: a sparse solution fits into the
    second block, if not the first. The worst row is always among them, as descent by
    blocks needs to end at the optimum, however many rows that uses.
    """
    task = jnp.arange(len(start))[:, None]

    def visited(v: Array, outputs: Array, visits: Array) -> _Visited:
        found = slope_at(problem, v, outputs)
        excess = prox.violation(found, prices[:, :, None], v).max(2)
        return _Visited(v, outputs, excess, visits)

    def visit(last: _Visited) -> _Visited:
        used = (last.v != 0).any(2)
        bonus = 0.5 * last.excess.max(1, keepdims=True)
        chosen = jax.lax.top_k(last.excess + bonus * used, BLOCK)[1]
        old = last.v[task, chosen]
        part = restrict(problem, chosen, old, last.outputs)
        new = _at_once(part, prices[task, chosen], old, steps)
        outputs = last.outputs + matmul(part.design, new - old)
        return visited(last.v.at[task, chosen].set(new), outputs, last.visits + 1)

    nothing = jnp.zeros_like(problem.targets)
    largest = jnp.abs(slope_at(problem, jnp.zeros_like(start), nothing)).max((1, 2))

    def unsolved(last: _Visited) -> Array:
        wanting = last.excess.max(1) > NEGLIGIBLE * largest
        return wanting.any() & (last.visits < VISITS)

    first = visited(start, outputs_at(problem, start), jnp.zeros((), int))
    return jax.lax.while_loop(unsolved, visit, first).v
