"""What `evaluate` found: rows of scores, as a table to print and as files."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from rich.console import Group
from rich.text import Text

from jaxdis import log, statistics
from jaxdis.types import Score

__all__ = ["FORMATS", "Evaluation", "Row"]

Numbers = Float[np.ndarray, "*s"]


class Row(NamedTuple):
    """One score of every seed.

    Attributes:
      measure: the name that `evaluate` takes, as "dci_linear".
      score: what it is: name, title, range and which side is the better one.
      value: the score.
      low, high: the ends of its interval over samples; NaN where it has none.
      null: the score with the rows of z permuted: what a useless code would get here.
      null_std: its deviation over permutations; NaN of fewer than two.
      mean_interval: the interval over samples of the mean over seeds that did not fail.
      how: by which probe, bins or rows.
      rows: how many samples were used.
    """

    measure: str
    score: Score
    value: Numbers
    low: Numbers
    high: Numbers
    null: Numbers
    null_std: Numbers
    mean_interval: tuple[float, float]
    how: str
    rows: int


class Evaluation(NamedTuple):
    """Scores of codes, and all that is needed to read them.

    Attributes:
      rows: the scores.
      left_out: what does not fit these data, by name, and why.
      factors: what each factor was taken for: "numbers", or "10 classes".
      shape: the numbers of samples, factors, codes and seeds (0 without their axis).
      dead: how many codes are constant, of each seed.
      notes: what was warned of.
      bootstrap, null, confidence: how intervals and nulls were drawn.
    """

    rows: tuple[Row, ...]
    left_out: dict[str, str]
    factors: tuple[str, ...]
    shape: tuple[int, int, int, int]
    dead: Numbers
    notes: tuple[str, ...]
    bootstrap: int
    null: int
    confidence: float

    def __getitem__(self, name: Any) -> Any:
        """The row of a score by its name, as "mcc"; or a field by its place."""
        if not isinstance(name, str):
            return tuple.__getitem__(self, name)
        found = {row.score.name: row for row in self.rows}
        if name not in found:
            there = ", ".join(found) or "none"
            why = f"; {name} was left out: {self.left_out[name]}" * (
                name in self.left_out
            )
            raise KeyError(f"{name!r}: the scores are {there}{why}")
        return found[name]

    def __str__(self) -> str:
        with log.console.capture() as captured:
            log.console.print(self.table())
        return captured.get().rstrip("\n")

    def table(self, title: str = "") -> Group:
        """As a table for `jaxdis.log.show`, with its notes below.

        Args:
          title: the line above it.
        """
        return _table(self, title)

    def records(self, seeds: Sequence[int] = ()) -> list[dict[str, Any]]:
        """One plain row for each score and seed.

        Args:
          seeds: the numbers of the seeds; by default 0, 1, ...
        """
        numbers = seeds or range(max(self.shape[3], 1))
        return [record for row in self.rows for record in _records(row, numbers)]

    def summary(self, seeds: Sequence[int] = ()) -> dict[str, Any]:
        """All of it as plain containers, the scores as `records`.

        Args:
          seeds: the numbers of the seeds; by default 0, 1, ...
        """
        rest = {name: v for name, v in self._asdict().items() if name != "rows"}
        return {"scores": self.records(seeds), **rest}

    def write(self, path: Path | str) -> None:
        """Writes the scores as csv, or with all that was noted as JSON, atomically.

        Args:
          path: a file that ends in .csv or .json.

        Raises:
          ValueError: it ends otherwise.
        """
        path = Path(path)
        if path.suffix not in FORMATS:
            raise ValueError(f"path must end in {' or '.join(FORMATS)}, got {path}")
        log.write_atomically(path, FORMATS[path.suffix](self))


def _records(row: Row, seeds: Sequence[int]) -> list[dict[str, Any]]:
    numbers = {n: np.ravel(getattr(row, n)) for n in ("value", "low", "high", "null")}
    numbers["null_std"] = np.ravel(row.null_std)
    return [
        {
            "score": row.score.name,
            "title": row.score.title,
            "seed": seed,
            **{name: float(values[i]) for name, values in numbers.items()},
            "better": row.score.better or "",
            "how": row.how,
            "rows": row.rows,
        }
        for i, seed in enumerate(seeds)
    ]


def _csv(found: Evaluation) -> str:
    text = io.StringIO()
    records = found.records()
    writer = csv.DictWriter(text, list(records[0]) if records else [])
    writer.writeheader()
    for record in records:  # NaN is a cell without number
        writer.writerow({n: "" if v != v else v for n, v in record.items()})
    return text.getvalue()


def _json(found: Evaluation) -> str:
    return log.as_json(found.summary())


FORMATS: Mapping[str, Callable[[Evaluation], str]] = {".csv": _csv, ".json": _json}


# As a table.


def _number(value: float) -> str:
    """Three digits, as those of a score that is near 1 or 0 are not more."""
    if not np.isfinite(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.3g}"


def _cells(row: Row, seeds: int) -> list[str]:
    value = _number(float(statistics.mean(row.value)))
    low, high = row.mean_interval if row.value.ndim else (row.low, row.high)
    inside = np.isfinite(low) and np.isfinite(high)
    null, spread = statistics.mean(row.null), statistics.mean(row.null_std)
    useless = _number(float(null))
    if np.isfinite(spread):
        useless += f" ± {_number(float(spread))}"
    cells = [
        row.score.title + " (less is better)" * (row.score.better == "lower"),
        value,
        f"[{_number(float(low))}, {_number(float(high))}]" if inside else "–",
        useless,
        row.how,
    ]
    if seeds > 1:
        cells.insert(2, _number(float(statistics.deviation(row.value))))
    return cells


def _heads(found: Evaluation) -> list[str]:
    over = "value" if found.shape[3] < 2 else "mean"
    heads = [
        "score",
        over,
        f"{100 * found.confidence:g} % interval",
        "useless code",
        "how",
    ]
    if found.shape[3] > 1:
        heads.insert(2, "std")
    return heads


def _below(found: Evaluation) -> Iterator[str]:
    rows, factors, codes, seeds = found.shape
    over = f", {seeds} seeds" * (seeds > 0)
    yield f"{rows:,} rows of {factors} factors and {codes} codes{over}"
    kinds = {kind: found.factors.count(kind) for kind in found.factors}
    taken = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
    yield f"factors: {taken}"
    if found.bootstrap:
        yield (
            f"interval: over samples, {found.bootstrap:,} resamples of the rows; none "
            "for what is fitted on the host"
        )
    if found.null:
        yield f"useless code: mean ± std of {found.null} permutations of the rows of z"
    if found.dead.any():
        dead = ", ".join(map(str, np.ravel(found.dead).astype(int).tolist()))
        yield f"dead codes: {dead}"
    failed = [
        seed
        for seed in range(seeds)
        if any(not np.isfinite(row.value[seed]) for row in found.rows)
    ]
    if failed:
        yield f"failed seeds, left out of means: {', '.join(map(str, failed))}"
    yield from found.notes
    yield from (f"{name} left out: {why}" for name, why in found.left_out.items())


def _table(found: Evaluation, title: str) -> Group:
    rows = [_cells(row, found.shape[3]) for row in found.rows]
    heads = _heads(found)
    columns = [[head, *(row[i] for row in rows)] for i, head in enumerate(heads)]
    table = log.table(title, columns, words=[len(heads) - 1])
    return Group(table, *map(Text, _below(found)))
