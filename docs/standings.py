"""The table of the benchmark, in Markdown, out of the file that its command wrote."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxdis.benchmark.text import MARKS, brief, short

__all__ = ["RESULTS", "pages"]

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks/results/sanity-cpu.json"

CALLED = {
    "baselines": "supervised",
    "baselines random": "untrained",
    "linear": "FastICA",
    "linear pca": "PCA",
}
"""Presets that are called by what they do."""

_Cell = Mapping[str, Any]


def _shown(cell: _Cell | None) -> str:
    """A mean, half of its interval, and what theory promises."""
    if cell is None or cell["state"] != "finished":
        return "" if cell is None or cell["state"] == "unfit" else cell["state"]
    half = (cell["high"] - cell["low"]) / 2
    return f"{brief(cell['mean'])} ± {brief(half)}{MARKS[cell['promise']]}"


def _called(method: str) -> str:
    return CALLED.get(short(method), short(method))


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(found: list[_Cell]) -> Iterator[str]:
    """Methods by data; the raw observations come first."""
    data = list(dict.fromkeys(cell["data"] for cell in found))
    there = [c for c in found if c["state"] == "finished"]
    methods = list(dict.fromkeys(cell["method"] for cell in there))
    by_place = {(cell["data"], cell["method"]): cell for cell in found}
    raw = {cell["data"]: cell["raw"] for cell in there if cell["raw"] is not None}
    shown = [m for m in methods if m != "baselines/own_observations"]
    yield _line(["data", "observations", *map(_called, shown)])
    yield "|---" * (2 + len(shown)) + "|"
    for name in data:
        first = brief(raw[name]) if name in raw else ""
        cells = [_shown(by_place.get((name, method))) for method in shown]
        yield _line([f"`{name}`", first, *cells])


def _points(found: list[_Cell]) -> Iterator[str]:
    """The mean at every point of a grid, the one that was chosen in bold."""
    yield _line(["data", "method", "every point of its grid"])
    yield "|---|---|---|"
    for cell in found:
        if cell["state"] != "finished" or not cell.get("points"):
            continue
        marks = {label: "**" * (label == cell["point"]) for label in cell["points"]}
        each = (
            f"{marks[label]}{label}: {brief(mean)}{marks[label]}"
            for label, mean in cell["points"].items()
        )
        yield _line([f"`{cell['data']}`", _called(cell["method"]), ", ".join(each)])


def pages() -> dict[str, str]:
    """The tables by the file, below `_made`, that they are written to."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))["cells"]
    return {
        "benchmark.md": "\n".join([*_table(found), ""]),
        "benchmark_points.md": "\n".join([*_points(found), ""]),
    }
