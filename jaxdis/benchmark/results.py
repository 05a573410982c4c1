"""What came of the cells of a benchmark: scores, gains, promises, states."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdis import log, statistics
from jaxdis.benchmark.blind import data_set
from jaxdis.benchmark.cells import Cell
from jaxdis.benchmark.promises import Promised, promised
from jaxdis.benchmark.settings import Benchmark, full
from jaxdis.experiment.results import is_finished
from jaxdis.report import read, unfinished
from jaxdis.report.choice import side
from jaxdis.report.read import Group, Record, lived
from jaxdis.report.selection import select
from jaxdis.statistics import Gain, Summary
from jaxdis.types import Score

__all__ = ["STATES", "Outcome", "Results", "gathered"]

STATES = ("finished", "failed", "unfinished", "skipped", "unfit")
"""Trained and measured; failed, named; not (yet) trained; the data are not to be had
here; the method does not take the data."""

Values = Float[np.ndarray, "s"]


class Outcome(NamedTuple):
    """What came of one cell. Scores are one number a seed, NaN of one that failed.

    Attributes:
      cell: the method and the data.
      state: one of `STATES`.
      note: why there are no scores, in a clause; else what is to be known of them.
      promise: what theory promises.
      values: the score, at the point that was chosen without truth.
      raw: that of the observations in the place of codes, on the same rows.
      untrained: that of the same seeds before the first step.
      first: that at the first point of the grid, which regularises least.
      point: the point that was chosen, in words; "" where there is only one.
      first_point: the first point, in words, likewise.
      points: the mean score of every point, by its words.
      chosen_by: what the point was chosen by.
      seconds: what it took.
    """

    cell: Cell
    state: str
    note: str
    promise: Promised
    values: Values | None = None
    raw: Values | None = None
    untrained: Values | None = None
    first: Values | None = None
    point: str = ""
    first_point: str = ""
    points: Mapping[str, float] = {}
    chosen_by: str = ""
    seconds: float = 0.0

    def gain(self, other: Values | None, sign: int) -> Gain | None:
        """How much better it is than something on the same seeds; None without it.

        Args:
          other: the score of that, seed by seed.
          sign: 1 where more is better, -1 where less is.
        """
        if self.values is None or other is None or not np.isfinite(other).any():
            return None
        return statistics.paired_gain(sign * self.values, sign * other)


class Results(NamedTuple):
    """What came of a benchmark.

    Attributes:
      benchmark: the benchmark.
      outcomes: those of all cells, data by data.
      score: what methods are compared by; None where no cell has been measured.
    """

    benchmark: Benchmark
    outcomes: tuple[Outcome, ...]
    score: Score | None

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.score is None else side(self.score)

    def summary(self, values: Values | None) -> Summary:
        """Mean, interval and so on of some seeds, within the range of the score.

        Args:
          values: of the seeds; NaN of everything where there are none.
        """
        found = statistics.summary([np.nan] if values is None else values)
        if self.score is None:
            return found
        least, most = self.score.range
        return found._replace(
            low=np.maximum(found.low, least), high=np.minimum(found.high, most)
        )

    @property
    def title(self) -> str:
        """What the score is called."""
        return self.benchmark.score if self.score is None else self.score.title

    @property
    def seconds(self) -> float:
        """What all cells took together."""
        return sum(outcome.seconds for outcome in self.outcomes)

    def of(self, state: str) -> list[Outcome]:
        """The cells in a state."""
        return [outcome for outcome in self.outcomes if outcome.state == state]


def _chosen(record: Record) -> tuple[int, str]:
    """The point that is taken without truth, and by what."""
    if len(record.groups) == 1:
        return 0, ""
    try:
        chosen = select(record)
    except ValueError as error:
        return 0, f"the first one, as {error}"
    return chosen.point, chosen.criterion


def _floor(group: Group, floor: str, score: str) -> Values | None:
    """A floor of the seeds that did not fail."""
    found = group.floors.get(floor, {}).get(score)
    return None if found is None else np.where(group.failed, np.nan, found)


def _measured(cell: Cell, promise: Promised, score: str, record: Record) -> Outcome:
    point, by = _chosen(record)
    group, first = record.groups[point], record.groups[0]
    values, several = lived(group, score), len(record.groups) > 1
    lost = int(group.failed.sum())
    note = f"{lost} of {len(group.seeds)} seeds diverged" if lost else ""
    return Outcome(
        cell,
        "failed" if lost == len(group.seeds) else "finished",
        "every seed diverged" if lost == len(group.seeds) else note,
        promise,
        values,
        _floor(group, "observations", score),
        _floor(group, "untrained", score),
        lived(first, score) if several else None,
        group.label,
        first.label,
        {g.label: read.moments(g, score)[0] for g in record.groups if several},
        by,
        float(record.results.get("wall_s", 0.0)),
    )


def _why_failed(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["error"])
    except (OSError, LookupError, TypeError, ValueError):
        return ""


def _promise(cell: Cell) -> Promised:
    case = cell.case
    try:
        spec = data_set(case.dataset, full(case)).spec()
    except ValueError:
        return Promised("unknown", "")
    return promised(cell.entry.method, spec, case.breaks)


def _outcome(benchmark: Benchmark, cell: Cell, out: Path) -> tuple[Outcome, Any]:
    """What came of a cell, and how the score is declared there."""
    if cell.plan is None:
        state = "skipped" if cell.skipped else "failed" if cell.broken else "unfit"
        return Outcome(cell, state, cell.why, Promised("unknown", "")), None
    promise, directory = _promise(cell), cell.directory(out)
    if why := _why_failed(cell.failure(out)):
        return Outcome(cell, "failed", why, promise), None
    if not directory.is_dir() or not is_finished(cell.plan, directory):
        return Outcome(cell, "unfinished", _standing(directory), promise), None
    try:
        record = read.load(directory)
        found = _measured(cell, promise, benchmark.score, record)
    except ValueError as error:
        return Outcome(cell, "failed", log.reason(error), promise), None
    return found, record.scores.get(benchmark.score)


def _standing(directory: Path) -> str:
    try:
        standing = unfinished.load(directory).standing
    except (OSError, ValueError):
        return "not begun"
    return "not begun" if standing is None else unfinished.short(standing)


def gathered(benchmark: Benchmark, every: Sequence[Cell], out: Path) -> Results:
    """What is there of the cells of a benchmark.

    Args:
      benchmark: the benchmark.
      every: its cells.
      out: its directory.
    """
    found = [_outcome(benchmark, cell, out) for cell in every]
    scores = [score for _, score in found if score is not None]
    outcomes = tuple(outcome for outcome, _ in found)
    return Results(benchmark, outcomes, scores[0] if scores else None)
