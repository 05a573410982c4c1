"""p-values of many comparisons, corrected for how many there are.

All are over the last axis, a family of comparisons; a p-value that is NaN is of none,
and stays NaN. A corrected p-value is to be compared with the level itself.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from jaxdis.statistics.seeds import Values, numbers

__all__ = ["CORRECTIONS", "benjamini_hochberg", "bonferroni", "holm"]


def _checked(p: Values) -> Float[np.ndarray, "*p m"]:
    found = numbers(p, "p")
    wrong = found[~np.isnan(found) & ~((found >= 0) & (found <= 1))]
    if wrong.size:
        raise ValueError(f"p must hold probabilities from 0 to 1, got {wrong[0]}")
    return found


def bonferroni(p: Values) -> Float[np.ndarray, "*p m"]:
    """p-values by Bonferroni: `min(1, m p_i)`.

    Of families whose hypotheses are all true, at most a share of the level has a
    corrected p-value below it. `holm` promises the same and finds more.

    Args:
      p: p-values, a family on the last axis; NaN is of no comparison.

    Returns:
      Corrected p-values of the same shape, from 0 to 1.

    Raises:
      ValueError: a p-value is not from 0 to 1.

    Source: Dunn 1961.
    """
    found = _checked(p)
    number = np.isfinite(found).sum(-1, keepdims=True)
    return np.minimum(found * number, 1.0)


def _ordered(
    p: Values, running: Callable[[Float[np.ndarray, "*p m"]], Float[np.ndarray, "*p m"]]
) -> Float[np.ndarray, "*p m"]:
    """The p-values in order through a function, and back in their places."""
    found = _checked(p)
    order = np.argsort(found, -1, kind="stable")  # NaN comes last
    changed = running(np.take_along_axis(found, order, -1))
    result = np.empty_like(found)
    np.put_along_axis(result, order, np.minimum(changed, 1.0), -1)
    return np.where(np.isnan(found), np.nan, result)


def holm(p: Values) -> Float[np.ndarray, "*p m"]:
    """p-values by Holm's step down: `max_(j <= i) min(1, (m - j + 1) p_(j))`.

    The chance of any false rejection in the family is at most the level, however the
    comparisons depend on each other.

    Args:
      p: p-values, a family on the last axis; NaN is of no comparison.

    Returns:
      Corrected p-values of the same shape, from 0 to 1.

    Raises:
      ValueError: a p-value is not from 0 to 1.

    Source: Holm 1979.
    """

    def running(ordered: Float[np.ndarray, "*p m"]) -> Float[np.ndarray, "*p m"]:
        number = np.isfinite(ordered).sum(-1, keepdims=True)
        times = np.maximum(number - np.arange(ordered.shape[-1]), 1)
        return np.fmax.accumulate(ordered * times, -1)

    return _ordered(p, running)


def benjamini_hochberg(p: Values) -> Float[np.ndarray, "*p m"]:
    """p-values by Benjamini and Hochberg: `min_(j >= i) min(1, m p_(j) / j)`.

    The expected share of false ones among the rejections is at most the level, where
    comparisons are independent or depend positively.

    Args:
      p: p-values, a family on the last axis; NaN is of no comparison.

    Returns:
      Corrected p-values of the same shape, from 0 to 1.

    Raises:
      ValueError: a p-value is not from 0 to 1.

    Source: Benjamini and Hochberg 1995.
    """

    def running(ordered: Float[np.ndarray, "*p m"]) -> Float[np.ndarray, "*p m"]:
        number = np.isfinite(ordered).sum(-1, keepdims=True)
        each = ordered * number / np.arange(1, ordered.shape[-1] + 1)
        return np.fmin.accumulate(each[..., ::-1], -1)[..., ::-1]

    return _ordered(p, running)


CORRECTIONS: Mapping[str, Callable[[Values], Float[np.ndarray, "*p m"]]] = (
    MappingProxyType(
        {
            "holm": holm,
            "bonferroni": bonferroni,
            "benjamini-hochberg": benjamini_hochberg,
            "none": _checked,
        }
    )
)
"""Corrections by name."""
