import numpy as np
import pytest
from PIL import Image
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


def test_splines_pass_through_the_original():
    # A digit 15 pixels wide has every original pixel and one between each two.
    digits = inner(images.digits(21).pixels, 21, 15)
    original = ORIGINAL.images / 16
    expected = np.round(255 * original)
    np.testing.assert_allclose(digits[:, ::2, ::2], expected, atol=1)
    # Splines overshoot there, and what is below black or above white is cut off.
    between = digits[:, ::2, 1::2]
    left, right = original[:, :, :-1], original[:, :, 1:]
    assert between[(left == 0) & (right == 0)].max() < 30
    assert between[(left == 1) & (right == 1)].min() > 230
