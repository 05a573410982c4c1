"""Orthogonal maps of any width, for mixings.

A dense one costs x^3 to draw and x^2 a row to apply. Above `WIDE` observed variables it
is a product of a few sparse ones, x SIDE a row: variables in a random order, turned in
blocks of `SIDE` by uniformly drawn rotations. Two of these reach 16,384 variables from
every one; three are taken.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdis.types import PRNGKey

__all__ = ["WIDE", "Orthogonal", "Rotation", "draw_rotation", "times"]

WIDE = 512  # the most variables of dense maps, whose draws are as they always were
SIDE = 128
STAGES = 3


class Rotation(NamedTuple):
    """An orthogonal map of x variables as a product of sparse ones.

    Attributes:
      blocks: of each stage the orthogonal matrices of the first `m SIDE` variables in
        its order; what is left over of them stays as it is.
      order: of each stage the order in which it takes the variables.
      scale: what the results are multiplied by.
    """

    blocks: Float[Array, "*w s m c c"]
    order: Int[Array, "*w s x"]
    scale: Float[Array, "*w"]


Orthogonal: TypeAlias = Array | Rotation
"""A map of one width, dense or not; of a dense one columns are the results."""


def _uniform(key: PRNGKey, n: int, side: int) -> Float[Array, "n c c"]:
    """Matrices drawn uniformly from the orthogonal ones, as products of reflections.

    Stewart 1980. LAPACK would wait for its threads where a machine is busy.
    """
    vector_key, sign_key = jax.random.split(key)
    drawn = jax.random.normal(vector_key, (n, side, side))
    signs = jax.random.rademacher(sign_key, (n, side, 1), jnp.float32)
    place = jnp.arange(side)[None]

    def reflected(i: Array, q: Array) -> Array:
        x = jnp.where(place >= i, drawn[:, i], 0.0)
        length = jnp.linalg.norm(x, axis=-1, keepdims=True)
        v = x + jnp.where(place == i, jnp.where(x < 0, -length, length), 0.0)
        unit = v / jnp.linalg.norm(v, axis=-1, keepdims=True)
        along = (q * unit[:, None]).sum(-1, keepdims=True)
        return q - 2 * along * unit[:, None]

    start = signs * jnp.eye(side)[None]
    found: Array = jax.lax.fori_loop(0, side - 1, reflected, start)
    return found


def draw_rotation(key: PRNGKey, width: int, scale: float = 1.0) -> Rotation:
    """Draws blocks and orders.

    Args:
      key: a random key.
      width: the number of variables, at least `SIDE`.
      scale: what the results are multiplied by.
    """
    block_key, order_key = jax.random.split(key)
    count = width // SIDE
    blocks = _uniform(block_key, STAGES * count, SIDE)
    blocks = blocks.reshape(STAGES, count, SIDE, SIDE)
    numbers = jnp.arange(width, dtype=jnp.int32)
    keys = jax.random.split(order_key, STAGES)
    order = [jax.random.permutation(one, numbers) for one in keys]
    return Rotation(blocks, jnp.stack(order), jnp.asarray(scale, jnp.float32))


def times(z: Float[Array, "*n z"], weight: Orthogonal) -> Float[Array, "*n x"]:
    """`z W` for a dense or a sparse map.

    Args:
      z: rows.
      weight: the map.
    """
    if not isinstance(weight, Rotation):
        return jnp.matmul(z, weight, precision="highest")
    x = z
    for blocks, order in zip(weight.blocks, weight.order, strict=True):
        m, side, _ = blocks.shape
        turned, kept = jnp.split(x[..., order], [m * side], axis=-1)
        apart = turned.reshape(*z.shape[:-1], m, side)
        apart = jnp.einsum("...mc,mcd->...md", apart, blocks, precision="highest")
        x = jnp.concatenate([apart.reshape(turned.shape), kept], axis=-1)
    return x * weight.scale
