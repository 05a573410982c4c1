"""Mean, deviation, median and their like over seeds, and intervals by Student's t."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

__all__ = [
    "CONFIDENCE",
    "Counts",
    "Numbers",
    "Summary",
    "Values",
    "check_confidence",
    "count",
    "deviation",
    "interval",
    "iqm",
    "known",
    "mean",
    "median",
    "numbers",
    "scaled",
    "share",
    "standard_error",
    "summary",
    "unscaled",
]

CONFIDENCE = 0.95
SMALL, LARGE = 1e-100, 1e100  # sizes between which sums of squares are numbers

Values: TypeAlias = ArrayLike | float
# One number per row of values; numpy makes a scalar of that of a single row.
Numbers: TypeAlias = Float[np.ndarray, "..."] | np.float64
Counts: TypeAlias = Int[np.ndarray, "..."] | np.int64


def numbers(values: Values, name: str = "values") -> Float[np.ndarray, "*p s"]:
    """Values in float64 with an axis of seeds; None becomes NaN.

    Args:
      values: numbers, the seeds on the last axis.
      name: what messages call them.

    Raises:
      ValueError: they are no real numbers, or ragged.
    """
    try:
        found = np.asarray(values)
        if found.dtype.kind in "cSUMm":
            raise TypeError(f"of the type {found.dtype}")
        return np.atleast_1d(found.astype(np.float64))
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be an array of real numbers, the seeds on the last axis; got "
            f"values {error}"
        ) from error


def known(
    values: Values, name: str = "values"
) -> tuple[Float[np.ndarray, "*p s"], Bool[np.ndarray, "*p s"], Counts]:
    """Values in float64 with 0 for what is left out, what is not, and its number.

    Args:
      values: numbers, the seeds on the last axis; those that are not finite are left
        out.
      name: what messages call them.
    """
    x = numbers(values, name)
    there = np.isfinite(x)
    return x if there.all() else np.where(there, x, 0.0), there, there.sum(-1)


def share(total: Numbers, n: Counts) -> Numbers:
    """`total / n`, NaN where n is not positive."""
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)[()]


def scaled(
    x: Float[np.ndarray, "*p s"],
) -> tuple[Float[np.ndarray, "*p s"], Int[np.ndarray, "*p"]]:
    """Numbers by a power of two, so that no sum of them overflows, and its exponent.

    Numbers of sizes that occur are left as they are.

    This rounds nothing: sums are those of the numbers themselves.
    """
    peak = np.asarray(np.abs(x).max(-1, initial=0.0))
    if not ((peak > 0) & ((peak < SMALL) | (peak > LARGE))).any():
        return x, np.zeros(peak.shape, int)
    exponent = np.asarray(np.frexp(peak)[1])
    return np.ldexp(x, -exponent[..., None]), exponent


def unscaled(x: Numbers, exponent: Int[np.ndarray, "*p"]) -> Numbers:
    """`x 2^exponent`; infinite where float64 has no such number."""
    with np.errstate(over="ignore"):
        return np.ldexp(x, exponent)[()]


def count(values: Values) -> Counts:
    """The number of seeds that did not fail."""
    return known(values)[2]


def _centre(
    x: Float[np.ndarray, "*p s"], there: Bool[np.ndarray, "*p s"], n: Counts
) -> Numbers:
    """The mean, which rounding does not move out of the range of the values."""
    whole = bool(there.all())
    low = (x if whole else np.where(there, x, np.inf)).min(-1, initial=np.inf)
    high = (x if whole else np.where(there, x, -np.inf)).max(-1, initial=-np.inf)
    return np.where(n > 0, np.clip(share(x.sum(-1), n), low, high), np.nan)[()]


def mean(values: Values) -> Numbers:
    """Their mean; NaN without a seed."""
    x, there, n = known(values)
    x, exponent = scaled(x)
    return unscaled(_centre(x, there, n), exponent)


def deviation(values: Values) -> Numbers:
    """Their sample standard deviation; NaN for fewer than two seeds.

    `sqrt(sum_s (x_s - mean x)^2 / (n - 1))`
    """
    x, there, n = known(values)
    x, exponent = scaled(x)
    centre = np.where(n > 0, _centre(x, there, n), 0.0)
    # Relative to the largest, whose square might vanish.
    off = np.where(there, x - centre[..., None], 0.0)
    peak = np.abs(off).max(-1, initial=0.0)
    peak = np.where(peak > 0, peak, 1.0)
    squares = ((off / peak[..., None]) ** 2).sum(-1)
    return unscaled(peak * np.sqrt(share(squares, n - 1)), exponent)


def standard_error(values: Values) -> Numbers:
    """The standard error of their mean, `deviation / sqrt n`; NaN below two seeds."""
    n = np.maximum(count(values), 1)
    return deviation(values) / np.sqrt(n)


def interval(values: Values, confidence: float = CONFIDENCE) -> tuple[Numbers, Numbers]:
    """The two-sided interval of their mean, by Student's t.

    `mean -+ t_(1 + confidence) / 2 (n - 1) deviation / sqrt n`; NaN for fewer than two
    seeds. It holds its promise for any number of seeds where scores are about normal,
    and is what to give for few seeds; see `bootstrap_interval` for the alternative.

    Args:
      values: one number a seed, the seeds on the last axis.
      confidence: how often such an interval covers what it should.

    Returns:
      The lower and the upper end.

    Raises:
      ValueError: confidence is not above 0 and below 1.

    Source: Student 1908.
    """
    from scipy.special import stdtrit

    check_confidence(confidence)
    middle, n = mean(values), count(values)
    quantile = stdtrit(np.maximum(n - 1, 1), (1 + confidence) / 2)
    with np.errstate(over="ignore"):
        half = quantile * standard_error(values)
        return middle - half, middle + half


def check_confidence(confidence: float) -> None:
    """Whether it is above 0 and below 1."""
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence must be above 0 and below 1, as .95; got {confidence}"
        )


def _trimmed(values: Values, cut: Callable[[Counts], Counts]) -> Numbers:
    """The mean without the least and the greatest.

    Args:
      values: one number a seed.
      cut: how many of n are left out at either end.
    """
    x, there, n = known(values)
    x, exponent = scaled(x)
    ordered = np.sort(np.where(there, x, np.inf), -1)  # what is left out comes last
    rank, left = np.arange(x.shape[-1]), np.asarray(n)[..., None]
    gone = cut(left)
    kept = (rank >= gone) & (rank < left - gone)
    total = np.where(kept, ordered, 0.0).sum(-1)
    return unscaled(share(total, kept.sum(-1)), exponent)


def median(values: Values) -> Numbers:
    """Their median, the mean of the two in the middle; NaN without a seed."""
    return _trimmed(values, lambda n: np.maximum(n - 1, 0) // 2)


def iqm(values: Values) -> Numbers:
    """Their interquartile mean: without the `floor(n / 4)` least and greatest.

    As robust as a median to single bad seeds, and less noisy. Of fewer than four seeds
    it is the mean; NaN without a seed.

    Source: Agarwal et al. 2021 (arXiv 2108.13264).
    """
    return _trimmed(values, lambda n: n // 4)


class Summary(NamedTuple):
    """What a table says of one score of one setting.

    Attributes:
      mean: the mean.
      deviation: the sample standard deviation.
      low: the lower end of the interval of the mean.
      high: its upper end.
      median: the median.
      iqm: the interquartile mean.
      seeds: the number of seeds that all this is over.
      missing: the number of seeds that are left out: they failed, or lack the score.
    """

    mean: Numbers
    deviation: Numbers
    low: Numbers
    high: Numbers
    median: Numbers
    iqm: Numbers
    seeds: Counts
    missing: Counts


def summary(values: Values, confidence: float = CONFIDENCE) -> Summary:
    """All that a table says of values over seeds, and how many were left out.

    Args:
      values: one number a seed, the seeds on the last axis; what is not finite is left
        out, and counted.
      confidence: of the interval of the mean, by Student's t.

    Raises:
      ValueError: confidence is not above 0 and below 1.
    """
    low, high = interval(values, confidence)
    seeds = count(values)
    missing = numbers(values).shape[-1] - seeds
    return Summary(
        mean(values),
        deviation(values),
        low,
        high,
        median(values),
        iqm(values),
        seeds,
        missing,
    )
