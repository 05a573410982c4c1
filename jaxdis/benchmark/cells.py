"""Which methods fit which data: the cells of a benchmark."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxdis import check, experiment, log
from jaxdis.benchmark.blind import Blind
from jaxdis.benchmark.settings import Benchmark, Case, Entry, entries, full, missing
from jaxdis.experiment.plan import Plan, declared
from jaxdis.experiment.shards import Shard

__all__ = ["Cell", "cells", "part", "shared"]


class Cell(NamedTuple):
    """A method on data.

    Attributes:
      case: the data.
      entry: the method.
      plan: what is trained; None where nothing is.
      skipped: whether the data are not to be had here.
      why: why nothing is trained, in a clause.
      scores: the names of what is measured, where the method takes the data.
      broken: whether nothing is trained as the method itself fails.
    """

    case: Case
    entry: Entry
    plan: Plan | None
    skipped: bool = False
    why: str = ""
    scores: tuple[str, ...] = ()
    broken: bool = False

    @property
    def name(self) -> str:
        """What it is called, as "ring: METHOD/own"."""
        return f"{self.case.name}: {self.entry.name}"

    def directory(self, out: Path) -> Path:
        """Its run, below the directory of the benchmark."""
        plain = "".join(c if c.isalnum() or c in "_-." else "-" for c in self.place)
        return out / self.case.name / plain

    def failure(self, out: Path) -> Path:
        """Where it is written why it failed, beside its run."""
        directory = self.directory(out)
        return directory.with_name(f"{directory.name}.failed.json")

    @property
    def place(self) -> str:
        """METHOD-PRESET, whatever file the method is in."""
        return f"{self.entry.method.name}-{self.entry.preset}"


def shared(config: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What a config takes of fields that are given to all methods.

    Args:
      config: a config.
      wanted: fields, of which the config may have some.
    """
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in wanted.items()
        if hasattr(config, name)
    }


def _steps(benchmark: Benchmark, entry: Entry) -> int:
    """How long a method is trained."""
    factor = benchmark.times.get(entry.method.name, 1.0)
    steps = max(1, round(factor * benchmark.steps))
    return min(steps, entry.method.presets[entry.preset].steps or steps)


def _cell(benchmark: Benchmark, case: Case, entry: Entry) -> Cell:
    """The plan of a cell, or why there is none."""
    if absent := missing(case):
        return Cell(case, entry, None, True, absent)
    preset = entry.method.presets[entry.preset]
    try:
        plan = experiment.plan(
            entry.name,
            seeds=benchmark.seeds,
            steps=_steps(benchmark, entry),
            config=shared(preset.config, {**benchmark.config, **case.config}),
            data=Blind(case.dataset, full(case)),
        )
        scores = declared(entry.method, entry.preset, plan.config, plan.data.spec())
    except ValueError as error:
        return Cell(case, entry, None, False, str(error))
    # Whatever a method of somebody's runs into, the others are trained.
    except Exception as error:
        return Cell(case, entry, None, False, log.reason(error), broken=True)
    if benchmark.score not in scores:
        why = f"its codes have no {benchmark.score}"
        return Cell(case, entry, None, False, why, tuple(scores))
    return Cell(case, entry, plan, scores=tuple(scores))


def cells(benchmark: Benchmark) -> tuple[Cell, ...]:
    """Every method on all data; those that do not fit say why.

    Args:
      benchmark: a checked benchmark.

    Raises:
      ValueError: no method fits any data, with the first reason; or none has the score,
        with the nearest name.
    """
    found = tuple(
        _cell(benchmark, case, entry)
        for case in benchmark.data
        for entry in entries(benchmark)
    )
    measured = {name for cell in found for name in cell.scores}
    if measured and benchmark.score not in measured:
        raise check.unknown("score", benchmark.score, sorted(measured))
    if not any(cell.plan or cell.skipped for cell in found):
        raise ValueError(
            f"no method of the benchmark {benchmark.name!r} fits any of its data; "
            f"{found[0].name}: {found[0].why}"
        )
    return found


def part(found: tuple[Cell, ...], shard: Shard | None) -> tuple[Cell, ...]:
    """The cells that one of several machines trains.

    Neighbours differ in their methods, and so in what they cost: they are dealt out in
    turn, from another machine on for each data set.

    Args:
      found: all cells.
      shard: which part; None for all.
    """
    if shard is None:
        return found
    rows = list(dict.fromkeys(cell.case.name for cell in found))
    turn: dict[str, int] = {}
    mine = []
    for cell in found:
        if cell.plan is None:
            continue
        name = cell.case.name
        turn[name] = turn.get(name, rows.index(name)) + 1
        if (turn[name] - 1) % shard.total == shard.number - 1:
            mine.append(cell)
    return tuple(mine)
