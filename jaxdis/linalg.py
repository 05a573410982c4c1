"""Determinants, linear systems and eigenvectors of many small matrices.

By elimination and rotations in plain array operations. XLA's CPU back end hands
`jnp.linalg` to LAPACK, whose batched calls wait for threads that other devices'
programs hold: with as many devices as cores, as here for seeds, programs were seen to
hang for ever.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

__all__ = [
    "conjugate_gradients",
    "det",
    "eigh",
    "is_positive_definite",
    "log_abs_det",
    "orthonormal",
    "solve",
]


def _eliminate(
    a: Float[Array, "n n"], b: Float[Array, "n m"]
) -> tuple[Float[Array, "n m"], Float[Array, ""]]:
    """Gauss-Jordan elimination with partial pivoting: `a^-1 b` and `log |det a|`.

    Rows stay where they are and pivots are remembered, so that nothing is scattered.
    """
    n = len(a)

    def column(
        j: Array, carry: tuple[Array, Array, Array]
    ) -> tuple[Array, Array, Array]:
        work, used, log_det = carry
        entries = work[:, j]
        chosen = jnp.argmax(jnp.where(used, -1.0, jnp.abs(entries)))
        pivot = jnp.arange(n) == chosen
        value = jnp.sum(jnp.where(pivot, entries, 0.0))
        row = jnp.sum(jnp.where(pivot[:, None], work, 0.0), 0) / value
        work = jnp.where(pivot[:, None], row[None], work - jnp.outer(entries, row))
        return work, used | pivot, log_det + jnp.log(jnp.abs(value))

    carry = (jnp.concatenate([a, b], 1), jnp.zeros(n, bool), jnp.zeros((), a.dtype))
    work, _, log_det = jax.lax.fori_loop(0, n, column, carry)
    # What was `a` is now a permutation.
    return jnp.matmul(work[:, :n].T, work[:, n:], precision="highest"), log_det


def solve(a: Float[Array, "n n"], b: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """`a^-1 b`."""
    return _eliminate(a, b)[0]


def conjugate_gradients(
    product: Callable[[Float[Array, "t n"]], Float[Array, "t n"]],
    b: Float[Array, "t n"],
    steps: int,
    tolerance: float,
) -> Float[Array, "t n"]:
    """`a^-1 b` of many positive definite matrices, each by itself.

    A row whose residual is small enough moves no more: steps after convergence would
    let rounding grow.

    Args:
      product: `x -> a x` in all rows.
      b: the right sides.
      steps: at most.
      tolerance: the residual's norm at the end, relative to that of b.

    Source: Hestenes and Stiefel 1952.
    """
    # Squares of 1e-20 or 1e20 are no float32; and what is not finite stays seen.
    largest = jnp.abs(b).max(1, initial=0.0, keepdims=True)
    b = b / jnp.where(largest > 0, largest, 1.0)
    squares = jnp.sum(b**2, 1)
    goal = tolerance**2 * squares

    def unsolved(carry: tuple[Array, Array, Array, Array, Array]) -> Array:
        *_, size, count = carry
        return (size > goal).any() & (count < steps)

    def improve(
        carry: tuple[Array, Array, Array, Array, Array],
    ) -> tuple[Array, Array, Array, Array, Array]:
        x, residual, ahead, size, count = carry
        moved = product(ahead)
        along = jnp.sum(ahead * moved, 1)
        # Singular matrices, and rounding, have directions without slope.
        going = (size > goal) & ~(along <= 0)
        rate = jnp.where(going, size / jnp.where(going, along, 1.0), 0.0)[:, None]
        x, residual = x + rate * ahead, residual - rate * moved
        new = jnp.sum(residual**2, 1)
        share = jnp.where(going, new / jnp.where(going, size, 1.0), 0.0)[:, None]
        return x, residual, residual + share * ahead, new, count + 1

    start = (jnp.zeros_like(b), b, b, squares, jnp.zeros((), int))
    return largest * jax.lax.while_loop(unsolved, improve, start)[0]


@jax.custom_jvp
def log_abs_det(a: Float[Array, "n n"]) -> Float[Array, ""]:
    """`log |det a|`; its derivative is `tr(a^-1 da)`."""
    return _eliminate(a, jnp.zeros((len(a), 0), a.dtype))[1]


@log_abs_det.defjvp
def _log_abs_det_jvp(
    primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (a,), (da,) = primals, tangents
    inverse, log_det = _eliminate(a, jnp.eye(len(a), dtype=a.dtype))
    return log_det, jnp.sum(inverse.T * da)


def det(a: Float[Array, "n n"]) -> Float[Array, ""]:
    """`det a`; its derivative is right unless a is singular."""
    n = len(a)

    def column(
        j: Array, carry: tuple[Array, Array, Array]
    ) -> tuple[Array, Array, Array]:
        work, used, product = carry
        entries = work[:, j]
        chosen = jnp.argmax(jnp.where(used, -1.0, jnp.abs(entries)))
        pivot = jnp.arange(n) == chosen
        value = jnp.sum(jnp.where(pivot, entries, 0.0))
        row = jnp.sum(jnp.where(pivot[:, None], work, 0.0), 0)
        row = row / jnp.where(value == 0, 1.0, value)
        # The order of pivots is a permutation: its sign, by its inversions.
        passed = jnp.sum(~used & (jnp.arange(n) < chosen))
        used = used | pivot
        work = jnp.where(used[:, None], work, work - jnp.outer(entries, row))
        return work, used, product * jnp.where(passed % 2 == 1, -value, value)

    carry = (a, jnp.zeros(n, bool), jnp.ones((), a.dtype))
    return jax.lax.fori_loop(0, n, column, carry)[2]


def is_positive_definite(a: Float[Array, "n n"]) -> Bool[Array, ""]:
    """Whether all pivots of a symmetric matrix are positive, and so its eigenvalues."""

    def column(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        work, smallest = carry
        pivot = work[j, j]
        work = work - jnp.outer(work[:, j], work[j]) / pivot
        return work, jnp.minimum(smallest, pivot)

    start = (a, jnp.asarray(jnp.inf, a.dtype))
    return jax.lax.fori_loop(0, len(a), column, start)[1] > 0


SWEEPS = 12  # of rotations at most; some 6 do for 20 x 20


def eigh(a: Float[Array, "n n"]) -> tuple[Float[Array, "n"], Float[Array, "n n"]]:
    """Eigenvalues of a symmetric matrix, the largest first, and eigenvectors.

    `a = v diag(w) v^T`, eigenvectors as columns, by Jacobi's rotations: a matrix that
    is nearly diagonal costs nearly nothing, and its eigenvectors keep their signs.

    Args:
      a: the matrix; n^2 / 2 rotations are made one after the other, so that n should be
        some tens at most.

    Source: Golub and Van Loan, Matrix Computations, on Jacobi methods.
    """
    n = len(a)
    if n < 2:
        return jnp.diag(a), jnp.eye(n, dtype=a.dtype)
    first, second = jnp.triu_indices(n, 1)
    scale = jnp.maximum(jnp.abs(a).max(initial=0.0), jnp.finfo(a.dtype).tiny)

    def rotate(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        a, v = carry
        p, q = first[i], second[i]
        # The angle that makes a[p, q] zero, the smaller one of the two.
        angle = 0.5 * jnp.arctan2(2 * a[p, q], a[q, q] - a[p, p])
        half = jnp.pi / 2
        angle = angle - half * jnp.round(angle / half)
        c, s = jnp.cos(angle), jnp.sin(angle)

        def columns(m: Array) -> Array:
            x, y = m[:, p], m[:, q]
            return m.at[:, p].set(c * x - s * y).at[:, q].set(s * x + c * y)

        return columns(columns(a).T).T, columns(v)

    def rough(carry: tuple[Array, Array, Array]) -> Array:
        count, a, _ = carry
        off = jnp.abs(a - jnp.diag(jnp.diag(a))).max(initial=0.0)
        return (count < SWEEPS) & (off > jnp.finfo(a.dtype).eps * scale)

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, a, v = carry
        a, v = jax.lax.fori_loop(0, len(first), rotate, (a, v))
        return count + 1, a, v

    start = (jnp.zeros((), int), a, jnp.eye(n, dtype=a.dtype))
    _, a, v = jax.lax.while_loop(rough, sweep, start)
    values = jnp.diag(a)
    order = jnp.argsort(-values)
    return values[order], v[:, order]


def orthonormal(a: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """Columns that span what those of a matrix do, by Gram and Schmidt, twice.

    The first columns span what the first of `a` do. A column that depends on those
    before it is what rounding leaves of it, or zero.
    """

    def column(j: Array, q: Array) -> Array:
        found = a[:, j]
        for _ in range(2):
            inner = jnp.matmul(q.T, found, precision="highest")
            found = found - jnp.matmul(q, inner, precision="highest")
        size = jnp.sqrt(jnp.sum(found**2))
        found = found / jnp.maximum(size, jnp.finfo(a.dtype).tiny)
        return q.at[:, j].set(found)

    return jax.lax.fori_loop(0, a.shape[1], column, jnp.zeros_like(a))
