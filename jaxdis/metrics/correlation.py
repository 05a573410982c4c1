"""Correlation of factors with codes.

Failed runs, dead codes and constant factors are treated as in `columns`. Known values
are correlated on the host in float64; within jit and vmap the device does it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxdis import check
from jaxdis.metrics.assignment import matched, pairing, taken
from jaxdis.metrics.columns import ranks, standardise
from jaxdis.metrics.inputs import (
    Failed,
    Key,
    Table,
    as_float,
    check_known,
    checked_pair,
    halves,
    is_known,
    standardised,
)
from jaxdis.metrics.least_squares import basis, solve_lower, weights
from jaxdis.metrics.moments import as_columns, correlate, rank_columns, signed
from jaxdis.metrics.runs import each_run, over_seeds
from jaxdis.types import Score

__all__ = [
    "MCC",
    "MCC_CCA",
    "MCC_HELD_OUT",
    "MCC_SPEARMAN",
    "MCC_WEAK",
    "correlation_matrix",
    "correlations",
    "mcc",
]

Known: TypeAlias = Shaped[np.ndarray | Array, "n _"]
COMPONENTS = 20  # at most, of a canonical correlation analysis

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
MCC_HELD_OUT = MCC._replace(name="mcc_held_out", title="MCC out of sample")
MCC_WEAK = MCC._replace(
    name="mcc_weak",
    title="MCC, weak",
    source="Khemakhem et al. 2020 (arXiv 2002.11537)",
)
MCC_CCA = MCC_WEAK._replace(name="mcc_cca", title="MCC after CCA")


def _as_they_are(x: Any) -> Any:
    return x


class _Kind(NamedTuple):
    """What of the columns is correlated, of known values and of traced ones."""

    known: Callable[[Any], Any] | None
    traced: Callable[[Any], Any]


_KINDS = {
    "pearson": _Kind(None, _as_they_are),
    "spearman": _Kind(rank_columns, ranks),
}


def correlations(z: Any, codes: Any, kind: str) -> Float[np.ndarray | Array, "*s d k"]:
    """`correlation_matrix` without its checks, of numpy where values are known.

    Args:
      z: factors.
      codes: codes of the same samples; if they are known, perhaps of several seeds.
      kind: "pearson" or "spearman".
    """
    if not is_known(z, codes):
        return _traced_correlations(z, codes, kind)
    return correlate(np.asarray(z), np.asarray(codes), _KINDS[kind].known)


@partial(jax.jit, static_argnames="kind")
def _traced_correlations(
    z: Float[Array, "n d"], codes: Float[Array, "n k"], kind: str
) -> Float[Array, "d k"]:
    z, codes = _KINDS[kind].traced(z), _KINDS[kind].traced(codes)
    # Accelerators would otherwise round what they multiply to 8 or 11 bits.
    products = jnp.matmul(standardise(z).T, standardise(codes), precision="highest")
    return jnp.minimum(jnp.abs(products) / z.shape[0], 1.0)


def correlation_matrix(
    z: Table,
    codes: Table,
    *,
    kind: Literal["pearson", "spearman"] = "pearson",
    failed: Failed = "raise",
) -> Float[Array, "*s d k"]:
    """Absolute correlations of factors with codes.

        M[i, j] = |corr(z_i, c_j)|

    Args:
      z: factors [n, d], or [s, n, d] if those of the seeds differ.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      kind: "pearson", or "spearman" for the correlation of average ranks.
      failed: "raise" refuses codes that are not finite, "nan" scores them NaN.

    Returns:
      M of each run, [d, k], in [0, 1]; 0 for constant columns, NaN for codes that are
      not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, an unknown kind, or non-finite z.

    Source: Pearson 1895; Spearman 1904.
    """
    check.one_of("kind", kind, _KINDS)
    z, codes = checked_pair(z, codes, failed)
    if is_known(z, codes):
        return jnp.asarray(correlations(z, codes, kind), jnp.float32)
    return over_seeds(partial(_traced_correlations, kind=kind), z, codes)


def _linear(z: Any, codes: Any, rows: Any) -> tuple[Known, Known]:
    """The codes as a linear map makes them nearest to the factors of some rows."""
    if is_known(z, codes):
        z, codes = standardised(z), standardised(codes)
    else:
        z, codes = standardise(z), standardise(codes)
    some, seen = z[rows], codes[rows]
    found = weights(some - some.mean(0)[None], seen - seen.mean(0)[None])
    return z, codes @ found


def _canonical(z: Any, codes: Any, rows: Any) -> tuple[Known, Known]:
    """The canonical variables of some rows, at most 20, of all rows."""
    check_known("weak='cca'", z, codes)
    z, codes = standardised(z), standardised(codes)
    if not np.isfinite(codes).all():
        return z[:, :1], np.full_like(codes[:, :1], np.nan)
    sides = [as_columns(side[rows]) for side in (z, codes)]
    bases = [basis(side) for side in sides]
    if not all(base.kept.size for base in bases):
        return z[:, :1], np.zeros_like(codes[:, :1])
    # L_z^-1 R L_c^-T, of which the singular vectors are the canonical directions.
    cross = signed(*sides)[np.ix_(bases[0].kept, bases[1].kept)]
    for base in bases:
        cross = solve_lower(base, cross).T
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    found = []
    for x, side, base, turned in zip(
        (z, codes), sides, bases, (left, right.T), strict=True
    ):
        maps = solve_lower(base, turned[:, :COMPONENTS], transposed=True)
        found.append(x[:, base.kept] / side.std[base.kept] @ maps)
    return found[0], found[1]


_WEAK = {"linear": _linear, "cca": _canonical}
"""How codes are aligned with factors first, by the name of the score."""


class _Rows(NamedTuple):
    """Which rows align, which pair factors with codes, and which are scored."""

    align: Any
    pair: Any
    score: Any


def _split(n: int, weak: str | None, held_out: bool, key: Key) -> _Rows:
    if not (held_out or weak == "cca"):
        return _Rows(*[slice(None)] * 3)
    fit, judge = halves(key, n)
    return _Rows(fit, fit if held_out else judge, judge)


def mcc(
    z: Table,
    codes: Table,
    *,
    kind: Literal["pearson", "spearman"] = "pearson",
    weak: Literal["linear", "cca"] | None = None,
    held_out: bool = False,
    key: Key = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """Mean correlation coefficient of factors and their assigned codes.

        MCC = (1/d) sum_i |corr(z_i, c_pi(i))|,   pi maximises the sum

    Ignores the order, sign, scale and shift of the codes; with "spearman", every
    monotone map of one. Codes in excess are ignored, factors without a code score 0.

    The weak forms align factors and codes first, and so ignore linear maps:
    "linear" takes the least squares of the factors on the codes for codes, which gives
    `r` up to ties; "cca" takes the canonical variables of both sides, at most 20, found
    on one half of the rows and scored on the other, and divides by min(d, 20).

    Args:
      z: factors [n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      kind: "pearson", or "spearman" for the correlation of average ranks.
      weak: None for the strong score, or "linear" or "cca".
      held_out: take pi, and the alignment, from one half of the rows, and the
        correlations from the other: in sample both flatter, the more the fewer rows.
      key: draws the halves; None is the key 0.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, an unknown kind, non-finite z, fewer
        than 4 rows to halve, or "cca" within jit.

    Note: A useless code does not score 0 but about the largest of k correlations of
      noise: .03 at 10,000 rows and 10 codes, .09 at 500 and 20. A rotation of d factors
      leaves about .6 at d = 10.

    Source: Hyvarinen and Morioka 2016 (arXiv 1605.06336); weak: Khemakhem et al. 2020
      (arXiv 2002.11537) and the program of it, icebeem, which slices for k = d.
    """
    check.one_of("kind", kind, _KINDS)
    if weak is not None:
        check.one_of("weak", weak, _WEAK)
    z, codes = checked_pair(z, codes, failed)
    rows = _split(z.shape[-2], weak, held_out, key)
    most = min(z.shape[-1], COMPONENTS) if weak == "cca" else z.shape[-1]

    def strong(z: Any, codes: Any) -> Any:
        return matched(correlations(z, codes, kind)).sum(-1) / most

    def score(z: Known, codes: Known) -> Any:
        if weak is not None:
            z, codes = _WEAK[weak](z, codes, rows.align)
        found = correlations(z[rows.score], codes[rows.score], kind)
        if not held_out:
            return matched(found).sum() / most
        seen = correlations(z[rows.pair], codes[rows.pair], kind)
        # A code that is broken in either half fails the run.
        return taken(found + 0 * seen, pairing(seen)).sum() / most

    if held_out or weak is not None:
        return each_run(score, z, codes)
    if is_known(z, codes):  # all seeds at once
        return as_float(strong(z, codes))
    return over_seeds(strong, z, codes)
