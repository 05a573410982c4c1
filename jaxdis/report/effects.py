"""What the decoder makes of each code, of the seed that agrees most."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdis import metrics
from jaxdis.report.choice import points_shown
from jaxdis.report.frames import BLOCK_GAP, mosaic
from jaxdis.report.kit import (
    FAINT,
    blocks,
    coloured,
    heat,
    name_panel,
    name_ticks,
    number_axes,
    shade_bar,
)
from jaxdis.report.read import Group, Record, lived, most_agreed

__all__ = ["draw_traversals"]

TALL = 3.0  # rows to columns, beyond which cells are no squares


def _seed(group: Group) -> str:
    """The seed that is shown, as `experiment.codes` chose it."""
    row = most_agreed(lived(group, metrics.AGREEMENT.name), group.failed)
    return "" if row is None else f"seed {group.seeds[row]}"


def _draw_effects(record: Record, effects: np.ndarray) -> Figure:
    """Observed variables in rows, codes in columns."""
    codes, observed = effects.shape[1:]
    cell = min(0.36, 6.0 / observed, 9.0 / codes)
    points = points_shown(record)
    groups = [record.groups[p] for p in points]
    wide, high = max(cell * codes, 1.6) + 2.0, max(cell * observed, 1.2) + 1.4
    figure, parts = blocks(groups, wide, high)
    names = record.results.get("columns") or []
    for part, group, matrix in zip(parts, groups, effects[points], strict=True):
        ax = part.subplots()
        largest = float(np.nanmax(matrix, initial=0.0)) or 1.0
        heat(ax, matrix.T / largest)
        number_axes(ax, "observed variable", "code")
        name_ticks(ax.yaxis, names, observed)
        if max(matrix.shape) > TALL * min(matrix.shape):
            ax.set_aspect("auto")
        name_panel(ax, _seed(group), f"darkest: {largest:.2g} deviations")
        shade_bar(part, ax, "of the darkest")
    return figure


def _draw_images(groups: list[Group], images: np.ndarray, walked: np.ndarray) -> Figure:
    """A row per code, from low to high."""
    points, codes, values = images.shape[:3]
    tiles = images.reshape(points * codes, *images.shape[2:]) / 255.0
    canvas, y, x = mosaic(tiles, {codes: BLOCK_GAP}, {values: 0})
    scale = 9.0 / canvas.shape[1]
    figure = Figure(figsize=(9.0 + 0.9, canvas.shape[0] * scale + 0.7))
    ax: Axes = figure.subplots()
    ax.imshow(canvas, interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.set_yticks(y, labels=[f"code {c}" for c in walked.ravel()], fontsize=8)
    ends = (x[0], x[len(x) // 2], x[-1])
    ax.set_xticks(ends, labels=["−2 std", "mean", "+2 std"], fontsize=9)
    ax.tick_params(length=0, pad=4)
    for point, (group, colour) in enumerate(coloured(groups)):
        name = ", ".join(filter(None, [group.label, _seed(group)]))
        top = y[point * codes] - (y[1] - y[0] if len(y) > 1 else 60) * 0.55
        word = ax.text(-2, top, name, fontsize=9, va="bottom")
        word.set_color(colour if group.label else FAINT)
    return figure


def draw_traversals(record: Record) -> Figure | None:
    """How observations change as one code moves and the others stay.

    Args:
      record: a run with one of the arrays "code_effects" and "code_images"; None is
        drawn of others.
    """
    arrays = record.arrays
    if (effects := arrays.get("code_effects")) is not None:
        return _draw_effects(record, effects)
    if (images := arrays.get("code_images")) is not None:
        points = points_shown(record)
        groups = [record.groups[p] for p in points]
        return _draw_images(groups, images[points], arrays["code_walked"][points])
    return None
