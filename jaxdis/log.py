"""What a run writes and shows: JSON, lines of metrics, sentences, a table."""

import io
import json
import math
import os
import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from jaxdis import statistics
from jaxdis.types import Score

__all__ = [
    "append_lines",
    "as_json",
    "console",
    "damage",
    "jsonable",
    "note",
    "read_lines",
    "reason",
    "save_arrays",
    "say",
    "seed_table",
    "show",
    "table",
    "truncate_lines",
    "write_atomically",
    "write_json",
]

# Names and paths may look like styles or emojis, and are neither.
console = Console(markup=False, emoji=False, highlight=False)

PLAIN = str.maketrans({"–": "-", "−": "-", "±": "+-", "…": "..."})
"""What stands for signs that a terminal does not have."""

KEY = ("step", "point", "seed")
"""The whole numbers that tell records apart."""


def say(message: str) -> None:
    """One line on the standard output, at once.

    It is never wrapped, as it may be pasted. What the terminal cannot show becomes "?";
    and who does not listen any more, as a closed pipe or a full disk, does no harm.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        message.encode(encoding)
    except UnicodeEncodeError:
        message = message.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    with suppress(OSError):
        print(message, flush=True)


def show(shown: RenderableType) -> None:
    """A table on the standard output, in letters that the terminal has."""
    with console.capture() as captured:
        console.print(shown)
    say(captured.get().rstrip("\n"))


def note(message: str) -> None:
    """One line about something that a user may want to know."""
    say(f"note: {message}")


def reason(error: Exception) -> str:
    """The first line of what an error says; its type where it says nothing."""
    return (str(error).strip() or repr(error)).splitlines()[0]


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
    # Paths may hold bytes that are no letters.
    data = content.encode(errors="replace") if isinstance(content, str) else content
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def as_json(value: Any) -> str:
    """Readable, strict JSON."""
    return json.dumps(jsonable(value), indent=2) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Writes readable, strict JSON, atomically."""
    write_atomically(path, as_json(value))


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


def read_lines(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The records of a file of JSON lines, and the numbers of its damaged lines.

    A record has a step, a point and a seed. A last line that an interruption cut off is
    neither. Of several records of the same row and step the last one counts.

    Args:
      path: the file.

    Raises:
      OSError: the file cannot be read.
    """
    lines = path.read_bytes().split(b"\n")
    records: dict[tuple[int, ...], dict[str, Any]] = {}
    damaged = []
    for number, line in enumerate(lines, 1):
        try:
            record = dict(json.loads(line))
            key = tuple(record[name] for name in KEY)
            if any(type(value) is not int for value in key):
                raise TypeError
        except (LookupError, TypeError, ValueError):  # also of bytes that are no text
            if number < len(lines):
                damaged.append(number)
        else:
            records.pop(key, None)  # its place is that of the last one
            records[key] = record
    return list(records.values()), damaged


def damage(path: Path, damaged: Sequence[int]) -> str:
    """What is said of a file with damaged lines; "" of one without."""
    if not damaged:
        return ""
    shown = ", ".join(map(str, damaged[:5])) + ", ..." * (len(damaged) > 5)
    many = len(damaged) > 1
    lost = f"{len(damaged)} records are" if many else "1 record is"
    return (
        f"{path}: line{'s' * many} {shown} {'are' if many else 'is'} damaged and left "
        f"out; {lost} lost, the others are kept"
    )


def truncate_lines(path: Path, step: int) -> None:
    """Drops records after `step`, and lines that are damaged or cut off."""
    if not path.exists():
        return
    records, damaged = read_lines(path)
    if damaged:
        note(damage(path, damaged))
    kept = (json.dumps(record) + "\n" for record in records if record["step"] <= step)
    write_atomically(path, "".join(kept))


def _cell(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return (
        f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1e4 else f"{value:.3g}"
    )


def _fitting(widths: Sequence[int]) -> Iterator[range]:
    """Parts of a table's columns, but the first, that are no wider than the console.

    Args:
      widths: the width of each column; every part begins with the first.
    """
    first, *rest = widths
    start, width = 1, first + 4
    for i, own in enumerate(rest, 1):
        if i > start and width + own + 3 > console.width:
            yield range(start, i)
            start, width = i, first + 4
        width += own + 3
    yield range(start, len(widths))


def _records(title: str, columns: Sequence[list[str]], caption: str) -> Group:
    """What is too wide for a table: a line of each cell, the rows below each other."""
    names, *rows = zip(*columns, strict=True)
    wide = max(map(len, names[1:]), default=0)
    lines = [title] * bool(title)
    for row in rows:
        if len(lines) > 1:
            lines.append("")
        head, *cells = row
        lines.append(f"{names[0]} {head}")
        pairs = zip(names[1:], cells, strict=True)
        lines += [f"  {name.ljust(wide)} {cell}" for name, cell in pairs]
    lines += [caption] * bool(caption)
    return Group(*(Text(line, overflow="fold") for line in lines))


def table(
    title: str,
    columns: Sequence[list[str]],
    bold: Container[int] = (),
    above: int = 0,
    caption: str = "",
    words: Sequence[int] = (),
) -> Group:
    """A table in as many parts as fit the console; no cell is ever cut.

    Columns of words are folded where they are wide. Where a cell of another column
    does not fit beside the first one, every row is written as lines.

    Args:
      title: the line above the first part.
      columns: of each its name and its cells; every part begins with the first.
      bold: the rows that stand out.
      above: so many rows are above a line; 0 for no line.
      caption: a line below the last part.
      words: which columns hold words, beside the first.
    """
    most = max(1, console.width // 2 - 4)
    most_of = {i: most // (1 + (i > 0)) for i in (0, *words)}
    widths = [max(map(len, column)) for column in columns]
    widths = [min(width, most_of.get(i, width)) for i, width in enumerate(widths)]
    if widths[0] + max(widths[1:], default=0) + 7 > console.width:
        return _records(title, columns, caption)
    found: list[Table] = []
    for part in _fitting(widths):
        shown = Table(title=Text(title) if title and not found else None)
        numbers = (0, *part)
        for i in numbers:
            side: JustifyMethod = "left" if i in most_of else "right"
            shown.add_column(
                Text(columns[i][0], overflow="fold"),
                justify=side,
                overflow="fold",
                no_wrap=i not in most_of,
                max_width=most_of.get(i),
            )
        for row in range(1, len(columns[0])):
            cells = [Text(columns[i][row], overflow="fold") for i in numbers]
            style = "bold" if row - 1 in bold else None
            shown.add_row(*cells, style=style, end_section=row == above)
        found.append(shown)
    found[-1].caption = Text(caption) if caption else None
    return Group(*found)


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
        A mean of fewer seeds than did not diverge says of how many.
    """
    good = ~np.isin(seeds, failed)
    counts = {s.name: int(statistics.count(values[s.name][good])) for s in scores}
    # A mean over fewer seeds than lived says over how many.
    told = any(0 < count < good.sum() for count in counts.values())
    rows = [
        "mean",
        "std",
        *["seeds"] * told,
        *(f"{s} (diverged)" if s in failed else str(s) for s in seeds),
    ]
    columns = []
    for score in scores:
        own = values[score.name]
        moments = (statistics.mean(own[good]), statistics.deviation(own[good]))
        means, cells = ([_cell(float(v)) for v in some] for some in (moments, own))
        of = [f"{counts[score.name]} of {good.sum()}"] * told
        columns.append([score.name, *means, *of, *cells])
    above = 2 + told
    return table(title, [["seed", *rows], *columns], range(above), above)
