"""Images of sprites whose factors depend on a domain, or on actions and the past.

Latents are as in the toys of vectors, and the picture is their mixing: the place of a
factor in its range is `Phi(z)`, which has no end that a normal latent could pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.data import draws
from jaxdis.data.domains import worlds
from jaxdis.data.processes.mechanisms import PROCESSES, Parents, Process
from jaxdis.data.rows import bind
from jaxdis.data.sprites.scene import Scene, check_scene, image_shape, pictures
from jaxdis.types import PRNGKey, Rows, Source, Spec, Splits, Truth

__all__ = ["SpriteDomains", "SpriteProcess"]

MEANS, STDS = (-1.2, 1.2), (0.2, 0.8)


@dataclass(frozen=True)
class SpriteDomains:
    """Sprites whose factors have another mean and spread in every domain.

    `z_i ~ N(m_ui, s_ui^2)` in domain u, with m in [-1.2, 1.2] and s in [.2, .8], and
    the place `Phi(z_i)` in the range of factor i.

    Attributes:
      size: the height and width of an image in pixels, at least 8.
      factors: the factors that vary, as those of `Sprites`, any but the shape.
      shape: the name of the shape.
      turn: the largest orientation, in turns.
      domains: the number of domains, at least 2.
      test_rows: the number of rows of each of the two held-out splits, of all domains
        in turn.
      worlds: the number of independent draws of the means and spreads and of held-out
        rows, of which seed s sees number s mod worlds; 0 for one of its own for every
        seed, 1 for one that all see.
      seed: the seed of the means and spreads, and of held-out rows.
    """

    size: int = 32
    factors: tuple[str, ...] = ("scale", "orientation", "x_position", "y_position")
    shape: str = "heart"
    turn: float = 0.25
    domains: int = 9
    test_rows: int = 2_000
    worlds: int = 1
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names.

        Raises:
          ValueError: a field that is out of range.
        """
        scene = self._scene()
        if self.domains < 2:
            raise ValueError(
                "data.domains must be at least 2, or nothing changes; got "
                f"{self.domains}"
            )
        check.at_least("data.test_rows", self.test_rows, self.domains)
        draws.check_worlds(self.worlds)
        return Spec(
            image_shape(scene),
            domains=worlds.domain_names(self.domains),
            z_dim=len(self.factors),
            worlds=draws.count(self.worlds),
        )

    def load(self) -> Splits:
        """Where training rows are drawn, and held-out rows; raises as `spec`.

        Of all worlds, or of 8 where every seed has its own; they have an axis in front.
        """
        self.spec()
        return _load(self.worlds, self._world, self.load_worlds, self._draw())

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """The same of the worlds with those numbers."""
        return _stacked(self._world, numbers, self._draw())

    def _scene(self) -> Scene:
        return _continuous(self.size, self.factors, self.shape, self.turn)

    def _draw(self) -> Callable[..., Rows]:
        return bind(_draw_domains, self._scene())

    def _world(self, number: int) -> "tuple[_Moments, Rows, Rows]":
        """The moments and the held-out rows of a world."""
        key = draws.key_of(self.seed, number)
        mean_key, std_key, *keys = jax.random.split(key, 4)
        shape = (self.domains, len(self.factors))
        moments = _Moments(
            worlds.draw_uniform(mean_key, shape, MEANS),
            worlds.draw_uniform(std_key, shape, STDS),
        )
        turns = jnp.arange(self.test_rows, dtype=jnp.int32) % self.domains
        rows = _jitted(_rows_of_domains, self._scene())
        valid, test = (rows(moments, turns, key) for key in keys)
        return moments, valid, test


class _Moments(NamedTuple):
    """The means and standard deviations of the latents in each domain."""

    means: Float[Array, "d z"]
    stds: Float[Array, "d z"]


def _continuous(size: int, factors: tuple[str, ...], shape: str, turn: float) -> Scene:
    """A scene of factors that normal latents can move."""
    if "shape" in factors:
        raise ValueError(
            "data.factors must be continuous, as the latents are: 'shape' is not; "
            "data.shape says which one all images have"
        )
    scene = Scene(size, factors, (shape,), turn)
    check_scene(scene)
    return scene


def _seen(scene: Scene, z: Float[Array, "*b z"]) -> Float[Array, "*b h w c"]:
    return pictures(scene, jax.scipy.stats.norm.cdf(z))


def _rows_of_domains(scene: Scene, moments: _Moments, u: Array, key: PRNGKey) -> Rows:
    noise = jax.random.normal(key, (len(u), len(scene.factors)))
    z = moments.means[u] + moments.stds[u] * noise
    return Rows(_seen(scene, z), u=u, z=z)


def _draw_domains(scene: Scene, moments: _Moments, key: PRNGKey, n: int) -> Rows:
    domain_key, row_key = jax.random.split(key)
    u = jax.random.randint(domain_key, (n,), 0, len(moments.means))
    return _rows_of_domains(scene, moments, u, row_key)


@dataclass(frozen=True)
class SpriteProcess:
    """Sprites whose factors actions or their own past move, as `CausalProcess` does.

    Attributes:
      process: the name of the generating process, a key of `processes.PROCESSES`. Those
        with a past have sequences of two frames.
      size: the height and width of an image in pixels, at least 8.
      factors: the factors that vary, as those of `Sprites`, any but the shape.
      shape: the name of the shape.
      turn: the largest orientation, in turns.
      latent_noise: the variance of a latent given its parents.
      test_rows: the number of rows of each of the two held-out splits.
      worlds: the number of independent draws of the mechanism and of held-out rows; see
        `SpriteDomains`.
      seed: the seed of the mechanism and of held-out rows.
      density: the probability of an edge in ActionRandom and TimeRandom.
      graph_seed: the number of the graph of ActionRandom and TimeRandom.
    """

    process: str = "ActionDiag"
    size: int = 32
    factors: tuple[str, ...] = ("scale", "orientation", "x_position", "y_position")
    shape: str = "heart"
    turn: float = 0.25
    latent_noise: float = 1e-2
    test_rows: int = 2_000
    worlds: int = 1
    seed: int = 0
    density: float = 0.5
    graph_seed: int = 0

    def spec(self) -> Spec:
        """Sizes and true graphs.

        Raises:
          ValueError: an unknown process, a field that is out of range, or a number of
            factors that the graph cannot have.
        """
        scene = self._scene()
        if self.process not in PROCESSES:
            there = f"There are {', '.join(PROCESSES)}"
            raise check.unknown("data.process", self.process, PROCESSES, there)
        check.positive("data.latent_noise", self.latent_noise)
        check.at_least("data.test_rows", self.test_rows, 1)
        draws.check_worlds(self.worlds)
        process = PROCESSES[self.process]
        sizes = (len(self.factors), self.density, self.graph_seed)
        gz = None if process.gz is None else process.gz(*sizes)
        ga = None if process.ga is None else process.ga(*sizes)
        return Spec(
            image_shape(scene),
            steps=None if gz is None else 2,
            a_dim=0 if ga is None else ga.shape[1],
            z_dim=len(self.factors),
            truth=Truth(gz=gz, ga=ga),
            worlds=draws.count(self.worlds),
            breaks=process.breaks,
        )

    def load(self) -> Splits:
        """Where training rows are drawn, and held-out rows; raises as `spec`.

        Of all worlds, or of 8 where every seed has its own; they have an axis in front.
        """
        self.spec()
        return _load(self.worlds, self._world, self.load_worlds, self._draw())

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """The same of the worlds with those numbers."""
        return _stacked(self._world, numbers, self._draw())

    def _scene(self) -> Scene:
        return _continuous(self.size, self.factors, self.shape, self.turn)

    def _draw(self) -> Callable[..., Rows]:
        return bind(_draw_process, self._scene(), PROCESSES[self.process])

    def _world(self, number: int) -> "tuple[_Mechanism, Rows, Rows]":
        """The mechanism and the held-out rows of a world."""
        truth, process = self.spec().truth, PROCESSES[self.process]
        key = draws.key_of(self.seed, number)
        z_key, a_key, *keys = jax.random.split(key, 4)
        mechanism = _Mechanism(
            None if truth.gz is None else process.strengths(z_key, truth.gz),
            None if truth.ga is None else process.strengths(a_key, truth.ga),
            jnp.array(self.latent_noise, float),
        )
        rows = _jitted(_process_rows, self._scene(), process, self.test_rows)
        valid, test = (rows(mechanism, key) for key in keys)
        return mechanism, valid, test


class _Mechanism(NamedTuple):
    """The graphs as a process sees them, and the variance of its noise."""

    gz: Float[Array, "z z"] | None
    ga: Float[Array, "z a"] | None
    noise: Float[Array, ""]


def _draw_process(
    scene: Scene, process: Process, mechanism: _Mechanism, key: PRNGKey, n: int
) -> Rows:
    past_key, action_key, noise_key = jax.random.split(key, 3)
    gz, ga, variance = mechanism
    past = action = None
    if gz is not None:
        past = jax.random.normal(past_key, (n, len(gz)))
    if ga is not None:
        action = process.actions(action_key, n, ga.shape[1])

    def moments(past: Array | None, action: Array | None) -> tuple[Array, Array]:
        return process.mechanism(Parents(gz, ga, past, action), variance)

    axes = (None if past is None else 0, None if action is None else 0)
    mean, spread = jax.vmap(moments, in_axes=axes)(past, action)
    z = mean + jnp.sqrt(spread) * jax.random.normal(noise_key, mean.shape)
    z = z if past is None else jnp.stack([past, z], 1)
    return Rows(_seen(scene, z), a=action, z=z)


def _process_rows(
    scene: Scene, process: Process, n: int, mechanism: _Mechanism, key: PRNGKey
) -> Rows:
    return _draw_process(scene, process, mechanism, key, n)


# Worlds.


@cache
def _jitted(f: Callable[..., Rows], *static: Any) -> Callable[..., Rows]:
    """One program for all worlds."""
    return jax.jit(bind(f, *static))


def _stacked(
    one: Callable[[int], tuple[Any, Rows, Rows]],
    numbers: tuple[int, ...],
    draw: Callable[..., Rows],
) -> Splits:
    made, valid, test = draws.stacked(one, numbers)
    return Splits(Source(Partial(bind(_draw_world, draw), made)), valid, test)


def _draw_world(
    draw: Callable[..., Rows], made: Any, key: PRNGKey, n: int, world: Int[Array, ""]
) -> Rows:
    return draw(jax.tree.map(lambda a: a[world], made), key, n)


def _load(
    count: int,
    one: Callable[[int], tuple[Any, Rows, Rows]],
    several: Callable[[tuple[int, ...]], Splits],
    draw: Callable[..., Rows],
) -> Splits:
    """A single world without an axis for it, or several."""
    if count != 1:
        return several(draws.numbers(count))
    made, valid, test = one(0)
    return Splits(Source(Partial(draw, made)), valid, test)
