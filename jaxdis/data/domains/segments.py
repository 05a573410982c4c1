"""Many segments that change scales and means of all latents, which overlap widely.

The process of time-contrastive learning (Hyvärinen and Morioka 2016, arXiv 1605.06336),
with Gaussian sources in place of Laplace ones, and with means that change too; the
mixing is that of `mixed_factors`, and the constants are this library's own choice; the
default shift was chosen by how well classifiers of the segments find the true latents.
"""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.data import draws, mixed_factors
from jaxdis.data.domains import worlds
from jaxdis.data.domains.worlds import Process, World
from jaxdis.types import PRNGKey, Spec, Splits

__all__ = ["Segments", "draw"]

LOG_SCALES = (-1.2, 0.4)  # of the deviations: .3 to 1.5


@dataclass(frozen=True)
class Segments:
    """`x = mix(z)` of latents `z_i ~ N(m_ui, s_ui^2)` in segment, or domain, u.

    Attributes:
      shift: the largest mean, of either sign; with 0 scales alone change, and no
        classifier of the segments needs to know the sign of a latent.
      z_dim: the number of latents.
      x_dim: the number of observed variables, at least z_dim.
      domains: the number of segments, at least 2.
      samples: the number of training rows of each segment.
      valid_samples: the number of validation rows of each segment.
      test_samples: the number of test rows of each segment.
      worlds: the number of independent draws of everything, of which seed s sees number
        s mod worlds; 0 for one of its own for every seed, 1 for one that all see.
      seed: the seed of all draws.
    """

    shift: float = 1.0
    z_dim: int = 5
    x_dim: int = 10
    domains: int = 40
    samples: int = 500
    valid_samples: int = 25
    test_samples: int = 50
    worlds: int = 0
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes, without drawing the rows.

        Raises:
          ValueError: sizes or a shift below their least, or z_dim > x_dim.
        """
        worlds.check_sizes(self)
        check.at_least("data.shift", self.shift, 0)
        check.at_least("data.z_dim", self.z_dim, 1)
        check.enough_observed(self.z_dim, self.x_dim)
        return Spec(
            shape=(self.x_dim,),
            domains=worlds.domain_names(self.domains),
            z_dim=self.z_dim,
            worlds=draws.count(self.worlds),
            rows=self.samples * self.domains,
        )

    def load(self) -> Splits:
        """Draws the rows of all worlds, of 8 where every seed has its own; see `draw`.

        Arrays have an axis of worlds in front, unless all seeds see the same one.
        """
        return worlds.as_rows(self, draw(self)[1])

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """Draws the rows of the worlds with those numbers; see `draw`."""
        return draw(self, numbers)[1]


def _draw_world(data: Segments, key: PRNGKey, attempt: Array) -> World:
    mixing_key, scale_key, mean_key = jax.random.split(key, 3)
    shape = (data.domains, data.z_dim)
    return World(
        mixing=mixed_factors.draw_mixing(mixing_key, data.z_dim, data.x_dim),
        centre=jnp.zeros(data.x_dim),
        scale=jnp.ones(data.x_dim),
        means=worlds.draw_uniform(mean_key, shape, (-data.shift, data.shift)),
        stds=jnp.exp(worlds.draw_uniform(scale_key, shape, LOG_SCALES)),
        attempts=attempt + 1,
        weakening=jnp.ones(()),
    )


def _g(mixing: mixed_factors.Mixing, z: Float[Array, "z"]) -> Float[Array, "x"]:
    return mixed_factors.mix(mixing, z)


@partial(jax.jit, static_argnums=1)
def _draw(
    key: PRNGKey, data: Segments, numbers: Int[Array, "w"]
) -> tuple[World, Splits]:
    process = Process(partial(_draw_world, data), _g, accepts=None)
    return worlds.draw_worlds(process, key, data, numbers)


def draw(
    data: Segments, numbers: tuple[int, ...] | None = None
) -> tuple[World, Splits]:
    """Draws the worlds and their rows on the default device.

    In segment u, `z_i = m_ui + s_ui e_i`, e standard normal, m ~ U(-shift, shift) and
    log s ~ U(-1.2, .4); the mixing is `mixed_factors.mix`.

    Args:
      data: the settings.
      numbers: the numbers of the worlds; None for those that `Segments.load` draws.

    Returns:
      The worlds, stacked; the rows.

    Raises:
      ValueError: as `Segments.spec`.
    """
    data.spec()
    numbers = draws.numbers(data.worlds) if numbers is None else numbers
    alike = replace(data, seed=0, worlds=0)
    return _draw(jax.random.key(data.seed), alike, jnp.asarray(numbers))
