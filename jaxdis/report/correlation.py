"""Correlations of true latents with the codes that are matched to them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdis.report.kit import (
    INK,
    WRONG,
    Seeds,
    blocks,
    heat,
    name_panel,
    number_axes,
    ranked,
    shade_bar,
)
from jaxdis.report.read import Group, Record, alive, counted, moments
from jaxdis.report.text import fixed, plus_minus

__all__ = ["draw_correlation"]

SEEDS_DRAWN = 16  # matrices of one grid point


def _mean(group: Group) -> str:
    return f"MCC {plus_minus(moments(group, 'mcc'))}{counted(group, 'mcc')}"


def _draw_mean(ax: Axes, group: Group, matrices: Seeds) -> None:
    rows = ranked(group, matrices, ())
    if not rows:
        ax.set_axis_off()
        return name_panel(ax, "correlation of latents", "every seed failed", bad=True)
    heat(ax, matrices[rows].mean(0), highest=1.0)
    number_axes(ax, "true latent", "matched code")
    name = f"mean of {len(rows)} seeds" if len(rows) > 1 else "correlation of latents"
    known = alive(group, "mcc").size > 0
    name_panel(ax, name, _mean(group) if known else "")


def _draw_seed(ax: Axes, group: Group, matrices: Seeds, row: int) -> None:
    heat(ax, matrices[row])
    bad = bool(group.failed[row])
    value = float(group.final["mcc"][row]) if "mcc" in group.final else np.nan
    mcc = f"  {fixed(value)}" if np.isfinite(value) else ""
    name = f"seed {group.seeds[row]}{' failed' if bad else mcc}"
    ax.set_title(name, fontsize=8.5, pad=3, color=WRONG if bad else INK)


def draw_correlation(record: Record) -> Figure | None:
    """Mean over seeds, and every seed as a small picture, one row per grid point.

    Args:
      record: a run with the array "correlation" `[point, seed, latent, code]`, and the
        score "mcc"; None is drawn of others.
    """
    correlation = record.arrays.get("correlation")
    if correlation is None:
        return None
    groups = record.groups
    seeds = min(len(groups[0].seeds), SEEDS_DRAWN)
    columns = (seeds + 1) // 2 if seeds > 1 else 0
    figure, parts = blocks(groups, 4.2 + 1.4 * columns, 3.9)
    for part, group, matrices in zip(parts, groups, correlation, strict=True):
        grid = part.add_gridspec(2, 2 + columns)
        axes = [part.add_subplot(grid[:, :2])]
        _draw_mean(axes[0], group, matrices)
        for row in range(seeds if columns else 0):
            if np.isfinite(matrices[row]).all():
                place = grid[row // columns, 2 + row % columns]
                axes.append(part.add_subplot(place))
                _draw_seed(axes[-1], group, matrices, row)
        shade_bar(part, axes, "absolute correlation")
    return figure
