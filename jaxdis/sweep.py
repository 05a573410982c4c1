"""Rows of a run: seeds crossed with points of hyper-parameters."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxdis import check
from jaxdis.types import Hyper

__all__ = ["grid", "keys_of", "lay_out", "seed_keys"]


def grid(
    keys: Key[Array, "s"], hyper: Hyper
) -> tuple[Key[Array, "n"], Hyper, list[dict[str, float]]]:
    """Crosses seeds with every combination of the hyper-parameters that are vectors.

    Args:
      keys: one key per seed.
      hyper: NamedTuple of scalars and of vectors of values to try.

    Returns:
      Keys and hyper-parameters of the `g * s` rows (all seeds of a point are adjacent),
      and the g points as dictionaries of numbers.
    """
    values = [np.atleast_1d(np.asarray(v, float)) for v in hyper]
    for name, value in zip(hyper._fields, values, strict=True):
        if value.ndim != 1 or value.size == 0:
            raise ValueError(
                f"hyper.{name} must be a number or a non-empty vector of numbers, "
                f"got shape {value.shape}"
            )
    mesh = np.meshgrid(*values, indexing="ij")
    flat = [m.reshape(-1) for m in mesh]
    points = [
        dict(zip(hyper._fields, map(float, point), strict=True))
        for point in zip(*flat, strict=True)
    ]
    return *lay_out(keys, type(hyper), points), points


def lay_out(
    keys: Key[Array, "s"],
    hyper: Callable[..., Hyper],
    points: Sequence[dict[str, float]],
) -> tuple[Key[Array, "n"], Hyper]:
    """Rows of given points: all seeds of the first, then all of the second.

    Args:
      keys: one key per seed.
      hyper: the type of a system's hyper-parameters.
      points: a value of every one of them.

    Returns:
      Keys and hyper-parameters of the `g * s` rows.
    """
    seeds = keys.shape[0]
    names = list(points[0])
    columns = {n: np.repeat([p[n] for p in points], seeds) for n in names}
    rows = hyper(**{n: jnp.asarray(c, float) for n, c in columns.items()})
    return keys[jnp.tile(jnp.arange(seeds), len(points))], rows


def seed_keys(seeds: int, first: int = 0) -> Key[Array, "s"]:
    """Keys of seeds `first, first + 1, ...`; more seeds leave the others' unchanged.

    Raises:
      ValueError: the numbers of the seeds do not fit 32 bits.
    """
    check.first_seed(first, seeds)
    return keys_of(range(first, first + seeds))


def keys_of(seeds: Sequence[int]) -> Key[Array, "s"]:
    """Keys of seeds, each by its number alone."""
    return jax.vmap(jax.random.key)(np.array(seeds, np.int64).astype(np.uint32))
