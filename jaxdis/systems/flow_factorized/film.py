"""True frames above, or beside, those of the model: as a picture and in motion."""

import io
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from jaxdis.report.frames import (
    BLOCK_GAP,
    PAIR_GAP,
    Survivor,
    Tiles,
    mosaic,
    survivors,
)
from jaxdis.report.kit import DPI, FAINT, INK
from jaxdis.report.read import Record
from jaxdis.systems.flow_factorized.figures import names_of

__all__ = [
    "Sheet",
    "animate_traversals",
    "draw_superposed",
    "draw_switched",
    "draw_traversals",
    "traversals",
]

TITLE, HEADER = 120, 40  # dots above the frames of a picture and of an animation
HOLD, STAY = 600, 140  # milliseconds that the first and last frames stay, and others
WIDE = 12  # frames in a row that leave no room for more beside them


class Sheet(NamedTuple):
    """Frames of a survivor, every true row above the model's.

    Attributes:
      survivor: the seed that is shown.
      names: the names of the pairs of rows of a block.
      frames: the number of frames in a row of a block.
      tiles: the blocks, below and beside one another.
    """

    survivor: Survivor
    names: list[str]
    frames: int
    tiles: Tiles


def _interleaved(true: np.ndarray, model: np.ndarray, axis: int) -> np.ndarray:
    """After each true row along an axis the model's."""
    both = np.stack([true, model], axis + 1)
    return both.reshape(*true.shape[:axis], -1, *true.shape[axis + 1 :])


def traversals(
    survivor: Survivor, names: list[str], arrays: dict[str, np.ndarray], most: int
) -> Sheet:
    """A block for each of the first images, two beside each other if that fits.

    Args:
      survivor: the seed that is shown.
      names: the names of the transformations.
      arrays: the arrays `true_frames` and `flow_frames`.
      most: the number of rows of blocks.
    """
    true, model = arrays["true_frames"], arrays["flow_frames"][survivor.row]
    images, _, frames, *image = true.shape
    beside = 2 if images % 2 == 0 and frames <= WIDE else 1
    blocks = _interleaved(true, model, 1)[: most * beside]
    # below, beside, row, frame -> below, row, beside, frame
    tiles = blocks.reshape(-1, beside, *blocks.shape[1:]).swapaxes(1, 2)
    return Sheet(survivor, names, frames, tiles.reshape(-1, beside * frames, *image))


def _draw_sheet(ax: Axes, sheet: Sheet, canvas: np.ndarray, y: Any, x: Any) -> None:
    ax.imshow(canvas, interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, pad=4)
    ax.xaxis.tick_top()
    ax.set_xticks(x, labels=np.arange(len(x)) % sheet.frames, fontsize=9)
    names = [word for name in sheet.names for word in (name, "model")]
    ax.set_yticks(y, labels=names * (len(y) // len(names)))
    for label in ax.get_yticklabels()[1::2]:
        label.set_color(sheet.survivor.colour)
    style: Any = {"xycoords": "axes fraction", "textcoords": "offset points"}
    step = ax.annotate("step", (0, 1), (-4, 4), ha="right", va="bottom", **style)
    step.set(fontsize=9, color=FAINT)
    ax.set_title(sheet.survivor.title, color=sheet.survivor.colour)


def _draw_sheets(sheets: list[Sheet]) -> Figure:
    """One below the other, dot for dot: resampled pixels are not squares."""
    drawn = []
    for sheet in sheets:
        down = {2: PAIR_GAP, 2 * len(sheet.names): BLOCK_GAP}
        drawn.append((sheet, *mosaic(sheet.tiles, down, {sheet.frames: BLOCK_GAP})))
    height, width, _ = drawn[0][1].shape
    whole = len(drawn) * (height + TITLE)
    figure = Figure(figsize=(width / DPI, whole / DPI))
    figure.set_layout_engine("none")
    for i, (sheet, canvas, y, x) in enumerate(drawn):
        bottom = whole - (i + 1) * (height + TITLE)
        ax = figure.add_axes((0, bottom / whole, 1, height / whole))
        _draw_sheet(ax, sheet, canvas, y, x)
    return figure


def _has(record: Record, *arrays: str) -> bool:
    return set(arrays) <= record.arrays.keys() and bool(survivors(record.groups))


def draw_traversals(record: Record) -> Figure | None:
    """Some images under every transformation, of one seed of each grid point."""
    if not _has(record, "true_frames", "flow_frames"):
        return None
    arrays = record.arrays
    rows = 1 if len(record.groups) > 1 else len(arrays["true_frames"])
    found, names = survivors(record.groups), names_of(record)
    return _draw_sheets([traversals(one, names, arrays, rows) for one in found])


def _draw_pairs(record: Record, kind: str, form: str) -> Figure | None:
    """Two transformations of every survivor: two rows per label, in one block."""
    true, model = f"true_{kind}", f"flow_{kind}"
    if not _has(record, "shown_pairs", true, model):
        return None
    names, arrays = names_of(record), record.arrays
    labels = [form.format(names[i], names[j]) for i, j in arrays["shown_pairs"]]
    frames = arrays[true].shape[1]
    sheets = [
        Sheet(
            one, labels, frames, _interleaved(arrays[true], arrays[model][one.row], 0)
        )
        for one in survivors(record.groups)
    ]
    return _draw_sheets(sheets)


def draw_superposed(record: Record) -> Figure | None:
    """Two transformations at once."""
    return _draw_pairs(record, "superposed", "{} + {}")


def draw_switched(record: Record) -> Figure | None:
    """One transformation, then another."""
    return _draw_pairs(record, "switched", "{}, then {}")


def _page(tiles: Tiles, names: list[str]) -> Image.Image:
    """A moment of an animation: columns are true and model in turns."""
    canvas, _, x = mosaic(tiles, {}, {2: PAIR_GAP})
    canvas = np.pad(canvas, ((HEADER, 0), (0, 0), (0, 0)), constant_values=255)
    page = Image.fromarray(canvas)
    words = ImageDraw.Draw(page)
    for middle, name in zip((x[::2] + x[1::2]) / 2, names, strict=True):
        words.text((middle, 2), name, INK, anchor="ma", font_size=15)
    for middle, name in zip(x, ["true", "model"] * len(names), strict=True):
        words.text((middle, HEADER - 5), name, FAINT, anchor="ms", font_size=12)
    # With the default colours of a GIF the grey letters take those of the frames.
    return page.quantize(method=Image.Quantize.MEDIANCUT, kmeans=1)


def animate_traversals(record: Record) -> bytes | None:
    """A GIF, there and back: one row per image, beside a true tile the model's."""
    if not _has(record, "true_frames", "flow_frames"):
        return None
    survivor, names = survivors(record.groups)[0], names_of(record)
    true = record.arrays["true_frames"]
    model = record.arrays["flow_frames"][survivor.row]
    tiles, last = _interleaved(true, model, 1), true.shape[2] - 1
    pages = [_page(tiles[:, :, t], names) for t in range(last + 1)]
    order = [*range(last + 1), *range(last - 1, 0, -1)]
    stay = [HOLD if t in (0, last) else STAY for t in order]
    first, *rest = [pages[t] for t in order]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=stay, loop=0)
    return buffer.getvalue()
