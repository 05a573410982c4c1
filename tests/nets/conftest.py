"""Oracles that the tests of networks share."""

import chex
import numpy as np
import pytest
from scipy import signal


def scipy_convolution(layer, x, kernel):
    """One channel of one image at a time, by definition of the layers."""
    x, kernel = np.float64(x), np.float64(kernel)

    def one(image, taps):
        if layer == "double":  # x[h] taps[i] falls on 2 h + i - 1
            spread = np.zeros((2 * image.shape[0] - 1, 2 * image.shape[1] - 1))
            spread[::2, ::2] = image
            return signal.convolve2d(spread, taps)[1:-1, 1:-1]
        seen = signal.correlate2d(np.pad(image, int(layer != "merge")), taps, "valid")
        return seen if layer == "smooth" else seen[::2, ::2]

    return np.stack(
        [
            [
                sum(one(image[..., c], taps[..., c]) for c in range(image.shape[-1]))
                for taps in np.moveaxis(kernel, -1, 0)
            ]
            for image in x
        ]
    ).transpose(0, 2, 3, 1)


def close_to_largest(actual, expected):
    tolerance = 1e-5 * np.abs(expected).max()
    chex.assert_trees_all_close(actual, expected, rtol=0, atol=tolerance)


def is_he_normal(values, fan_in):
    """Whether weights are N(0, 2 / fan_in), by their first, second and fourth moment.

    That the fourth is 3 tells a normal from one cut at two deviations.
    """
    scaled = np.asarray(values, np.float64).ravel() / np.sqrt(2 / fan_in)
    root = np.sqrt(scaled.size)
    assert abs(scaled.mean()) < 5 / root
    assert abs((scaled**2).mean() - 1) < 5 * np.sqrt(2) / root
    assert abs((scaled**4).mean() - 3) < 5 * np.sqrt(96) / root


@pytest.fixture(scope="session")
def convolved():
    """`(layer, x, kernel) -> y` by scipy."""
    return scipy_convolution


@pytest.fixture(scope="session")
def close():
    """Whether an array is another up to 1e-5 of its largest element."""
    return close_to_largest


@pytest.fixture(scope="session")
def he_normal():
    """`(values, fan_in)`: whether they are N(0, 2 / fan_in)."""
    return is_he_normal
