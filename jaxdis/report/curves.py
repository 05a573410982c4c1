"""What every run has: its curves over training and its scores at the end."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxdis.report.averages import in_words
from jaxdis.report.kit import (
    COLOURS,
    FAINT,
    NONE,
    WRONG,
    Span,
    coloured,
    draw_alive,
    draw_failed,
    dress,
)
from jaxdis.report.read import Group, Record, alive, finite, mean_std
from jaxdis.report.text import tick
from jaxdis.types import Figure as Picture
from jaxdis.types import Score

__all__ = ["CURVES", "LOSS", "draw_curves", "draw_seeds"]

SCORES_DRAWN = 5
LOSS = Score("loss", "Training loss", "lower")


def _limit(ax: Axes, groups: list[Group], score: Score) -> None:
    """Keeps to seeds that did not fail; logarithmic where early values flatten late."""
    metric = score.name
    if score.better == "higher" and score.range[1] == 1.0:
        values = finite([g.curves[metric] for g in groups])
        ax.set_ylim(values.min(initial=0.9) - 0.02, 1.01)
        return
    sizes = np.abs(finite([g.curves[metric][~g.failed] for g in groups]))
    if score.range[0] == 0.0 and sizes.size and sizes.max() > 100 * sizes.min() > 0:
        ax.set_yscale("log")
    elif sizes.size and sizes.max() > 20 * np.median(sizes):
        unit = max(np.median(sizes), 1e-8 * sizes.max())
        unit = 10.0 ** math.ceil(math.log10(unit) - 0.3)
        ax.set_yscale("symlog", linthresh=unit)
        note = f"linear up to {tick(unit)}, logarithmic beyond"
        ax.set_ylabel(note, fontsize=9, color=FAINT)
    if sizes.size:
        ax.set_ylim(ax.get_ylim())


def _draw_curve(ax: Axes, groups: list[Group], score: Score) -> None:
    metric = score.name
    drawn = [(g, c) for g, c in coloured(groups) if metric in g.curves]
    for group, colour in drawn:
        draw_alive(ax, group, metric, colour, max(0.15, 0.5 / math.sqrt(len(groups))))
    # Failed seeds come after the limits, so that what exploded hides nothing.
    _limit(ax, [g for g, _ in drawn], score)
    for group, colour in drawn:
        draw_failed(ax, group, metric, colour)
    # A line through one step is a dot, which the rim would cut in half.
    room = 1.05 if all(len(g.steps) == 1 for g, _ in drawn) else 1.0
    last = max(g.steps[-1] for g, _ in drawn if len(g.steps))
    ax.set(xlabel="step", xlim=(0, room * last))
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(tick))
    dress(ax, score)


def _logged(record: Record) -> list[Score]:
    """The first two scores that were logged between chunks, and the training loss."""
    logged = {name for group in record.groups for name in group.curves}
    scores = [s for s in record.scores.values() if s.name in logged][:2]
    return scores + [LOSS] * ("loss" in logged)


def draw_curves(record: Record) -> Figure | None:
    """Every seed thin, their mean bold, one standard deviation as a band."""
    groups, scores = record.groups, _logged(record)
    if not scores:
        return None
    # Three get little more room than two, or their labels were small on the page.
    figure = Figure(figsize=(min(6.6 * len(scores), 14.4), 4.4))
    axes = figure.subplots(1, len(scores), squeeze=False)[0]
    for ax, score in zip(axes, scores, strict=True):
        _draw_curve(ax, groups, score)
    lines, names = axes[0].get_legend_handles_labels()
    place: Any = "outside right upper" if groups[0].label else "outside lower left"
    if names:
        figure.legend(lines, names, loc=place)
    if any(len(g.seeds) > 1 for g in groups):
        # Where the legend is not.
        write = figure.supxlabel if groups[0].label else figure.suptitle
        note = "thin: seeds, bold: mean, band: ± 1 sample std"
        write(note, x=0.995, ha="right", fontsize=9, color=FAINT)
    return figure


def _draw_dots(ax: Axes, group: Group, metric: str, span: Span, colour: str) -> None:
    """Seeds as dots below one another, mean and deviation over the span."""
    n = len(group.seeds)
    heights = span[0] + (span[1] - span[0]) * (np.arange(n) + 0.5) / n
    # A failed seed beyond the others is marked at the rim.
    values, failed = np.clip(group.final[metric], *ax.get_xlim()), group.failed
    mean, std = mean_std(alive(group, metric))
    if math.isfinite(std):
        ax.fill_betweenx(span, mean - std, mean + std, color=colour, alpha=0.18, lw=0)
        ax.vlines(mean, *span, color=colour, lw=2)
    ax.plot(values[~failed], heights[~failed], "o", color=colour, ms=7, mec="white")
    if failed.any():
        (crosses,) = ax.plot(values[failed], heights[failed], "x", ms=7, mew=2)
        crosses.set(color=WRONG, clip_on=False)


def _draw_column(
    ax: Axes, groups: list[Group], score: Score, spans: list[Span]
) -> None:
    metric = score.name
    every = finite([g.final.get(metric, NONE) for g in groups])
    values = finite([alive(g, metric) for g in groups])
    values = values if values.size else every
    if values.size:
        low, high = values.min(), values.max()
        margin = 0.12 * (high - low) or 0.05 * abs(high) or 0.05
        ax.set_xlim(low - margin, high + margin)
    for (group, colour), span in zip(coloured(groups), spans, strict=True):
        if metric in group.final:
            _draw_dots(ax, group, metric, span, colour)
    if len(groups) == 1:
        ax.set_xlabel(in_words(groups[0], metric), color=COLOURS[0])
    whole = bool((values == np.round(values)).all())
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=whole, min_n_ticks=1))
    dress(ax, score)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0, pad=9)


def draw_seeds(record: Record) -> Figure | None:
    """A dot per seed, a column per score; a line per seed, or per point of a grid."""
    groups = record.groups
    scores = [
        score
        for name, score in record.scores.items()
        if finite([group.final.get(name, NONE) for group in groups]).size
    ][:SCORES_DRAWN]
    if not scores:
        return None
    if len(groups) == 1:
        labels = [f"seed {s}" for s in groups[0].seeds]
        spans, height = [(-0.5, len(labels) - 0.5)], 0.3
    else:
        labels = [g.label for g in groups]
        spans, height = [(y - 0.36, y + 0.36) for y in range(len(groups))], 0.8
    figure = Figure(figsize=(1.2 + 2.85 * len(scores), height * len(labels) + 1.3))
    axes = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for ax, score in zip(axes, scores, strict=True):
        _draw_column(ax, groups, score, spans)
    axes[0].set_ylim(len(labels) - 0.5, -0.5)
    axes[0].set_yticks(range(len(labels)), labels=labels)
    for row in np.flatnonzero(groups[0].failed) if len(groups) == 1 else ():
        axes[0].get_yticklabels()[row].set_color(WRONG)
    return figure


CURVES = (
    Picture(
        "curves",
        "Over training. Dashed: failed seeds, a cross where they were last seen.",
        draw_curves,
    ),
    Picture(
        "seeds",
        "At the end. Line and band: mean ± sample standard deviation. Crosses: failed "
        "seeds, moved to the rim where they are out of range.",
        draw_seeds,
    ),
)
