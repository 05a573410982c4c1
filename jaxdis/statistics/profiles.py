"""Performance profiles: the share of seeds above a score."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdis.statistics.seeds import (
    CONFIDENCE,
    Counts,
    Values,
    check_confidence,
    known,
    numbers,
    share,
)

__all__ = ["Profile", "performance_profile"]


class Profile(NamedTuple):
    """The share of seeds above each of some scores.

    Attributes:
      thresholds: the scores.
      share: the share of the seeds that are above each.
      low: the lower ends of the intervals of these shares.
      high: the upper ends.
      seeds: the number of seeds that this is over.
    """

    thresholds: Float[np.ndarray, "t"]
    share: Float[np.ndarray, "*p t"]
    low: Float[np.ndarray, "*p t"]
    high: Float[np.ndarray, "*p t"]
    seeds: Counts


def performance_profile(
    values: Values, thresholds: Values, confidence: float = CONFIDENCE
) -> Profile:
    """The share of seeds whose score is above each threshold, with an interval.

    `share(t) = #{s: x_s > t} / n`, the whole distribution of a score over seeds in
    place of one number. Of two settings the one whose profile is nowhere lower is the
    better one by any number. Intervals are Wilson's, which do not vanish where all
    seeds are above or none is.

    Args:
      values: one number a seed, the seeds on the last axis `[..., s]`; failed seeds are
        left out.
      thresholds: scores `[t]`, as `np.linspace(0, 1, 101)`.
      confidence: how often each interval covers the share of all seeds there are.

    Returns:
      Shares `[..., t]` from 0 to 1; NaN without a seed. Of a score of which less is
      better, `1 - share` is what to look at.

    Raises:
      ValueError: thresholds are not one row of numbers, or confidence is not above 0
        and below 1.

    Source: Dolan and More 2002; over seeds Agarwal et al. 2021 (arXiv 2108.13264);
    intervals Wilson 1927.
    """
    from scipy.special import ndtri

    check_confidence(confidence)
    scores = numbers(thresholds, "thresholds")
    if scores.ndim != 1 or np.isnan(scores).any():
        raise ValueError(
            f"thresholds must be one row of numbers, got the shape {scores.shape}"
            + " with NaN" * bool(np.isnan(scores).any())
        )
    x, there, n = known(values)
    above = ((x[..., None, :] > scores[:, None]) & there[..., None, :]).sum(-1) * 1.0
    seeds = np.asarray(n)[..., None]
    found, z = (
        np.asarray(share(above, seeds)),
        ndtri((1 + confidence) / 2),
    )
    low, high = _wilson(found, np.maximum(seeds, 1), float(z))
    return Profile(scores, found, low, high, n)


def _wilson(
    found: Float[np.ndarray, "*p t"], n: Counts, z: float
) -> tuple[Float[np.ndarray, "*p t"], Float[np.ndarray, "*p t"]]:
    """Wilson's interval of a share of n."""
    middle = (found + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(found * (1 - found) / n + (z / (2 * n)) ** 2)
    low, high = np.clip([middle - half, middle + half], 0.0, 1.0)
    return low, high
