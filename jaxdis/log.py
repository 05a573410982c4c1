"""What a run writes and shows: JSON, lines of metrics, a progress bar, a table."""

import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console, Group
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from jaxdis import statistics
from jaxdis.types import Score

__all__ = [
    "append_lines",
    "console",
    "fitting",
    "jsonable",
    "note",
    "progress_bar",
    "save_arrays",
    "seed_table",
    "truncate_lines",
    "write_atomically",
    "write_json",
]

console = Console()


def note(message: str) -> None:
    """One line about something that a user may want to know."""
    # [n, t] is no style.
    console.print(f"note: {message}", markup=False)


def jsonable(value: Any) -> Any:
    """Plain Python of nested containers and arrays; NaN and infinity become None."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {k: jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if hasattr(value, "tolist"):
        return jsonable(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file that is either the old one or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes readable, strict JSON, atomically."""
    write_atomically(path, json.dumps(jsonable(value), indent=2) + "\n")


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes an npz file, atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())


def append_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Appends records to a file of JSON lines."""
    text = "".join(json.dumps(jsonable(record)) + "\n" for record in records)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def truncate_lines(path: Path, step: int) -> None:
    """Drops records after `step`, and a last line that an interruption cut off."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            break
        if record["step"] <= step:
            kept.append(line + "\n")
    write_atomically(path, "".join(kept))


class _Speed(ProgressColumn):
    """Steps per second of the last chunk."""

    def render(self, task: Task) -> Text:
        speed = task.fields.get("speed")
        return Text("" if speed is None else f"{speed:,.0f} steps/s", style="cyan")


def progress_bar() -> Progress:
    """A bar with steps, speed, time left and the field `headline`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[headline]}", style="bold"),
        console=console,
    )


def _cell(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return (
        f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1e4 else f"{value:.3g}"
    )


def fitting(columns: Sequence[list[str]], first: int) -> Iterator[slice]:
    """Parts of a table's columns that are no wider than the console.

    Args:
      columns: the cells of each, its name among them.
      first: the width of the column that every part begins with.
    """
    start, width = 0, first + 4
    for i, cells in enumerate(columns):
        needed = max(map(len, cells)) + 3
        if i > start and width + needed > console.width:
            yield slice(start, i)
            start, width = i, first + 4
        width += needed
    yield slice(start, len(columns))


def seed_table(
    title: str,
    scores: Sequence[Score],
    seeds: Sequence[int],
    values: dict[str, Float[np.ndarray, "s"]],
    failed: Sequence[int],
) -> Group:
    """The mean, the sample deviation and every seed, in tables that fit the console.

    Args:
      title: the line above the first table.
      scores: one column each.
      seeds: one row each.
      values: of each score, one number per seed.
      failed: the seeds that diverged, named as such and left out of mean and deviation.
    """
    good = ~np.isin(seeds, failed)
    rows = [
        "mean",
        "std",
        *(f"{s} (diverged)" if s in failed else str(s) for s in seeds),
    ]
    columns = []
    for score in scores:
        own = values[score.name]
        moments = (statistics.mean(own[good]), statistics.deviation(own[good]))
        columns.append([score.name, *(_cell(float(v)) for v in (*moments, *own))])
    found: list[Table] = []
    for part in fitting(columns, max(map(len, rows))):
        table = Table(title=None if found else escape(title))
        table.add_column("seed")
        for name, *_ in columns[part]:
            table.add_column(name, justify="right")
        for i, row in enumerate(rows):
            cells = [column[i + 1] for column in columns[part]]
            style = "bold" if i < 2 else None
            table.add_row(row, *cells, style=style, end_section=i == 1)
        found.append(table)
    return Group(*found)
