"""True frames above, or beside, those of a model: as a picture and in motion."""

import io
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from jaxdis.report.kit import DPI, FAINT, INK, coloured
from jaxdis.report.read import Group

SIDE = 84  # dots of a tile, at least: a pixel of an image is a square of dots
GAP, PAIR_GAP, BLOCK_GAP = 2, 10, 26  # dots between tiles, and more after some
TITLE, HEADER = 120, 40  # dots above the frames of a picture and of an animation
HOLD, STAY = 600, 140  # milliseconds that the first and last frames stay, and others
WIDE = 12  # frames in a row that leave no room for more beside them
Figures: TypeAlias = Mapping[str, np.ndarray]
Tiles: TypeAlias = Float[np.ndarray, "r n h w c"]


class Survivor(NamedTuple):
    """The first seed of a grid point that did not fail.

    Attributes:
      row: of the arrays, point and seed.
      title: what it is called.
      colour: of the grid point.
    """

    row: tuple[int, int]
    title: str
    colour: str


class Sheet(NamedTuple):
    """Frames of a survivor, every true row above the model's.

    Attributes:
      survivor: whose they are.
      names: of the pairs of rows of a block.
      frames: of a row of a block.
      tiles: blocks, below and beside one another.
    """

    survivor: Survivor
    names: list[str]
    frames: int
    tiles: Tiles


def survivors(groups: list[Group]) -> list[Survivor]:
    """One a grid point, unless every seed of it failed."""
    found = []
    for point, (group, colour) in enumerate(coloured(groups)):
        for seed in np.flatnonzero(~group.failed)[:1].tolist():
            title = ", ".join(filter(None, [group.label, f"seed {group.seeds[seed]}"]))
            found.append(Survivor((point, seed), title, colour))
    return found


def _starts(count: int, size: int, gaps: Mapping[int, int]) -> np.ndarray:
    """Where tiles begin; after every so many of them comes a larger gap."""
    i = np.arange(count)
    return i * (size + GAP) + sum(gap * (i // every) for every, gap in gaps.items())


def mosaic(
    tiles: Tiles, down: Mapping[int, int], across: Mapping[int, int]
) -> tuple[UInt8[np.ndarray, "y x 3"], np.ndarray, np.ndarray]:
    """Enlarged tiles on white, and the middles of their rows and columns."""
    scale = math.ceil(SIDE / max(tiles.shape[2:4]))
    pixels = np.rint(255 * np.nan_to_num(tiles).clip(0, 1)).astype(np.uint8)
    pixels = pixels.repeat(scale, 2).repeat(scale, 3)
    rows, columns, height, width = pixels.shape[:4]
    y, x = _starts(rows, height, down), _starts(columns, width, across)
    canvas = np.full((y[-1] + height, x[-1] + width, 3), 255, np.uint8)
    for i, j in np.ndindex(rows, columns):
        canvas[y[i] : y[i] + height, x[j] : x[j] + width] = pixels[i, j]
    return canvas, y + (height - 1) / 2, x + (width - 1) / 2


def _interleaved(true: np.ndarray, model: np.ndarray, axis: int) -> np.ndarray:
    """After each true row along an axis the model's."""
    both = np.stack([true, model], axis + 1)
    return both.reshape(*true.shape[:axis], -1, *true.shape[axis + 1 :])


def traversals(
    survivor: Survivor, names: list[str], figures: Figures, most: int
) -> Sheet:
    """A block for each of the first images, two beside each other if that fits.

    Args:
      survivor: whose frames are shown.
      names: of the transformations.
      figures: true_frames and flow_frames.
      most: rows of blocks.
    """
    true, model = figures["true_frames"], figures["flow_frames"][survivor.row]
    images, _, frames, *image = true.shape
    beside = 2 if images % 2 == 0 and frames <= WIDE else 1
    blocks = _interleaved(true, model, 1)[: most * beside]
    # below, beside, row, frame -> below, row, beside, frame
    tiles = blocks.reshape(-1, beside, *blocks.shape[1:]).swapaxes(1, 2)
    return Sheet(survivor, names, frames, tiles.reshape(-1, beside * frames, *image))


def pairs(survivor: Survivor, labels: list[str], true: Tiles, model: Tiles) -> Sheet:
    """Two rows a label, in one block.

    Args:
      survivor: whose frames are shown.
      labels: one for each true row.
      true: frames.
      model: those of the survivor.
    """
    return Sheet(survivor, labels, true.shape[1], _interleaved(true, model, 0))


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


def draw_sheets(sheets: list[Sheet]) -> Figure:
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


def animate(survivor: Survivor, names: list[str], figures: Figures) -> bytes:
    """A GIF, there and back: a row an image, beside a true tile the model's.

    Args:
      survivor: whose frames are shown.
      names: of the transformations.
      figures: true_frames and flow_frames.
    """
    true, model = figures["true_frames"], figures["flow_frames"][survivor.row]
    tiles, last = _interleaved(true, model, 1), true.shape[2] - 1
    pages = [_page(tiles[:, :, t], names) for t in range(last + 1)]
    order = [*range(last + 1), *range(last - 1, 0, -1)]
    stay = [HOLD if t in (0, last) else STAY for t in order]
    first, *rest = [pages[t] for t in order]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=stay, loop=0)
    return buffer.getvalue()
