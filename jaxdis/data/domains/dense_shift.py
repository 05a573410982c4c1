"""Shifts of some latents under a dense mixing."""

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdis.data import draws
from jaxdis.data.domains import worlds
from jaxdis.data.domains.toy import mask_matrix
from jaxdis.data.domains.worlds import Process, World
from jaxdis.types import PRNGKey, Spec, Splits, Truth

__all__ = ["DenseShift", "LeakyMixing", "draw", "mix"]

STD_RANGE = (0.01, 1.0)  # of latents that change
LEAKY_SLOPE = 0.2


@dataclass(frozen=True)
class DenseShift:
    """Domains that change the last latents only, all mixed by orthogonal matrices.

    Attributes:
      z_dim: the number of latents, at least 2, and of observed variables.
      changing: the number of latents that change with the domain, the last ones.
      domains: the number of domains, at least 2.
      samples: the number of training rows of each domain.
      valid_samples: the number of validation rows of each domain.
      test_samples: the number of test rows of each domain.
      worlds: the number of independent draws of everything, of which seed s sees number
        s mod worlds; 0 for one of its own for every seed, 1 for one that all see.
      seed: the seed of all draws.
    """

    z_dim: int = 4
    changing: int = 2
    domains: int = 9
    samples: int = 3_000
    valid_samples: int = 100
    test_samples: int = 300
    worlds: int = 0
    seed: int = 200

    def spec(self) -> Spec:
        """Sizes and the dense mask, without drawing the rows.

        Raises:
          ValueError: sizes below their least, more latents that change than there are.
        """
        worlds.check_sizes(self)
        if not 1 <= self.changing <= self.z_dim:
            raise ValueError(
                f"data.changing must lie in 1 .. data.z_dim = {self.z_dim}, got "
                f"{self.changing}"
            )
        return Spec(
            shape=(self.z_dim,),
            domains=worlds.domain_names(self.domains),
            z_dim=self.z_dim,
            truth=Truth(mask=mask_matrix("dense", self.z_dim)),
            worlds=draws.count(self.worlds),
            breaks=_breaks(self.z_dim - self.changing, self.z_dim),
        )

    def load(self) -> Splits:
        """Draws the rows of all worlds, of 8 where every seed has its own; see `draw`.

        Arrays have an axis of worlds in front, unless all seeds see the same one.
        """
        return worlds.as_rows(self, draw(self)[1])

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """Draws the rows of the worlds with those numbers; see `draw`."""
        return draw(self, numbers)[1]


def _breaks(still: int, z_dim: int) -> str:
    verb = "does" if still == 1 else "do"
    return f"{still} of {z_dim} latents {verb} not change with the domain" * (still > 0)


class LeakyMixing(NamedTuple):
    """The mixing `g(z) = W_2 lrelu(W_1 z)`, both orthogonal, slope .2.

    Attributes:
      first: the matrix W_1.
      second: the matrix W_2.
    """

    first: Float[Array, "*w z z"]
    second: Float[Array, "*w z z"]


_dot = partial(jnp.matmul, precision="highest")


def _g(mixing: LeakyMixing, z: Float[Array, "z"]) -> Float[Array, "z"]:
    hidden = jax.nn.leaky_relu(_dot(mixing.first, z), LEAKY_SLOPE)
    return _dot(mixing.second, hidden)


def mix(world: World, z: Float[Array, "*r z"]) -> Float[Array, "*r z"]:
    """`x = (g(z) - centre) / scale` of one world, without noise."""
    return worlds.mix(_g, world, z)


def _orthogonal(key: PRNGKey, n: int) -> Float[Array, "n n"]:
    """Uniform on the orthogonal matrices: normal rows by Gram-Schmidt."""

    def row(i: Array, q: Float[Array, "n n"]) -> Float[Array, "n n"]:
        before = jnp.where(jnp.arange(n)[:, None] < i, q, 0.0)
        own = q[i]
        for _ in range(2):  # the second removes the rounding of the first
            own = own - _dot(before.T, _dot(before, own))
        return q.at[i].set(own / jnp.sqrt(jnp.sum(own**2)))

    return jax.lax.fori_loop(0, n, row, jax.random.normal(key, (n, n)))


def _draw_world(data: DenseShift, key: PRNGKey, attempt: Array) -> World:
    mean_key, std_key, *mixing_keys = jax.random.split(key, 4)
    n, shape = data.z_dim, (data.domains, data.z_dim)
    changes = np.arange(n)[None] >= n - data.changing
    means = worlds.draw_uniform(mean_key, shape, worlds.MEAN_RANGE)
    stds = worlds.draw_uniform(std_key, shape, STD_RANGE)
    return World(
        mixing=LeakyMixing(*(_orthogonal(k, n) for k in mixing_keys)),
        centre=jnp.zeros(n),
        scale=jnp.ones(n),
        means=jnp.where(changes, means, 0.0),
        stds=jnp.where(changes, stds, 1.0),
        attempts=attempt + 1,
        weakening=jnp.ones(()),
    )


@partial(jax.jit, static_argnums=1)
def _draw(
    key: PRNGKey, data: DenseShift, numbers: Int[Array, "w"]
) -> tuple[World, Splits]:
    process = Process(partial(_draw_world, data), _g, accepts=None)
    return worlds.draw_worlds(process, key, data, numbers)


def draw(
    data: DenseShift, numbers: tuple[int, ...] | None = None
) -> tuple[World, Splits]:
    """Draws the worlds and their rows on the default device.

    In domain u, `z_i = m_ui + s_ui e_i`, e standard normal; m ~ U(-4, 4) and s ~
    U(.01, 1) for the last `changing` latents, m = 0 and s = 1 for the others. `g(z) =
    W_2 lrelu(W_1 z)`, W uniform orthogonal, slope .2.

    Args:
      data: the settings.
      numbers: the numbers of the worlds; None for those that `DenseShift.load` draws.

    Returns:
      The worlds, stacked; the rows.

    Raises:
      ValueError: as `DenseShift.spec`.
    """
    data.spec()
    numbers = draws.numbers(data.worlds) if numbers is None else numbers
    alike = replace(data, seed=0, worlds=0)
    return _draw(jax.random.key(data.seed), alike, jnp.asarray(numbers))
