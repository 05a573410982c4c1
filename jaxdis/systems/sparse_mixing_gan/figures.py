"""Pictures of images by domain: samples, translations and what moves the style."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxdis.report.frames import BLOCK_GAP, Survivor, mosaic, survivors
from jaxdis.report.kit import DPI, INK, coloured, draw_alive
from jaxdis.report.read import Record
from jaxdis.systems.sparse_mixing_gan.generator import GATE

__all__ = ["draw_importance", "draw_samples", "draw_translation", "draw_traversals"]

WIDEST = 2_100  # dots of a picture, unless a single sheet needs more
LETTER = 13  # dots, of a title; those of the axes are smaller
MARGIN, TITLE, HEADER = 24, 90, 34  # dots around, of a title and of column headings


class _Sheet(NamedTuple):
    """Images of a survivor, one row per domain.

    Attributes:
      survivor: whose they are.
      headings: the names of blocks of columns, all of the same width.
      tiles: the images, as bytes.
    """

    survivor: Survivor
    headings: list[str]
    tiles: UInt8[np.ndarray, "d n h w c"]


def _canvas(sheet: _Sheet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, the middles of the rows and those of the blocks of columns."""
    wide = sheet.tiles.shape[1] // len(sheet.headings)
    canvas, y, x = mosaic(sheet.tiles / 255, {}, {wide: BLOCK_GAP})
    return canvas, y, x.reshape(-1, wide).mean(1)


def _draw_sheet(
    ax: Axes,
    sheet: _Sheet,
    names: Sequence[str],
    canvas: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    pixels, y, x = canvas
    ax.imshow(pixels, interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, pad=4)
    ax.xaxis.tick_top()
    ax.set_xticks(x, labels=sheet.headings, fontsize=9)
    ax.set_yticks(y, labels=names, fontsize=9)
    pad = 22 if any(sheet.headings) else 6
    ax.set_title(sheet.survivor.title, color=sheet.survivor.colour, pad=pad)


def _draw_sheets(sheets: Sequence[_Sheet], names: Sequence[str]) -> Figure:
    """Beside one another as far as they fit, dot for dot; all of the same size."""
    canvases = [_canvas(sheet) for sheet in sheets]
    height, width, _ = canvases[0][0].shape
    left = LETTER * max(map(len, names)) + MARGIN
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
        _draw_sheet(ax, sheet, names, canvas)
    return figure


def _draw(
    record: Record, array: str, sheet: Callable[[Record, Survivor], _Sheet]
) -> Figure | None:
    """A sheet of the first seed of each point that did not fail."""
    found = survivors(record.groups)
    if array not in record.arrays or not found:
        return None
    return _draw_sheets([sheet(record, s) for s in found], record.spec["domains"])


def draw_samples(record: Record) -> Figure | None:
    """Held-out images, where there are any, beside those of the model."""
    return _draw(record, "samples", _samples)


def _samples(record: Record, survivor: Survivor) -> _Sheet:
    made, headings = record.arrays["samples"][survivor.row], ["generated"]
    if "real_images" in record.arrays:
        headings = ["real", *headings]
        made = np.concatenate([record.arrays["real_images"], made], 1)
    return _Sheet(survivor, headings, made)


def draw_translation(record: Record) -> Figure | None:
    """The same latents in every domain, one column each."""
    return _draw(record, "translation", _translation)


def _translation(record: Record, survivor: Survivor) -> _Sheet:
    made = record.arrays["translation"][survivor.row]
    return _Sheet(survivor, [""], made.swapaxes(0, 1))


def draw_traversals(record: Record) -> Figure | None:
    """Style latents that are moved, one block each, the most important first."""
    return _draw(record, "traversal", _traversals)


def _traversals(record: Record, survivor: Survivor) -> _Sheet:
    made = record.arrays["traversal"][survivor.row]
    domains, moved, values, *image = made.shape
    headings = [f"style {j + 1}" for j in range(moved)]
    if "importance" in record.arrays:
        weights = -np.sort(-record.arrays["importance"][survivor.row])[:moved]
        pairs = zip(headings, map(_weight, weights.tolist()), strict=True)
        headings = [", ".join(pair) for pair in pairs]
    return _Sheet(survivor, headings, made.reshape(domains, moved * values, *image))


def _weight(value: float) -> str:
    return f"w {value:.2f}" if value > GATE else "off"


def draw_importance(record: Record) -> Figure | None:
    """Weights of style latents, largest first; every grid point over the others."""
    if "importance" not in record.arrays or not survivors(record.groups):
        return None
    importance = record.arrays["importance"]
    figure = Figure(figsize=(9.5, 4.2))
    ax = figure.subplots()
    ranks = np.arange(1, importance.shape[2] + 1)
    for (group, colour), seeds in zip(coloured(record.groups), importance, strict=True):
        weights = -np.sort(-seeds, axis=1)
        usable = ~group.failed & np.isfinite(seeds).all(1)
        active = (weights[usable] > GATE).sum(1)
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
    ax.axhline(GATE, color=INK, lw=1.2, ls="--", label=f"threshold {GATE:g}")
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
