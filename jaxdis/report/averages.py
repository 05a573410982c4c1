"""Means over seeds in words, with what they are over and how sure they are."""

import numpy as np
from jaxtyping import Float

from jaxdis import statistics
from jaxdis.report.read import Group, alive, finite, lived, mean_std
from jaxdis.report.text import plus_minus
from jaxdis.types import Score

__all__ = ["in_words", "interval", "lacking", "over_seeds"]


def _of(values: Float[np.ndarray, "s"]) -> str:
    """How many of some numbers are known, "3 of 4"; "" where all or none are."""
    known = len(finite([values]))
    return f"{known} of {len(values)}" if 0 < known < len(values) else ""


def over_seeds(values: Float[np.ndarray, "s"]) -> str:
    """Mean ± sample deviation; and of how many seeds, where some have no number.

    Args:
      values: of the seeds that did not fail.
    """
    of = _of(values)
    return plus_minus(mean_std(finite([values]))) + f" ({of})" * bool(of)


def lacking(group: Group, score: str) -> str:
    """How many of the seeds that did not fail have a score, as "3 of 4".

    "" where all of them have it, or none.
    """
    return _of(lived(group, score)[~group.failed])


def in_words(group: Group, score: str) -> str:
    """Mean ± sample deviation of a score; see `over_seeds`."""
    return over_seeds(lived(group, score)[~group.failed])


def interval(group: Group, score: Score) -> tuple[float, float]:
    """The 95 % interval of the mean of a score, by Student's t, within its range.

    NaN where fewer than two seeds have it.
    """
    values = alive(group, score.name)
    low, high = statistics.interval(values)
    # A mean within the range lies in no more and no fewer of the clipped intervals.
    least, most = score.range
    if values.size and not (least <= values.min() and values.max() <= most):
        return float(low), float(high)
    return max(float(low), least), min(float(high), most)
