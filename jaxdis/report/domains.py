"""Pictures of images by domain: samples, translations and what moves the style."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxdis.report.figures import (
    DPI,
    INK,
    coloured,
    draw_alive,
    png,
)
from jaxdis.report.frames import BLOCK_GAP, Figures, Survivor, _mosaic, survivors
from jaxdis.report.read import Group

THRESHOLD = 0.1  # importance of a style latent that a domain moves
WIDEST = 2_100  # dots of a picture, unless a single sheet needs more
LETTER = 13  # dots, of a title; those of the axes are smaller
MARGIN, TITLE, HEADER = 24, 90, 34  # dots around, of a title and of column headings


class Sheet(NamedTuple):
    """Images of a survivor: a row a domain.

    Attributes:
      survivor: whose they are.
      rows: names of the rows.
      headings: of blocks of columns, all of the same width.
      tiles: bytes.
    """

    survivor: Survivor
    rows: list[str]
    headings: list[str]
    tiles: UInt8[np.ndarray, "r n h w c"]


def _canvas(sheet: Sheet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, the middles of the rows and those of the blocks of columns."""
    wide = sheet.tiles.shape[1] // len(sheet.headings)
    canvas, y, x = _mosaic(sheet.tiles / 255, {}, {wide: BLOCK_GAP})
    return canvas, y, x.reshape(-1, wide).mean(1)


def _draw_sheet(
    ax: Axes, sheet: Sheet, canvas: np.ndarray, y: np.ndarray, x: np.ndarray
) -> None:
    ax.imshow(canvas, interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, pad=4)
    ax.xaxis.tick_top()
    ax.set_xticks(x, labels=sheet.headings, fontsize=9)
    ax.set_yticks(y, labels=sheet.rows, fontsize=9)
    pad = 22 if any(sheet.headings) else 6
    ax.set_title(sheet.survivor.title, color=sheet.survivor.colour, pad=pad)


def draw_sheets(sheets: Sequence[Sheet]) -> Figure:
    """Beside one another as far as they fit, dot for dot; all of the same size."""
    canvases = [_canvas(sheet) for sheet in sheets]
    height, width, _ = canvases[0][0].shape
    left = LETTER * max(len(name) for name in sheets[0].rows) + MARGIN
    title = LETTER * max(len(sheet.survivor.title) for sheet in sheets)
    cell = (left + max(width, title) + MARGIN, TITLE + HEADER + height)
    columns = min(len(sheets), max(1, WIDEST // cell[0]))
    rows = -(-len(sheets) // columns)
    whole = (columns * cell[0], rows * cell[1])
    figure = Figure(figsize=(whole[0] / DPI, whole[1] / DPI))
    figure.set_layout_engine("none")
    for i, (sheet, canvas) in enumerate(zip(sheets, canvases, strict=True)):
        down, across = divmod(i, columns)
        corner = (across * cell[0] + left, whole[1] - (down + 1) * cell[1])
        size = (corner[0] / whole[0], corner[1] / whole[1])
        ax = figure.add_axes((*size, width / whole[0], height / whole[1]))
        _draw_sheet(ax, sheet, *canvas)
    return figure


def _joined(tiles: UInt8[np.ndarray, "d j t h w c"]) -> np.ndarray:
    """Blocks beside one another."""
    return tiles.reshape(len(tiles), -1, *tiles.shape[3:])


def _samples(found: list[Survivor], names: list[str], figures: Figures) -> list[Sheet]:
    """True images, where there are any, beside those of the model."""
    sheets = []
    for one in found:
        made, headings = figures["samples"][one.row], ["generated"]
        if "true_images" in figures:
            headings = ["real", "generated"]
            made = np.concatenate([figures["true_images"], made], 1)
        sheets.append(Sheet(one, names, headings, made))
    return sheets


def _translations(
    found: list[Survivor], names: list[str], figures: Figures
) -> list[Sheet]:
    """A column the same latents."""
    made = figures["translation"]
    return [Sheet(s, names, [""], made[s.row].swapaxes(0, 1)) for s in found]


def _weight(value: float) -> str:
    return f"w {value:.2f}" if value > THRESHOLD else "off"


def _traversals(
    found: list[Survivor], names: list[str], figures: Figures
) -> list[Sheet]:
    """A block a style latent, the most important first."""
    moved = figures["traversal"].shape[3]
    headings = [f"style {j + 1}" for j in range(moved)]
    sheets = []
    for one in found:
        words = headings
        if "importance" in figures:
            weights = -np.sort(-figures["importance"][one.row])[:moved]
            pairs = zip(headings, map(_weight, weights.tolist()), strict=True)
            words = [", ".join(pair) for pair in pairs]
        sheets.append(Sheet(one, names, words, _joined(figures["traversal"][one.row])))
    return sheets


def _draw_importance(
    groups: list[Group], importance: Float[np.ndarray, "g s n"]
) -> Figure:
    """Weights of style latents, largest first; every grid point over the others."""
    figure = Figure(figsize=(9.5, 4.2))
    ax = figure.subplots()
    ranks = np.arange(1, importance.shape[2] + 1)
    for (group, colour), seeds in zip(coloured(groups), importance, strict=True):
        weights = -np.sort(-seeds, axis=1)
        usable = ~group.failed & np.isfinite(seeds).all(1)
        active = (weights[usable] > THRESHOLD).sum(1)
        label = group.label or "importance"
        words = (
            f"{label}: {_count(active)} active" if active.size else f"{label}: failed"
        )
        one = group._replace(
            label=words, steps=ranks, curves={"w": weights}, failed=~usable
        )
        draw_alive(ax, one, "w", colour, 0.3)
        if not active.size:
            ax.plot([], [], color=colour, label=words)
    ax.axhline(THRESHOLD, color=INK, lw=1.2, ls="--", label=f"threshold {THRESHOLD:g}")
    ax.set(xlabel="style latent, largest first", ylabel="w", ylim=(0, None))
    ax.set_xlim(1, max(len(ranks), 2))
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.grid(axis="y")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper")
    return figure


def _count(active: np.ndarray) -> str:
    """How many, or from how many to how many in different seeds."""
    low, high = active.min(), active.max()
    return str(low) if low == high else f"{low}–{high}"


def draw(groups: list[Group], names: list[str], figures: Figures) -> dict[str, bytes]:
    """Samples, translations, traversals of the style, and weights of style latents.

    Args:
      groups: grid points of a run.
      names: of the domains.
      figures: arrays of figures.npz, checked against the run.

    Returns:
      PNGs by the names of their files, of the first seed of each point that did not
      fail; those of which there is nothing to draw are left out.
    """
    if not (found := survivors(groups)):
        return {}
    drawn = {}
    sheets = {
        "samples": _samples,
        "translation": _translations,
        "traversal": _traversals,
    }
    files = {"traversal": "style_traversals"}
    for kind, make in sheets.items():
        if kind in figures:
            made = make(found, names, figures)
            drawn[f"{files.get(kind, kind)}.png"] = png(draw_sheets, made)
    if "importance" in figures:
        drawn["importance.png"] = png(_draw_importance, groups, figures["importance"])
    return drawn
