"""Pictures of a sparse mixing: its Jacobian, and its latents by domain."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from jaxdis.identifiability import SUPPORT_THRESHOLD
from jaxdis.metrics import MCC
from jaxdis.report.kit import (
    FAINT,
    INK,
    SHADES,
    WRONG,
    blocks,
    heat,
    name_panel,
    number_axes,
    ranked,
    shade_bar,
)
from jaxdis.report.read import Group, Record
from jaxdis.report.text import fixed
from jaxdis.systems.sparse_mixing.scores import RECONSTRUCTION, WRONG_ENTRIES

__all__ = ["density", "draw_jacobians", "draw_latents"]

POINTS_DRAWN = 8  # grid points whose latents are drawn
LATENTS_DRAWN = 8
OVERLAP = 1.7  # height of a density, of the distance to the next


class Seed(NamedTuple):
    """A row of the arrays of a grid point, and what it is called."""

    row: int
    name: str


def _chosen(group: Group, values: np.ndarray) -> list[Seed]:
    """The best seed by the truth and the one in the middle; of two both.

    Where it is not known, by the error of held-out rows.
    """
    known = [score for score in (WRONG_ENTRIES, MCC) if score.name in group.final]
    rows = ranked(group, values, known or (RECONSTRUCTION,))
    first = "best by truth" if known else "least error"
    if len(rows) < 2:
        return [Seed(i, f"seed {group.seeds[i]}") for i in rows]
    middle, word = (
        (rows[1], "other") if len(rows) == 2 else (rows[_mid(rows)], "median")
    )
    named = ((first, rows[0]), (word, middle))
    return [Seed(i, f"{word}: seed {group.seeds[i]}") for word, i in named]


def _mid(rows: list[int]) -> int:
    return len(rows) // 2


def _relative(jacobian: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """Every row, of its largest; one of zeros stays so."""
    largest = jacobian.max(1, keepdims=True)
    return jacobian / np.where(largest > 0, largest, 1.0)


def _outline(ax: Axes, cells: np.ndarray, colour: str, width: float) -> None:
    for i, j in np.argwhere(cells):
        cell = Rectangle((j, i), 1, 1, fill=False, ec=colour, lw=width, zorder=4)
        ax.add_patch(cell).set_clip_on(False)


def _matrix(ax: Axes, matrix: np.ndarray, columns: str) -> None:
    heat(ax, matrix, highest=1.0)
    number_axes(ax, "", columns)
    if len(matrix) > 3 * matrix.shape[1]:
        ax.set_aspect("auto")


def _draw_jacobian(
    ax: Axes, group: Group, seed: Seed, jacobian: np.ndarray, mask: np.ndarray | None
) -> None:
    """Entries of the mask outlined, those on the wrong side of the threshold, too."""
    matrix = _relative(jacobian)
    _matrix(ax, matrix, "latent" if mask is None else "matched latent")
    mcc = group.final.get(MCC.name)
    words = [] if mcc is None else [f"MCC {fixed(float(mcc[seed.row]))}"]
    bad = False
    if mask is not None:
        wrong = (matrix > SUPPORT_THRESHOLD) != mask
        _outline(ax, mask & ~wrong, INK, 1.6)
        _outline(ax, wrong, WRONG, 2.0)
        bad = bool(wrong.any())
        words += [f"{wrong.sum()} wrong"]
    name_panel(ax, seed.name, ", ".join(words), bad)


def _true_mask(record: Record) -> Bool[np.ndarray, "x z"] | None:
    """The mask in the record's spec, which must be as large as its Jacobians."""
    mask = (record.spec.get("truth") or {}).get("mask")
    if mask is None:
        return None
    mask, size = np.array(mask) > 0, record.arrays["jacobian"].shape[2:]
    if "true_latents" in record.arrays and mask.shape != size:
        got, wanted = (" x ".join(map(str, shape)) for shape in (size, mask.shape))
        raise ValueError(
            f"jacobian must be as large as the mask of results.json, {wanted}; got "
            f"{got}"
        )
    return mask


def _draw_point(
    part: SubFigure,
    group: Group,
    jacobians: Float[np.ndarray, "s x z"],
    mask: Bool[np.ndarray, "x z"] | None,
    matched: bool,
    names: Sequence[str],
) -> None:
    """The true mask, where it is known, and Jacobians of two seeds."""
    panels = min(len(group.seeds), 2) + (mask is not None)
    axes = part.subplots(1, panels, squeeze=False)[0]
    left = list(axes)
    if mask is not None:
        _matrix(left[0], mask.astype(float), "true latent")
        name_panel(left.pop(0), "true mask", f"{mask.sum()} entries")
    chosen = _chosen(group, jacobians)
    # Latents without a match have no order in which a mask could be compared.
    compared = mask if matched else None
    for ax, seed in zip(left, chosen, strict=False):
        _draw_jacobian(ax, group, seed, jacobians[seed.row], compared)
    for ax in left[len(chosen) :]:
        ax.set_axis_off()
    if not chosen:
        name_panel(left[0], "Jacobian", "every seed failed", bad=True)
    if len(names) == jacobians.shape[1] and chosen:
        rows = axes[0].get_yticks()
        axes[0].set_yticks(rows, labels=[names[int(i)] for i in rows])
        for ax in axes[1:]:
            ax.tick_params(labelleft=False)  # the names stand on the left of all
    else:
        axes[0].set_ylabel("observed variable", fontsize=10, labelpad=3)
    shade_bar(part, axes, "of the row's largest")


def _draw_maps(
    part: SubFigure,
    group: Group,
    jacobians: Float[np.ndarray, "s x z"],
    shape: tuple[int, ...],
) -> None:
    """Where in an image the latents of two seeds act, of the strongest place."""
    chosen = _chosen(group, jacobians)
    if not chosen:
        ax = part.subplots()
        ax.set_axis_off()
        return name_panel(ax, "Jacobian", "every seed failed", bad=True)
    columns = min(jacobians.shape[2], LATENTS_DRAWN)
    axes = part.subplots(len(chosen), columns, squeeze=False)
    for row, seed in zip(axes, chosen, strict=True):
        maps = jacobians[seed.row].reshape(*shape, -1).mean(-2)
        maps = maps / max(maps.max(), np.finfo(float).tiny)
        name_panel(row[0], seed.name, "")
        for j, ax in enumerate(row):
            ax.imshow(maps[..., j], cmap=SHADES, vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.set_xlabel(f"latent {j}", fontsize=9, labelpad=2)
    shade_bar(part, axes, "of the seed's largest")


def draw_jacobians(record: Record) -> Figure | None:
    """The true mask and Jacobians of the best seed and the median; a row per point.

    Rows have the names of the columns where the run has them. Of images there is a map
    for each latent, the mean over the colours.

    Args:
      record: a run with the array "jacobian"; None is drawn of others, and if every
        seed failed.

    Raises:
      ValueError: a mask of another size than the Jacobian.
    """
    every, groups = record.arrays.get("jacobian"), record.groups
    if every is None or all(g.failed.all() for g in groups):
        return None
    m, n = every.shape[2:]
    shape = tuple(record.spec.get("shape") or (m,))
    if len(shape) == 3:
        width, height = 1.3 * min(n, LATENTS_DRAWN) + 1.4, 3.8
        figure, parts = blocks(groups, width, height)
        for part, group, jacobians in zip(parts, groups, every, strict=True):
            _draw_maps(part, group, jacobians, shape)
        return figure
    mask, matched = _true_mask(record), "true_latents" in record.arrays
    panels = min(len(groups[0].seeds), 2) + (mask is not None)
    side = min(max(5.0 / m, 0.05), 0.36)
    width, height = max(side * n, 1.5) + 0.75, max(side * m, 1.0) + 1.2
    names = record.results.get("columns") or []
    letters = 0.07 * max((len(name) for name in names), default=0)
    figure, parts = blocks(groups, width * panels + 1.1 + letters, height)
    for part, group, jacobians in zip(parts, groups, every, strict=True):
        _draw_point(part, group, jacobians, mask, matched, names)
    return figure


def density(
    values: Float[np.ndarray, "k"], grid: Float[np.ndarray, "g"]
) -> Float[np.ndarray, "g"]:
    """Gaussian kernels on a grid, of the highest; zeros where there are no values.

    The width is Silverman's `1.06 std k^(-1/5)`, and no less than the grid resolves.

    Args:
      values: the sample.
      grid: evenly spaced numbers.
    """
    if not values.size:
        return np.zeros(len(grid))
    width = max(1.06 * values.std() * values.size**-0.2, 2 * (grid[1] - grid[0]))
    height = np.exp(-0.5 * ((grid[:, None] - values[None]) / width) ** 2).mean(1)
    return height / height.max()


def _shades(domains: int) -> list[str]:
    """Colours in the order of the domains."""
    return [to_hex(c) for c in colormaps["viridis"](np.linspace(0, 0.88, domains))]


def _draw_ridges(
    ax: Axes,
    values: Float[np.ndarray, "k"],
    u: Int[np.ndarray, "k"],
    names: list[str],
) -> None:
    """A density per domain, the first on top."""
    domains = len(names)
    low, high = values.min(), values.max()
    margin = 0.06 * (high - low) or 0.5
    grid = np.linspace(low - margin, high + margin, 200)
    for d, colour in enumerate(_shades(domains)):
        top = d - OVERLAP * density(values[u == d], grid)
        ax.fill_between(grid, d, top, color=colour, alpha=0.8, lw=0, zorder=2 + d)
        ax.plot(grid, top, color="white", lw=0.7, zorder=2 + d)
    ax.set(xlim=(grid[0], grid[-1]), ylim=(domains - 0.7, -OVERLAP - 0.1))
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.tick_params(axis="x", labelsize=8, pad=2)
    ax.spines["left"].set_visible(False)
    shown = np.arange(0, domains, 1 + (domains - 1) // 9)
    ax.set_yticks(shown, labels=[names[d] for d in shown], fontsize=8)
    ax.tick_params(axis="y", length=0, pad=2)


def _draw_scatter(
    ax: Axes, true: np.ndarray, estimated: np.ndarray, colours: np.ndarray
) -> None:
    ax.scatter(true, estimated, s=5, c=colours, alpha=0.7, lw=0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.tick_params(labelsize=8, pad=2)
    ax.set_xlabel("true", fontsize=9, labelpad=2)


def _say(ax: Axes, words: str) -> None:
    """In the corner that latents with the sign of the true ones leave free."""
    place: Any = {"xycoords": "axes fraction", "va": "top"}
    note = ax.annotate(words, (0.03, 0.98), fontsize=9, color=INK, **place)
    note.set_bbox({"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1})


def _draw_latents_of(part: SubFigure, record: Record, point: int) -> None:
    """A column per latent: true densities, estimated ones, one against the other."""
    arrays, group = record.arrays, record.groups[point]
    names, estimated = list(record.spec["domains"]), arrays["latents"][point]
    known = "true_latents" in arrays
    columns = min(estimated.shape[2], LATENTS_DRAWN)
    rows = [*(["true"] if known else []), "estimated", *(["scatter"] if known else [])]
    heights = [1.3 if row == "scatter" else _ridge(len(names)) for row in rows]
    best = _chosen(group, estimated)[:1]
    if not best:
        ax = part.subplots()
        ax.set_axis_off()
        return name_panel(ax, "latents", "every seed failed", bad=True)
    (seed, name), u = best[0], arrays["domains"]
    axes = part.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    mcc = group.final.get(MCC.name)
    words = name if mcc is None else f"{name}, MCC {fixed(float(mcc[seed]))}"
    place: Any = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes[0, 0].annotate(words, (0, 1), (0, 26), fontsize=10, color=FAINT, **place)
    of = f" of {estimated.shape[2]}" if columns < estimated.shape[2] else ""
    colours = np.array(_shades(len(names)))[u]
    for j in range(columns):
        kinds = {"estimated": estimated[seed, :, j]}
        if known:
            kinds["true"] = arrays["true_latents"][point, seed, :, j]
        for ax, row in zip(axes[:, j], rows, strict=True):
            if row in kinds:
                _draw_ridges(ax, kinds[row], u, names)
            else:
                _draw_scatter(ax, kinds["true"], kinds["estimated"], colours)
                if "correlation" in arrays:
                    _say(ax, f"r {arrays['correlation'][point, seed, j, j]:.2f}")
        axes[0, j].set_title(f"latent {j}{of if j == 0 else ''}", fontsize=11)
    for ax, row in zip(axes[:, 0], rows, strict=True):
        label = "estimated" if row == "scatter" else f"{row}, by domain"
        ax.set_ylabel(label, fontsize=10, labelpad=3)


def _ridge(domains: int) -> float:
    """Inches of the densities of all domains, no less than their label needs."""
    return min(max(0.7 + 0.11 * domains, 1.5), 2.8)


def draw_latents(record: Record) -> Figure | None:
    """Latents of the best seed by domain, a block per grid point.

    Args:
      record: a run with the arrays "latents" and "domains"; None is drawn of others,
        and if every seed failed.

    Raises:
      ValueError: domains that the run does not have.
    """
    arrays, groups = record.arrays, record.groups[:POINTS_DRAWN]
    if not {"latents", "domains"} <= arrays.keys():
        return None
    if all(g.failed.all() for g in record.groups):
        return None
    domains = len(record.spec["domains"])
    if not np.isin(arrays["domains"], range(domains)).all():
        raise ValueError(f"domains must hold whole numbers below {domains}")
    columns = min(arrays["latents"].shape[3], LATENTS_DRAWN)
    width = min(max(12.6 / columns, 1.5), 2.3) * columns + 0.8
    known = "true_latents" in arrays
    height = (1 + known) * (_ridge(domains) + 0.35) + 1.75 * known + 0.8
    figure, parts = blocks(groups, max(width, 4.0), height)
    for point, part in enumerate(parts):
        _draw_latents_of(part, record, point)
    return figure
