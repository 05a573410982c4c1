"""Means over seeds in words, with what they are over and how sure they are."""

from jaxdis import statistics
from jaxdis.report.read import Group, alive, moments
from jaxdis.report.text import plus_minus
from jaxdis.types import Score

__all__ = ["in_words", "interval", "lacking"]


def lacking(group: Group, score: str) -> str:
    """How many of the seeds that did not fail have a score, as "3 of 4".

    "" where all of them have it, or none.
    """
    have, lived_on = len(alive(group, score)), int((~group.failed).sum())
    return f"{have} of {lived_on}" if 0 < have < lived_on else ""


def in_words(group: Group, score: str) -> str:
    """Mean ± sample deviation; and of how many seeds, where some lack the score."""
    of = lacking(group, score)
    return plus_minus(moments(group, score)) + f" ({of})" * bool(of)


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
