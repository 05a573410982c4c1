"""What speaks for which point of a grid, where the true latents are not known."""

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdis import metrics, statistics
from jaxdis.report.choice import Choice, choose, judged_by
from jaxdis.report.kit import COLOURS, FAINT, RULE, dress
from jaxdis.report.read import Group, Record, finite, lived, swept
from jaxdis.report.text import setting
from jaxdis.types import Score

__all__ = ["draw_choice"]

CHOSEN = COLOURS[2]


def _places(record: Record) -> tuple[list[int], list[str], str]:
    """Points from left to right, how they are called, and what their axis is.

    By the value of what is swept, if that is one hyper-parameter; evenly spaced, as
    values may differ by powers of ten.
    """
    hypers = [group.hyper for group in record.groups]
    names = swept(hypers)
    if len(names) != 1:
        return list(range(len(hypers))), [g.label for g in record.groups], ""
    values = [float(hyper[names[0]]) for hyper in hypers]
    order = np.argsort(values, kind="stable").tolist()
    return order, [setting(values[i]) for i in order], names[0]


def _draw_seeds(ax: Axes, groups: list[Group], name: str) -> None:
    for place, group in enumerate(groups):
        values = finite([lived(group, name)])
        ax.plot(np.full(len(values), place), values, "o", ms=3.5, c=FAINT, alpha=0.45)


def _draw_means(ax: Axes, groups: list[Group], score: Score) -> None:
    """Mean and standard error, with every seed."""
    _draw_seeds(ax, groups, score.name)
    values = [lived(g, score.name) for g in groups]
    mean, error = statistics.mean(values), statistics.standard_error(values)
    look: Any = {"color": COLOURS[0], "lw": 2, "marker": "o", "capsize": 4}
    ax.errorbar(range(len(groups)), mean, np.nan_to_num(error), **look)
    dress(ax, score)


def _draw_udr(ax: Axes, groups: list[Group], udr: Float[np.ndarray, "p"]) -> None:
    if all(metrics.AGREEMENT.name in group.final for group in groups):
        _draw_seeds(ax, groups, metrics.AGREEMENT.name)
    ax.plot(range(len(groups)), udr, "o-", color=COLOURS[1], lw=2)
    dress(ax, metrics.UDR)


def _scale(ax: Axes) -> None:
    """Numbers in full; differences of less than a twentieth are not blown up."""
    low, high = ax.get_ylim()
    middle, least = (low + high) / 2, 0.05 * max(abs(low), abs(high))
    if high - low < least:
        ax.set_ylim(middle - least / 2, middle + least / 2)
    ax.ticklabel_format(axis="y", style="plain", useOffset=False)


def _mark(ax: Axes, choice: Choice, order: list[int]) -> None:
    """The points that are as good as the best, and the one to take."""
    for place, point in enumerate(order):
        if point in choice.near and len(choice.near) > 1:
            ax.axvspan(place - 0.42, place + 0.42, color=RULE, alpha=0.45, lw=0)
    place = order.index(choice.point)
    ax.axvline(place, color=CHOSEN, lw=1.6, ls="--", zorder=1)


def draw_choice(record: Record) -> Figure | None:
    """Held-out objective and agreement of seeds by point; the truth, where known.

    Args:
      record: a run; None is drawn of a single point, or without a held-out objective.
    """
    choice = choose(record)
    if choice is None:
        return None
    order, labels, swept_name = _places(record)
    groups = [record.groups[i] for i in order]
    truth = judged_by(record)
    agreed = bool(np.isfinite(choice.udr).any())
    width = min(max(4.6, 1.2 + 0.55 * len(groups)), 9.0)
    count = 1 + agreed + (truth is not None)
    figure = Figure(figsize=(width * count, 4.2))
    axes = figure.subplots(1, count, squeeze=False)[0].tolist()
    for ax in axes:
        _mark(ax, choice, order)
    _draw_means(axes[0], groups, choice.score)
    axes[0].set_title(axes[0].get_title("left") + ", held out", fontweight="bold")
    if agreed:
        _draw_udr(axes[1], groups, choice.udr[order])
    if truth is not None:
        _draw_means(axes[-1], groups, truth)
    turned: Any = {"rotation": 30, "ha": "right"} if not swept_name else {}
    shown = range(0, len(groups), 1 + len(groups) // 16)
    for ax in axes:
        _scale(ax)
        ax.set_xlim(-0.6, len(groups) - 0.4)
        ax.set_xticks(shown, labels=[labels[i] for i in shown], fontsize=9, **turned)
        ax.set_xlabel(swept_name)
    label = record.groups[choice.point].label
    figure.suptitle(
        f"dashed: take {label}", x=0.995, ha="right", fontsize=10, color=CHOSEN
    )
    return figure
