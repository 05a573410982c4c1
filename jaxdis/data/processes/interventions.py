"""Interventions of unknown target: under what law each puts the latents it moves."""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdis.data.processes.graphs import Graph

__all__ = ["Change", "Changes", "changed", "regimes"]


class Change(NamedTuple):
    """The law N(mean, std^2) of a latent under an intervention that moves it."""

    mean: float
    std: float


Changes: TypeAlias = tuple[Change, ...]
"""What intervention l does to its targets among the latents l, l + 1, ... (mod d)."""


def changed(
    ga: Float[Array, "z a"],
    action: Float[Array, "a"],
    mean: Float[Array, "z"],
    std: Float[Array, "z"],
    changes: Changes,
) -> tuple[Float[Array, "z"], Float[Array, "z"]]:
    """Mean and standard deviation of each latent under an intervention.

    A target i of intervention l gets the law `changes[(i - l) mod d]`, whatever moved
    it before.

    Args:
      ga: the targets, rows are latents, columns interventions.
      action: the intervention as a one-hot, or zeros for none.
      mean: the mean of each latent without an intervention.
      std: the standard deviation of each latent likewise.
      changes: the laws.
    """
    d, k = ga.shape
    place = (jnp.arange(d)[:, None] - jnp.arange(k)[None]) % d
    hit = ga * action[None] > 0
    for at, change in enumerate(changes):
        moved = jnp.any(hit & (place == at), axis=1)
        mean = jnp.where(moved, change.mean, mean)
        std = jnp.where(moved, change.std, std)
    return mean, std


def regimes(
    targets: Graph, changes: Changes
) -> tuple[Float[np.ndarray, "l z"], Float[np.ndarray, "l z"]]:
    """Means and standard deviations of N(0, 1) latents in every regime.

    Args:
      targets: G^a [z, a] of 0/1, rows are latents.
      changes: what the interventions do.

    Returns:
      Two arrays `[a + 1, z]`; the first row has no intervention. On the host.
    """
    d, k = np.shape(targets)
    ga, actions = jnp.asarray(targets, float), jnp.eye(k + 1, k, -1)
    still = jnp.zeros(d), jnp.ones(d)
    means, stds = jax.vmap(lambda a: changed(ga, a, *still, changes))(actions)
    return np.asarray(means), np.asarray(stds)
