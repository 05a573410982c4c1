"""Learned graphs and heads where no truth says which is right: where seeds agree."""

import itertools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure, SubFigure

from jaxdis.report.choice import points_shown
from jaxdis.report.kit import (
    Seeds,
    blocks,
    heat,
    name_panel,
    name_ticks,
    number_axes,
    ranked,
    shade_bar,
)
from jaxdis.report.read import Record
from jaxdis.report.text import fixed

__all__ = ["alike", "draw_structure", "in_order"]

LARGEST = 200  # rows or columns
PANELS = 4  # seeds that are shown one by one
TALL = 3.0  # rows to columns, beyond which cells are no squares


class _Array(NamedTuple):
    """One array: its values, its axes in words, and which of these number codes."""

    name: str
    values: np.ndarray
    axes: tuple[str, str]
    codes: tuple[bool, bool]


def _arrays(record: Record) -> list[_Array]:
    """Those that the method declares to be graphs or heads, as matrices of seeds.

    Of further axes, as that of classes, the largest entry counts. What has more rows
    than can be told apart, as the pixels of images, is left to the method.
    """
    results: dict[str, Any] = record.results
    codes, declared = set(results.get("codes") or ()), results.get("arrays", {})
    found = []
    for name in [*(results.get("graphs") or ()), *(results.get("heads") or ())]:
        words = str(declared.get(name, "")).split()
        if name not in record.arrays or words[:1] != ["seed"] or len(words) < 3:
            continue
        axes = (words[1], words[2])
        pair = (axes[0] in codes, axes[1] in codes)
        values = np.abs(record.arrays[name])
        values = values.max(tuple(range(4, values.ndim)))
        if max(values.shape[2:]) <= LARGEST:
            found.append(_Array(name, values, axes, pair))
    return found


def in_order(
    matrices: Seeds, order: Int[np.ndarray, "s k"], codes: tuple[bool, bool]
) -> Seeds:
    """Matrices of seeds with their codes in the order of one seed's.

    Args:
      matrices: one per seed.
      order: of each seed, which code matches each code of that one.
      codes: whether rows, and whether columns, are codes.
    """
    moved = []
    for matrix, own in zip(matrices, order, strict=True):
        rows = matrix[own] if codes[0] else matrix
        moved.append(rows[:, own] if codes[1] else rows)
    return np.stack(moved)


def alike(matrices: Seeds) -> float:
    """The median correlation of the entries of two seeds.

    NaN of fewer than two, and where entries are all alike up to a hundredth.
    """
    flat = matrices.reshape(len(matrices), -1)
    level = np.abs(flat).max(1, initial=0.0)
    flat = flat - flat.mean(1, keepdims=True)
    size = np.linalg.norm(flat, axis=1)
    size = np.where(flat.std(1) > 0.01 * level, size, 0.0)
    pairs = [
        float(flat[i] @ flat[j] / (size[i] * size[j]))
        for i, j in itertools.combinations(range(len(flat)), 2)
        if size[i] * size[j] > 0
    ]
    return float(np.median(pairs)) if pairs else float("nan")


def _order(record: Record, point: int, array: _Array) -> Int[np.ndarray, "s k"] | None:
    """The match of the codes, if the array is one of codes in their own order."""
    order = record.arrays.get("matched_codes")
    if order is None or not any(array.codes):
        return None
    sizes = [
        n
        for n, is_code in zip(array.values.shape[2:], array.codes, strict=True)
        if is_code
    ]
    return order[point] if set(sizes) == {order.shape[-1]} else None


def _shares(matrices: Seeds) -> Float[np.ndarray, "s m n"]:
    """Entries, of the largest of all seeds."""
    return matrices / (matrices.max(initial=0.0) or 1.0)


def _panels(
    record: Record, point: int, array: _Array
) -> dict[str, tuple[str, Float[np.ndarray, "m n"]]]:
    """What is drawn of a point: names, notes and matrices of numbers in [0, 1]."""
    group = record.groups[point]
    rows = ranked(group, array.values[point], ())
    order = _order(record, point, array)
    matched = order is not None and len(rows) > 1 and (order[rows] >= 0).all()
    shown = _shares(array.values[point][rows]) if rows else np.zeros((0, 1, 1))
    if not matched or order is None:
        return {
            f"seed {group.seeds[i]}": ("", shown[j])
            for j, i in enumerate(rows[:PANELS])
        }
    shown = in_order(shown, order[rows], array.codes)
    likeness = alike(shown)
    note = f"entries of two seeds correlate {fixed(likeness)}"
    note = note if np.isfinite(likeness) else ""
    return {
        f"mean of {len(rows)} seeds": (note, shown.mean(0)),
        "deviation over seeds": ("", shown.std(0, ddof=1)),
        f"seed {group.seeds[rows[0]]}": ("agrees most with the others", shown[0]),
    }


def _draw_array(
    part: SubFigure, axes: np.ndarray, record: Record, point: int, array: _Array
) -> None:
    panels = _panels(record, point, array)
    word, names = array.name.replace("_", " "), record.results.get("named_axes", {})
    for ax, (name, (note, matrix)) in zip(axes, panels.items(), strict=False):
        heat(ax, matrix, highest=0.9)
        name_panel(ax, name, note)
        number_axes(ax, array.axes[0], array.axes[1])
        name_ticks(ax.yaxis, names.get(array.axes[0], ()), len(matrix))
        name_ticks(ax.xaxis, names.get(array.axes[1], ()), matrix.shape[1])
        if max(matrix.shape) > TALL * min(matrix.shape):
            ax.set_aspect("auto")
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    if not panels:
        return name_panel(axes[0], word, "every seed failed", bad=True)
    axes[0].set_title(f"{word}: {axes[0].get_title('left')}", fontsize=11, pad=17)


def _height(rows: int, columns: int) -> float:
    """Of a row of panels, their titles included: flat matrices need less of it."""
    return 1.3 + 2.5 * min(max(rows / columns, 0.3), 1.0)


def draw_structure(record: Record) -> Figure | None:
    """Learned graphs and heads: their mean over seeds, and where seeds differ.

    The codes of every seed are put in the order of the seed that agrees most with the
    others, by their correlation with its codes. Arrays whose axes are not declared to
    be codes are shown seed by seed.

    Args:
      record: a run; None is drawn where it declares no graphs or heads, and where the
        true latents are known: pictures of the method compare with them.
    """
    arrays = _arrays(record)
    if not arrays or record.spec.get("z_dim"):
        return None
    points = points_shown(record)
    columns = max(1, *(len(_panels(record, p, a)) for p in points for a in arrays))
    rows, groups = len(arrays), [record.groups[p] for p in points]
    heights = [_height(*array.values.shape[2:]) for array in arrays]
    figure, parts = blocks(groups, 3.1 * columns + 1.0, sum(heights))
    for point, part in zip(points, parts, strict=True):
        axes = part.subplots(rows, columns, squeeze=False, height_ratios=heights)
        for some, array in zip(axes, arrays, strict=True):
            _draw_array(part, some, record, point, array)
        shade_bar(part, axes, "of the largest")
    return figure
