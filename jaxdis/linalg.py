"""Determinants and linear systems of many small matrices.

By elimination in plain array operations. XLA's CPU back end hands `jnp.linalg` to
LAPACK, whose batched calls wait for threads that other devices' programs hold: with as
many devices as cores, as here for seeds, programs were seen to hang for ever.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

__all__ = ["det", "is_positive_definite", "log_abs_det", "solve"]


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
