"""A toy: factors that are mixed, and labels that depend on a few of them each."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.data import draws
from jaxdis.data.mixed_factors import RANGE, draw_mixing, mix
from jaxdis.types import Label, PRNGKey, Rows, Spec, Splits, Truth

__all__ = ["FactorTasks", "supports"]

USED = 2  # factors of a label


@dataclass(frozen=True)
class FactorTasks:
    """`x = mix(z)` of factors z ~ U(-1.7, 1.7), and labels of two neighbours each.

    `y_l = w_l . z_S(l) + noise e`, with w_l ~ N(0, 1)^2 and S(l) = {l, l + 1} mod
    z_dim, so that any two factors are told apart; `mix` is that of `MixedFactors`.

    Attributes:
      z_dim: the number of factors, at least 3.
      x_dim: the number of observed variables, at least z_dim.
      copies: the number of labels of each pair of factors; theory asks for 4.
      noise: the standard deviation of the noise of labels.
      samples: the number of training rows.
      test_rows: the number of rows of each of the two held-out splits.
      worlds: the number of independent draws of everything, of which seed s sees number
        s mod worlds; 0 for one of its own for every seed, 1 for one that all see.
      seed: the seed of all draws.
    """

    z_dim: int = 5
    x_dim: int = 10
    copies: int = 4
    noise: float = 0.1
    samples: int = 10_000
    test_rows: int = 2_000
    worlds: int = 1
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes, labels and their supports, without drawing the rows.

        Raises:
          ValueError: sizes below their least, z_dim > x_dim, or negative noise.
        """
        check.at_least("data.z_dim", self.z_dim, USED + 1)
        for name in ("copies", "samples", "test_rows"):
            check.at_least(f"data.{name}", getattr(self, name), 1)
        check.at_least("data.noise", self.noise, 0)
        check.enough_observed(self.z_dim, self.x_dim)
        draws.check_worlds(self.worlds)
        used = supports(self.z_dim, self.copies)
        return Spec(
            shape=(self.x_dim,),
            labels=tuple(Label(f"label_{i}") for i in range(len(used))),
            z_dim=self.z_dim,
            truth=Truth(supports=used),
            worlds=draws.count(self.worlds),
            rows=self.samples,
        )

    def load(self) -> Splits:
        """Draws the rows on the default device.

        Of all worlds, or of 8 where every seed has its own; they have an axis in front.

        Raises:
          ValueError: as `spec`.
        """
        self.spec()
        if self.worlds != 1:
            return self.load_worlds(draws.numbers(self.worlds))
        return Splits(*self._world(0))

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """The same of the worlds with those numbers."""
        return Splits(*draws.stacked(self._world, numbers))

    def _world(self, number: int) -> tuple[Rows, Rows, Rows]:
        """Train, valid and test of a world, by one program for all seeds and worlds."""
        alike = replace(self, worlds=1, seed=0)
        return _draw(draws.key_of(self.seed, number), alike)


def supports(z_dim: int, copies: int) -> Int[np.ndarray, "l z"]:
    """Which factors each label depends on: `{l, l + 1} mod z_dim`, `copies` times.

    Args:
      z_dim: the number of factors.
      copies: the number of labels of each pair.
    """
    one = np.eye(z_dim, dtype=int)
    pairs = np.maximum(one, np.roll(one, 1, axis=1))
    return np.tile(pairs, (copies, 1))


@partial(jax.jit, static_argnums=1)
def _draw(key: PRNGKey, data: FactorTasks) -> tuple[Rows, Rows, Rows]:
    mix_key, weight_key, *keys = jax.random.split(key, 5)
    mixing = draw_mixing(mix_key, data.z_dim, data.x_dim)
    used = supports(data.z_dim, data.copies)
    weights = jnp.asarray(used) * jax.random.normal(weight_key, used.shape)

    def rows(key: PRNGKey, n: int) -> Rows:
        z_key, y_key = jax.random.split(key)
        shape = (n, data.z_dim)
        z = jax.random.uniform(z_key, shape, minval=-RANGE, maxval=RANGE)
        noise = data.noise * jax.random.normal(y_key, (n, len(used)))
        return Rows(mix(mixing, z), y=_labels(weights, z) + noise, z=z)

    sizes = (data.samples, data.test_rows, data.test_rows)
    train, valid, test = (rows(k, n) for k, n in zip(keys, sizes, strict=True))
    return train, valid, test


def _labels(
    weights: Float[Array, "l z"], z: Float[Array, "n z"]
) -> Float[Array, "n l"]:
    return jnp.matmul(z, weights.T, precision="highest")
