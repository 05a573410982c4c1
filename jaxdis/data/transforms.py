"""Scale, rotation and hue of images, on the device.

How far an image is transformed is told by a vector of amounts, one a transformation, in
steps: amounts t e_k is the sequence of transformation k at time t, and a sum of several
is their composition. Scale and rotation share the centre and hue acts on colours alone,
so the order does not matter.

Source: Song et al. 2023 (arXiv 2309.13167) and its released data: scale 1 + .1 t,
rotation by 10 t degrees, hue by 20 t degrees.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from jaxdis.types import Scalar

__all__ = ["STEP", "shift_hue", "transform", "transform_red", "warp"]

STEP = {"scale": 0.1, "rotation": 10.0, "hue": 20.0}
"""What one step adds: to the scale, and degrees."""


def warp(
    image: Float[Array, "h w c"], scale: Scalar, degrees: Scalar
) -> Float[Array, "h w c"]:
    """Enlarges and turns an image about (w/2, h/2), counter-clockwise on the screen.

    Output pixel (x, y) at (dx, dy) from the centre is the bilinear sample at
    `centre + R (dx, dy) / scale` with R = [[cos, -sin], [sin, cos]]; the outside is 0.
    The centre is half a pixel off the middle of the pixel grid, as published.

    Args:
      image: an image of any number of channels.
      scale: the factor by which it is enlarged.
      degrees: the angle by which it is turned.
    """
    h, w, _ = image.shape
    angle = jnp.deg2rad(degrees)
    cosine, sine = jnp.cos(angle) / scale, jnp.sin(angle) / scale
    y, x = jnp.meshgrid(jnp.arange(h) - h / 2, jnp.arange(w) - w / 2, indexing="ij")
    at = [sine * x + cosine * y + h / 2, cosine * x - sine * y + w / 2]

    def channel(plane: Float[Array, "h w"]) -> Float[Array, "h w"]:
        return map_coordinates(plane, at, order=1, mode="constant", cval=0.0)

    return jax.vmap(channel, 2, 2)(image)


def shift_hue(rgb: Float[Array, "*b 3"], degrees: Scalar) -> Float[Array, "*b 3"]:
    """Turns the hue of colours in [0, 1], keeping saturation and value.

    In HSV, the colour of hue H is
    `V (1 - S + S clip(|(H/60 + (0, 4, 2)) mod 6 - 3| - 1, 0, 1))`. A grey, of
    saturation 0, stays what it is.
    """
    value, low = rgb.max(-1), rgb.min(-1)
    chroma = value - low
    safe = jnp.where(chroma > 0, chroma, 1.0)
    r, g, b = (rgb[..., i] for i in range(3))
    sextant = jnp.where(
        value == r,
        (g - b) / safe,
        jnp.where(value == g, 2.0 + (b - r) / safe, 4.0 + (r - g) / safe),
    )
    turned = sextant + degrees / 60.0
    offsets = (0.0, 4.0, 2.0)
    pure = [jnp.clip(jnp.abs((turned + o) % 6.0 - 3.0) - 1.0, 0, 1) for o in offsets]
    return low[..., None] + chroma[..., None] * jnp.stack(pure, -1)


def _warped(
    image: Float[Array, "h w c"], amounts: Float[Array, "k"], names: Sequence[str]
) -> tuple[Float[Array, "h w c"], Scalar]:
    """The image scaled and turned, and the degrees of hue that are still to come."""
    moved = dict.fromkeys(STEP, jnp.zeros(()))
    for name, amount in zip(names, amounts, strict=True):
        moved[name] += STEP[name] * amount
    if not set(names) & {"scale", "rotation"}:
        return image, moved["hue"]
    return warp(image, 1.0 + moved["scale"], moved["rotation"]), moved["hue"]


def transform(
    image: Float[Array, "h w c"], amounts: Float[Array, "k"], names: Sequence[str]
) -> Float[Array, "h w c"]:
    """An image after some steps of each transformation.

    Args:
      image: the image in [0, 1], RGB; or of any number of channels if no
        transformation is "hue".
      amounts: the number of steps of each transformation.
      names: the names of the transformations, keys of `STEP`.
    """
    image, hue = _warped(image, amounts, names)
    return shift_hue(image, hue) if "hue" in names else image


def transform_red(
    image: Float[Array, "h w 1"], amounts: Float[Array, "k"], names: Sequence[str]
) -> Float[Array, "h w 3"]:
    """As `transform`, for a grey image that is put into the red channel first.

    Red gives a grey image the hue that it lacks, as published. Warping one channel and
    colouring it last is exact: a hue moves all pixels of one colour alike.

    Args:
      image: the grey image in [0, 1].
      amounts: the number of steps of each transformation.
      names: the names of the transformations, keys of `STEP`.
    """
    image, hue = _warped(image, amounts, names)
    return image * shift_hue(jnp.array([1.0, 0.0, 0.0]), hue)[None, None]
