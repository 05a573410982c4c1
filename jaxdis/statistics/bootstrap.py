"""Intervals by resampling seeds."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from jaxdis import check
from jaxdis.statistics.seeds import (
    CONFIDENCE,
    Numbers,
    Values,
    check_confidence,
    mean,
    numbers,
    scaled,
    unscaled,
)

__all__ = ["KINDS", "Statistic", "bootstrap_interval"]

Statistic: TypeAlias = Callable[..., Any]
"""Of values `[..., n]` one number each `[...]`, as `mean`, `median` and `iqm`."""
Strata: TypeAlias = list[Float[np.ndarray, "_"]]
"""The values of every stratum."""
Drawn: TypeAlias = Float[np.ndarray, "b"]
"""The statistic of every resample."""

BLOCK = 2**22  # numbers that are drawn at a time
SMALLEST = 1e-9
ROUNDING = 1e-12  # of the largest value, within which two statistics are the same


def _of(statistic: Statistic, values: Float[np.ndarray, "b n"]) -> Drawn:
    """The statistic of rows.

    Raises:
      ValueError: it does not give one number a row.
    """
    found = np.asarray(statistic(values), np.float64)
    if found.shape != values.shape[:1]:
        raise ValueError(
            "statistic must take values [..., n] and give one number for each row, as "
            f"`lambda x: np.mean(x, -1)`; of the shape {values.shape} it gave "
            f"{found.shape}"
        )
    return found


def _drawn(strata: Strata, statistic: Statistic, resamples: int, seed: int) -> Drawn:
    """The statistic of resamples, each with as many seeds of a stratum as it has."""
    rng, size = np.random.default_rng(seed), sum(map(len, strata))
    found, left = [], resamples
    while left:
        some = min(left, max(BLOCK // size, 1))
        picked = [x[rng.integers(0, len(x), (some, len(x)))] for x in strata]
        found.append(_of(statistic, np.concatenate(picked, -1)))
        left -= some
    return np.concatenate(found)


def _percentile(
    drawn: Drawn, strata: Strata, statistic: Statistic, tails: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "2"]:
    return tails


def _bca(
    drawn: Drawn, strata: Strata, statistic: Statistic, tails: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "2"]:
    """Tails that allow for a biased statistic and a skewed one."""
    from scipy.special import ndtr, ndtri

    whole = np.concatenate(strata)
    centre = _of(statistic, whole[None])[0]
    near = ROUNDING * np.abs(whole).max()
    below = ((drawn < centre - near).mean() + (drawn <= centre + near).mean()) / 2
    rim = 0.5 / len(drawn)  # a share of 0 or 1 would be an infinite bias
    bias = ndtri(np.clip(below, rim, 1 - rim))
    z = bias + ndtri(tails)
    # Beyond the pole of the formula lies what it tends to there.
    stretch = np.maximum(1 - _skew(strata, statistic) * z, SMALLEST)
    found: Float[np.ndarray, "2"] = ndtr(bias + z / stretch)
    return found


def _without_each(strata: Strata, which: int, statistic: Statistic) -> Drawn:
    """The statistic without each seed of one stratum in turn."""
    x, size, found = strata[which], sum(map(len, strata)), []
    kept, some = np.arange(len(x) - 1), max(BLOCK // size, 1)
    for first in range(0, len(x), some):
        gone = np.arange(first, min(first + some, len(x)))[:, None]
        parts = [np.broadcast_to(y, (len(gone), len(y))) for y in strata]
        parts[which] = x[kept + (kept >= gone)]
        found.append(_of(statistic, np.concatenate(parts, -1)))
    return np.concatenate(found)


def _skew(strata: Strata, statistic: Statistic) -> float:
    """The acceleration, from the statistic without each seed in turn."""
    found = [
        _without_each(strata, i, statistic) for i, x in enumerate(strata) if len(x) > 1
    ]
    small = scaled(np.concatenate(found))[0]  # or a difference might overflow
    parts = np.split(small, np.cumsum([len(part) for part in found])[:-1])
    every = np.concatenate([(p.mean() - p) * (len(p) - 1) / len(p) for p in parts])
    peak = np.abs(every).max()
    if not (np.isfinite(peak) and peak > 0):
        return 0.0
    every = every / peak
    return float((every**3).sum() / (6 * (every**2).sum() ** 1.5))


def _ends(
    strata: Strata,
    statistic: Statistic,
    kind: Callable[..., Float[np.ndarray, "2"]],
    tails: Float[np.ndarray, "2"],
    drawing: tuple[int, int],
) -> Float[np.ndarray, "2"]:
    """The interval of one row; `drawing` is the number of resamples and their seed."""
    drawn = _drawn(strata, statistic, *drawing)
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return np.full(2, np.nan)
    at = kind(drawn, strata, statistic, tails)
    # Small, as quantiles subtract, which might overflow.
    small, exponent = scaled(drawn)
    return np.asarray(unscaled(np.quantile(small, at), exponent))


KINDS: Mapping[str, Callable[..., Float[np.ndarray, "2"]]] = MappingProxyType(
    {"percentile": _percentile, "bca": _bca}
)
"""Ways from resamples to an interval, by name."""


def bootstrap_interval(
    values: Values,
    statistic: Statistic = mean,
    *,
    strata: Values | None = None,
    kind: str = "percentile",
    confidence: float = CONFIDENCE,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[Numbers, Numbers]:
    """The two-sided interval of a statistic, by resampling seeds with replacement.

    "percentile" takes the `(1 -+ confidence) / 2` quantiles of the statistic over
    resamples; "bca" those at

        Phi(z0 + (z0 + z) / (1 - a (z0 + z))),   z0 = Phi^-1(share of resamples below),
        a = sum_i U_i^3 / (6 (sum_i U_i^2)^1.5), U_i of the seeds left out in turn.

    Args:
      values: one number a seed, the seeds on the last axis; failed ones are left out.
      statistic: of values `[..., n]` one number each, as `mean`, `median`, `iqm` or
        `lambda x: np.quantile(x, .1, -1)`.
      strata: of each seed the group in which it is resampled, along the last axis, as
        the number of its data set; None where there is one.
      kind: one of `KINDS`.
      confidence: how often such an interval should cover the true value.
      resamples: the number of resamples.
      seed: of these; every row has the same.

    Returns:
      The lower and the upper end; NaN where no stratum has two seeds.

    Note:
      Of few seeds these intervals are too narrow, and those of `interval` are not:
      measured with 1,500 samples of a normal distribution, 95 % intervals of the mean
      cover it in .74, .84, .89 and .92 of the cases for 3, 5, 8 and 20 seeds
      (percentile; "bca" .73, .85, .89, .93), those by Student's t in .95 or more. Of
      scores that pile up at 1 (Beta(9, .6)) it is .66, .77, .83, .89 ("bca" .66, .80,
      .86, .90) and .85, .87, .88, .91. Give these for medians, interquartile means and
      many seeds or strata. With strata the statistic is over the values of all.

    Raises:
      ValueError: an argument is none of those, or the statistic does not give one
        number a row.

    Source: Efron 1987; stratified over tasks Agarwal et al. 2021 (arXiv 2108.13264).
    """
    check.one_of("kind", kind, KINDS)
    check.count("resamples", resamples)
    check.whole("seed", seed)
    check.at_least("seed", seed, 0)
    check_confidence(confidence)
    x = numbers(values)
    groups = np.zeros(x.shape[-1]) if strata is None else np.asarray(strata)
    if groups.shape != x.shape[-1:]:
        raise ValueError(
            f"strata must name a group for each of the {x.shape[-1]} seeds, got the "
            f"shape {groups.shape}"
        )
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    ends = np.full((len(rows), 2), np.nan)
    tails = np.array([1 - confidence, 1 + confidence]) / 2
    names = list(dict.fromkeys(groups.tolist()))
    for row, end in zip(rows, ends, strict=True):
        there = np.isfinite(row)
        some = [row[there & (groups == name)] for name in names]
        some = [part for part in some if len(part)]
        if any(len(part) > 1 for part in some):
            end[:] = _ends(some, statistic, KINDS[kind], tails, (resamples, seed))
    low, high = np.moveaxis(ends.reshape(*x.shape[:-1], 2), -1, 0)
    return low[()], high[()]
