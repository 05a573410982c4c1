"""A toy: latent factors drawn uniformly and mixed by a fixed invertible network.

The constants are this library's own choice.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.data import draws
from jaxdis.data.orthogonal import WIDE, Orthogonal, draw_rotation, times
from jaxdis.types import PRNGKey, Rows, Source, Spec, Splits

__all__ = ["RANGE", "MixedFactors", "Mixing", "draw_mixing", "mix"]

RANGE = 1.7  # of the factors
SLOPE, GAIN = 0.3, 1.4  # of the mixing


@dataclass(frozen=True)
class MixedFactors:
    """`x = mix(z)` of latents z ~ U(-1.7, 1.7); training rows are drawn anew each time.

    Attributes:
      z_dim: the number of factors.
      x_dim: the number of observed variables, at least z_dim.
      test_rows: the number of rows of each of the two held-out splits.
      worlds: the number of independent draws of the mixing and the held-out rows, of
        which seed s sees number s mod worlds; 0 for one of its own for every seed, 1
        for one that all see.
      seed: the seed of the mixings and of the held-out rows.
    """

    z_dim: int = 5
    x_dim: int = 10
    test_rows: int = 5_120
    worlds: int = 1
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes.

        Raises:
          ValueError: a size below its least, or z_dim > x_dim.
        """
        check.at_least("data.z_dim", self.z_dim, 1)
        check.at_least("data.test_rows", self.test_rows, 1)
        check.enough_observed(self.z_dim, self.x_dim)
        draws.check_worlds(self.worlds)
        worlds = draws.count(self.worlds)
        return Spec(shape=(self.x_dim,), z_dim=self.z_dim, worlds=worlds)

    def load(self) -> Splits:
        """Where training rows are drawn, and held-out rows.

        Of all worlds, or of 8 where every seed has its own; they have an axis in front.

        Raises:
          ValueError: as `spec`.
        """
        self.spec()
        if self.worlds != 1:
            return self.load_worlds(draws.numbers(self.worlds))
        mixing, valid, test = self._world(0)
        return Splits(Source(Partial(_draw, mixing)), valid, test)

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """The same of the worlds with those numbers."""
        mixing, valid, test = draws.stacked(self._world, numbers)
        return Splits(Source(Partial(_draw_world, mixing)), valid, test)

    def _world(self, number: int) -> "tuple[Mixing, Rows, Rows]":
        """The mixing and the held-out rows of a world."""
        key = draws.key_of(self.seed, number)
        mix_key, *keys = jax.random.split(key, 3)
        mixing = draw_mixing(mix_key, self.z_dim, self.x_dim)
        valid, test = (
            _draw(mixing, jax.random.split(key)[0], self.test_rows) for key in keys
        )
        return mixing, valid, test


class Mixing(NamedTuple):
    """The weights of the network.

    Attributes:
      first: the first layer's, with orthonormal rows.
      second: the second layer's, orthogonal.
      third: the last layer's, orthogonal.
    """

    first: Float[Array, "z x"]
    second: Orthogonal
    third: Orthogonal


def draw_mixing(key: PRNGKey, z_dim: int, x_dim: int) -> Mixing:
    """Orthogonal factors of Gaussian matrices; of the first one, z_dim rows.

    Of more than `orthogonal.WIDE` observed variables, products of sparse ones.

    Args:
      key: draws the matrices.
      z_dim: the number of factors.
      x_dim: the number of observed variables.
    """
    keys = jax.random.split(key, 3)
    if x_dim > WIDE:
        turn, second, third = (draw_rotation(k, x_dim) for k in keys)
        return Mixing(times(jnp.eye(z_dim, x_dim), turn), second, third)
    shape = (x_dim, x_dim)
    first, *rest = (jnp.linalg.qr(jax.random.normal(k, shape))[0] for k in keys)
    return Mixing(first[:z_dim], *rest)


def mix(mixing: Mixing, z: Float[Array, "*n z"]) -> Float[Array, "*n x"]:
    """`x = s(s(z W_1) W_2) W_3`, s(u) = 1.4 leaky_relu(u, slope .3); injective.

    Args:
      mixing: W_1, W_2 and W_3.
      z: the factors.
    """
    for w in mixing[:-1]:
        z = GAIN * jax.nn.leaky_relu(times(z, w), SLOPE)
    return times(z, mixing.third)


def _draw(mixing: Mixing, key: PRNGKey, n: int) -> Rows:
    shape = (n, mixing.first.shape[0])
    z = jax.random.uniform(key, shape, minval=-RANGE, maxval=RANGE)
    return Rows(mix(mixing, z), z=z)


def _draw_world(mixings: Mixing, key: PRNGKey, n: int, world: Int[Array, ""]) -> Rows:
    return _draw(jax.tree.map(lambda w: w[world], mixings), key, n)
