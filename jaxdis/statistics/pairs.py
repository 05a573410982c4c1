"""Two ways over the same seeds: the gain of one over the other, and its chance."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdis import check
from jaxdis.statistics.seeds import (
    CONFIDENCE,
    Counts,
    Numbers,
    Values,
    count,
    interval,
    mean,
    numbers,
    scaled,
    standard_error,
)

__all__ = ["Gain", "paired_gain", "permutation_test"]

EXACT = 20  # seeds up to which all 2^(n - 1) patterns of signs are tried
ROUNDING = 1e-12  # of the sum of all sizes, within which two sums are the same
LARGEST = np.finfo(np.float64).max
BLOCK = 2**22  # signs that are held at a time


class Gain(NamedTuple):
    """How much one way is above another, on the same seeds.

    Attributes:
      mean: the mean of the differences.
      standard_error: the standard error of this mean.
      positive: the number of seeds whose difference is above 0.
      seeds: the number of seeds that failed in neither way.
      low: the lower end of the interval of the mean, by Student's t.
      high: its upper end.
    """

    mean: Numbers
    standard_error: Numbers
    positive: Counts
    seeds: Counts
    low: Numbers
    high: Numbers


def _differences(a: Values, b: Values) -> Float[np.ndarray, "*p s"]:
    """`a - b`; NaN where either is not finite.

    Raises:
      ValueError: the shapes differ.
    """
    x, y = numbers(a, "a"), numbers(b, "b")
    if x.shape != y.shape:
        raise ValueError(
            f"a has shape {x.shape} and b {y.shape}; both must hold the same seeds"
        )
    there = np.isfinite(x) & np.isfinite(y)
    with np.errstate(over="ignore"):
        gain = np.where(there, x, 0.0) - np.where(there, y, 0.0)
    return np.where(there, np.clip(gain, -LARGEST, LARGEST), np.nan)


def paired_gain(a: Values, b: Values, confidence: float = CONFIDENCE) -> Gain:
    """Differences `a - b` of the same seeds, in the same order.

    Args:
      a: values of one way, the seeds on the last axis.
      b: values of the other way.
      confidence: of the interval of the mean.

    Returns:
      The gain of a over b. A seed that failed in either way is left out. For an
      interval by resampling give the differences to `bootstrap_interval`.

    Raises:
      ValueError: if the shapes differ, or confidence is not above 0 and below 1.
    """
    gain = _differences(a, b)
    low, high = interval(gain, confidence)
    with np.errstate(invalid="ignore"):
        positive = (gain > 0).sum(-1)
    return Gain(mean(gain), standard_error(gain), positive, count(gain), low, high)


def permutation_test(
    a: Values, b: Values, *, resamples: int = 100_000, seed: int = 0
) -> Numbers:
    """The chance of a mean difference as large as theirs, if the ways were alike.

    If it made no difference which way is which, each difference might as well have the
    other sign. `p = #{signs: |sum_s sign_s d_s| >= |sum_s d_s|} / 2^n`, two-sided, over
    all signs for up to 20 seeds, else over random ones, themselves counted:
    `(1 + #) / (1 + resamples)`. Nothing is assumed of the distribution but symmetry.

    Args:
      a: values of one way, the seeds on the last axis.
      b: values of the other way, for the same seeds in the same order.
      resamples: the number of random signs, of more than 20 seeds.
      seed: of these signs.

    Returns:
      From `2^(1 - n)` to 1, the less the less likely; NaN without a seed in common.

    Note:
      Five seeds cannot give less than .0625, whatever was found: six are the fewest
      that can be called significant at .05.

    Raises:
      ValueError: the shapes differ, resamples is not positive, or seed is negative.

    Source: Fisher 1935.
    """
    check.count("resamples", resamples)
    check.whole("seed", seed)
    check.at_least("seed", seed, 0)
    gain = _differences(a, b)
    rows = gain.reshape(math.prod(gain.shape[:-1]), gain.shape[-1])
    found = [_chance(row[np.isfinite(row)], resamples, seed) for row in rows]
    return np.array(found, np.float64).reshape(gain.shape[:-1])[()]


def _chance(gain: Float[np.ndarray, "n"], resamples: int, seed: int) -> float:
    """The p-value of one row of differences."""
    n = len(gain)
    if n == 0:
        return float("nan")
    gain = scaled(gain)[0]
    least = abs(gain.sum()) - ROUNDING * np.abs(gain).sum()
    if n <= EXACT:
        # The sign of the first may be fixed: the other half are the same sums.
        sums = gain[:1]
        for one in gain[1:]:
            sums = np.concatenate([sums + one, sums - one])
        return float((np.abs(sums) >= least).mean())
    rng, beyond, left = np.random.default_rng(seed), 1, resamples
    while left:
        some = min(left, max(BLOCK // n, 1))
        signs = 1 - 2 * rng.integers(0, 2, (some, n), np.int8)
        beyond += int((np.abs(signs @ gain) >= least).sum())
        left -= some
    return beyond / (1 + resamples)
