"""Sprites drawn on the device: a pure function from how they look to their pixels."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdis.data import transforms
from jaxdis.data.sprites.shapes import SHAPES
from jaxdis.types import Scalar

__all__ = ["RADIUS", "Look", "draw"]

RADIUS = 0.2
"""Of a sprite of scale 1, as a share of the width of the image."""


class Look(NamedTuple):
    """How sprites look, all fields of the same shape.

    Attributes:
      shape: the number of the shape.
      scale: the scale, of `RADIUS`.
      orientation: the angle in turns, counter-clockwise.
      x_position: where the middle is, from the left, as a share of the width.
      y_position: likewise, from the top.
      hue: the hue in turns, of images in colour.
      background: the brightness of what is behind the sprite, whose own is 1.
    """

    shape: Int[Array, "*b"]
    scale: Float[Array, "*b"]
    orientation: Float[Array, "*b"]
    x_position: Float[Array, "*b"]
    y_position: Float[Array, "*b"]
    hue: Float[Array, "*b"]
    background: Float[Array, "*b"]


def draw(
    look: Look, shapes: Sequence[str], size: int, *, colour: bool = False
) -> Float[Array, "*b h w c"]:
    """`b + a (f - b)` with the background b, the colour f, and a the share of a pixel.

    `a = clip(1/2 - d, 0, 1)` with d the signed distance of the middle of the pixel from
    the edge, in pixels: the area of the pixel inside a straight edge that is parallel
    to its sides, and nearly so for others. A corner has up to a quarter of a pixel too
    much.

    Args:
      look: how each sprite looks.
      shapes: the names of the shapes that are numbered, keys of `SHAPES`.
      size: the height and width of an image in pixels.
      colour: whether images have three channels, or one, of which f is 1.

    Returns:
      Images in [0, 1].
    """
    lead = look.shape.shape
    flat = jax.tree.map(lambda a: a.reshape(-1), look)
    hue = jax.vmap(_paint if colour else _chalk)(flat.hue)

    def one(look: Look, front: Float[Array, "c"]) -> Float[Array, "h w c"]:
        share = _coverage(look, shapes, size)[..., None]
        return look.background + share * (front[None, None] - look.background)

    images = jax.vmap(one)(flat, hue)
    return images.reshape(*lead, *images.shape[1:])


def _paint(hue: Scalar) -> Float[Array, "3"]:
    return transforms.shift_hue(jnp.array([1.0, 0.0, 0.0]), 360.0 * hue)


def _chalk(hue: Scalar) -> Float[Array, "1"]:
    return jnp.ones(1)


def _coverage(look: Look, shapes: Sequence[str], size: int) -> Float[Array, "h w"]:
    """The share of each pixel that a sprite covers."""
    radius = RADIUS * look.scale
    middle = (jnp.arange(size) + 0.5) / size
    y, x = jnp.meshgrid(middle, middle, indexing="ij")
    right, up = (x - look.x_position) / radius, (look.y_position - y) / radius
    angle = 2 * jnp.pi * look.orientation
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    x, y = cosine * right + sine * up, cosine * up - sine * right
    distance = SHAPES[shapes[0]].distance(x, y)
    for number, name in enumerate(shapes[1:], 1):  # a lookup takes 30 times as long
        other = SHAPES[name].distance(x, y)
        distance = jnp.where(look.shape == number, other, distance)
    return jnp.clip(0.5 - radius * size * distance, 0.0, 1.0)
