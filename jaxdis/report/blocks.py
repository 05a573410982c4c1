"""Pictures of what theory promises: matrices, the pattern and its blocks, and codes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxdis.identifiability import Promise, unpromised
from jaxdis.identifiability.promises import block_sizes
from jaxdis.report.choice import points_shown
from jaxdis.report.kit import (
    COLOURS,
    blocks,
    heat,
    name_panel,
    name_ticks,
    number_axes,
    ranked,
    shade_bar,
)
from jaxdis.report.promised import AXES, Given, known, reached
from jaxdis.report.read import Record
from jaxdis.report.text import fixed

__all__ = ["draw_given", "draw_promised"]

KEY = "dark: its own code, light: may be mixed in"
OWN, MIXED = 1.0, 0.3  # shades of a latent's own code, and of what it may depend on
SIDE = 3.6  # of a square panel, in inches
NARROW = 0.45  # the least width of a panel, to that
WIDE = 3.0  # columns to rows, or rows to columns, beyond which cells are no squares


def _in_blocks(promise: Promise) -> Int[np.ndarray, "z"]:
    """Latents one block after the other, the unpromised ones last.

    Within a block those come first that may be mixed with fewer, next to those that
    are mixed with the same.
    """
    pattern, free = promise.pattern, unpromised(promise.pattern)
    parts = sorted(promise.partition, key=lambda block: (bool(free[block[0]]), block))
    size, first = pattern.sum(1), np.argmax(pattern & pattern.T, 1)
    return np.array(
        [
            i
            for block in parts
            for i in sorted(block, key=lambda i: (size[i], first[i], i))
        ]
    )


def _outline(ax: Axes, promise: Promise) -> None:
    """Frames around the blocks of a matrix in the order of `_in_blocks`."""
    order, free = _in_blocks(promise), unpromised(promise.pattern)
    place = {int(latent): i for i, latent in enumerate(order)}
    for block in promise.partition:
        if free[block[0]]:
            continue
        corner, size = min(place[i] for i in block), len(block)
        frame = Rectangle((corner, corner), size, size, fill=False, zorder=4)
        frame.set(edgecolor=COLOURS[1], linewidth=2.2, joinstyle="miter")
        frame.set_clip_on(False)
        ax.add_patch(frame)


def _name_latents(
    ax: Axes, order: Int[np.ndarray, "z"], words: tuple[str, str], names: Sequence[str]
) -> None:
    number_axes(ax, *words)
    named = len(names) == len(order)
    labels = [names[i] if named else str(i) for i in order]
    for axis in (ax.xaxis, ax.yaxis):
        shown = axis.get_ticklocs()
        axis.set_ticks(shown, labels=[labels[int(tick)] for tick in shown])
    if named:
        ax.xaxis.set_tick_params(labelrotation=90)


def _draw_pattern(ax: Axes, promise: Promise, names: Sequence[str] = ()) -> None:
    """Own codes dark, what may be mixed light; blocks framed."""
    order = _in_blocks(promise)
    shades = np.where(np.eye(len(order)) == 1, OWN, MIXED * promise.pattern)
    heat(ax, shades[order][:, order], highest=-1.0)
    _outline(ax, promise)
    _name_latents(ax, order, ("code of latent", "may depend on latent"), names)


def _draw_matrix(
    ax: Axes, matrix: Bool[np.ndarray, "r c"], axes: tuple[str, str], names: Any
) -> None:
    heat(ax, matrix.astype(float), highest=-1.0)
    number_axes(ax, *axes)
    for axis, word, count in zip((ax.yaxis, ax.xaxis), axes, matrix.shape, strict=True):
        name_ticks(axis, names.get(word.split()[-1], ()), count)
    if max(matrix.shape) > WIDE * min(matrix.shape):
        ax.set_aspect("auto")


def _width(matrix: Bool[np.ndarray, "r c"]) -> float:
    """Of its panel, to that of a square one."""
    rows, columns = matrix.shape
    return min(1.0, max(NARROW, columns / rows))


def draw_given(every: Sequence[Given], names: Mapping[str, Sequence[str]]) -> Figure:
    """Each matrix that theory was asked about, and its answer beside it.

    Args:
      every: the answers, a row each.
      names: what rows and columns are called, by the last word of `AXES`.
    """
    columns = 1 + max(len(one.matrices) for one in every)
    widths = [[_width(m) for m in one.matrices.values()] for one in every]
    shares = [max(w[i] for w in widths if i < len(w)) for i in range(columns - 1)]
    ratios = [*shares, 1.0]
    size = (SIDE * sum(ratios) + 0.6, (SIDE + 0.7) * len(every))
    figure = Figure(figsize=size)
    axes = figure.subplots(len(every), columns, squeeze=False, width_ratios=ratios)
    for row, one in zip(axes, every, strict=True):
        for ax, (name, matrix) in zip(row, one.matrices.items(), strict=False):
            _draw_matrix(ax, matrix, AXES[name], names)
            name_panel(ax, name, f"{int(matrix.sum())} of {matrix.size} entries")
        for ax in row[len(one.matrices) :]:
            ax.set_axis_off()
        last = row[len(one.matrices)]
        last.set_axis_on()
        _draw_pattern(last, one.promise, names.get("latent", ()))
        name_panel(last, _title(one.promise), KEY)
    return figure


def _title(promise: Promise) -> str:
    """The title of a pattern."""
    nothing = promise.pattern.all() and len(promise.pattern) > 1
    return "promised: " + ("nothing" if nothing else block_sizes(promise))


def _outside(matrix: Float[np.ndarray, "z z"], promise: Promise) -> str:
    """The largest entry that was promised to vanish."""
    if promise.pattern.all():
        return ""
    return f"largest outside the pattern {fixed(float(matrix[~promise.pattern].max()))}"


def _draw_reached(ax: Axes, record: Record, point: int, promise: Promise) -> None:
    """Correlations of true latents with their codes, in the order of the blocks."""
    every, group = record.arrays["correlation"], record.groups[point]
    size, order = len(promise.pattern), _in_blocks(promise)
    scores = reached(record, point)
    rows = ranked(group, every[point], ())
    fits = every.shape[2:] == (size, size)
    if not rows or not fits:
        ax.set_axis_off()
        why = "every seed failed" if fits else "other latents were measured"
        return name_panel(ax, "reached", why, bad=True)
    mean = every[point][rows].mean(0)
    heat(ax, mean[order][:, order], highest=1.0)
    _outline(ax, promise)
    _name_latents(ax, order, ("true latent", "matched code"), ())
    name_panel(
        ax, f"reached: {scores}" if scores else "reached", _outside(mean, promise)
    )
    return None


def draw_promised(record: Record) -> Figure | None:
    """The pattern that theory promises beside the correlations that were measured.

    Args:
      record: a run, finished or not; None is drawn where no graph, supports or mask of
        its data are known.
    """
    every, points = known(record), points_shown(record)
    if not every:
        return None
    groups = [record.groups[p] for p in points]
    measured = "correlation" in record.arrays
    width, columns = (2 * SIDE + 1.6, 2) if measured else (SIDE + 0.6, 1)
    figure, parts = blocks(groups, width, (SIDE + 0.7) * len(every))
    for point, part in zip(points, parts, strict=True):
        axes = part.subplots(len(every), columns, squeeze=False)
        for row, one in zip(axes, every, strict=True):
            _draw_pattern(row[0], one.promise)
            note = "; these data break what it assumes" * bool(
                record.spec.get("breaks")
            )
            name_panel(row[0], _title(one.promise), f"by the {one.name}{note}")
            if measured:
                _draw_reached(row[1], record, point, one.promise)
        if measured:
            shade_bar(part, axes, "absolute correlation")
    return figure
