"""Numbers over seeds: what tables, pages, logs and README take their figures from.

All are over the last axis, so that values may be `[point, seed]`; a single number is
that of a single seed. A seed that failed or is missing holds a value that is not
finite: it is left out, and `count` says how many are left. Where too few are left for a
number, the number is NaN, without a warning.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

__all__ = [
    "Gain",
    "count",
    "deviation",
    "interval",
    "iqm",
    "mean",
    "paired_gain",
    "standard_error",
]

CONFIDENCE = 0.95

Values: TypeAlias = ArrayLike | float
# One number per row of values; numpy makes a scalar of that of a single row.
Numbers: TypeAlias = Float[np.ndarray, "..."] | np.float64
Counts: TypeAlias = Int[np.ndarray, "..."] | np.int64


def _known(
    values: Values,
) -> tuple[Float[np.ndarray, "*p s"], Bool[np.ndarray, "*p s"], Counts]:
    """Values in float64 with 0 for what is left out, what is not, and its number."""
    x = np.atleast_1d(np.asarray(values, np.float64))
    there = np.isfinite(x)
    return np.where(there, x, 0.0), there, there.sum(-1)


def _share(total: Numbers, n: Counts) -> Numbers:
    """total / n, NaN where n is not positive."""
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)[()]


def count(values: Values) -> Counts:
    """The number of seeds that did not fail."""
    return _known(values)[2]


def mean(values: Values) -> Numbers:
    """Their mean; NaN without a seed."""
    x, _, n = _known(values)
    return _share(x.sum(-1), n)


def deviation(values: Values) -> Numbers:
    """Their sample standard deviation; NaN for fewer than two seeds.

    `sqrt(sum_s (x_s - mean x)^2 / (n - 1))`
    """
    x, there, n = _known(values)
    centre = np.where(n > 0, _share(x.sum(-1), n), 0.0)
    # Relative to the largest, whose square might overflow or vanish.
    off = np.where(there, x - centre[..., None], 0.0)
    peak = np.abs(off).max(-1, initial=0.0)
    peak = np.where(peak > 0, peak, 1.0)
    return peak * np.sqrt(_share(((off / peak[..., None]) ** 2).sum(-1), n - 1))


def standard_error(values: Values) -> Numbers:
    """The standard error of their mean, `deviation / sqrt n`; NaN below two seeds."""
    n = np.maximum(count(values), 1)
    return deviation(values) / np.sqrt(n)


def interval(
    values: Values,
) -> tuple[Numbers, Numbers]:
    """The two-sided 95 % interval of their mean, by Student's t.

    `mean -+ t_.975(n - 1) deviation / sqrt n`; NaN for fewer than two seeds.

    Returns:
      The lower and the upper end.

    Source: Student 1908.
    """
    from scipy.stats import t  # takes a third of a second

    middle, n = mean(values), count(values)
    quantile = t.ppf((1 + CONFIDENCE) / 2, np.maximum(n - 1, 1))
    half = quantile * standard_error(values)
    return middle - half, middle + half


def iqm(values: Values) -> Numbers:
    """Their interquartile mean: without the `floor(n / 4)` least and greatest.

    As robust as a median to single bad seeds, and less noisy. Of fewer than four seeds
    it is the mean; NaN without a seed.

    Source: Agarwal et al. 2021 (arXiv 2108.13264).
    """
    x, there, n = _known(values)
    ordered = np.sort(np.where(there, x, np.inf), -1)  # what is left out comes last
    rank, left = np.arange(x.shape[-1]), np.asarray(n)[..., None]
    kept = (rank >= left // 4) & (rank < left - left // 4)
    return _share(np.where(kept, ordered, 0.0).sum(-1), kept.sum(-1))


class Gain(NamedTuple):
    """How much one way is above another, on the same seeds.

    Attributes:
      mean: the mean of the differences.
      standard_error: the standard error of this mean.
      positive: the number of seeds whose difference is above 0.
      seeds: the number of seeds that failed in neither way.
    """

    mean: Numbers
    standard_error: Numbers
    positive: Counts
    seeds: Counts


def paired_gain(a: Values, b: Values) -> Gain:
    """Differences `a - b` of the same seeds, in the same order.

    Args:
      a: values of one way, the seeds on the last axis.
      b: values of the other way.

    Returns:
      The gain of a over b. A seed that failed in either way is left out.

    Raises:
      ValueError: if the shapes differ.
    """
    shapes = np.shape(a), np.shape(b)
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"a has shape {shapes[0]} and b {shapes[1]}; both must hold the same seeds"
        )
    (x, there, _), (y, also, _) = _known(a), _known(b)
    gain = np.where(there & also, x - y, np.nan)
    positive = (gain > 0).sum(-1)
    return Gain(mean(gain), standard_error(gain), positive, count(gain))
