"""The one reader of image files: bytes of one size, grey or RGB."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxdis import check, log
from jaxdis.data.memory import check_memory

__all__ = ["SUFFIXES", "is_image", "read_images"]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
GREY, GREY_ALPHA = ("1", "L"), ("LA", "La")
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # grey with 16 bits
SIDE = 4  # heights and widths are multiples of it
ALPHA, CROP = "have alpha and are put on black", "are cropped to the central square"


def is_image(path: Path) -> bool:
    """Whether the name of a file is that of an image, and not a hidden one."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_images(
    paths: Sequence[Path], size: int | None, argument: str = "data.file"
) -> UInt8[np.ndarray, "n h w c"]:
    """Images as bytes; c is 1 if all are grey, and else 3.

    Images are turned upright as their EXIF says, images of 16 bits are divided by 257,
    and those with alpha are put on black. With `size` each is cropped to its central
    square and resized; a note says how many were cropped.

    Args:
      paths: the files, at least one.
      size: the height and width of an image; None for the size that all have.
      argument: what messages call the folder.

    Raises:
      ValueError: an image that cannot be read or is too large, mixed sizes without
        `size`, sides that are no multiples of 4, or more images than there is memory.
    """
    if size is not None:
        check.at_least("data.size", size, 1)
    notes: Counter[str] = Counter()
    images = []
    for path in paths:
        image = _bytes(path, argument, notes)
        images.append(image if size is None else _resized(image, size, notes))
        if len(images) == 1:
            check_memory(
                f"{argument}, of {len(paths)} images,",
                len(paths) * _image_size(images[0]),
            )
        if size is None and images[-1].size != images[0].size:
            raise ValueError(_mixed(argument, paths[0], images[0], path, images[-1]))
    width, height = images[0].size
    if width % SIDE or height % SIDE:
        raise ValueError(
            "data.size must be given for images whose sides are no multiples of "
            f"{SIDE}: {argument} has {width} x {height} pixels"
        )
    for what, count in notes.items():
        log.note(f"{count} of {len(paths)} images {what}")
    mode = "L" if all(image.mode == "L" for image in images) else "RGB"
    out = np.empty((len(images), height, width, len(mode)), np.uint8)
    for i, image in enumerate(images):
        out[i] = np.asarray(image.convert(mode)).reshape(out.shape[1:])
    return out


def _image_size(image: Any) -> int:
    """Bytes of an image that is read."""
    return int(image.width * image.height * len(image.getbands()))


def _mixed(argument: str, a: Path, first: Any, b: Path, other: Any) -> str:
    return (
        f"{argument} must not hold images of mixed sizes, unless data.size says to "
        f"which they are brought: {a} has {first.width} x {first.height} pixels and "
        f"{b} has {other.width} x {other.height}"
    )


def _bytes(path: Path, argument: str, notes: Counter[str]) -> Any:
    """An image of PIL in mode L or RGB, upright."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # What PIL takes for a bomb, it warns of before it refuses to read it.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                file.load()
                image = ImageOps.exif_transpose(file)
                return _plain(image, notes)
    except Exception as error:  # there is no end to what a damaged image can raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{argument} must hold images that can be read; {path}: {reason}"
        ) from error


def _plain(image: Any, notes: Counter[str]) -> Any:
    from PIL import Image

    if image.mode in DEEP:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its values are not of 8 or 16 bits")
        return Image.fromarray(np.round(values / 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its values are floats, not bytes")
    if image.mode in GREY:
        grey = image.convert("L")
        return grey if "transparency" not in image.info else _opaque(image, "L", notes)
    if image.mode in GREY_ALPHA:
        return _opaque(image, "L", notes)
    if image.has_transparency_data:
        return _opaque(image, "RGB", notes)
    return image.convert("RGB")


def _opaque(image: Any, mode: str, notes: Counter[str]) -> Any:
    """An image with alpha on black, unless all of it is opaque."""
    from PIL import Image

    full = image.convert("RGBA")
    alpha = full.getchannel("A")
    colours = full.convert("RGB")
    if alpha.getextrema()[0] < 255:
        notes[ALPHA] += 1
        colours = Image.composite(colours, Image.new("RGB", image.size), alpha)
    return colours.convert(mode)


def _resized(image: Any, size: int, notes: Counter[str]) -> Any:
    side = min(image.size)
    if image.width != image.height:
        notes[CROP] += 1
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    return image if side == size else image.resize((size, size))
