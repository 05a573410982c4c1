"""Which code is which factor's: the assignment that makes their similarity largest.

Exact everywhere, by shortest augmenting paths. Known values go to scipy. Within jit and
vmap, up to 256 rows or columns are assigned on the device, larger ones on the host.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxdis.metrics.checks import all_finite
from jaxdis.metrics.inputs import Table, as_float, as_numbers

__all__ = ["assign", "matched", "pairing", "taken"]

ON_DEVICE = 256  # rows or columns at most; see benchmarks/metrics.py


def assign(matrix: Table) -> Int[Array, "d"]:
    """The code assigned to each factor.

        pi = argmax over injective maps of sum_i M[i, pi(i)]

    The sum is exactly that of `scipy.optimize.linear_sum_assignment`, which computes it
    where values are known; which of several best maps is found is not said.

    Args:
      matrix: similarities [d, k], of any sign; entries that are not finite count as 0.

    Returns:
      pi, [d]. With fewer codes than factors, -1 marks a factor without a code.

    Raises:
      ValueError: if matrix has another rank, or holds no real numbers.

    Note: Within jit the device does it up to 256 rows or columns, in time that grows
      with their cube and with no call of the host, and the host does it beyond. Where
      one can, call it outside of jit: scipy is some ten times as fast.

    Source: Kuhn 1955 (the problem); Crouse 2016 (shortest augmenting paths).
    """
    matrix = as_numbers("matrix", matrix)
    if matrix.ndim != 2:
        raise ValueError(f"matrix has shape {matrix.shape}; it must be [d, k]")
    return jnp.asarray(pairing(matrix))


def pairing(
    matrix: Shaped[np.ndarray | Array, "d k"],
) -> Int[np.ndarray | Array, "d"]:
    """`assign` without its checks, on the host for a matrix of numpy.

    Args:
      matrix: similarities.
    """
    if isinstance(matrix, np.ndarray):
        return _on_host(matrix)
    return _traced(as_float(matrix))


def _on_host(matrix: Shaped[np.ndarray, "d k"]) -> Int[np.ndarray, "d"]:
    """`assign` of known values, without its checks."""
    from scipy.optimize import linear_sum_assignment  # here: slow to import

    if not all_finite(matrix):
        matrix = np.where(np.isfinite(matrix.astype(np.float64)), matrix, 0)
    factors, codes = linear_sum_assignment(matrix.astype(np.float64, copy=False), True)
    found = np.full(len(matrix), -1, np.int32)
    found[factors] = codes
    return found


def _traced(matrix: Float[Array, "d k"]) -> Int[Array, "d"]:
    if max(matrix.shape) > ON_DEVICE:
        shape = jax.ShapeDtypeStruct(matrix.shape[:1], jnp.int32)
        return jax.pure_callback(_batch, shape, matrix, vmap_method="broadcast_all")
    return _assigned(matrix)


def _batch(matrices: Shaped[np.ndarray | Array, "*s d k"]) -> Int[np.ndarray, "*s d"]:
    known = np.asarray(matrices)
    flat = known.reshape(-1, *known.shape[-2:])
    return np.stack([_on_host(m) for m in flat]).reshape(known.shape[:-1])


@jax.jit
def _assigned(matrix: Float[Array, "d k"]) -> Int[Array, "d"]:
    """By shortest augmenting paths, one factor after the other."""
    cost = -jnp.where(jnp.isfinite(matrix), matrix, 0.0)
    if len(cost) <= cost.shape[1]:
        return _rows_to_columns(cost)[0]
    return _rows_to_columns(cost.T)[1]


def _rows_to_columns(
    cost: Float[Array, "r c"],
) -> tuple[Int[Array, "r"], Int[Array, "c"]]:
    """The column of each row and the row of each column (-1: none), of least cost.

    With prices u of rows and v of columns, cost - u - v stays at least 0, and 0 where a
    row has its column: that proves the assignment of the rows so far to be the best.
    """
    r, c = cost.shape

    def add(row: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        column_of, row_of, u, v = carry
        seen, distance, through, end, least = _shortest_path(cost, row, row_of, u, v)
        # Rows of the tree are those whose columns have been seen, and the new one.
        own = jnp.where(column_of >= 0, column_of, 0)
        in_tree = (column_of >= 0) & seen[own]
        u = u + jnp.where(in_tree, least - distance[own], 0.0)
        u = u.at[row].add(least)
        v = v - jnp.where(seen, least - distance, 0.0)
        column_of, row_of = _augment(column_of, row_of, through, row, end)
        return column_of, row_of, u, v

    start = (
        jnp.full(r, -1),
        jnp.full(c, -1),
        jnp.zeros(r, cost.dtype),
        jnp.zeros(c, cost.dtype),
    )
    column_of, row_of, _, _ = jax.lax.fori_loop(0, r, add, start)
    return column_of, row_of


def _shortest_path(
    cost: Float[Array, "r c"],
    row: Int[Array, ""],
    row_of: Int[Array, "c"],
    u: Float[Array, "r"],
    v: Float[Array, "c"],
) -> tuple[
    Bool[Array, "c"],
    Float[Array, "c"],
    Int[Array, "c"],
    Int[Array, ""],
    Float[Array, ""],
]:
    """The nearest free column from a row, by Dijkstra's method.

    Returns:
      The columns that were passed, their distances, the row before each column, the
      free column, and its distance.
    """
    c = cost.shape[1]

    def go_on(state: tuple[Array, ...]) -> Array:
        return state[4] < 0

    def step(state: Any) -> Any:
        seen, distance, through, at, _, least = state
        beyond = least + cost[at] - u[at] - v
        nearer = ~seen & (beyond < distance)
        distance = jnp.where(nearer, beyond, distance)
        through = jnp.where(nearer, at, through)
        column = jnp.argmin(jnp.where(seen, jnp.inf, distance))
        least, owner = distance[column], row_of[column]
        is_free = owner < 0
        seen = seen | ((jnp.arange(c) == column) & ~is_free)
        end = jnp.where(is_free, column, -1).astype(jnp.int32)
        return seen, distance, through, jnp.where(is_free, at, owner), end, least

    start = (
        jnp.zeros(c, bool),
        jnp.full(c, jnp.inf, cost.dtype),
        jnp.full(c, -1),
        jnp.asarray(row),
        jnp.full((), -1),
        jnp.zeros((), cost.dtype),
    )
    seen, distance, through, _, end, least = jax.lax.while_loop(go_on, step, start)
    return seen, distance, through, end, least


def _augment(
    column_of: Int[Array, "r"],
    row_of: Int[Array, "c"],
    through: Int[Array, "c"],
    row: Int[Array, ""],
    end: Int[Array, ""],
) -> tuple[Int[Array, "r"], Int[Array, "c"]]:
    """Assignments after those along the path to a free column have moved by one."""

    def step(state: Any) -> Any:
        column_of, row_of, column, _ = state
        taker = through[column]
        left = column_of[taker]
        row_of, column_of = (
            row_of.at[column].set(taker),
            column_of.at[taker].set(column),
        )
        return column_of, row_of, left, taker == row

    start = (column_of, row_of, end, jnp.zeros((), bool))
    return jax.lax.while_loop(lambda s: ~s[3], step, start)[:2]


def matched(
    matrix: Shaped[np.ndarray | Array, "*s d k"],
) -> Shaped[np.ndarray | Array, "*s d"]:
    """M[i, pi(i)], 0 without a code; NaN if any code of the run is.

    Args:
      matrix: similarities; known ones may be of several seeds.
    """
    if isinstance(matrix, np.ndarray):
        return taken(matrix, _batch(matrix))
    return taken(matrix, pairing(matrix))


def taken(
    matrix: Shaped[np.ndarray | Array, "*s d k"], pi: Int[np.ndarray | Array, "*s d"]
) -> Shaped[np.ndarray | Array, "*s d"]:
    """M[i, pi(i)] for a given pi, as in `matched`.

    Args:
      matrix: similarities.
      pi: the code of each factor, -1 for none.
    """
    known = isinstance(matrix, np.ndarray) and isinstance(pi, np.ndarray)
    numpy = np if known else jnp
    at = numpy.where(pi < 0, 0, pi)[..., None]
    own = numpy.take_along_axis(matrix, at, -1)[..., 0]
    own = numpy.where(pi < 0, 0.0, own)
    return numpy.where(numpy.isnan(matrix).any(-1), numpy.nan, own)
