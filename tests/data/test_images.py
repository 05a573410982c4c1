import numpy as np
import pytest
from PIL import Image
from scipy.interpolate import CubicSpline
from sklearn.datasets import load_digits

from jaxdis.data import images

ORIGINAL = load_digits()


def inner(pixels, size, side):
    """The middle of the images, which holds the digit, `side` pixels wide."""
    before = (size - side) // 2
    return pixels[:, before : before + side, before : before + side, 0]


def correlation(a, b):
    """Of each image with its counterpart."""
    a, b = (np.reshape(i, (len(i), -1)).astype(float) for i in (a, b))
    a, b = (i - i.mean(1, keepdims=True) for i in (a, b))
    return (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))


def shrunk(digits):
    """Averages over areas, 8 x 8."""
    box = Image.Resampling.BOX
    floats = digits.astype(np.float32)
    return np.stack([Image.fromarray(i).resize((8, 8), box) for i in floats])


def test_all_digits_in_their_order():
    digits = images.digits()
    assert digits.pixels.shape == (1797, 28, 28, 1)
    assert digits.pixels.dtype == np.uint8
    assert digits.labels.dtype == np.int32
    np.testing.assert_array_equal(digits.labels, ORIGINAL.target)
    assert len(np.unique(digits.pixels.reshape(1797, -1), axis=0)) == 1797


# The digit takes 5/7 of the image; one pixel more of margin follows if it is odd.
@pytest.mark.parametrize(
    ("size", "side", "before", "after"),
    [(28, 20, 4, 4), (14, 10, 2, 2), (32, 23, 4, 5), (9, 6, 1, 2)],
)
def test_size_and_black_margin(size, side, before, after):
    pixels = images.digits(size).pixels
    assert pixels.shape == (1797, size, size, 1)
    assert pixels.max() == 255
    lit = pixels.any((0, 3))
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    assert rows[0] == before
    assert rows[-1] == size - after - 1
    assert columns.min() >= before  # the digits' own first column is all but empty
    assert columns.max() <= size - after - 1
    assert before + side + after == size


def test_enlarged_digit_shrinks_to_the_original():
    digits = inner(images.digits().pixels, 28, 20)
    small = shrunk(digits)
    assert correlation(small, ORIGINAL.images).min() > 0.9
    # Another digit, or the same one turned over, is not nearly as alike.
    assert correlation(small, np.roll(ORIGINAL.images, 1, 0)).mean() < 0.6
    assert correlation(small, ORIGINAL.images.swapaxes(1, 2)).mean() < 0.6


@pytest.mark.parametrize(("size", "side"), [(28, 20), (21, 15)])
def test_splines_against_scipy(size, side):
    # A spline that is level at the borders, as is one through the mirrored image. What
    # overshoots below black or above white is cut off.
    expected = ORIGINAL.images / 16
    for axis in (1, 2):
        spline = CubicSpline(np.arange(8), expected, axis, bc_type="clamped")
        expected = spline(np.linspace(0, 7, side))
    assert expected.min() < -0.1
    assert expected.max() > 1.1
    digits = inner(images.digits(size).pixels, size, side)
    np.testing.assert_allclose(digits, 255 * expected.clip(0, 1), atol=0.51)
