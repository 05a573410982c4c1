"""Grey images in two colours, and the hue of their foregrounds."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.data import colours

JITTER = 0.04

# One program each, rather than one per operation.
foreground_hue = jax.jit(colours.foreground_hue)
two_colours = jax.jit(colours.two_colours)
nearest_hue = jax.jit(colours.nearest_hue)


def test_colours_are_those_of_colorsys():
    grey = jnp.asarray([255, 0, 51], jnp.uint8)[None, None, :, None]
    grey = jnp.repeat(grey, 7, 0)
    hues = np.linspace(-0.3, 1.2, 7)
    x = two_colours(grey, jnp.float32(hues), jnp.float32(hues + 0.3))
    front = np.array([colorsys.hsv_to_rgb(h % 1, 1, 1) for h in hues])
    back = np.array([colorsys.hsv_to_rgb((h + 0.3) % 1, 1, 0.4) for h in hues])
    expected = np.stack([front, back, 0.2 * front + 0.8 * back], 1)[:, None]
    assert x.dtype == jnp.uint8
    assert np.abs(255 * expected - np.asarray(x, float)).max() <= 0.51


def test_hue_of_the_foreground():
    rng = np.random.default_rng(0)
    colours = np.concatenate(
        [rng.integers(0, 256, (40, 3)), np.eye(3) * 200, [[90, 90, 90], [0, 0, 0]]]
    ).astype(np.uint8)
    x = jnp.asarray(np.broadcast_to(colours[:, None, None], (45, 4, 4, 3)))
    expected = [colorsys.rgb_to_hsv(*c)[0] for c in colours / 255.0]
    np.testing.assert_allclose(foreground_hue(x), expected, atol=1e-5)


@pytest.mark.parametrize("domains", [2, 3, 10])
def test_domain_of_a_digit_of_one_pixel(domains):
    """The background, of the opposite hue, does not matter however large it is."""
    u = np.arange(30) % domains
    hue = jnp.float32(u / domains + np.repeat([-JITTER, 0.0, JITTER], 10))
    grey = np.zeros((30, 32, 32, 1), np.uint8)
    grey[:, 5, 9] = 255
    x = two_colours(jnp.asarray(grey), hue, hue + 0.5)
    hues = np.arange(domains) / domains
    np.testing.assert_array_equal(nearest_hue(x, hues), u)


def test_nearest_hue_goes_around_the_circle():
    hues = np.array([0.1, 0.45, 0.8])
    colour = [colorsys.hsv_to_rgb(h, 1, 1) for h in (0.1, 0.27, 0.28, 0.62, 0.63, 0.94)]
    x = jnp.float32(colour)[:, None, None]
    assert nearest_hue(x, hues).tolist() == [0, 0, 1, 1, 2, 2]
    assert nearest_hue(jnp.float32([[[[1.0, 0.0, 0.0]]]]), np.array([0.4, 0.95])) == 1


def test_bytes_and_numbers_have_the_same_hue():
    x = jnp.asarray(np.random.default_rng(0).integers(0, 256, (9, 3, 3, 3)), jnp.uint8)
    hue = foreground_hue(x)
    np.testing.assert_allclose(hue, foreground_hue(x / 255.0), atol=1e-5)
    with pytest.raises(ValueError, match=r"images must be uint8.*got int32"):
        foreground_hue(x.astype(jnp.int32))
