"""A line per method: on how much of the data it gains, and where theory promises it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxdis import statistics
from jaxdis.benchmark.results import Outcome, Results
from jaxdis.benchmark.text import gains, grid
from jaxdis.statistics import Gain

__all__ = ["Counts", "Line", "counted", "in_words", "summed_up"]


class Counts(NamedTuple):
    """How many gains are beyond doubt, by their 95 % intervals.

    Attributes:
      better: intervals above 0.
      worse: intervals below 0.
      cells: all that have an interval.
    """

    better: int
    worse: int
    cells: int


class Line(NamedTuple):
    """A method on all data that it takes.

    Attributes:
      method: METHOD/PRESET.
      cells: the number of its cells that have a score.
      mean: the mean of their mean scores.
      promised: the number of cells in which theory promises each latent a code.
      promised_mean: the mean of the mean scores of these; NaN without any.
      raw: gains over the observations.
      untrained: gains over the same networks before training.
      first: gains of the chosen point over the first one of the grid.
      lost: the number of seeds that diverged.
    """

    method: str
    cells: int
    mean: float
    promised: int
    promised_mean: float
    raw: Counts
    untrained: Counts
    first: Counts
    lost: int


def counted(found: Iterable[Gain | None]) -> Counts:
    """How many gains are above 0, below 0 and known at all."""
    known = [gain for gain in found if gain is not None and np.isfinite(gain.low)]
    better = sum(bool(gain.low > 0) for gain in known)
    return Counts(better, sum(bool(gain.high < 0) for gain in known), len(known))


def in_words(counts: Counts) -> str:
    """Counts as "5 better, 1 worse of 7"."""
    if not counts.cells:
        return "–"
    return f"{counts.better} better, {counts.worse} worse of {counts.cells}"


def _mean(some: Sequence[Outcome]) -> float:
    means = [float(statistics.mean(v)) for o in some if (v := o.values) is not None]
    return float(statistics.mean(means or [np.nan]))


def summed_up(results: Results) -> list[Line]:
    """A line per method that has a score anywhere, in the order of the table.

    Args:
      results: the benchmark.
    """
    data, methods, cells = grid(results)
    found = []
    for method in methods:
        every = [cells[name, method] for name in data]
        own = [one for one in every if one.state == "finished"]
        sure = [one for one in own if one.promise.kind == "all"]
        compared = [gains(results, one) for one in own]
        lost = sum(int(results.summary(one.values).missing) for one in own)
        raw, untrained, first = (
            counted(gain[name] for gain in compared)
            for name in ("raw", "untrained", "first")
        )
        line = (len(own), _mean(own), len(sure), _mean(sure), raw, untrained, first)
        found.append(Line(method, *line, lost))
    return found
