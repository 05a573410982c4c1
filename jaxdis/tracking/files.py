"""Trackers that write a file a row: JSON lines, and comma-separated values."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxdis import log
from jaxdis.tracking.protocol import Tracked, Tracker, Values

__all__ = ["open_csv", "open_jsonl"]


def open_jsonl(tracked: Tracked) -> Tracker:
    """A file of JSON lines a row, as metrics.jsonl has them."""
    tracked.directory.mkdir(parents=True, exist_ok=True)
    paths = [tracked.directory / f"{row.name}.jsonl" for row in tracked.rows]
    for path in paths:
        log.truncate_lines(path, tracked.step)

    def write(step: int, values: Values) -> None:
        for i, (path, row) in enumerate(zip(paths, tracked.rows, strict=True)):
            numbers = {name: value[i] for name, value in values.items()}
            record = {"step": step, "point": row.point, "seed": row.seed, **numbers}
            log.append_lines(path, [record])

    return Tracker(write)


def _kept(path: Path, step: int) -> list[dict[str, str]]:
    """The rows of a table up to a step, without those that are damaged or cut off."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    return [
        line
        for line in lines
        if None not in line
        and None not in line.values()
        and line.get("step", "").isdigit()
        and int(line["step"]) <= step
    ]


def _text(names: Sequence[str], lines: Iterable[dict[str, str]], head: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    if head:
        writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _cell(value: np.generic) -> str:
    number = value.item()
    return str(number) if np.isfinite(number) else ""


def open_csv(tracked: Tracked) -> Tracker:
    """A table a row: its step, point and seed, and a column a number."""
    tracked.directory.mkdir(parents=True, exist_ok=True)
    paths = [tracked.directory / f"{row.name}.csv" for row in tracked.rows]
    columns: dict[Path, list[str]] = {}

    def rewrite(path: Path, lines: list[dict[str, str]]) -> None:
        columns[path] = list(dict.fromkeys(name for line in lines for name in line))
        log.write_atomically(path, _text(columns[path], lines, head=bool(lines)))

    for path in paths:
        if path.exists():
            rewrite(path, _kept(path, tracked.step))

    def write(step: int, values: Values) -> None:
        for i, (path, row) in enumerate(zip(paths, tracked.rows, strict=True)):
            line = {"step": str(step), "point": str(row.point), "seed": str(row.seed)}
            line |= {name: _cell(value[i]) for name, value in values.items()}
            if set(line) <= set(columns.get(path, [])):
                with path.open("a", encoding="utf-8", newline="") as file:
                    file.write(_text(columns[path], [line], head=False))
            else:  # the first line, or one with a number that those before had not
                rewrite(path, [*_kept(path, step), line])

    return Tracker(write)
