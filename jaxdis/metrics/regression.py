"""Linear regression of factors on codes: on all (R, R2) or on the allowed ones (R_con).

Failed runs, dead codes and constant factors are treated as in `columns`. Known values
are regressed on the host, traced ones on the device; see `least_squares`.
"""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Shaped

from jaxdis import check
from jaxdis.metrics.assignment import pairing
from jaxdis.metrics.checks import all_finite
from jaxdis.metrics.columns import standardise
from jaxdis.metrics.correlation import correlations
from jaxdis.metrics.inputs import (
    Failed,
    Key,
    Table,
    as_float,
    checked_pair,
    is_known,
    paired,
)
from jaxdis.metrics.kernel import held_out_r2, split_rows
from jaxdis.metrics.least_squares import explained, traced_correlation
from jaxdis.metrics.moments import Columns, as_columns
from jaxdis.metrics.runs import each_run, over_seeds
from jaxdis.types import Score

__all__ = ["R2", "R2_KERNEL", "R_CON", "R", "as_links", "r", "r2", "r_con"]

R = Score(
    "r",
    "R",
    "higher",
    (0, 1),
    "Lachapelle et al. 2024 (arXiv 2401.04890)",
    truth=True,
    floor=True,
)
R2 = R._replace(
    name="r2", title="R²", source="Lachapelle et al. 2022 (arXiv 2107.10098)"
)
R2_KERNEL = R2._replace(
    name="r2_kernel",
    title="R² of a kernel",
    range=(-math.inf, 1),
    source="Yao et al. 2022 (arXiv 2210.13647)",
)
R_CON = R._replace(name="r_con", title="R_con")


def _multiple_correlations(z: Any, codes: Any) -> Shaped[np.ndarray | Array, "d"]:
    """sqrt(R2_i) of each factor on all codes.

    Args:
      z: factors, or their `Columns` if they are known.
      codes: codes.
    """
    if is_known(z, codes):
        own = z if isinstance(z, Columns) else as_columns(np.asarray(z))
        return np.sqrt(explained(own, as_columns(np.asarray(codes))))
    return traced_correlation(standardise(z), standardise(codes))


def r2(
    z: Table,
    codes: Table,
    *,
    kind: Literal["linear", "kernel"] = "linear",
    key: Key = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """Mean share of the variance of a factor that a map of the codes explains.

        R2 = (1/d) sum_i R2_i,   R2_i = 1 - min_f |z_i - f(c)|^2 / |z_i - mean|^2

    "linear": f is affine, fitted and scored on all rows. Codes that are linear
    maps of the factors reach 1. In sample, a useless code scores about k / (n - 1), not
    0. Do not compare it with `r`, its root factor by factor.

    "kernel": f is a kernel ridge regression, fitted on at most 512 rows and scored on
    at most 2048 others. Smooth one-to-one maps of the factors come near 1.

    Args:
      z: factors [n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      kind: "linear" or "kernel".
      key: draws the rows that fit a kernel; None is the key 0.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score for each run, higher is better: in [0, 1] if linear, else at most 1 and
      below 0 for useless codes (about -.2 at 1,000 rows). NaN for a run with a code
      that is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, an unknown kind, non-finite z, or
        fewer than 4 rows to halve.

    Note: The kernel is scikit-learn's `KernelRidge(kernel="rbf", gamma=1 / k,
      alpha=0.1)` on standardised columns. The program of TDRL chooses gamma and alpha
      by cross-validation instead, and may be given the rows that were fitted to score.

    Source: Lachapelle et al. 2022 (arXiv 2107.10098); kernel: Yao et al. 2022
      (arXiv 2210.13647).
    """
    check.one_of("kind", kind, _KINDS)
    return _KINDS[kind](z, codes, key, failed)


def _linear_r2(z: Table, codes: Table, _: Key, failed: Failed) -> Float[Array, "*s"]:
    def score(z: Any, codes: Any) -> Any:
        return (_multiple_correlations(z, codes) ** 2).mean()

    return each_run(score, *checked_pair(z, codes, failed), as_columns)


def _kernel_r2(z: Table, codes: Table, key: Key, failed: Failed) -> Float[Array, "*s"]:
    z, codes = paired(z, codes, failed)
    rows = split_rows(z.shape[-2], key)
    all_codes = jnp.ones((1, codes.shape[-1]))

    def score(z: Array, codes: Array) -> Array:
        return held_out_r2(z, codes, all_codes, rows).mean()

    return over_seeds(score, z, codes)


_KINDS = {"linear": _linear_r2, "kernel": _kernel_r2}


def r(z: Table, codes: Table, *, failed: Failed = "raise") -> Float[Array, "*s"]:
    """Mean multiple correlation of the factors with the codes; comparable with `mcc`.

        R = (1/d) sum_i sqrt(R2_i)

    Args:
      z: factors [n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, or non-finite z.

    Source: Lachapelle et al. 2024 (arXiv 2401.04890).
    """

    def score(z: Any, codes: Any) -> Any:
        return _multiple_correlations(z, codes).mean()

    return each_run(score, *checked_pair(z, codes, failed), as_columns)


def as_links(pattern: Shaped[ArrayLike, "d d"], d: int) -> Float[Array, "d d"]:
    """A pattern of 0 and 1 as floats.

    Args:
      pattern: which factors each factor is linked to.
      d: the number of factors.

    Raises:
      ValueError: for another shape or other values.
    """
    if jnp.shape(pattern) != (d, d):
        raise ValueError(
            f"pattern has shape {jnp.shape(pattern)}; it must be ({d}, {d}), "
            "factors by factors"
        )
    traced = isinstance(pattern, jax.core.Tracer)
    if not traced and not np.isin(np.asarray(pattern), (0, 1)).all():
        raise ValueError("pattern holds other values than 0 and 1")
    return as_float(pattern)


def _assigned_codes(
    codes: Shaped[np.ndarray | Array, "n k"], pi: Shaped[np.ndarray | Array, "d"]
) -> Shaped[np.ndarray | Array, "n d"]:
    """The code of each factor; 0 for a factor without one."""
    numpy = np if is_known(codes, pi) else jnp
    return numpy.where((pi >= 0)[None], codes[:, pi], 0)


def r_con(
    z: Table,
    codes: Table,
    pattern: Shaped[ArrayLike, "d d"],
    *,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """Like `r`, but each factor sees only the codes that theory allows it to need.

        R_con = (1/d) sum_i sqrt(R2 of z_i on {c_pi(j): C[i, j] = 1}),   pi as in `mcc`

    MCC <= R_con <= R, with R_con = MCC for C = I. Where C != I, disentanglement is
    partial: MCC cannot reach 1, R_con can. Codes that pi leaves out are never used. The
    transposed score, in which z_j may depend on z_i instead, is
    `r_con(z, codes, pattern.T)`; it differs unless C is symmetric.

    Args:
      z: factors [n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      pattern: C, [d, d] of 0/1, from `identifiability.consistency_pattern`.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, non-finite z, or a pattern that is
        not 0/1.

    Source: Lachapelle et al. 2024 (arXiv 2401.04890).
    """
    z, codes = checked_pair(z, codes, failed)
    links = as_links(pattern, z.shape[-1])

    def score(z: Any, codes: Any) -> Any:
        own: Any = _assigned_codes(codes, pairing(correlations(z, codes, "pearson")))
        # A failed code that no factor has is a failed run, too.
        if is_known(z, own, links):
            found = explained(as_columns(z), as_columns(own), np.asarray(links) > 0)
            return np.sqrt(found).mean() if all_finite(codes) else np.float64("nan")
        found = _constrained(standardise(z), standardise(own), links).mean()
        return jnp.where(jnp.isfinite(codes).all(), found, jnp.nan)

    return each_run(score, z, codes)


@jax.jit
def _constrained(
    z: Float[Array, "n d"], codes: Float[Array, "n d"], links: Float[Array, "d d"]
) -> Float[Array, "d"]:
    """sqrt(R2_i) on the codes that each factor is linked to, one factor at a time."""

    def one(pair: tuple[Float[Array, "n"], Float[Array, "d"]]) -> Float[Array, ""]:
        factor, linked = pair
        return traced_correlation(factor[:, None], codes * linked[None])[0]

    return jax.lax.map(one, (z.T, links))
