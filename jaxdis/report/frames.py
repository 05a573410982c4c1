"""Images of a model beside one another: which seed is shown, and mosaics of tiles."""

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from jaxdis.report.kit import coloured
from jaxdis.report.read import Group

__all__ = ["BLOCK_GAP", "GAP", "PAIR_GAP", "Survivor", "Tiles", "mosaic", "survivors"]

SIDE = 84  # dots of a tile, at least: a pixel of an image is a square of dots
GAP, PAIR_GAP, BLOCK_GAP = 2, 10, 26  # dots between tiles, and more after some
Tiles: TypeAlias = Float[np.ndarray, "r n h w c"]


class Survivor(NamedTuple):
    """The first seed of a grid point that did not fail.

    Attributes:
      row: the row of the arrays, point and seed.
      title: the name of the grid point and the seed.
      colour: the colour of the grid point.
    """

    row: tuple[int, int]
    title: str
    colour: str


def survivors(groups: list[Group]) -> list[Survivor]:
    """One per grid point, unless every seed of it failed."""
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
    """Enlarged tiles on white.

    Args:
      tiles: images in [0, 1], grey or RGB, in rows; what is not a number is black.
      down: the dots of a gap below every so many rows.
      across: the dots of a gap beside every so many columns.

    Returns:
      The canvas, and the middles of its rows and columns.
    """
    scale = math.ceil(SIDE / max(tiles.shape[2:4]))
    pixels = np.rint(255 * np.nan_to_num(tiles).clip(0, 1)).astype(np.uint8)
    pixels = pixels.repeat(scale, 2).repeat(scale, 3)
    rows, columns, height, width = pixels.shape[:4]
    y, x = _starts(rows, height, down), _starts(columns, width, across)
    canvas = np.full((y[-1] + height, x[-1] + width, 3), 255, np.uint8)
    for i, j in np.ndindex(rows, columns):
        canvas[y[i] : y[i] + height, x[j] : x[j] + width] = pixels[i, j]
    return canvas, y + (height - 1) / 2, x + (width - 1) / 2
