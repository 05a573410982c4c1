"""The table of a benchmark: in words, by columns, and as nested tables."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxdis import log, statistics
from jaxdis.benchmark.results import Outcome, Results
from jaxdis.report.text import fixed
from jaxdis.statistics import Gain

__all__ = [
    "RAW",
    "as_tables",
    "brief",
    "cell_words",
    "columns",
    "gains",
    "grid",
    "plain",
    "raw_of",
    "sentences",
    "short",
    "signed",
    "tables",
]

RAW = "raw observations"
NEAR = 0.02  # to the score of the observations on fewer rows
GAINS = ("raw", "untrained", "first")
"""What a cell is compared with on the same seeds: see `Outcome`."""
MARKS = {"all": "*", "part": "+", "broken": "!", "nothing": "∅", "unknown": ""}
"""What stands behind a score, by what theory promises."""
KEY = (
    "Behind a mean: * theory promises each latent a code of its own, + blocks or some "
    "latents, ∅ nothing, ! what would be promised does not hold; none: no theory of "
    "the method is known here."
)


def plain(value: Any) -> Any:
    """Nested dataclasses as tables that JSON and TOML can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {one.name: plain(getattr(value, one.name)) for one in fields}
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def signed(value: float) -> str:
    """A difference."""
    return f"+{fixed(value)}" if value > 0 else fixed(value)


def brief(value: float) -> str:
    """A number without the 0 before its point, as ".500"."""
    return fixed(value).removeprefix("0") if 0 <= value < 1 else fixed(value)


def short(method: str) -> str:
    """METHOD, and of the preset what tells it from that for any data."""
    name, _, preset = method.rpartition("/")
    name = name.rpartition("/")[2]
    return f"{name} {preset.removeprefix('own').strip('_')}".strip().replace("_", " ")


def gains(results: Results, outcome: Outcome) -> dict[str, Gain | None]:
    """The paired gains of a cell, by what it is compared with.

    Args:
      results: the benchmark.
      outcome: the cell.
    """
    return {n: outcome.gain(getattr(outcome, n), results.sign) for n in GAINS}


def raw_of(results: Results, data: str) -> np.ndarray | None:
    """The score of the observations of some data, of the cell with most seeds.

    Args:
      results: the benchmark.
      data: the name of the data.
    """
    found = [
        outcome.raw
        for outcome in results.outcomes
        if outcome.cell.case.name == data and outcome.raw is not None
    ]
    return max(found, key=lambda raw: int(np.isfinite(raw).sum()), default=None)


def _is_raw(results: Results, method: str) -> bool:
    """Whether the codes of a method are the observations, wherever it has a score.

    Those of a floor are of fewer rows, so that scores differ a little.
    """
    own = [o for o in results.of("finished") if o.cell.entry.name == method]
    return bool(own) and all(
        one.values is not None
        and one.untrained is not None
        and one.raw is not None
        and np.array_equal(one.values, one.untrained, equal_nan=True)
        and np.allclose(one.values, one.raw, atol=NEAR, equal_nan=True)
        for one in own
    )


def grid(results: Results) -> tuple[list[str], list[str], dict[Any, Outcome]]:
    """The names of data and of methods that have a score anywhere, and their cells.

    A method whose codes are the observations is not named again beside these.

    Args:
      results: the benchmark.
    """
    cells = {(o.cell.case.name, o.cell.entry.name): o for o in results.outcomes}
    alive = [o.cell for o in results.outcomes if o.state not in ("skipped", "unfit")]
    data = dict.fromkeys(cell.case.name for cell in alive)
    every = dict.fromkeys(cell.entry.name for cell in alive)
    methods = [method for method in every if not _is_raw(results, method)]
    return list(data), methods, cells


_SHOWN = {"failed": "failed", "unfinished": "…", "skipped": "", "unfit": ""}


def cell_words(results: Results, outcome: Outcome) -> str:
    """A cell in the grid, as "0.981 ± .004*": mean, half of its interval, promise.

    Args:
      results: the benchmark.
      outcome: the cell.
    """
    if outcome.state != "finished" or outcome.values is None:
        return _SHOWN[outcome.state]
    own = results.summary(outcome.values)
    half = own.mean - statistics.interval(outcome.values)[0]
    spread = "" if math.isnan(half) else f" ± {fixed(float(half)).removeprefix('0')}"
    return f"{fixed(float(own.mean))}{spread}{MARKS[outcome.promise.kind]}"


def tables(results: Results) -> Any:
    """Data by methods, to be shown on the console: means and halves of intervals.

    Args:
      results: the benchmark.
    """
    data, methods, cells = grid(results)
    shown = [["data", *data]]
    raw = [raw_of(results, name) for name in data]
    means = ["" if r is None else fixed(float(statistics.mean(r))) for r in raw]
    shown.append([RAW, *means])
    for method in methods:
        words = [cell_words(results, cells[name, method]) for name in data]
        shown.append([short(method), *words])
    return log.table(f"{results.benchmark.name}: {results.title}", shown)


def sentences(results: Results) -> Iterator[str]:
    """What is to be known of the table, and the cells that have no score."""
    seeds = results.benchmark.seeds
    yield (
        f"{seeds} seeds a cell, each with data of its own where the data set can draw "
        "them; ±: half of the 95 % interval of the mean, by Student's t. " + KEY
    )
    yield (
        "Hyper-parameters are those of the presets; points of a grid are chosen "
        "without truth, by the rule of `jaxdis select`. No method is told a graph, a "
        "mask or a number of edges; all may know the number of latents."
    )
    for outcome in results.of("failed"):
        yield f"failed: {outcome.cell.name}: {outcome.note}"
    for outcome in results.of("finished"):
        if outcome.note:
            yield f"{outcome.cell.name}: {outcome.note}"
    skipped = {o.cell.case.name: o.note for o in results.of("skipped")}
    for name, why in skipped.items():
        yield f"skipped: {name}: {why}"
    if left := results.of("unfinished"):
        some = ", ".join(outcome.cell.name for outcome in left[:5])
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        yield f"not finished: {some}{more}; the same command goes on"


def columns(results: Results) -> dict[str, list[Any]]:
    """A row per cell, in full digits; NaN where there is no number.

    Args:
      results: the benchmark.
    """
    rows = [_row(results, outcome) for outcome in results.outcomes]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _row(results: Results, outcome: Outcome) -> dict[str, Any]:
    own, cell = results.summary(outcome.values), outcome.cell
    row: dict[str, Any] = {
        "group": cell.case.group,
        "data": cell.case.name,
        "method": cell.entry.name,
        "state": outcome.state,
        "seeds": int(own.seeds),
        **{n: float(getattr(own, n)) for n in ("mean", "deviation", "low", "high")},
    }
    for name, gain in gains(results, outcome).items():
        other = getattr(outcome, name)
        row[name] = math.nan if other is None else float(statistics.mean(other))
        for part in ("mean", "low", "high", "positive"):
            value = math.nan if gain is None else float(getattr(gain, part))
            row[f"gain_{name}" + f"_{part}" * (part != "mean")] = value
    return row | {
        "promise": outcome.promise.kind,
        "promised": outcome.promise.words,
        "point": outcome.point,
        "chosen_by": outcome.chosen_by,
        "seconds": outcome.seconds,
        "note": outcome.note,
    }


def as_tables(results: Results, command: str) -> dict[str, Any]:
    """All there is, with one number per seed, for a file of JSON.

    Args:
      results: the benchmark.
      command: what made it.
    """
    rows = [_row(results, outcome) for outcome in results.outcomes]
    seeds = ("values", "raw", "untrained", "first")
    for row, outcome in zip(rows, results.outcomes, strict=True):
        row["of_seeds"] = {n: getattr(outcome, n) for n in seeds}
        row["points"] = dict(outcome.points)
    return {
        "benchmark": plain(results.benchmark),
        "command": command,
        "seconds": results.seconds,
        "score": results.benchmark.score,
        "cells": rows,
    }
