"""Where numbers of the pages are stored: results that commands wrote, and settings.

A source is a table of rows. A number counts as stored where one row holds it, to the
digits that it is given with, and holds its ± as well.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from docs import made
from jaxdis import systems
from jaxdis.types import Preset

__all__ = [
    "RESULTS",
    "Source",
    "holds",
    "known_presets",
    "of_benchmark",
    "of_commands",
    "of_file",
    "of_preset",
    "outdated",
    "rounded",
]

RESULTS = "benchmarks/results"
RUNS = ("runs.json", "kept.json")
"""What finished runs reached, and what was read off those that are gone."""
FEW = 40
EACH = ("of_seeds", "scores")  # lists of every seed, beside their mean
_JSON_NUMBER = re.compile(r"(?<![\w.])-?\d+\.?\d*(?:e-?\d+)?")


class _Row(NamedTuple):
    """What one row says: its words, the numbers in it, and itself."""

    words: frozenset[str]
    numbers: tuple[float, ...]
    row: Any


class Source(NamedTuple):
    """Some rows.

    Attributes:
      name: where they are.
      rows: the rows.
    """

    name: str
    rows: tuple[_Row, ...]

    def named(self, words: Sequence[str]) -> "Source":
        """The rows that have one of some words, or all if none has, or all are few."""
        if len(self.rows) <= FEW:
            return self
        found = tuple(row for row in self.rows if not row.words.isdisjoint(words))
        return self._replace(rows=found or self.rows)


def _as_row(row: Any) -> _Row:
    shown = {k: v for k, v in row.items() if k not in EACH} if _table(row) else row
    text = json.dumps(shown, ensure_ascii=False)
    numbers = set(map(float, _JSON_NUMBER.findall(text)))
    words = {*re.findall(r"\w+", text), *re.findall(r"[^\W_]+", text)}
    return _Row(frozenset(words), tuple(numbers), row)


def _table(value: Any) -> bool:
    return isinstance(value, dict)


@cache
def of_file(path: Path) -> Source:
    """A file of results: the rows of its table, or the whole file as one.

    Args:
      path: a JSON file below the folder of results.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    lists = (v for v in found.values() if isinstance(v, list) and v and _table(v[0]))
    rows = next(lists, [found])
    return Source(f"{RESULTS}/{path.name}", tuple(map(_as_row, rows)))


def of_benchmark(root: Path, name: str) -> Iterator[Path]:
    """The files that a benchmark writes: of its own name, and those that it names."""
    folder, code = root / RESULTS, root / "benchmarks" / f"{name}.py"
    yield from sorted(folder.glob(f"{name}*.json"))
    named = re.findall(r'"([\w-]+\.json)"', code.read_text()) if code.exists() else []
    yield from (folder / file for file in named if (folder / file).exists())


@cache
def _by_command(path: Path) -> dict[str, Source]:
    """The rows of a file of runs, by their command and by their preset."""
    found: dict[str, list[_Row]] = {}
    for row in of_file(path).rows:
        for name in {row.row["command"], row.row.get("preset", "")}:
            found.setdefault(name, []).append(row)
    name = f"{RESULTS}/{path.name}"
    return {command: Source(name, tuple(rows)) for command, rows in found.items()}


def of_commands(root: Path, commands: Sequence[str]) -> list[Source]:
    """What is known of runs, by the commands or the presets that trained them.

    Args:
      root: the folder of the repository.
      commands: whole commands, or presets, as METHOD/PRESET.
    """
    paths = (root / RESULTS / name for name in RUNS)
    known = [_by_command(path) for path in paths if path.exists()]
    return [one[c] for one in known for c in commands if c in one]


@cache
def known_presets(method: str) -> dict[str, Preset]:
    """The presets of a built-in method; none of another name."""
    known = method in made.method_names()
    return dict(systems.find(method).presets) if known else {}


@cache
def of_preset(name: str) -> list[Source]:
    """What the code says of a preset: what it is published to reach, its settings.

    Args:
      name: METHOD/PRESET.
    """
    method, _, short = name.partition("/")
    preset = known_presets(method)[short]
    points = preset.points if isinstance(preset.points, tuple) else ()
    settings = [asdict(preset.config), asdict(preset.data), dict(preset.hyper)]  # type: ignore[call-overload]
    text = json.dumps([*settings, *map(dict, points)], default=str)
    expects = [{"mean": e.mean, "spread": e.spread} for e in preset.expects]
    return [
        Source(f"preset {name}", tuple(map(_as_row, expects))),
        Source(f"settings of {name}", (_as_row(json.loads(text)),)),
    ]


def rounded(value: float, text: str) -> bool:
    """Whether a value is what a text says, to its digits."""
    step = 10.0 ** -len(text.partition(".")[2])
    size = abs(value) if text[0] not in "+-−" else value
    return abs(size - float(text.replace("−", "-"))) <= 0.5001 * step


def holds(source: Source, text: str, spread: str | None) -> bool:
    """Whether a row holds a number and what stands behind its ±.

    Args:
      source: the rows.
      text: the number.
      spread: what stands behind ±; None for nothing.
    """
    return any(
        any(rounded(value, text) for value in row.numbers)
        and (spread is None or any(rounded(value, spread) for value in row.numbers))
        for row in source.rows
    )


def outdated(root: Path) -> list[str]:
    """A sentence for each preset that is said to reach what its runs did not.

    Args:
      root: the folder of the repository.
    """
    wrong = []
    for method in made.method_names():
        for short, preset in known_presets(method).items():
            name = f"{method}/{short}"
            sources = of_commands(root, [name])
            for one in preset.expects:
                rows = [r for s in sources for r in s.rows if one.score in r.words]
                spread = None if one.spread is None else f"{one.spread:g}"
                kept = Source("", tuple(rows))
                if rows and not holds(kept, f"{one.mean:g}", spread):
                    said = f"{one.mean:g}" + (f" ± {spread}" if spread else "")
                    wrong.append(
                        f"preset {name}: {one.score} {said} is in no run of it"
                    )
    return wrong
