"""What several runs are called, and in what they differ."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdis.report import text
from jaxdis.report.files import reading
from jaxdis.report.read import Record

__all__ = [
    "differing",
    "names_of",
    "of_one_setting",
    "paths_of",
    "unlike",
    "varied",
]

NUMBERS = ("x", "a", "y")
SIZES = ("rows", "shape", "steps", "worlds")


def paths_of(runs: Path | str | Sequence[Path | str]) -> list[Path]:
    """The directories of one run or of several.

    Args:
      runs: one directory, or several.

    Raises:
      ValueError: there is none.
    """
    given = [runs] if isinstance(runs, Path | str) else runs
    directories = [Path(run) for run in given]
    if not directories:
        raise ValueError("runs must name at least one run, got none")
    return directories


def names_of(directories: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell runs apart.

    Args:
      directories: the directories of the runs.

    Raises:
      ValueError: one is given twice.
    """
    parts = [path.resolve().parts for path in directories]
    if len(set(parts)) < len(parts):
        given = ", ".join(map(str, directories))
        raise ValueError(f"directories must differ, one is given twice: {given}")
    depth = 1
    while len({p[-depth:] for p in parts}) < len(parts):
        depth += 1
    return ["/".join(p[-depth:]) for p in parts]


def differing(settings: Sequence[Any], name: str) -> Iterator[str]:
    """What is not the same everywhere, as "data.samples: 500 and 1000".

    Args:
      settings: a value of each run, tables in tables or others.
      name: what the values are called.
    """
    if all(isinstance(value, dict) for value in settings):
        for key in dict.fromkeys(k for value in settings for k in value):
            yield from differing([v.get(key) for v in settings], f"{name}.{key}")
    elif len(values := dict.fromkeys(map(_word, settings))) > 1:
        yield f"{name}: {' and '.join(values)}"


def _word(value: Any) -> str:
    return "none" if value is None else text.setting(value)


def unlike(directories: Sequence[Path], runs: Sequence[Record]) -> list[str]:
    """Why runs cannot be ranked: they differ in data, rows or steps.

    Args:
      directories: the directories of the runs.
      runs: what they hold; of those that have not finished, steps are not compared.

    Returns:
      A phrase each, as "steps: 2000 and 100"; none where they can be ranked.
    """
    finished = [run for run in runs if run.standing is None]
    kept = [_kept(Path(directory)) for directory in directories]
    data = [dict(run.settings.get("data") or {}) for run in runs]
    # Of other sets, each has settings of its own.
    told = [*differing([one.get("set") for one in data], "data.set")]
    told = told or [*differing(data, "data")]
    return [
        *told,
        *_rows(kept, bool(told)),
        *differing([run.results.get("steps") for run in finished], "steps"),
    ]


def _kept(directory: Path) -> Mapping[str, Any]:
    """What was kept of the data of a run: data.json, nothing where there is none."""
    path = directory / "data.json"
    if not path.is_file():
        return {}
    with reading(path, "this is not a JSON object"):
        return dict(json.loads(path.read_text(encoding="utf-8")))


def _rows(kept: Sequence[Mapping[str, Any]], told: bool) -> Iterator[str]:
    """In what rows differ: their number and shape, and the means of their numbers.

    A file of the same name may hold other rows by now. What one of the runs does not
    say, as its method does not need it, is not compared; nor is that other data, which
    were named, have other numbers.
    """
    for name in SIZES:
        known = [dict(one.get("spec") or {}).get(name) for one in kept]
        if told and name != "rows":
            continue
        if None not in known:
            yield from differing(known, f"rows.{name}" if name != "rows" else name)
    for name in () if told else NUMBERS:
        scales = [dict(one.get("preparation") or {}).get(name) for one in kept]
        if None not in scales and not all(_same(scales[0], s) for s in scales[1:]):
            yield f"rows: the numbers of {name} have other means and deviations"


def _same(one: Any, other: Any) -> bool:
    """Whether nested JSON values are the same but for rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    try:
        return np.allclose(
            np.asarray(one, float), np.asarray(other, float), rtol=1e-5, atol=1e-12
        )
    except (TypeError, ValueError):  # words, or other shapes
        return bool(one == other)


def varied(runs: Sequence[Record]) -> list[str]:
    """In what runs differ that may be ranked: what was varied, a phrase each."""
    methods = [run.name.rsplit("/", 1)[0] for run in runs]
    if len(set(methods)) > 1:  # each has settings of its own
        return [*differing(methods, "method")]
    return [
        *differing([run.settings.get("config") for run in runs], "config"),
        *differing([run.settings.get("hyper") for run in runs], "hyper"),
        *differing([run.settings.get("parts") or {} for run in runs], "parts"),
    ]


def of_one_setting(runs: Sequence[Record]) -> str:
    """That runs are parts of one setting, with other seeds each; "" where not."""
    seeds = [set(run.groups[0].seeds) for run in runs]
    same = {str(_setting(run)) for run in runs}
    if len(runs) < 2 or len(same) > 1 or set.intersection(*seeds):
        return ""
    every = ", ".join(f"{min(s)}–{max(s)}" for s in seeds)
    return (
        f"{len(runs)} parts of one setting, with the seeds {every}; `jaxdis merge` "
        "makes one run of them"
    )


def _setting(run: Record) -> list[Any]:
    """What makes a setting, but for its seeds."""
    return [run.name, run.settings.get("config"), [g.hyper for g in run.groups]]
