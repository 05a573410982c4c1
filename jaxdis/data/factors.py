"""Images indexed by discrete factors of variation, one for every combination.

They are in mixed-radix order: `index = sum_j factor_j * base_j`, the last factor the
fastest. A sequence of one transformation is a walk along one digit.
"""

import difflib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int32, Shaped, UInt8
from PIL import Image

__all__ = [
    "SETS",
    "FactorImages",
    "FactorSet",
    "LabelledImages",
    "bases",
    "by_factors",
    "labelled",
    "read_folder",
    "stored",
]

_SOURCE = "https://github.com/NVlabs/High-res-disentanglement-datasets"
_LABELS = ("labels.npy", "train-rec.labels")  # of Isaac3D and of Falcor3D
_MODES = {1: "L", 3: "RGB"}
_BLOCK = 1024  # images held decoded at a time


class FactorSet(NamedTuple):
    """What is known of a set before it is read.

    Attributes:
      names: the names of all factors, the slowest first.
      sizes: the number of values of each factor; the last factor is the fastest.
      moving: the factors that make transformations, in the published order; none if
        the set has no published sequences.
      shape: the shape `(h, w, c)` of the images.
      steps: the number T of steps; the published sequences have T + 1 frames.
      categorical: the factors whose values have no order.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    moving: tuple[str, ...] = ()
    shape: tuple[int, int, int] = (64, 64, 3)
    steps: int = 0
    categorical: tuple[str, ...] = ()


class FactorImages(NamedTuple):
    """One image for each combination of factors.

    Attributes:
      images: the images in mixed-radix order; may be mapped from a file, then
        read-only.
      sizes: the number of values of each factor; their product is n.
    """

    images: UInt8[np.ndarray, "n h w c"]
    sizes: tuple[int, ...]


class LabelledImages(NamedTuple):
    """Images with factors that may repeat.

    Attributes:
      images: the images in any order; may be mapped from a file, then read-only.
      factors: the value of each factor of each image, from 0.
      sizes: the number of values of each factor.
    """

    images: UInt8[np.ndarray, "n h w c"]
    factors: Int32[np.ndarray, "n f"]
    sizes: tuple[int, ...]


_SHAPES = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
_FALCOR = (
    "lighting_intensity", "lighting_x", "lighting_y", "lighting_z",
    "camera_x", "camera_y", "camera_z",
)  # fmt: skip
# NVIDIA's page lists the scale and the camera before the robot, but its bases and its
# code have this order.
_ISAAC = (
    "object_shape", "robot_x", "robot_y", "camera_height", "object_scale",
    "lighting_intensity", "lighting_y", "object_color", "wall_color",
)  # fmt: skip
_HUES = _SHAPES[:3]

# Moving factors and steps: Song et al. (arXiv 2309.13167), the released code.
SETS: dict[str, FactorSet] = {
    "shapes3d": FactorSet(
        _SHAPES, (10, 10, 10, 8, 4, 15), (*_HUES, "scale", "orientation"),
        shape=(64, 64, 3), steps=7, categorical=("shape",),
    ),
    "falcor3d": FactorSet(
        _FALCOR, (5, 6, 6, 6, 6, 6, 6), _FALCOR, shape=(128, 128, 3), steps=4
    ),
    "isaac3d": FactorSet(
        _ISAAC, (3, 8, 5, 4, 4, 4, 6, 4, 4), _ISAAC[1:], shape=(128, 128, 3), steps=3,
        categorical=("object_shape",),
    ),
    "dsprites": FactorSet(
        ("shape", "scale", "orientation", "x_position", "y_position"),
        (3, 6, 40, 32, 32), shape=(64, 64, 1), categorical=("shape",),
    ),
    # Of 96 x 96 pixels as published, ten images for each combination.
    "smallnorb": FactorSet(
        ("category", "elevation", "azimuth", "lighting"), (5, 9, 18, 6),
        shape=(64, 64, 1), categorical=("category",),
    ),
    "cars3d": FactorSet(
        ("elevation", "azimuth", "object"), (4, 24, 183),
        shape=(64, 64, 3), categorical=("object",),
    ),
}  # fmt: skip


def bases(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """`base_j = prod_{i > j} size_i`: the flat distance of neighbours in factor j."""
    return tuple(math.prod(sizes[j + 1 :]) for j in range(len(sizes)))


def by_factors(
    images: Shaped[np.ndarray, "..."],
    factors: Shaped[np.ndarray, "..."],
    sizes: tuple[int, ...],
) -> FactorImages:
    """Puts records of any order into mixed-radix order of their labels.

    Args:
      images: the bytes `[n, h, w, c]`; not copied if they are in order already.
      factors: the value `[n, f]` of each factor of each image, from 0.
      sizes: the number of values of each factor.

    Raises:
      ValueError: wrong shapes or types, a label out of range, a combination that is
        missing or repeated.
    """
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8 [n, h, w, c], got {images.dtype} {images.shape}"
        )
    wanted = (len(images), len(sizes))
    if factors.shape != wanted or not np.issubdtype(factors.dtype, np.integer):
        raise ValueError(
            f"factors must be integers {wanted}, one row for each image and one column "
            f"for each size, got {factors.dtype} {factors.shape}"
        )
    outside = np.argwhere((factors < 0) | (factors >= np.array(sizes)))
    if len(outside):
        row, column = outside[0].tolist()
        raise ValueError(
            f"factors[:, {column}] must be in 0..{sizes[column] - 1}, row {row} has "
            f"{factors[row, column]}"
        )
    flat = factors.astype(np.int64) @ np.array(bases(sizes))
    counts = np.bincount(flat, minlength=math.prod(sizes))
    wrong = np.flatnonzero(counts != 1)
    if len(wrong):
        first = tuple(int(i) for i in np.unravel_index(wrong[0], sizes))
        raise ValueError(
            f"factors must hold each of the {len(counts)} combinations once; {first} "
            f"occurs {counts[wrong[0]]} times, {np.sum(counts == 0)} are missing and "
            f"{np.sum(counts > 1)} repeated"
        )
    in_order = np.array_equal(flat, np.arange(len(flat)))
    return FactorImages(images if in_order else images[np.argsort(flat)], tuple(sizes))


def labelled(images: FactorImages) -> LabelledImages:
    """The factors of every image: digit j of index i is `(i // base_j) % size_j`.

    Args:
      images: one for each combination; not copied.

    Raises:
      ValueError: not one image for each combination.
    """
    n = math.prod(images.sizes)
    if len(images.images) != n:
        raise ValueError(
            f"images must hold one for each of the {n} combinations of sizes "
            f"{images.sizes}, got {len(images.images)}"
        )
    digits = np.unravel_index(np.arange(n), images.sizes)
    factors = np.stack(digits, axis=1).astype(np.int32)
    return LabelledImages(images.images, factors, images.sizes)


def stored(
    path: Path,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    blocks: Callable[[], Iterable[Shaped[np.ndarray, "..."]]],
) -> Shaped[np.ndarray, "..."]:
    """The rows of `blocks` as one array, mapped from a file that the first call writes.

    Only one block is in memory. The file is complete or absent, and is written anew
    unless it has the dtype and shape asked for. In a folder that cannot be written
    nothing is stored, and the array is in memory.

    Args:
      path: the npy file.
      dtype: the type of the array, which may have fields.
      shape: the shape of the array.
      blocks: makes the rows, some at a time; called only if there is no such file.
    """
    try:
        known = np.load(path, mmap_mode="r")
        if (known.dtype, known.shape) == (dtype, shape):
            return known
    except (OSError, ValueError, EOFError):
        pass  # absent, or damaged
    if not os.access(path.parent, os.W_OK):
        return np.concatenate(list(blocks()))
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    # Two runs may decode the same set at once: each has its own temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks():
                file.write(block.tobytes())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r")


def _open(path: Path, channels: int) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert(_MODES[channels])
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"directory holds a damaged image, {path}: {error}") from error


def _decode(
    path: Path, original: tuple[int, int], shape: tuple[int, int, int]
) -> UInt8[np.ndarray, "h w c"]:
    image = _open(path, shape[2])
    if image.size != original:
        raise ValueError(
            f"directory must hold images of {original[0]} x {original[1]} pixels, "
            f"{path} has {image.width} x {image.height}; the argument size resizes "
            "images that are all alike"
        )
    if image.size != shape[1::-1]:
        image = image.resize(shape[1::-1], Image.Resampling.BOX)
    return np.asarray(image).reshape(shape)


def _image_paths(folder: Path, n: int) -> list[Path]:
    # By length first: 2.png comes before 10.png, and padded names stay as they are.
    paths = sorted(folder.glob("*.png"), key=lambda path: (len(path.name), path.name))
    if len(paths) != n:
        found = f"holds {len(paths)}" if folder.is_dir() else "is no folder"
        raise ValueError(
            f"directory must hold {n} PNG images, one for each combination of factors; "
            f"{folder} {found}. Falcor3D and Isaac3D can be downloaded from {_SOURCE}: "
            "unpack them and give the folder in which images/ and the labels are"
        )
    return paths


def _read_labels(path: Path, sizes: tuple[int, ...]) -> Int[np.ndarray, "n f"]:
    """Each column's values, replaced by their ranks."""
    try:
        labels = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"directory holds labels that are no npy array, {path}: {error}"
        ) from error
    wanted = (math.prod(sizes), len(sizes))
    if labels.shape != wanted:
        raise ValueError(
            f"directory must hold labels {wanted}, one row for each image and one "
            f"column for each factor; {path} is {labels.shape}"
        )
    columns = [np.unique(column, return_inverse=True) for column in labels.T]
    found = tuple(len(values) for values, _ in columns)
    if found != sizes:
        raise ValueError(
            f"directory must hold labels with {sizes} values in their columns; {path} "
            f"has {found}"
        )
    return np.stack([ranks for _, ranks in columns], axis=1)


def read_folder(
    which: str | FactorSet, directory: Path, size: int | None = None
) -> FactorImages:
    """Reads a set that is a folder of numbered PNG images, as Falcor3D and Isaac3D are.

    `directory` holds `images/*.png` and the labels: an npy array `[n, f]` named
    `labels.npy` or `train-rec.labels`, row i for the i-th image by name, whose values
    count by their rank in each column. Without labels the images must be in mixed-radix
    order, as the published loader takes them. `directory` may also be the folder of
    images.

    The first call decodes the images into `jaxdis-HxWxC.npy` beside `images` (11.5 GB
    for Falcor3D, 36.2 GB for Isaac3D); later calls map that file. Delete it if the
    images have changed.

    Args:
      which: "falcor3d", "isaac3d", or the description of another set.
      directory: the folder of the unpacked download.
      size: the height and width to which the images are resized by area; without it
        they must have the shape that the set has.

    Raises:
      ValueError: no such set or folder, a wrong number or size of images, labels that
        are no array, have another shape, or not every combination once.

    Note:
      Numbering and bases are those of NVIDIA's page and code; the folders and the two
      names of the labels are those that public loaders read from the downloads of
      128 x 128 pixels. The downloads themselves were not tried.
    """
    if isinstance(which, str) and which not in SETS:
        close = difflib.get_close_matches(which, SETS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"which must be one of {', '.join(SETS)}, got {which!r}{hint}")
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    known = SETS[which] if isinstance(which, str) else which
    inner = directory / "images"
    folder = inner if inner.is_dir() else directory
    home = folder.parent if folder.name == "images" else folder
    n, (h, w, c) = math.prod(known.sizes), known.shape
    shape = known.shape if size is None else (size, size, c)
    paths = _image_paths(folder, n)
    labels = [home / name for name in _LABELS if (home / name).is_file()]
    factors = _read_labels(labels[0], known.sizes) if labels else None

    def blocks() -> Iterator[UInt8[np.ndarray, "block h w c"]]:
        original = (w, h) if size is None else _open(paths[0], c).size
        with ThreadPoolExecutor() as pool:
            for i in range(0, n, _BLOCK):
                some = paths[i : i + _BLOCK]
                yield np.stack([*pool.map(lambda p: _decode(p, original, shape), some)])

    name = f"jaxdis-{'x'.join(map(str, shape))}.npy"
    images = stored(home / name, np.dtype(np.uint8), (n, *shape), blocks)
    if factors is None:
        return FactorImages(images, known.sizes)
    return by_factors(images, factors, known.sizes)
