"""What observations must be, whoever gives them."""

from collections.abc import Sequence

import numpy as np

from jaxdis import log
from jaxdis.data.reading.values import check_finite
from jaxdis.types import Rows

__all__ = [
    "check_channels",
    "check_given",
    "check_images",
    "observations",
]

CHANNELS = (1, 2, 3, 4)  # of images as they are most often
FEW_CHANNELS = (1, 3, 4)  # of images whose first axis they are
BLUR = 1e-5  # deviations of a column by which rounding may move its numbers
GREY_SIZE = 8  # from which a square of numbers may be an image


def observations(field: str, array: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Numbers, or images of bytes, that are what they should be.

    They are of float32, or of float64 where a column is so far from 0 that float32
    would blur it.

    Args:
      field: "x", "a" or "z".
      array: numbers, with one row for each row of the data.
      names: what the last axis is called; none for images.

    Raises:
      ValueError: NaN, infinity, values that float32 cannot hold, images with the
        channels first or with values that are neither bytes nor in [0, 1].
    """
    if 0 in array.shape:
        raise ValueError(f"data.{field} must not be empty, got shape {array.shape}")
    check_finite(field, array, names)
    if field == "x" and array.ndim >= 3:
        check_images(array, "data.x")
    if array.dtype == np.uint8 and array.ndim >= 3 and field == "x":
        return array
    if array.ndim > 3:
        return np.ascontiguousarray(array, np.float32)
    narrow = np.ascontiguousarray(array, np.float32)
    if array.dtype != np.float64:
        return narrow
    rows = tuple(range(array.ndim - 1))
    with np.errstate(over="ignore"):  # of squares; such columns are not near each other
        spread = array.std(rows)
    blurred = (np.abs(array - narrow).max(rows) > BLUR * spread) & (spread > 0)
    return np.ascontiguousarray(array) if blurred.any() else narrow


def check_images(array: np.ndarray, name: str) -> None:
    """Whether an array of 4 or 5 axes holds images; of 3, sequences of vectors.

    Args:
      array: the array, without NaN.
      name: what messages call it.

    Raises:
      ValueError: channels in front of height and width, none at all, values that are
        neither bytes nor in [0, 1], or more than 5 axes.
    """
    shape = array.shape
    if array.ndim == 3:
        _check_three(array, name)
        return
    if array.ndim > 5:
        raise ValueError(
            f"{name} must be [n, x], images [n, h, w, c] or sequences of them [n, t, "
            f"...]; got shape {shape}"
        )
    check_channels(shape, name)
    if array.dtype == np.uint8:
        return
    low, high = float(array.min()), float(array.max())
    if low >= 0 and high <= 1 and array.dtype.kind == "f":
        return
    remedy = "give numbers in [0, 1], or uint8"
    if low >= 0 and high <= 255:
        whole = array.dtype.kind != "f" and high > 1
        remedy = f"give {name}.astype(np.uint8)" if whole else "divide by 255"
        if array.dtype.kind != "f" and high <= 1:
            remedy = "give np.float32, or 255 times them as uint8"
    elif low >= 0 and high <= 65535 and array.dtype.kind == "u":
        remedy = f"give ({name} / 65535).astype(np.float32)"
    raise ValueError(
        f"{name} are images and must be uint8 or in [0, 1]; got {array.dtype} from "
        f"{low:g} to {high:g}: {remedy}"
    )


def check_channels(shape: Sequence[int], name: str) -> None:
    """Raises ValueError for images that must be `[..., c, h, w]`.

    Args:
      shape: the shape of the images, with all their axes.
      name: what messages call them.
    """
    first, _, last = shape[-3:]
    if last not in CHANNELS and first in FEW_CHANNELS:
        raise ValueError(
            f"{name} has shape {tuple(shape)}, with {first} channels in front of "
            "height and width: give np.moveaxis(x, -3, -1)"
        )
    if last not in CHANNELS:
        log.note(
            f"{name} of shape {tuple(shape)} is taken for images of {shape[-3]} x "
            f"{shape[-2]} pixels with {last} channels"
        )


def _check_three(array: np.ndarray, name: str) -> None:
    _, steps, width = array.shape
    if array.dtype == np.uint8:
        raise ValueError(
            f"{name} of bytes has shape {array.shape}: grey images have a channel, "
            "x[..., None], and sequences of vectors are floats"
        )
    square = steps == width >= GREY_SIZE
    if square and array.min() >= 0 and array.max() <= 1:
        log.note(
            f"{name} of shape {array.shape} is taken for sequences of {steps} vectors; "
            "if they are grey images, give x[..., None]"
        )


def check_given(rows: Rows) -> None:
    """Whether rows that a user made are rows: as many of each, finite, in range.

    Args:
      rows: the rows, on the host.

    Raises:
      ValueError: other numbers of rows, NaN outside of y, infinity, negative classes.
    """
    shape = rows.x.shape
    for field, value in rows._asdict().items():
        if value is None or field == "names":
            continue
        if value.shape[:1] != shape[:1] or not value.size:
            raise ValueError(
                f"data.{field} must have the {shape[0]} rows of data.x, at least one; "
                f"got shape {value.shape}"
            )
        check_finite(field, value, (), gaps=field == "y")
        whole = field in ("u", "k", "group", "split")
        if whole and (value.dtype.kind not in "iu" or value.min() < 0):
            raise ValueError(f"data.{field} must hold whole numbers from 0")
    if rows.x.ndim > 3:
        check_images(np.asarray(rows.x), "data.x")
