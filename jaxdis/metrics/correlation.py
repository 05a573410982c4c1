"""Correlation of factors with codes.

Failed runs, dead codes and constant factors are treated as in `columns`.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.metrics.columns import ranks, standardise
from jaxdis.metrics.inputs import (
    Failed,
    Table,
    as_float,
    as_numbers,
    over_seeds,
    paired,
)
from jaxdis.types import Score

__all__ = [
    "MCC",
    "MCC_SPEARMAN",
    "assign",
    "correlation_matrix",
    "correlations",
    "matched",
    "mcc",
]

MCC = Score(
    "mcc",
    "MCC",
    "higher",
    (0, 1),
    "Hyvarinen and Morioka 2016 (arXiv 1605.06336)",
    truth=True,
    floor=True,
)
MCC_SPEARMAN = MCC._replace(name="mcc_spearman", title="MCC of ranks")


def _as_they_are(x: Float[Array, "n k"]) -> Float[Array, "n k"]:
    return x


_COLUMNS = {"pearson": _as_they_are, "spearman": ranks}
"""What of the columns is correlated."""


@partial(jax.jit, static_argnames="kind")
def correlations(
    z: Float[Array, "n d"], codes: Float[Array, "n k"], kind: str
) -> Float[Array, "d k"]:
    """`correlation_matrix` without its checks.

    Args:
      z: factors.
      codes: codes of the same samples.
      kind: "pearson" or "spearman".
    """
    z, codes = _COLUMNS[kind](z), _COLUMNS[kind](codes)
    # Accelerators would otherwise round what they multiply to 8 or 11 bits.
    products = jnp.matmul(standardise(z).T, standardise(codes), precision="highest")
    return jnp.minimum(jnp.abs(products) / z.shape[0], 1.0)


def correlation_matrix(
    z: Table,
    codes: Table,
    *,
    kind: Literal["pearson", "spearman"] = "pearson",
    failed: Failed = "raise",
) -> Float[Array, "d k"]:
    """Absolute correlations of factors with codes.

        M[i, j] = |corr(z_i, c_j)|

    Args:
      z: factors [n, d].
      codes: codes [n, k] of the same samples.
      kind: "pearson", or "spearman" for the correlation of average ranks.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      M, [d, k], in [0, 1]; 0 for dead columns, NaN for codes that are not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, an unknown kind, or non-finite z.

    Source: Pearson 1895; Spearman 1904.
    """
    check.one_of("kind", kind, _COLUMNS)
    z, codes = paired(z, codes, failed)
    if codes.ndim != 2:
        raise ValueError(f"codes has shape {codes.shape}; it must be [n, k]")
    return correlations(z, codes, kind)


def assign(matrix: Table) -> Int[Array, "d"]:
    """The code assigned to each factor.

        pi = argmax over injective maps of sum_i M[i, pi(i)]

    Args:
      matrix: similarities [d, k]; entries that are not finite count as 0.

    Returns:
      pi, [d]. With fewer codes than factors, -1 marks a factor without a code.

    Raises:
      ValueError: if matrix has another rank.

    Source: Kuhn 1955 (Hungarian method).
    """
    matrix = as_numbers("matrix", matrix)
    if matrix.ndim != 2:
        raise ValueError(f"matrix has shape {matrix.shape}; it must be [d, k]")
    return _assign(as_float(matrix))


@jax.jit
def _assign(matrix: Float[Array, "d k"]) -> Int[Array, "d"]:
    # The solver answers a NaN with the identity, silently.
    cost = -jnp.where(jnp.isfinite(matrix), matrix, 0.0)
    factors, codes = optax.assignment.hungarian_algorithm(cost)
    return jnp.full(matrix.shape[0], -1).at[factors].set(codes)


@jax.jit
def matched(matrix: Float[Array, "d k"]) -> Float[Array, "d"]:
    """M[i, pi(i)], 0 without a code; NaN if any code of the run is."""
    return (matrix * jax.nn.one_hot(_assign(matrix), matrix.shape[1])).sum(1)


def mcc(
    z: Table,
    codes: Table,
    *,
    kind: Literal["pearson", "spearman"] = "pearson",
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """Mean correlation coefficient of factors and their assigned codes.

        MCC = (1/d) sum_i |corr(z_i, c_pi(i))|,   pi maximises the sum

    Ignores the order, sign, scale and shift of the codes; with "spearman", every
    monotone map of one. Codes in excess are ignored, factors without a code score 0.

    Args:
      z: factors [n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      kind: "pearson", or "spearman" for the correlation of average ranks.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, an unknown kind, or non-finite z.

    Source: Hyvarinen and Morioka 2016 (arXiv 1605.06336).
    """
    check.one_of("kind", kind, _COLUMNS)
    z, codes = paired(z, codes, failed)

    def score(z: Array, codes: Array) -> Array:
        return matched(correlations(z, codes, kind)).mean()

    return over_seeds(score, z, codes)
