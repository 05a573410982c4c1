"""What arrays of images and of sequences must be, whoever gives them."""

from collections.abc import Sequence

import numpy as np

from jaxdis import log

__all__ = ["check_images"]

CHANNELS = (1, 2, 3, 4)  # of images as they are most often
FEW_CHANNELS = (1, 3, 4)  # of images whose first axis they are
GREY_SIZE = 8  # from which a square of numbers may be an image


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
    _check_channels(shape, name)
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


def _check_channels(shape: Sequence[int], name: str) -> None:
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
