"""Pictures of many supervised tasks: their heads, and how they share features."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxdis import metrics
from jaxdis.report.averages import in_words
from jaxdis.report.frames import survivors
from jaxdis.report.kit import (
    COLOURS,
    FAINT,
    INK,
    RULE,
    SHADES,
    WRONG,
    Seeds,
    blocks,
    coloured,
    draw_alive,
    dress,
    first_word,
    heat,
    name_panel,
    number_axes,
    ranked,
    shade_bar,
)
from jaxdis.report.read import Group, Record, alive, moments, swept
from jaxdis.report.text import fixed, number, setting, tick, title
from jaxdis.systems.shared_features.scores import HEADS, few_shot_name, raw_name
from jaxdis.types import Score

__all__ = [
    "draw_few_shot",
    "draw_grid",
    "draw_heads",
    "draw_label_heads",
    "draw_usage",
]

TASKS_DRAWN = 40
PENALTIES = ("alpha", "beta")
GRID_SCORES = (metrics.MCC, metrics.DCI_D, metrics.HEAD_DENSITY)
WIDEST = 13.6  # inches of a picture
LOWEST = -1.0  # score that is shown: that of a head on few samples may be anything
RAW: Any = ({"ls": "--", "c": FAINT}, {"ls": "--", "c": INK}, {"ls": ":", "c": INK})


def _panels(
    count: int, width: float, height: float, sharey: bool = True
) -> tuple[Figure, list[Axes]]:
    """Axes of a size in inches, as many beside one another as a page can show."""
    columns = min(count, max(1, int(WIDEST // width)))
    rows = math.ceil(count / columns)
    # A single panel needs room for its legend.
    figure = Figure(figsize=(max(width * columns, 5.0), height * rows))
    axes = figure.subplots(rows, columns, sharey=sharey, squeeze=False).ravel()
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure, axes[:count].tolist()


def _nothing(record: Record, array: str) -> bool:
    """Whether the array is missing, or every seed failed."""
    return array not in record.arrays or all(g.failed.all() for g in record.groups)


def _usable(group: Group, values: np.ndarray) -> np.ndarray:
    """Of the seeds that did not fail those that are numbers."""
    axes = tuple(range(1, values.ndim))
    return values[~group.failed & np.isfinite(values).all(axes)]


def _say_failed(ax: Axes) -> None:
    place: Any = {"xycoords": "axes fraction", "va": "top"}
    ax.annotate("every seed failed", (0.03, 0.97), color=WRONG, **place)


def _shown(record: Record) -> Int[np.ndarray, "t"]:
    """The first tasks, those that use the first factor, then the second, ... on top."""
    rows = np.arange(min(record.arrays["heads"].shape[2], TASKS_DRAWN))
    if "supports" not in record.arrays:
        return rows
    return np.lexsort(-record.arrays["supports"][rows].T[::-1].astype(int))


def _relative(heads: Float[np.ndarray, "t m"]) -> Float[np.ndarray, "t m"]:
    """Every task's weights, of its largest; a head that is empty stays so."""
    largest = heads.max(1, keepdims=True)
    return heads / np.where(largest > 0, largest, 1.0)


def _tall(ax: Axes, matrix: np.ndarray, rows: str, columns: str) -> None:
    """A matrix of many rows, which are not numbered: they were sorted."""
    heat(ax, matrix)
    number_axes(ax, rows, columns)
    ax.set(aspect="auto", yticks=[])


def _draw_heads(
    ax: Axes, group: Group, heads: Seeds, rows: np.ndarray, factors: int
) -> None:
    best = ranked(group, heads, [metrics.MCC])
    if not best:
        ax.set_axis_off()
        return name_panel(ax, "heads", "every seed failed", bad=True)
    seed = best[0]
    _tall(ax, _relative(heads[seed][rows]), "", "feature")
    if 0 < factors < heads.shape[2]:
        ax.axvline(factors, color=INK, lw=1.2)
    words = {"MCC": metrics.MCC, "density": metrics.HEAD_DENSITY}
    note = ", ".join(
        f"{word} {fixed(float(group.final[score.name][seed]))}"
        for word, score in words.items()
        if score.name in group.final
    )
    word = first_word(group, [metrics.MCC]) if len(group.seeds) > 1 else ""
    name_panel(ax, f"{word and f'{word}: '}seed {group.seeds[seed]}", note)


def draw_heads(record: Record) -> Figure | None:
    """True supports, where they are known, and heads of one seed; a row per point.

    Args:
      record: the run.

    Returns:
      The figure; None where the run lacks heads, or every seed failed.
    """
    if _nothing(record, "heads"):
        return None
    groups, heads, rows = record.groups, record.arrays["heads"], _shown(record)
    every, features = heads.shape[2:]
    true = record.arrays.get("supports", np.empty((every, 0))).astype(float)
    widths = [n for n in (true.shape[1], features) if n]
    width = max(min(0.3, 9 / sum(widths)) * sum(widths), 2.4) + 0.8 * len(widths) + 1
    figure, parts = blocks(groups, width, max(0.1 * len(rows), 1.2) + 1.3)
    count = f"{len(rows)} of {every} tasks" if len(rows) < every else f"{every} tasks"
    for part, group, seeds in zip(parts, groups, heads, strict=True):
        axes = part.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
        if true.size:
            _tall(axes[0], true[rows], "", "factor")
            name_panel(axes[0], "true", "factors used")
        _draw_heads(axes[-1], group, seeds, rows, true.shape[1])
        axes[0].set_ylabel(count, fontsize=10, labelpad=3)
        shade_bar(part, axes, "weight, of the task's largest")
    return figure


def draw_label_heads(record: Record) -> Figure | None:
    """A row per label column and a panel per point, of its first seed that lived.

    Args:
      record: the run.

    Returns:
      The figure; None where the run lacks heads of label columns, or every seed failed.
    """
    if _nothing(record, "label_heads"):
        return None
    heads, scores = record.arrays["label_heads"], record.arrays["label_scores"]
    names = [str(label["name"]) for label in record.spec["labels"]][:TASKS_DRAWN]
    features, shown = heads.shape[3], survivors(record.groups)
    width = max(0.26 * features, 2.4) + 0.09 * max(map(len, names)) + 1.6
    figure, axes = _panels(
        len(shown), width, max(0.24 * len(names), 1.2) + 1.0, sharey=False
    )
    for ax, one in zip(axes, shown, strict=True):
        weights = np.abs(heads[one.row]).max(2)
        order = np.argsort(-weights.sum(0))
        heat(ax, _relative(weights[: len(names), order]))
        ax.set(aspect="auto", xlabel="feature, most used first")
        rows = zip(names, scores[one.row], strict=False)
        ax.set_yticks(
            np.arange(len(names)) + 0.5,
            labels=[f"{name} ({fixed(float(score))})" for name, score in rows],
        )
        ax.set_xticks([])
        ax.set_title(one.title, color=one.colour)
    return figure


def draw_usage(record: Record) -> Figure | None:
    """Features have no order across seeds: in each the largest come first.

    Args:
      record: the run.

    Returns:
      The figure; None where the run lacks usages, or every seed failed.
    """
    if _nothing(record, "usage"):
        return None
    groups, usage = record.groups, record.arrays["usage"]
    features = usage.shape[2]
    figure, axes = _panels(len(groups), min(max(0.26 * features, 3.2) + 0.6, 6.6), 3.2)
    x = np.arange(1, features + 1)
    for ax, (group, colour), seeds in zip(axes, coloured(groups), usage, strict=True):
        shares = -np.sort(-_usable(group, seeds), axis=1)
        if len(shares):
            ax.bar(x, shares.mean(0), color=colour, alpha=0.45, label="mean of seeds")
            ax.plot(x, shares.T, ".", color=colour, ms=4)
        else:
            _say_failed(ax)
        ax.axhline(1 / features, color=INK, lw=1.2, ls="--")
        ax.set_title(group.label, color=colour, fontweight="bold")
        ax.set(xlabel="feature, most used first", xlim=(0.3, features + 0.7))
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.grid(axis="y")
        ax.set_axisbelow(True)
    axes[0].set(ylabel="share of all weight", ylim=(0, None))
    return figure


def _penalties(groups: list[Group]) -> list[str]:
    """Those that differ between points, if they and nothing else tell points apart."""
    names = [n for n in PENALTIES if n in swept([g.hyper for g in groups])]
    places = {tuple(g.hyper[n] for n in names) for g in groups}
    return names if len(places) == len(groups) else []


def _draw_cells(ax: Axes, groups: list[Group], score: Score) -> None:
    """Mean and deviation at every alpha (across) and beta (upwards) that was run."""
    across, up = (sorted({g.hyper[n] for g in groups}) for n in PENALTIES)
    missing = {(i, j) for i in range(len(up)) for j in range(len(across))}
    means = np.full((len(up), len(across)), np.nan)
    for group in groups:
        i, j = up.index(group.hyper["beta"]), across.index(group.hyper["alpha"])
        mean = moments(group, score.name)[0]
        means[i, j] = mean
        missing.remove((i, j))
        words = "failed" if group.failed.all() else in_words(group, score.name)
        cell = ax.text(j + 0.5, i + 0.5, words, ha="center", va="center", fontsize=10)
        bright = "white" if mean > 0.45 else INK
        cell.set_color(WRONG if group.failed.all() else bright)
    shades: Any = {"cmap": SHADES, "vmin": 0, "vmax": 1, "edgecolors": RULE, "lw": 0.8}
    ax.pcolormesh(np.ma.masked_invalid(means), **shades)
    for i, j in missing:
        ax.add_patch(Rectangle((j, i), 1, 1, fill=False, ec=RULE, hatch="///", lw=0.8))
    ax.set_title(title(score), fontweight="bold")
    ax.set(xlabel="alpha", ylabel="beta", xlim=(0, len(across)), ylim=(0, len(up)))
    ax.set_xticks(np.arange(len(across)) + 0.5, labels=map(setting, across))
    ax.set_yticks(np.arange(len(up)) + 0.5, labels=map(setting, up))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _draw_line(ax: Axes, groups: list[Group], name: str, score: Score) -> None:
    """Mean, deviation and seeds at every value of the one penalty that differs."""
    groups = sorted(groups, key=lambda g: float(g.hyper[name]))
    mean, std = np.array([moments(g, score.name) for g in groups]).T
    look: Any = {"color": COLOURS[0], "fmt": "-o", "lw": 2, "capsize": 4}
    ax.errorbar(range(len(groups)), mean, np.nan_to_num(std), **look)
    for x, group in enumerate(groups):
        values = alive(group, score.name)
        ax.plot(np.full(values.size, x), values, ".", color=COLOURS[0], alpha=0.5)
    dress(ax, score)
    ax.set_xticks(range(len(groups)), labels=[setting(g.hyper[name]) for g in groups])
    ax.set(xlabel=name, xlim=(-0.4, len(groups) - 0.6))
    ax.yaxis.set_major_formatter(FuncFormatter(tick))


def draw_grid(record: Record) -> Figure | None:
    """A panel per score: at every pair of penalties, or along the one that differs.

    Args:
      record: the run.

    Returns:
      The figure; None where other settings differ between points, or there is no score.
    """
    groups = record.groups
    names = _penalties(groups)
    scores = [s for s in GRID_SCORES if any(alive(g, s.name).size for g in groups)]
    if not names or not scores:
        return None
    if len(names) == 1:
        width = max(0.6 * len(groups) + 1.0, 3.6)
        figure, axes = _panels(len(scores), width, 3.2, sharey=False)
        for ax, score in zip(axes, scores, strict=True):
            _draw_line(ax, groups, names[0], score)
        return figure
    across, up = (len({g.hyper[n] for g in groups}) for n in PENALTIES)
    if len(groups) < min(across * up, 3):
        return None  # two cells at a diagonal say no more than the table
    width, height = 1.35 * across + 0.9, 0.65 * up + 1.0
    figure, axes = _panels(len(scores), width, height, sharey=False)
    for ax, score in zip(axes, scores, strict=True):
        _draw_cells(ax, groups, score)
    return figure


def _draw_shots(
    ax: Axes, group: Group, heads: list[str], shots: list[int], few: Seeds
) -> None:
    """Every seed thin, their mean bold, one sample deviation as a band."""
    steps = np.arange(len(shots))
    if not len(_usable(group, few)):
        _say_failed(ax)
    for k, head in enumerate(heads):
        colour = COLOURS[k % len(COLOURS)]
        one = group._replace(label=head, steps=steps, curves={head: few[:, k]})
        draw_alive(ax, one, head, colour, 0.3)
    ax.set_title(group.label, fontweight="bold")
    ax.set_xticks(steps, labels=map(str, shots))
    ax.set(xlabel="shots", xlim=(-0.25, len(steps) - 0.75))
    ax.grid(axis="y")


def draw_few_shot(record: Record) -> Figure | None:
    """A panel per point, and the same raw observations in all of them.

    Args:
      record: the run.

    Returns:
      The figure; None where the run lacks its scores by shots, or every seed failed.
    """
    if _nothing(record, "few_shot") or _nothing(record, "shots"):
        return None
    groups, shots = record.groups, record.arrays["shots"].tolist()
    heads = [h for h in HEADS if few_shot_name(h, shots[0]) in record.scores]
    raw_heads = [h for h in HEADS if raw_name(h, shots[0]) in record.scores]
    raw = record.arrays["raw"] if raw_heads else np.empty((0, len(shots)))
    figure, axes = _panels(len(groups), min(max(0.8 * len(shots), 2.4) + 1, 6), 3.6)
    for ax, group, few in zip(axes, groups, record.arrays["few_shot"], strict=True):
        _draw_shots(ax, group, heads, shots, few)
        for k, (head, scores) in enumerate(zip(raw_heads, raw, strict=True)):
            look = RAW[k % len(RAW)] | ({"marker": "o"} if len(shots) == 1 else {})
            ax.plot(scores, lw=1.8, label=f"raw, {head}", **look)
    low, high = axes[0].get_ylim()
    below = f", not shown below {number(LOWEST)}" if low < LOWEST < high else ""
    axes[0].set_ylabel(f"{record.scores['score'].title}{below}")
    axes[0].set_ylim(LOWEST if below else low, high)
    for line in (line for ax in axes for line in ax.lines):
        line.set_clip_on(True)  # what is not shown must not take room either
    entries = [ax.get_legend_handles_labels() for ax in axes]
    lines, names = max(entries, key=lambda entry: len(entry[1]))
    figure.legend(lines, names, loc="outside right upper")
    return figure
