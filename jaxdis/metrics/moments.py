"""Ranks and correlations of known values: on the host, in float64, by BLAS.

What is traced goes through `columns` instead; both agree to the digits of float32.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from jaxdis.metrics.checks import SOME, all_finite
from jaxdis.metrics.inputs import (
    standardised,
)
from jaxdis.metrics.runs import in_threads

__all__ = ["Columns", "as_columns", "correlate", "rank_columns", "signed"]

LARGE = 2**22  # correlations, from which on they are computed in float32
SMALL, FEW_TERMS = 2**12, 1024  # correlations and terms that are computed at once
# Where sums of products have digits: the least share that the variance has of the mean
# square, and the range of this.
SAFE = {"float64": (1e-6, 1e-100, 1e100), "float32": (0.5, 1e-25, 1e25)}


class Columns(NamedTuple):
    """Columns of which second moments in float64 lose nothing.

    Attributes:
      values: the columns, perhaps shifted and scaled.
      mean: their means.
      std: their standard deviations; 0 for constants, NaN for broken ones.
    """

    values: Float[np.ndarray, "n k"]
    mean: Float[np.ndarray, "k"]
    std: Float[np.ndarray, "k"]


def _raw_moments(
    x: Float[np.ndarray, "n k"],
) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
    """Means and mean squares of the columns."""
    n, k = x.shape
    # Several rows as one where these lie together: numpy is slow at short ones.
    m = math.gcd(n, SOME) if x.flags.c_contiguous else 1
    rows = x.reshape(n // m, m * k)
    sums = np.einsum("ij->j", rows), np.einsum("ij,ij->j", rows, rows)
    return sums[0].reshape(m, k).sum(0) / n, sums[1].reshape(m, k).sum(0) / n


def as_columns(x: Shaped[np.ndarray, "n k"]) -> Columns:
    """The columns as they are if float64 has digits for them, else standardised.

    Args:
      x: known values of one run.
    """
    wide = x.astype(np.float64, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):
        mean, square = _raw_moments(wide)
        variance = square - mean**2
        part, least, most = SAFE["float64"]
        good = (variance > part * square) & (square > least) & (square < most)
    if good.all():
        return Columns(wide, mean, np.sqrt(variance))
    return _standard(standardised(x))


def _standard(x: Float[np.ndarray, "n k"]) -> Columns:
    """Standardised columns, of which constants are 0."""
    with np.errstate(invalid="ignore"):
        std = np.sqrt(np.einsum("ij,ij->j", x, x, dtype=np.float64) / len(x))
    return Columns(x, np.zeros(x.shape[1]), std)


def _single(x: Shaped[np.ndarray, "n k"]) -> Columns:
    """Standardised columns in float32, some of them at a time."""
    out = np.empty(x.shape, np.float32)
    for start in range(0, x.shape[1], 512):
        out[:, start : start + 512] = standardised(x[:, start : start + 512])
    return _standard(out)


def _scaled(
    products: Float[np.ndarray, "*s d k"], a: Any, b: Any
) -> Float[np.ndarray, "*s d k"]:
    """Correlations from mean products, and the means and deviations of both sides."""
    (mean, std), (other_mean, other_std) = a, b
    with np.errstate(invalid="ignore"):
        products -= mean[..., :, None] * other_mean[..., None, :]
        # Infinite scales make constants correlate 0.
        products /= np.where(std == 0, np.inf, std)[..., :, None]
        products /= np.where(other_std == 0, np.inf, other_std)[..., None, :]
    return products


def signed(a: Columns, b: Columns) -> Float[np.ndarray, "d k"]:
    """Correlations from the columns' second moments; 0 for constants.

    Args:
      a: columns.
      b: others of the same samples.
    """
    with np.errstate(invalid="ignore"):
        products = a.values.T @ b.values / len(a.values)
    found = _scaled(products, a[1:], b[1:])
    return np.clip(found, -1, 1, out=found)


def _at_once(
    z: Shaped[np.ndarray, "*t n d"], codes: Shaped[np.ndarray, "*s n k"]
) -> Float[np.ndarray, "*s d k"] | None:
    """Correlations of all seeds in few calls; None where these would lose digits.

    Sums of float32 keep enough of them over few terms, which are added in float64.
    """
    n, d, k = z.shape[-2], z.shape[-1], codes.shape[-1]
    m = math.gcd(n, SOME)
    few = n // m <= FEW_TERMS if z.dtype == np.float32 else True
    kept = all(x.dtype.name in SAFE and x.flags.c_contiguous for x in (z, codes))
    if not (kept and few and z.dtype == codes.dtype and d * k <= SMALL):
        return None
    part, least, most = SAFE[z.dtype.name]
    sides = []
    for x in (z, codes):
        rows = x.reshape(*x.shape[:-2], n // m, -1)
        sums = (
            np.einsum("...ij->...j", rows),
            np.einsum("...ij,...ij->...j", rows, rows),
        )
        with np.errstate(invalid="ignore", over="ignore"):
            mean, square = (
                a.reshape(*x.shape[:-2], m, -1).sum(-2, dtype=np.float64) / n
                for a in sums
            )
            variance = square - mean**2
            good = (variance > part * square) & (square > least) & (square < most)
        if not good.all():
            return None
        sides.append((mean, np.sqrt(variance)))
    parts = m if z.dtype == np.float32 else 1
    cut = [x.reshape(*x.shape[:-2], parts, n // parts, -1) for x in (z, codes)]
    products = np.matmul(cut[0].swapaxes(-1, -2), cut[1]).sum(-3, dtype=np.float64)
    return _scaled(products / n, *sides)


def correlate(
    z: Shaped[np.ndarray, "*t n d"],
    codes: Shaped[np.ndarray, "*s n k"],
    columns: Callable[[Any], Any] | None = None,
) -> Float[np.ndarray, "*s d k"]:
    """Absolute correlations; 0 for constants, NaN for broken columns.

    Args:
      z: factors.
      codes: codes of the same samples, perhaps of several seeds.
      columns: what of the columns of one run is correlated; by default themselves.
    """
    found = None if columns else _at_once(z, codes)
    if found is None:
        found = _one_by_one(z, codes, columns or (lambda x: x))
    np.abs(found, out=found)
    return np.minimum(found, 1, out=found)


def _one_by_one(
    z: Shaped[np.ndarray, "*t n d"],
    codes: Shaped[np.ndarray, "*s n k"],
    columns: Callable[[Any], Any],
) -> Float[np.ndarray, "*s d k"]:
    """Correlations of each seed by itself."""
    large = z.shape[-1] * codes.shape[-1] >= LARGE
    scale = _single if large else as_columns
    shared = scale(columns(z)) if z.ndim == 2 else None

    def run(i: int) -> tuple[np.ndarray, ...]:
        own = scale(columns(z[i])) if shared is None else shared
        seen = scale(columns(codes[i]))
        with np.errstate(invalid="ignore"):
            return own.values.T @ seen.values, *own[1:], *seen[1:]

    if codes.ndim == 2:
        codes = codes[None]
        products, *rest = run(0)
    else:
        found = in_threads(run, range(len(codes)))
        products, *rest = (np.stack(a) for a in zip(*found, strict=True))
    products /= codes.shape[-2]
    return _scaled(products, rest[:2], rest[2:])


def rank_columns(x: Shaped[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Average ranks down the columns; broken columns stay broken.

    Args:
      x: known values of one run.
    """
    # numpy sorts rows of plain types fastest.
    rows = np.ascontiguousarray(x.T, np.float32 if x.dtype.itemsize < 4 else x.dtype)
    order = np.argsort(rows, axis=1)
    ordered = np.take_along_axis(rows, order, 1)
    fresh = np.ones(rows.shape, bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=fresh[:, 1:])
    starts = np.flatnonzero(fresh)
    counts = np.diff(starts, append=rows.size)
    average = np.repeat(starts % len(x) + (counts + 1) / 2, counts)
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, average.reshape(rows.shape), 1)
    ranks[as_columns(x).std == 0] = 1  # roundings of a constant have no ranks
    if not all_finite(x):
        ranks[~np.isfinite(rows).all(1)] = np.nan
    return ranks.T
