"""Interventional robustness: does a code stand still while other factors move?"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.metrics.groups import BINS, Groups, as_groups
from jaxdis.metrics.inputs import (
    Failed,
    Table,
    as_float,
    as_numbers,
    is_known,
    paired,
    raw_pair,
)
from jaxdis.metrics.kinds import Discrete
from jaxdis.metrics.runs import in_threads, over_seeds
from jaxdis.types import Score

__all__ = ["IRS", "irs", "irs_matrix"]

IRS = Score(
    "irs",
    "IRS",
    "higher",
    (0, 1),
    "Suter et al. 2019 (arXiv 1811.00007)",
    truth=True,
    floor=True,
)

QUANTILE = 0.99
# What is left of a constant column, relative to its value, in float64 and float32.
ROUNDING, DEAD = 1e-14, 1e-8


def irs_matrix(
    z: Table,
    codes: Table,
    *,
    quantile: float = QUANTILE,
    discrete: Discrete = "auto",
    bins: int = BINS,
    mask: Table = None,
    failed: Failed = "raise",
) -> Float[Array, "*s k d"]:
    """How little every code moves while one factor is held and the others vary.

        IRS_ij = 1 - e_ij / max |c_i - E c_i|
        e_ij = mean over values v of f_j of quantile_q |c_i - E[c_i | f_j = v]|,
        the quantile over the rows with f_j = v, by linear interpolation

    Args:
      z: factors [n, d], or [s, n, d]; those that are no classes are binned.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      quantile: q, in [0, 1]; 1 is that of the paper, .99 that of its programs.
      discrete: which factors are classes; see `kinds.as_factors`.
      bins: bins of equal width of all other factors.
      mask: where labels are known, [n, d] or [n]; by default all are.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      IRS of each run, [k, d], at most 1; a little below 0 where a value of the factor
      leaves a code spread as wide as before. 0 for constant codes and constant factors.

    Raises:
      ValueError: for a wrong shape, unequal rows, non-finite z, a quantile out of
        range, and within jit where discrete does not say how many classes there are.

    Source: Suter et al. 2019 (arXiv 1811.00007); Locatello et al. 2019 (arXiv
    1811.12359) and its disentanglement_lib.
    """
    return jnp.asarray(_irs(z, codes, quantile, discrete, bins, mask, failed)[0])


def irs(
    z: Table,
    codes: Table,
    *,
    quantile: float = QUANTILE,
    discrete: Discrete = "auto",
    bins: int = BINS,
    mask: Table = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """Interventional robustness score: codes that one factor alone moves.

        IRS = sum_i a_i max_j IRS_ij / sum_i a_i,   a_i = max |c_i - E c_i|

    with IRS_ij of `irs_matrix`. Ignores the order, sign and shift of the codes and
    their common scale; codes of a larger scale weigh more.

    Args:
      z: factors [n, d], or [s, n, d]; those that are no classes are binned.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      quantile: q, in [0, 1]; 1 is that of the paper, .99 that of its programs.
      discrete: which factors are classes; see `kinds.as_factors`.
      bins: bins of equal width of all other factors.
      mask: where labels are known, [n, d] or [n]; by default all are.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; 0 if all codes are constant.

    Raises:
      ValueError: as `irs_matrix`.

    Note:
      It compares a quantile with a maximum, so that a code which knows nothing scores
      far from 0, and the more the more rows there are: .29, .32, .38 and .41 with 500,
      2,000, 10,000 and 50,000 normal ones. Say beside it what permuted rows score,
      `irs(rng.permutation(z), codes)`. The same number of rows belongs to scores that
      are compared.

    Source: Suter et al. 2019 (arXiv 1811.00007); Locatello et al. 2019 (arXiv
    1811.12359) and its disentanglement_lib, which puts classes into 20 bins too, so
    that it differs for factors of more than 20 values.
    """
    matrix, peaks = _irs(z, codes, quantile, discrete, bins, mask, failed)
    total = peaks.sum(-1, keepdims=True)
    shares = peaks / (total + (total == 0))
    return jnp.asarray((shares * matrix.max(-1)).sum(-1))


def _irs(
    z: Table,
    codes: Table,
    quantile: float,
    discrete: Discrete,
    bins: int,
    mask: Table,
    failed: Failed,
) -> tuple[Float[Array | np.ndarray, "*s k d"], Float[Array | np.ndarray, "*s k"]]:
    """The matrix, and the largest deviation of every code in a unit of each run."""
    check.fraction("quantile", quantile, "the rows")
    groups = as_groups(z, discrete, bins, mask)
    if is_known(z, codes, mask):
        codes = raw_pair(groups.classes, codes, failed)[1]
        return _on_host(groups, codes, quantile)
    paired(groups.classes, codes, failed)
    codes = as_float(as_numbers("codes", codes))
    score = partial(_traced, size=groups.size, quantile=quantile)
    return over_seeds(score, jnp.asarray(groups.classes), codes)


def _on_host(
    groups: Groups, codes: Float[np.ndarray, "*s n k"], quantile: float
) -> tuple[Float[np.ndarray, "*s k d"], Float[np.ndarray, "*s k"]]:
    """By numpy, which finds a quantile faster than XLA sorts, factors in threads."""
    *seeds, n, k = codes.shape
    rows = codes.reshape(-1, n, k).swapaxes(1, 2)
    broken = ~np.isfinite(rows).all((1, 2))
    rows = np.where(broken[:, None, None], 0.0, rows)
    largest = np.abs(rows).max((1, 2), keepdims=True)
    rows /= np.where(largest > 0, largest, 1.0)  # of any size in float64
    most = np.abs(rows).max(2)
    # Twice: a mean of equal numbers is off by a rounding.
    rows -= rows.mean(2, keepdims=True)
    rows -= rows.mean(2, keepdims=True)
    peaks = np.abs(rows).max(2)
    peaks[peaks <= ROUNDING * most] = 0.0
    rows /= np.where(peaks > 0, peaks, 1.0)[:, :, None]
    rows = rows.astype(np.float32)
    classes = np.asarray(groups.classes)

    def of_factor(j: int) -> np.ndarray:
        if classes.ndim == 2:
            flat = rows.reshape(-1, n)
            return _moved(flat, classes[:, j], quantile).reshape(peaks.shape)
        pairs = zip(rows, classes[:, :, j], strict=True)
        return np.stack([_moved(one, labels, quantile) for one, labels in pairs])

    moved = np.stack(in_threads(of_factor, range(classes.shape[-1])), -1)
    matrix = np.where(peaks[..., None] > 0, 1.0 - moved, 0.0)
    matrix[broken], peaks[broken] = np.nan, np.nan
    shape = (*seeds, k)
    narrow = np.float32
    return matrix.astype(narrow).reshape(*shape, -1), peaks.astype(narrow).reshape(
        shape
    )


def _moved(
    rows: Float[np.ndarray, "r n"], labels: Int[np.ndarray, "n"], quantile: float
) -> Float[np.ndarray, "r"]:
    """e of every row; 1, as far as a code can move, for a factor that does not vary."""
    small = np.int16 if labels.max() < 2**15 else labels.dtype  # sorts by digits
    order = np.argsort(labels.astype(small), kind="stable")[(labels < 0).sum() :]
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    if len(starts) < 2:
        return np.ones(len(rows), rows.dtype)
    total = np.zeros(len(rows))
    for which in np.split(order, starts[1:]):
        block = rows[:, which]
        block -= block[:, :1]  # after which the mean of equal numbers is exact
        block -= block.mean(1, keepdims=True)
        np.abs(block, out=block)
        place = quantile * (len(which) - 1)
        low = int(place)
        # One place and a minimum: numpy finds several places without vectors.
        block.partition(low, axis=1)
        below = block[:, low].astype(np.float64)
        above = block[:, low + 1 :].min(1) if low + 1 < len(which) else below
        total += below + (place - low) * (above - below)
    return total / len(starts)


def _traced(
    classes: Int[Array, "n d"], codes: Float[Array, "n k"], size: int, quantile: float
) -> tuple[Float[Array, "k d"], Float[Array, "k"]]:
    """The same under jit and vmap, by one sort per factor."""
    largest = jnp.abs(codes).max(0)
    codes = codes - codes.mean(0)[None]
    codes = codes - codes.mean(0)[None]
    peaks = jnp.abs(codes).max(0)
    peaks = jnp.where(peaks <= DEAD * largest, 0.0, peaks)

    def of_factor(labels: Int[Array, "n"]) -> Float[Array, "k"]:
        one_hot = jax.nn.one_hot(labels, size)  # of -1 a row of zeros
        counts = one_hot.sum(0).astype(jnp.int32)
        sums = jnp.matmul(one_hot.T, codes, precision="highest")
        means = sums / jnp.maximum(counts, 1)[:, None]
        off = jnp.abs(codes - means[labels])
        group = jnp.where(labels < 0, size, labels)[:, None]
        group = jnp.broadcast_to(group, off.shape)
        ordered = jax.lax.sort((group, off), dimension=0, num_keys=2)[1]
        place = quantile * (jnp.maximum(counts, 1) - 1)
        low = place.astype(jnp.int32)
        start = jnp.cumsum(counts) - counts
        last = jnp.maximum(start + counts - 1, 0)
        below = ordered[jnp.minimum(start + low, last)]
        above = ordered[jnp.minimum(start + low + 1, last)]
        at = below + (place - low)[:, None] * (above - below)
        there = counts > 0
        found = there.sum()
        mean = jnp.where(there[:, None], at, 0.0).sum(0) / jnp.maximum(found, 1)
        return jnp.where(found > 1, mean, peaks)

    moved = jax.lax.map(of_factor, classes.T).T
    matrix = 1.0 - moved / jnp.where(peaks > 0, peaks, 1.0)[:, None]
    broken = ~jnp.isfinite(codes).all()
    matrix = jnp.where((peaks > 0)[:, None], matrix, 0.0)
    return jnp.where(broken, jnp.nan, matrix), jnp.where(broken, jnp.nan, peaks)
