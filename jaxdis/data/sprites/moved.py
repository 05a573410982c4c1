"""Images of sprites whose factors depend on a domain, or on actions and the past.

Latents are as in the toys of vectors, and the picture is their mixing: the place of a
factor in its range is `Phi(z)`, which has no end that a normal latent could pass.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxdis import check
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
      seed: the seed of the means and spreads, and of held-out rows.
    """

    size: int = 32
    factors: tuple[str, ...] = ("scale", "orientation", "x_position", "y_position")
    shape: str = "heart"
    turn: float = 0.25
    domains: int = 9
    test_rows: int = 2_000
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; ValueError for a field that is out of range."""
        scene = _continuous(self.size, self.factors, self.shape, self.turn)
        if self.domains < 2:
            raise ValueError(
                "data.domains must be at least 2, or nothing changes; got "
                f"{self.domains}"
            )
        check.at_least("data.test_rows", self.test_rows, self.domains)
        return Spec(
            image_shape(scene),
            domains=worlds.domain_names(self.domains),
            z_dim=len(self.factors),
        )

    def load(self) -> Splits:
        """Where training rows are drawn, and held-out rows; raises as `spec`."""
        self.spec()
        scene = _continuous(self.size, self.factors, self.shape, self.turn)
        mean_key, std_key, *keys = jax.random.split(jax.random.key(self.seed), 4)
        shape = (self.domains, len(self.factors))
        moments = _Moments(
            worlds.draw_uniform(mean_key, shape, MEANS),
            worlds.draw_uniform(std_key, shape, STDS),
        )
        draw = bind(_draw_domains, scene)
        turns = jnp.arange(self.test_rows, dtype=jnp.int32) % self.domains
        rows = jax.jit(bind(_rows_of_domains, scene))
        valid, test = (rows(moments, turns, key) for key in keys)
        return Splits(Source(Partial(draw, moments)), valid, test)


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
    seed: int = 0
    density: float = 0.5
    graph_seed: int = 0

    def spec(self) -> Spec:
        """Sizes and true graphs.

        Raises:
          ValueError: an unknown process, a field that is out of range, or a number of
            factors that the graph cannot have.
        """
        scene = _continuous(self.size, self.factors, self.shape, self.turn)
        if self.process not in PROCESSES:
            there = f"There are {', '.join(PROCESSES)}"
            raise check.unknown("data.process", self.process, PROCESSES, there)
        check.positive("data.latent_noise", self.latent_noise)
        check.at_least("data.test_rows", self.test_rows, 1)
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
            breaks=process.breaks,
        )

    def load(self) -> Splits:
        """Where training rows are drawn, and held-out rows; raises as `spec`."""
        truth = self.spec().truth
        scene = _continuous(self.size, self.factors, self.shape, self.turn)
        process = PROCESSES[self.process]
        z_key, a_key, *keys = jax.random.split(jax.random.key(self.seed), 4)
        mechanism = _Mechanism(
            None if truth.gz is None else process.strengths(z_key, truth.gz),
            None if truth.ga is None else process.strengths(a_key, truth.ga),
            jnp.array(self.latent_noise, float),
        )
        draw = bind(_draw_process, scene, process)
        fixed = jax.jit(draw, static_argnums=2)
        valid, test = (fixed(mechanism, key, self.test_rows) for key in keys)
        return Splits(Source(Partial(draw, mechanism)), valid, test)


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
