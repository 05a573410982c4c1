"""The data set of a generating process, drawn on the device from a key.

`x = f(z) + n` with f a random injective network; each latent's distribution depends on
its parents among the actions, the past latents, or both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.data import draws
from jaxdis.data.orthogonal import WIDE, Orthogonal, draw_rotation, times
from jaxdis.data.processes.mechanisms import PROCESSES, Parents, Process
from jaxdis.types import PRNGKey, Rows, Spec, Splits, Truth

__all__ = ["CausalProcess", "mix", "mixing_weights"]

LEAKY_SLOPE = 0.2


@dataclass(frozen=True)
class CausalProcess:
    """Latents that actions or their own past move, seen through a random network.

    Rows have x, z, and the action a before the last step where the process has
    actions. Processes with a past have sequences of two steps, `x [n, 2, x]` and
    `z [n, 2, z]`; of the others x and z have no axis of time. The defaults are the
    papers'.

    Attributes:
      process: the name of the generating process, a key of `PROCESSES`.
      z_dim: the number of latents d.
      x_dim: the number of observed variables D, at least d.
      samples: the number of rows in all; 80 % train, 10 % valid, 10 % test.
      latent_noise: the variance of a latent given its parents.
      observation_noise: the standard deviation of the noise on standardised x.
      layers: the number of layers of the mixing network; of one it is linear, and the
        more there are, the less x looks like the latents.
      worlds: the number of independent draws of all that is drawn: the mixing, the
        strengths of the mechanism, actions, latents and noise. Seed s sees number s mod
        worlds; 0 for one of its own for every seed, 1 for one that all see. The graph
        is the same in all: the named ones are one structure each, and random ones have
        a graph_seed.
      seed: the seed of the process (mixing, mechanism) and of the draws.
      density: the probability of an edge in ActionRandom and TimeRandom.
      graph_seed: the number of the graph of ActionRandom and TimeRandom.
      reuse_actions: whether valid and test get the first actions of train, as the
        published program does by accident; its metrics then see training actions again.
    """

    process: str = "ActionNonDiag"
    z_dim: int = 10
    x_dim: int = 20
    samples: int = 1_000_000
    latent_noise: float = 1e-4
    observation_noise: float = 1e-2
    layers: int = 4
    worlds: int = 1
    seed: int = 265542
    density: float = 0.5
    graph_seed: int = 0
    reuse_actions: bool = False

    def spec(self) -> Spec:
        """Sizes and true graphs, without drawing the rows.

        Raises:
          ValueError: an unknown process, z_dim > x_dim, sizes below 1, a z_dim that the
            graph cannot have, too few samples, a negative noise.
        """
        if self.process not in PROCESSES:
            there = f"There are {', '.join(PROCESSES)}"
            raise check.unknown("data.process", self.process, PROCESSES, there)
        check.at_least("data.z_dim", self.z_dim, 1)
        if self.z_dim > self.x_dim:
            raise ValueError(
                f"data.z_dim must not exceed data.x_dim, or no decoder can be "
                f"injective; got z_dim={self.z_dim} > x_dim={self.x_dim}"
            )
        check.at_least("data.samples", self.samples, 10)
        check.at_least("data.layers", self.layers, 1)
        check.positive("data.latent_noise", self.latent_noise)
        check.at_least("data.observation_noise", self.observation_noise, 0)
        draws.check_worlds(self.worlds)
        process = PROCESSES[self.process]
        sizes = (self.z_dim, self.density, self.graph_seed)
        gz = None if process.gz is None else process.gz(*sizes)
        ga = None if process.ga is None else process.ga(*sizes)
        return Spec(
            shape=(self.x_dim,),
            steps=None if gz is None else 2,
            a_dim=0 if ga is None else ga.shape[1],
            z_dim=self.z_dim,
            truth=Truth(gz=gz, ga=ga),
            worlds=draws.count(self.worlds),
            breaks=process.breaks,
        )

    def load(self) -> Splits:
        """Draws the rows on the default device.

        The mechanism and the mixing belong to the set; each split has its own actions,
        latents and noise. x is standardised by the training split, then
        `N(0, observation_noise^2)` is added. Of all worlds, or of 8 where every seed
        has its own; they have an axis in front.

        Raises:
          ValueError: as `spec`.
        """
        self.spec()
        if self.worlds != 1:
            return self.load_worlds(draws.numbers(self.worlds))
        train, valid, test = self._world(0)
        return Splits(train, valid, test)

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """The same of the worlds with those numbers."""
        train, valid, test = draws.stacked(self._world, numbers)
        return Splits(train, valid, test)

    def _world(self, number: int) -> list[Rows]:
        """Train, valid and test of a world, by one program for all seeds and worlds."""
        alike = replace(self, worlds=1, seed=0)
        return _draw(draws.key_of(self.seed, number), alike)


def _dense(key: PRNGKey, rows: int, cols: int) -> Float[Array, "r c"]:
    """Orthonormal rows, scaled."""
    q, _ = jnp.linalg.qr(jax.random.normal(key, (rows, cols)).T)
    gain = (2 / (1 + LEAKY_SLOPE**2)) ** 0.5
    return q.T * gain * (2 / (rows + cols)) ** 0.5


def _sparse(key: PRNGKey, rows: int, cols: int) -> Orthogonal:
    """The same of many variables; see `orthogonal`."""
    gain = (2 / (1 + LEAKY_SLOPE**2) * 2 / (rows + cols)) ** 0.5
    turn = draw_rotation(key, cols, gain)
    return times(jnp.eye(rows, cols), turn) if rows < cols else turn


def mixing_weights(
    key: PRNGKey, z_dim: int, x_dim: int, layers: int = 4
) -> list[Orthogonal]:
    """The weights of f: layers with orthogonal rows.

    Rows are orthonormal times `sqrt(2 / (1 + .2^2)) sqrt(2 / (rows + columns))`.

    Args:
      key: a random key.
      z_dim: the number of latents.
      x_dim: the number of observed variables, at least z_dim.
      layers: the number of layers.

    Returns:
      Matrices of the shape `[z, x]`, the first, and `[x, x]`, the others; of more than
      `orthogonal.WIDE` variables the others are products of sparse ones.
    """
    sizes = (z_dim, *[x_dim] * layers)
    keys = jax.random.split(key, layers)
    draw = _sparse if x_dim > WIDE else _dense
    return [
        draw(k, rows, cols)
        for k, rows, cols in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def mix(weights: Sequence[Orthogonal], z: Float[Array, "*n z"]) -> Float[Array, "*n x"]:
    """`x = lrelu(... lrelu(z W1) W2 ...) WL`, slope .2, z_dim <= x_dim."""
    for weight in weights[:-1]:
        z = jax.nn.leaky_relu(times(z, weight), LEAKY_SLOPE)
    return times(z, weights[-1])


class _Weights(NamedTuple):
    """Graphs as the mechanism sees them, and the mixing network."""

    gz: Array | None
    ga: Array | None
    mixing: list[Orthogonal]


def _draw_weights(key: PRNGKey, process: Process, spec: Spec, layers: int) -> _Weights:
    mixing_key, z_key, a_key = jax.random.split(key, 3)

    def seen(key: PRNGKey, graph: Int[np.ndarray, "d p"] | None) -> Array | None:
        return None if graph is None else process.strengths(key, graph)

    mixing = mixing_weights(mixing_key, spec.z_dim, spec.shape[0], layers)
    return _Weights(seen(z_key, spec.truth.gz), seen(a_key, spec.truth.ga), mixing)


class _Latents(NamedTuple):
    """Latents of one split and what moved them; t is 1 or 2."""

    z: Float[Array, "n t z"]
    a: Float[Array, "n a"] | None


def _draw_latents(
    key: PRNGKey,
    process: Process,
    weights: _Weights,
    spec: Spec,
    a: Float[Array, "n a"] | None,
    n: int,
    noise: float,
) -> Float[Array, "n t z"]:
    past_key, noise_key = jax.random.split(key)
    past = None
    if spec.steps is not None:
        past = jax.random.normal(past_key, (n, spec.z_dim))

    def last(past: Array | None, action: Array | None, noise: float) -> tuple:
        return process.mechanism(Parents(weights.gz, weights.ga, past, action), noise)

    axes = (None if past is None else 0, None if a is None else 0, None)
    mean, variance = jax.vmap(last, in_axes=axes)(past, a, noise)
    now = mean + jnp.sqrt(variance) * jax.random.normal(noise_key, mean.shape)
    return jnp.stack([now] if past is None else [past, now], axis=1)


def _split_sizes(samples: int) -> tuple[int, int, int]:
    held_out = samples // 10
    return samples - 2 * held_out, held_out, held_out


@partial(jax.jit, static_argnums=1)
def _draw(key: PRNGKey, config: CausalProcess) -> list[Rows]:
    spec, process = config.spec(), PROCESSES[config.process]
    weights_key, *split_keys = jax.random.split(key, 4)
    weights = _draw_weights(weights_key, process, spec, config.layers)

    drawn: list[_Latents] = []
    noises = []
    for split_key, n in zip(split_keys, _split_sizes(config.samples), strict=True):
        action_key, latent_key, noise_key = jax.random.split(split_key, 3)
        a = process.actions(action_key, n, spec.a_dim) if spec.a_dim else None
        if config.reuse_actions and drawn and drawn[0].a is not None:
            a = drawn[0].a[:n]
        z = _draw_latents(latent_key, process, weights, spec, a, n, config.latent_noise)
        drawn.append(_Latents(z, a))
        shape = (*z.shape[:2], config.x_dim)
        noises.append(config.observation_noise * jax.random.normal(noise_key, shape))

    # Training statistics for all splits: held-out rows must not see themselves.
    clean = [mix(weights.mixing, latents.z) for latents in drawn]
    mean, std = clean[0].mean((0, 1)), clean[0].std((0, 1))
    seen = [
        (x - mean[None, None]) / std[None, None] + noise
        for x, noise in zip(clean, noises, strict=True)
    ]
    # Without a past there is no axis of time.
    steps = slice(None) if spec.steps else 0
    return [
        Rows(x=x[:, steps], a=latents.a, z=latents.z[:, steps])
        for x, latents in zip(seen, drawn, strict=True)
    ]
