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


def _fitting(columns: Sequence[list[str]], first: int) -> Iterator[slice]:
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


def table(
    title: str,
    columns: Sequence[list[str]],
    bold: Container[int] = (),
    above: int = 0,
    caption: str = "",
) -> Group:
    """A table in as many parts as fit the console.

    Args:
      title: the line above the first part.
      columns: of each its name and its cells; every part begins with the first.
      bold: the rows that stand out.
      above: so many rows are above a line; 0 for no line.
      caption: a line below the last part.
    """
    first, *rest = columns
    found: list[Table] = []
    for part in _fitting(rest, max(map(len, first))):
        shown = Table(title=Text(title) if title and not found else None)
        for i, (name, *_) in enumerate((first, *rest[part])):
            side: JustifyMethod = "right" if i else "left"
            shown.add_column(Text(name), justify=side, no_wrap=i > 0)
        for i in range(1, len(first)):
            cells = [Text(column[i]) for column in (first, *rest[part])]
            style = "bold" if i - 1 in bold else None
            shown.add_row(*cells, style=style, end_section=i == above)
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
