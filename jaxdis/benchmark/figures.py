"""The picture of a benchmark: methods by data, and the whole distributions."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch, Rectangle

from jaxdis import statistics
from jaxdis.benchmark.results import Outcome, Results
from jaxdis.benchmark.text import RAW, brief, grid, raw_of, short
from jaxdis.report.kit import COLOURS, FAINT, INK, RULE, SHADES, WRONG

__all__ = ["curves", "draw_benchmark", "kinds"]

WIDE, HIGH = 0.92, 0.52  # of a cell, in inches
PROFILES, PANEL = 3, 3.6  # panels in a row, and the height of one
STYLES = ("-", "--", ":", "-.")
EDGE = {"all": "#009E73", "part": "#56B4E9", "broken": WRONG, "nothing": FAINT}
"""The frame of a cell, by what theory promises."""
KEY = {
    "all": "promised: each latent",
    "part": "promised: blocks or some",
    "nothing": "promised: nothing",
    "broken": "assumption broken",
}


def _ends(results: Results, means: Float[np.ndarray, "d m"]) -> tuple[float, float]:
    """What the shades begin and end with."""
    score = results.score
    if score is not None and all(map(math.isfinite, score.range)):
        return score.range
    known = means[np.isfinite(means)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)


def _write(ax: Axes, row: int, column: int, lines: Sequence[str], dark: bool) -> None:
    style: Any = {"ha": "center", "color": "white" if dark else INK}
    ax.text(column + 0.5, row + 0.42, lines[0], va="center", fontsize=10, **style)
    if len(lines) > 1:
        ax.text(column + 0.5, row + 0.74, lines[1], va="center", fontsize=7, **style)


def _frame(ax: Axes, row: int, column: int, colour: str) -> None:
    place: Any = ((column + 0.04, row + 0.06), 0.92, 0.88)
    box = Rectangle(*place, fill=False, zorder=4)
    box.set(edgecolor=colour, linewidth=1.6)
    ax.add_patch(box)


def _heat(ax: Axes, results: Results) -> None:
    """Means with their intervals; frames say what theory promises."""
    data, methods, cells = grid(results)
    raw = [raw_of(results, name) for name in data]
    own = [[results.summary(cells[d, m].values) for m in methods] for d in data]
    first = [results.summary(r) for r in raw]
    rows = [[f, *o] for f, o in zip(first, own, strict=True)]
    means = np.array([[float(s.mean) for s in row] for row in rows])
    low, high = _ends(results, means)
    shown = np.ma.masked_invalid(means)
    ax.pcolormesh(shown, cmap=SHADES, vmin=low, vmax=high, edgecolors=RULE, lw=0.4)
    for (i, j), mean in np.ndenumerate(means):
        one = rows[i][j]
        dark = bool((mean - low) > 0.45 * (high - low))
        if math.isfinite(mean):
            ends = f"{brief(float(one.low))} to {brief(float(one.high))}"
            known = math.isfinite(one.low)
            _write(ax, i, j, [brief(mean), ends] if known else [brief(mean)], dark)
        if j:
            _mark(ax, i, j, cells[data[i], methods[j - 1]])
    ax.set_xticks(
        np.arange(len(methods) + 1) + 0.5, [RAW, *map(short, methods)], rotation=40
    )
    for label in ax.get_xticklabels():
        label.set(ha="left", rotation_mode="anchor", fontsize=10)
    ax.set_yticks(np.arange(len(data)) + 0.5, data)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.invert_yaxis()
    ax.spines[:].set_visible(False)
    _lines_of_groups(ax, results, data)


def _mark(ax: Axes, row: int, column: int, outcome: Outcome) -> None:
    if outcome.state == "finished" and outcome.promise.kind in EDGE:
        _frame(ax, row, column, EDGE[outcome.promise.kind])
    if outcome.state in ("failed", "unfinished"):
        style: Any = {"ha": "center", "va": "center", "fontsize": 8}
        word = ax.text(column + 0.5, row + 0.5, outcome.state, **style)
        word.set_color(WRONG if outcome.state == "failed" else FAINT)


def _lines_of_groups(ax: Axes, results: Results, data: Sequence[str]) -> None:
    groups = {case.name: case.group for case in results.benchmark.data}
    for i, name in enumerate(data):
        if i and groups[name] != groups[data[i - 1]]:
            ax.axhline(i, color=INK, lw=1.2)
        if groups[name] and (not i or groups[name] != groups[data[i - 1]]):
            place = ax.text(1.01, 1 - (i + 0.5) / len(data), groups[name])
            place.set(transform=ax.transAxes, color=FAINT, fontsize=9, va="center")


def kinds(results: Results) -> dict[str, list[str]]:
    """Data that offer the same to methods, by what that is, in words.

    Args:
      results: the benchmark.
    """
    words = {"a": "actions", "u": "domains", "y": "labels", "sequences": "time"}
    found: dict[str, list[str]] = {}
    for outcome in results.outcomes:
        plan, name = outcome.cell.plan, outcome.cell.case.name
        if plan is None:
            continue
        offers = plan.data.spec().offers
        kind = " and ".join(w for n, w in words.items() if n in offers) or "x alone"
        if name not in found.setdefault(kind, []):
            found[kind].append(name)
    return found


def curves(results: Results, data: Sequence[str]) -> dict[str, np.ndarray]:
    """The scores of all seeds on some data, of methods that have all of these.

    Args:
      results: the benchmark.
      data: the names of the data.
    """
    _, methods, cells = grid(results)
    found = {RAW: [raw_of(results, name) for name in data]}
    found |= {m: [cells[name, m].values for name in data] for m in methods}
    known = {m: [v for v in every if v is not None] for m, every in found.items()}
    return {m: np.concatenate(v) for m, v in known.items() if len(v) == len(data) > 0}


def _looks(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The colour and the line of each method, the same in all panels."""
    size = len(COLOURS)
    looks = {
        m: (COLOURS[i % size], STYLES[i // size % 4]) for i, m in enumerate(methods)
    }
    return looks | {RAW: (FAINT, "-")}


def _profile(
    ax: Axes, results: Results, name: str, data: Sequence[str], looks: Any
) -> None:
    every = curves(results, data)
    known = [v[np.isfinite(v)] for v in every.values()]
    joint = np.concatenate([np.empty(0), *known])
    low, high = _ends(results, joint[None])
    at = np.linspace(low, high, 201)
    for method, values in every.items():
        found = statistics.performance_profile(values, at)
        colour, line = looks[method]
        ax.plot(at, found.share, line, color=colour, lw=1.8, label=short(method))
        if method != RAW:
            ax.fill_between(at, found.low, found.high, color=colour, alpha=0.08, lw=0)
    ax.set(xlim=(low, high), ylim=(0, 1.02), xlabel=results.title)
    ax.set_title(f"{name}: {', '.join(data)}", fontsize=10, wrap=True)
    ax.set_ylabel("share of seeds above")
    ax.grid(axis="both")
    if every:
        ax.legend(fontsize=7, labelcolor=INK, loc="lower left")


def _key(part: SubFigure, results: Results) -> None:
    """What the frames that there are mean."""
    there = {outcome.promise.kind for outcome in results.of("finished")}
    handles = [
        Patch(fill=False, edgecolor=EDGE[kind], label=words, lw=1.6)
        for kind, words in KEY.items()
        if kind in there
    ]
    if not handles:
        return
    legend: Any = {"ncols": len(handles), "labelcolor": INK, "fontsize": 9}
    part.legend(handles=handles, loc="outside lower left", **legend)


def draw_benchmark(results: Results) -> Figure | None:
    """Methods by data, and below it the share of seeds above each score.

    Args:
      results: the benchmark.

    Returns:
      The figure; None where no cell has a score.
    """
    if not results.of("finished"):
        return None
    data, methods, _ = grid(results)
    panels = {n: d for n, d in kinds(results).items() if curves(results, d)}
    rows = math.ceil(len(panels) / PROFILES)
    heights = [1.7 + HIGH * len(data), *([PANEL * rows] if rows else [])]
    width = max(3 * PANEL, 2.6 + WIDE * (len(methods) + 1))
    figure = Figure(figsize=(width, sum(heights)))
    parts: Any = figure.subfigures(
        len(heights), 1, squeeze=False, height_ratios=heights
    )
    top, *below = parts.ravel()
    _heat(top.subplots(), results)
    _key(top, results)
    for part in below:
        _profiles(part, results, panels)
    return figure


def _profiles(part: SubFigure, results: Results, panels: dict[str, list[str]]) -> None:
    """A panel for each kind of data, at most three in a row."""
    _, methods, _ = grid(results)
    looks = _looks(methods)
    rows = math.ceil(len(panels) / PROFILES)
    columns = math.ceil(len(panels) / rows)
    axes = part.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    for ax, (name, some) in zip(axes, panels.items(), strict=False):
        _profile(ax, results, name, some, looks)
