"""A toy of sparse transitions: most latents hardly move in a step, some move far.

The law of the latents is that of Klindt et al. 2021 (arXiv 2007.10930); the mixing is
that of `mixed_factors`, and the constants are this library's own choice.
"""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import check
from jaxdis.data import draws
from jaxdis.data.mixed_factors import draw_mixing, mix
from jaxdis.types import PRNGKey, Rows, Spec, Splits

__all__ = ["SparseSteps", "draw_latents"]


@dataclass(frozen=True)
class SparseSteps:
    """Sequences `x_t = mix(z_t)` whose latents take steps of a Laplace law.

    `z_1 ~ N(0, 1)` and `z_t - z_{t-1} ~ Laplace(0, 1 / rate)`, each latent for itself.

    Attributes:
      z_dim: the number of latents.
      x_dim: the number of observed variables, at least z_dim.
      steps: the number of observations in a sequence, at least 2.
      rate: the rate of the Laplace law; the larger, the slower.
      samples: the number of training sequences.
      test_samples: the number of sequences of each of the two held-out splits.
      worlds: the number of independent draws of mixing and rows, of which seed s sees
        number s mod worlds; 0 for one of its own for every seed, 1 for one that all
        see.
      seed: the seed of all draws.
    """

    z_dim: int = 5
    x_dim: int = 10
    steps: int = 2
    rate: float = 2.0
    samples: int = 20_000
    test_samples: int = 2_000
    worlds: int = 0
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes, without drawing the rows.

        Raises:
          ValueError: a size below its least, a rate that is not positive, or
            z_dim > x_dim.
        """
        check.at_least("data.steps", self.steps, 2)
        for name in ("z_dim", "samples", "test_samples"):
            check.at_least(f"data.{name}", getattr(self, name), 1)
        draws.check_worlds(self.worlds)
        check.positive("data.rate", self.rate)
        check.enough_observed(self.z_dim, self.x_dim)
        return Spec(
            shape=(self.x_dim,),
            steps=self.steps,
            z_dim=self.z_dim,
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
        return self._world(0)

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """The same of the worlds with those numbers."""
        return draws.stacked(self._world, numbers)

    def _world(self, number: int) -> Splits:
        """The rows of a world, by one program for all seeds and worlds."""
        alike = replace(self, worlds=1, seed=0)
        return _draw(draws.key_of(self.seed, number), alike)


def draw_latents(
    key: PRNGKey, n: int, steps: int, z_dim: int, rate: float
) -> Float[Array, "n t z"]:
    """Walks from `z_1 ~ N(0, 1)` by steps of `Laplace(0, 1 / rate)`.

    Args:
      key: the randomness.
      n: the number of sequences.
      steps: the number of observations in a sequence.
      z_dim: the number of latents.
      rate: the rate of the Laplace law.
    """
    start_key, step_key = jax.random.split(key)
    start = jax.random.normal(start_key, (n, 1, z_dim))
    moves = jax.random.laplace(step_key, (n, steps - 1, z_dim)) / rate
    return jnp.cumsum(jnp.concatenate([start, moves], 1), 1)


@partial(jax.jit, static_argnums=1)
def _draw(key: PRNGKey, data: SparseSteps) -> Splits:
    mixing_key, *keys = jax.random.split(key, 4)
    mixing = draw_mixing(mixing_key, data.z_dim, data.x_dim)
    sizes = data.samples, data.test_samples, data.test_samples
    walks = (
        draw_latents(k, n, data.steps, data.z_dim, data.rate)
        for k, n in zip(keys, sizes, strict=True)
    )
    train, valid, test = (Rows(mix(mixing, z), z=z) for z in walks)
    return Splits(train, valid, test)
