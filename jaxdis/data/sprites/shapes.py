"""Shapes by their signed distance: negative inside, 0 on the edge, positive outside.

All have their farthest points at distance 1 from the origin, the first axis to the
right and the second one up.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["SHAPES", "Shape", "disc", "ellipse", "heart", "square", "triangle"]

HALF_WIDTH = 0.5  # of the ellipse
TINY = 1e-6


def disc(x: Float[Array, "h w"], y: Float[Array, "h w"]) -> Float[Array, "h w"]:
    """`|p| - 1`."""
    return jnp.hypot(x, y) - 1.0


def square(x: Float[Array, "h w"], y: Float[Array, "h w"]) -> Float[Array, "h w"]:
    """`max(|x|, |y|) - sqrt(1/2)`: exact beside the sides, less beyond the corners."""
    return jnp.maximum(jnp.abs(x), jnp.abs(y)) - math.sqrt(0.5)


def ellipse(x: Float[Array, "h w"], y: Float[Array, "h w"]) -> Float[Array, "h w"]:
    """`f / |grad f|` of `f = x^2 + (2 y)^2 - 1`, up to higher orders at the edge.

    Written as `q (q - 1) / |grad q^2 / 2|` with `q = |(x, 2 y)|`, which has the slope 1
    across the edge.
    """
    q = jnp.hypot(x, y / HALF_WIDTH)
    slope = jnp.hypot(x, y / HALF_WIDTH**2)
    # In the very middle both are 0, and the distance is half the lesser diameter.
    middle = slope < TINY
    return jnp.where(middle, -HALF_WIDTH, q * (q - 1.0) / jnp.where(middle, 1, slope))


def triangle(x: Float[Array, "h w"], y: Float[Array, "h w"]) -> Float[Array, "h w"]:
    """`max_i n_i'p - 1/2` of three sides of equal length; a corner points up."""
    slant = 0.5 * math.sqrt(3) * jnp.abs(x) + 0.5 * y
    return jnp.maximum(slant, -y) - 0.5


LOBE = 0.75 * math.sqrt(2) - 0.5
"""The radius of both discs of the heart, and half the side of its square."""
LOWERED = 0.5 * (math.sqrt(2) - 1.0)
"""How far the middle of the square is below the middle of the heart."""


def heart(x: Float[Array, "h w"], y: Float[Array, "h w"]) -> Float[Array, "h w"]:
    """A square on its corner, with a disc on each of its upper sides.

    The least of the three distances: exact outside.
    """
    x, y = jnp.abs(x), y + LOWERED
    side = (x + jnp.abs(y)) * math.sqrt(0.5) - LOBE
    centre = LOBE * math.sqrt(0.5)
    return jnp.minimum(side, jnp.hypot(x - centre, y - centre) - LOBE)


class Shape(NamedTuple):
    """One shape.

    Attributes:
      distance: `(x, y) -> signed distance`.
      area: its area.
      period: the part of a turn after which it looks the same; 0 if it always does.
    """

    distance: Callable[[Float[Array, "h w"], Float[Array, "h w"]], Float[Array, "h w"]]
    area: float
    period: float


SHAPES: dict[str, Shape] = {
    "square": Shape(square, 2.0, 0.25),
    "ellipse": Shape(ellipse, math.pi * HALF_WIDTH, 0.5),
    "heart": Shape(heart, (4 + math.pi) * LOBE**2, 1.0),
    "disc": Shape(disc, math.pi, 0.0),
    "triangle": Shape(triangle, 0.75 * math.sqrt(3), 1 / 3),
}
"""The shapes by name; the first three are those of dSprites."""
