"""Which seeds agree with which."""

import math

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdis import metrics
from jaxdis.report.kit import FAINT, WRONG, coloured, heat, name_panel, shade_bar
from jaxdis.report.read import Group, Record, udr
from jaxdis.report.text import fixed

__all__ = ["draw_agreement"]

WIDE = 4  # grid points beside one another


def _order(group: Group, pairs: Float[np.ndarray, "s s"]) -> np.ndarray:
    """Rows of the seeds that lived, those that agree most with the others first."""
    value = group.final.get(metrics.AGREEMENT.name, np.zeros(len(pairs)))
    order = np.argsort(-np.where(np.isfinite(value), value, -1.0), kind="stable")
    return order[np.isfinite(pairs[order, order]) & ~group.failed[order]]


def _draw_point(
    ax: Axes, group: Group, pairs: Float[np.ndarray, "s s"], udr: float, colour: str
) -> None:
    """A matrix of the seeds in order, and the agreement of each beside it."""
    rows = _order(group, pairs)
    if len(rows) < 2:
        ax.set_axis_off()
        words = "fewer than two seeds did not fail"
        return name_panel(ax, group.label or "agreement", words, bad=True)
    matrix = pairs[np.ix_(rows, rows)].copy()
    np.fill_diagonal(matrix, np.nan)  # of a seed with itself: it says nothing
    heat(ax, matrix, highest=1.0, lowest=0.0)
    labels = [str(group.seeds[i]) for i in rows]
    every = np.arange(0, len(rows), 1 + len(rows) // 24)
    names = [labels[i] for i in every]
    ax.set_xticks(every + 0.5, labels=names, fontsize=8)
    ax.set_yticks(every + 0.5, labels=names, fontsize=8)
    ax.tick_params(length=0, pad=2)
    ax.set_xlabel("seed", fontsize=10, labelpad=3)
    ax.set_ylabel("seed", fontsize=10, labelpad=3)
    values = group.final.get(metrics.AGREEMENT.name)
    for place in every:
        value = "" if values is None else fixed(float(values[rows[place]]))
        word = ax.text(len(rows) + 0.15, place + 0.5, value, va="center", fontsize=8)
        word.set_color(FAINT)
    name_panel(ax, group.label or "agreement of pairs", f"UDR {fixed(udr)}")
    if group.label:
        ax.set_title(group.label, fontsize=11, pad=17, color=colour)
    if group.failed.any():
        lost = ", ".join(str(group.seeds[i]) for i in np.flatnonzero(group.failed))
        ax.set_xlabel(f"seed; without {lost}: failed", color=WRONG, fontsize=10)


def draw_agreement(record: Record) -> Figure | None:
    """Pairs of seeds, in the order of their agreement; a matrix per grid point.

    Args:
      record: a run with the array "agreement" `[point, seed, peer]`; None is drawn of
        others.
    """
    every, groups = record.arrays.get("agreement"), record.groups
    if every is None or not any(np.isfinite(p).sum() > 1 for p in every):
        return None
    columns = min(len(groups), WIDE)
    rows = math.ceil(len(groups) / columns)
    side = min(1.6 + 0.18 * len(groups[0].seeds), 4.2)
    figure = Figure(
        figsize=(max((side + 0.9) * columns + 0.9, 4.4), (side + 0.9) * rows)
    )
    (part,) = figure.subfigures(1, 1, squeeze=False).ravel()
    axes = part.subplots(rows, columns, squeeze=False)
    points = zip(axes.ravel(), coloured(groups), every, udr(record), strict=False)
    for ax, (group, colour), pairs, value in points:
        _draw_point(ax, group, pairs, float(value), colour)
    for ax in axes.ravel()[len(groups) :]:
        ax.set_axis_off()
    shade_bar(part, axes, "mean correlation of matched codes")
    return figure
