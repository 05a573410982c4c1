"""Worlds: independent draws of a mixing, of domains, and of rows."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxdis import check
from jaxdis.data import draws
from jaxdis.types import PRNGKey, Rows, Splits

__all__ = [
    "LIMIT",
    "MEAN_RANGE",
    "Process",
    "Sizes",
    "World",
    "as_rows",
    "check_sizes",
    "domain_names",
    "draw_uniform",
    "draw_worlds",
    "mix",
]

MEAN_RANGE = (-4.0, 4.0)  # of latents that change, in every domain
LIMIT = 500  # draws of a world that may be refused


class World(NamedTuple):
    """What generates one world; stacked worlds have a leading axis.

    Attributes:
      mixing: the parameters of g.
      centre: the mean of g(z) over the training rows.
      scale: the standard deviation of g(z) over the training rows.
      means: the means of the latents in each domain.
      stds: the standard deviations of the latents in each domain.
      attempts: the number of draws that it took.
      weakening: the factor of the parts of g that were weakened; 1 if none was.
    """

    mixing: PyTree[Float[Array, "..."]]
    centre: Float[Array, "*w x"]
    scale: Float[Array, "*w x"]
    means: Float[Array, "*w d z"]
    stds: Float[Array, "*w d z"]
    attempts: Int[Array, "*w"]
    weakening: Float[Array, "*w"]


class Process(NamedTuple):
    """How worlds of one kind are drawn.

    Attributes:
      draw: `(key, attempt) -> world`, with a centre of 0 and a scale of 1.
      g: `(mixing, z) -> x` of one row.
      accepts: `(key, world, z) -> bool`, whether a world with those training latents
        is kept or drawn anew; None keeps the first.
      bend: what is made of standardised observations in the end; None for nothing.
      correlation: that of any two latents in a domain; 0 for independent ones.
    """

    draw: Callable[[PRNGKey, Int[Array, ""]], World]
    g: Callable[[Any, Float[Array, "z"]], Float[Array, "x"]]
    accepts: Callable[[PRNGKey, World, Float[Array, "r z"]], Bool[Array, ""]] | None
    bend: Callable[[Float[Array, "*r x"]], Float[Array, "*r x"]] | None = None
    correlation: float = 0.0


@runtime_checkable
class Sizes(Protocol):
    """What all generated sets have."""

    @property
    def domains(self) -> int:
        """The number of domains."""

    @property
    def samples(self) -> int:
        """The number of training rows of each domain."""

    @property
    def valid_samples(self) -> int:
        """The number of validation rows of each domain."""

    @property
    def test_samples(self) -> int:
        """The number of test rows of each domain."""

    @property
    def worlds(self) -> int:
        """The number of worlds; 0 for one of its own for every seed."""


def check_sizes(data: Sizes) -> None:
    """Raises ValueError for fewer than 2 domains, or no rows."""
    if data.domains < 2:
        raise ValueError(
            f"data.domains must be at least 2, or nothing changes; got {data.domains}"
        )
    for name in ("samples", "valid_samples", "test_samples"):
        check.at_least(f"data.{name}", getattr(data, name), 1)
    draws.check_worlds(data.worlds)


def as_rows(data: Sizes, splits: Splits) -> Splits:
    """Rows of a set of a single world without an axis for it.

    Args:
      data: the data set.
      splits: its rows with an axis of worlds in front.
    """
    if data.worlds != 1:
        return splits
    alone: Splits = jax.tree.map(lambda a: a[0], splits)
    return alone


def domain_names(count: int) -> tuple[str, ...]:
    """Names of domains that have none: their numbers, as in u."""
    return tuple(map(str, range(count)))


def draw_uniform(
    key: PRNGKey, shape: tuple[int, ...], ends: tuple[float, float]
) -> Float[Array, "..."]:
    """Uniform draws.

    Args:
      key: the randomness.
      shape: the shape of the result.
      ends: the least and the largest value.
    """
    return jax.random.uniform(key, shape, minval=ends[0], maxval=ends[1])


def mix(
    g: Callable[[Any, Float[Array, "z"]], Float[Array, "x"]],
    world: World,
    z: Float[Array, "*r z"],
) -> Float[Array, "*r x"]:
    """`x = (g(z) - centre) / scale`, without noise.

    Args:
      g: `(mixing, z) -> x` of one row.
      world: one world.
      z: latents.
    """

    def one(z: Float[Array, "z"]) -> Float[Array, "x"]:
        return (g(world.mixing, z) - world.centre) / world.scale

    return jnp.vectorize(one, signature="(n)->(m)")(z)


def _domain(rows: int, domains: int) -> Int[Array, "r"]:
    """Domains in such an order that every prefix of at least D rows has all of them."""
    return jnp.arange(rows, dtype=jnp.int32) % domains


def _draw_latents(
    key: PRNGKey, world: World, samples: int, correlation: float
) -> Float[Array, "r z"]:
    """`z = m_u + s_u e`, `samples` rows of each domain.

    Any two e have the correlation: `e = sqrt(1 - c) e_i + sqrt(c) e_0`.
    """
    domains, n = world.means.shape
    u = _domain(samples * domains, domains)
    noise = jax.random.normal(key, (samples * domains, n))
    if correlation:
        shared = jax.random.normal(jax.random.fold_in(key, 0), (len(noise), 1))
        noise = jnp.sqrt(1 - correlation) * noise + jnp.sqrt(correlation) * shared
    return world.means[u] + world.stds[u] * noise


def _drawn(
    process: Process, key: PRNGKey, samples: int
) -> tuple[World, Float[Array, "r z"], list[PRNGKey]]:
    """A world that is not refused, its training latents, and keys for what is held out.

    Draws are made anew until one is accepted, at most `LIMIT` times.
    """

    def draw(attempt: Int[Array, ""]) -> tuple[World, Array, list[PRNGKey]]:
        mixing_key, train_key, *keys = jax.random.split(
            jax.random.fold_in(key, attempt), 5
        )
        world = process.draw(mixing_key, attempt)
        z = _draw_latents(train_key, world, samples, process.correlation)
        return world, z, keys

    attempt = jnp.zeros((), jnp.int32)
    if (accepts := process.accepts) is not None:

        def fails(attempt: Int[Array, ""]) -> Bool[Array, ""]:
            world, z, keys = draw(attempt)
            return ~accepts(keys[0], world, z)

        attempt = jax.lax.while_loop(
            lambda i: (i < LIMIT) & fails(i), lambda i: i + 1, attempt
        )
    world, z, (_, *keys) = draw(attempt)
    return world, z, keys


def draw_worlds(
    process: Process, key: PRNGKey, data: Sizes, numbers: Int[Array, "w"]
) -> tuple[World, Splits]:
    """Worlds and their rows; a world is the same whichever others are drawn.

    In domain u, `z_i = m_ui + s_ui e_i`, e standard normal. x is standardised by the
    training rows of its world; rows of valid and test are fresh draws of the same
    process. Worlds that are refused are drawn anew, all of them, at most `LIMIT` times.

    Args:
      process: how a world is drawn.
      key: the randomness.
      data: how much is drawn.
      numbers: the numbers of the worlds.

    Returns:
      The worlds, stacked, and rows whose arrays have an axis of worlds in front.
    """
    sizes, bend = (data.samples, data.valid_samples, data.test_samples), process.bend

    def one(number: Int[Array, ""]) -> tuple[World, list[Array], list[Array]]:
        world, z, keys = _drawn(process, jax.random.fold_in(key, number), sizes[0])
        held_out = zip(keys, sizes[1:], strict=True)
        latents = [
            z,
            *(_draw_latents(k, world, n, process.correlation) for k, n in held_out),
        ]
        x = mix(process.g, world, z)
        world = world._replace(centre=x.mean(0), scale=x.std(0))
        seen = [mix(process.g, world, z) for z in latents]
        return world, seen if bend is None else [bend(x) for x in seen], latents

    # One after another: each ends with its own last attempt.
    world, xs, zs = jax.lax.map(one, numbers)
    train, valid, test = (
        Rows(x, u=jnp.tile(_domain(x.shape[1], data.domains), (len(numbers), 1)), z=z)
        for x, z in zip(xs, zs, strict=True)
    )
    return world, Splits(train, valid, test)
