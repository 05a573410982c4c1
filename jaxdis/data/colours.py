"""Grey images in two colours, and the hue of what is in their foreground.

Source: Li et al. 2025 (arXiv 2503.00639) train on digits in two colours. Their images
were not available: hues and brightness are this library's.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped, UInt8

from jaxdis.data import transforms
from jaxdis.types import PRNGKey

__all__ = ["foreground_hue", "nearest_hue", "painted", "two_colours", "unit"]

JITTER = 0.04  # of hues, in turns
BACKGROUND = 0.4  # its brightness; the foreground's is 1


def unit(x: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """The values of images as numbers in [0, 1].

    Args:
      x: bytes, or numbers in [0, 1], which stay as they are.

    Raises:
      ValueError: images of another dtype.
    """
    if x.dtype == jnp.uint8:
        return x.astype(float) / 255.0
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(float)
    raise ValueError(
        f"images must be uint8, 0 to 255, or floats in [0, 1]; got {x.dtype}"
    )


def two_colours(
    grey: UInt8[Array, "b h w 1"],
    foreground: Float[Array, "b"],
    background: Float[Array, "b"],
) -> UInt8[Array, "b h w 3"]:
    """`a f + (1 - a) g` with a the grey level, f and g the two colours.

    In HSV, f is (hue, 1, 1) and g is (hue, 1, .4).

    Args:
      grey: the grey levels, 0 to 255.
      foreground: the hues of f, in turns.
      background: the hues of g, in turns.
    """
    red = jnp.array([1.0, 0.0, 0.0])
    pure = jax.vmap(transforms.shift_hue, (None, 0))
    f = pure(red, 360.0 * foreground)[:, None, None]
    g = BACKGROUND * pure(red, 360.0 * background)[:, None, None]
    a = grey / 255.0
    return jnp.round(255.0 * (a * f + (1.0 - a) * g)).astype(jnp.uint8)


def painted(
    key: PRNGKey, grey: UInt8[Array, "b h w 1"], hue: Float[Array, "b"]
) -> UInt8[Array, "b h w 3"]:
    """Foregrounds of that hue and backgrounds of the opposite one, each +- .04.

    Args:
      key: the key of the jitter of both hues.
      grey: the grey levels, 0 to 255.
      hue: the hue of each foreground, in turns.
    """
    jitter = jax.random.uniform(key, (2, *hue.shape), minval=-JITTER, maxval=JITTER)
    return two_colours(grey, hue + jitter[0], hue + 0.5 + jitter[1])


def foreground_hue(images: Shaped[Array, "b h w 3"]) -> Float[Array, "b"]:
    """Hue of the mean colour of an image weighted by V^8, in turns, in [0, 1).

    V is the brightness of HSV. A background of brightness .4 weighs less than
    .001 of the foreground, and of the opposite hue it only takes saturation off.
    Greys have hue 0.

    Args:
      images: bytes, or numbers in [0, 1].

    Raises:
      ValueError: images of another dtype.
    """
    values = unit(images)
    colour = jnp.sum(values * values.max(-1, keepdims=True) ** 8, (1, 2))
    high, low = colour.max(-1), colour.min(-1)
    chroma = jnp.where(high > low, high - low, 1.0)
    r, g, b = colour[:, 0], colour[:, 1], colour[:, 2]
    sextant = jnp.where(
        high == r,
        (g - b) / chroma,
        jnp.where(high == g, 2.0 + (b - r) / chroma, 4.0 + (r - g) / chroma),
    )
    return sextant / 6.0 % 1.0


def nearest_hue(
    images: Shaped[Array, "b h w 3"], hues: Float[Array, "d"] | Float[np.ndarray, "d"]
) -> Int[Array, "b"]:
    """Which of some hues is the nearest to `foreground_hue`, around the circle.

    Args:
      images: bytes, or numbers in [0, 1].
      hues: the hues to choose from, in turns.
    """
    off = foreground_hue(images)[:, None] - jnp.asarray(hues, float)[None]
    return jnp.argmin(jnp.abs(off - jnp.round(off)), -1)
