"""Sets of still images with class labels."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

__all__ = ["Images", "digits"]


class Images(NamedTuple):
    """Still images.

    Attributes:
      pixels: the bytes of each image; c is 1 for grey images and 3 for RGB.
      labels: the class of each image.
    """

    pixels: UInt8[np.ndarray, "n h w c"]
    labels: Int[np.ndarray, "n"]


def digits(size: int = 28) -> Images:
    """The 1,797 handwritten 8 x 8 digits that scikit-learn ships, enlarged.

    Cubic splines enlarge a digit to 5/7 of the image, 20 of 28 pixels, and the rest is
    black, which is the layout of MNIST.

    Args:
      size: the height and width of the images.

    Source: Alpaydin and Kaynak 1998, "Optical recognition of handwritten digits" (UCI).
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    data = load_digits()
    inner = round(size * 5 / 7)
    enlarged = zoom(data.images / 16.0, (1, inner / 8, inner / 8), order=3)
    pixels = np.round(255 * np.clip(enlarged, 0.0, 1.0)).astype(np.uint8)
    before = (size - inner) // 2
    margin = (before, size - inner - before)
    pixels = np.pad(pixels, ((0, 0), margin, margin))
    return Images(pixels[..., None], data.target.astype(np.int32))
