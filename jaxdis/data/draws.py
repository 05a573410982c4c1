"""Worlds of a data set: independent draws of all of it, of which each seed sees one.

World w is the same however many there are, and whichever others are drawn with it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxdis import check
from jaxdis.data.rows import world_of
from jaxdis.types import DataSet, PRNGKey, Spec, Splits, WorldsApart

__all__ = [
    "FIRST",
    "Drawn",
    "check_worlds",
    "count",
    "key_of",
    "load",
    "needed",
    "numbers",
    "places",
    "repeated",
    "stacked",
]

T = TypeVar("T")

FIRST = 8
"""The number of worlds that `load` draws of a set that has one for every seed."""


class Drawn(NamedTuple):
    """The rows that some seeds see.

    Attributes:
      splits: the rows; those of several worlds have an axis of them in front.
      world: where on that axis the world of each seed is; None where there is none.
    """

    splits: Splits
    world: Int[np.ndarray, "s"] | None


def check_worlds(worlds: int) -> None:
    """Raises ValueError for fewer worlds than none."""
    check.at_least("data.worlds", worlds, 0)


def count(worlds: int) -> int | None:
    """`Spec.worlds` of a data set's field `worlds`: None for one that all seeds see."""
    return None if worlds == 1 else worlds


def numbers(worlds: int) -> tuple[int, ...]:
    """The worlds that `load` draws: all of them, or the first ones of one each."""
    return tuple(range(worlds or FIRST))


def key_of(seed: int, world: int) -> PRNGKey:
    """The key of a world; that of world 0 is the key of a set of a single one.

    Args:
      seed: of the data set.
      world: the number of the world.
    """
    key = jax.random.key(seed)
    return key if world == 0 else jax.random.fold_in(key, world)


def stacked(one: Callable[[Any], T], numbers: Iterable[Any]) -> T:
    """Several worlds with an axis of them in front of every array.

    Args:
      one: `world -> its arrays`.
      numbers: the worlds.
    """
    drawn = [one(number) for number in numbers]
    together: T = jax.tree.map(lambda *arrays: jnp.stack(arrays), *drawn)
    return together


def _once(numbers: Int[np.ndarray, "s"]) -> Int[np.ndarray, "w"]:
    """Each number once, in their order; sorting millions that are in order is slow."""
    return numbers if (np.diff(numbers) > 0).all() else np.unique(numbers)


def needed(
    data: DataSet, spec: Spec, seeds: Sequence[int]
) -> Int[np.ndarray, "w"] | None:
    """The worlds that some seeds see, those that the data can draw by themselves.

    Args:
      data: the data set.
      spec: what is known of it.
      seeds: the numbers of the seeds.

    Returns:
      Numbers of worlds, each once, in their order; None where all rows are loaded.

    Raises:
      ValueError: the data have a world for every seed, and cannot draw some of them.
    """
    if spec.worlds is None:
        return None
    if isinstance(data, WorldsApart):
        return _once(world_of(np.asarray(seeds), spec.worlds))
    if not spec.worlds:
        raise ValueError(
            f"data: {type(data).__name__}.spec().worlds is 0, a world of its own for "
            "every seed, for which it must have load_worlds(numbers)"
        )
    return None


def load(data: DataSet, spec: Spec, seeds: Sequence[int]) -> Drawn:
    """The rows that some seeds see, and no worlds but theirs.

    Args:
      data: the data set.
      spec: what is known of it.
      seeds: the numbers of the seeds.

    Raises:
      ValueError: as `needed` and `DataSet.load`.
    """
    there = needed(data, spec, seeds)
    world = _places(there, spec, seeds)
    if there is None:
        return Drawn(data.load(), world)
    assert isinstance(data, WorldsApart)
    return Drawn(data.load_worlds(tuple(there.tolist())), world)


def places(
    data: DataSet, spec: Spec, seeds: Sequence[int]
) -> Int[np.ndarray, "s"] | None:
    """Where the world of each seed is among those that are drawn; see `load`.

    Args:
      data: the data set.
      spec: what is known of it.
      seeds: the numbers of the seeds.
    """
    return _places(needed(data, spec, seeds), spec, seeds)


def _places(
    there: Int[np.ndarray, "w"] | None, spec: Spec, seeds: Sequence[int]
) -> Int[np.ndarray, "s"] | None:
    if spec.worlds is None:
        return None
    seen = world_of(np.asarray(seeds), spec.worlds)
    return seen if there is None else np.searchsorted(there, seen)


def repeated(worlds: int | None, seeds: Sequence[int]) -> str:
    """That several seeds see the same world, in words; "" where none do.

    Args:
      worlds: as in `Spec.worlds`.
      seeds: the numbers of the seeds.
    """
    if not worlds:
        return ""
    different = len(_once(world_of(np.asarray(seeds), worlds)))
    if different == len(seeds):
        return ""
    noun = "world" if different == 1 else "different worlds"
    return (
        f"{len(seeds)} seeds see {different} {noun} of data: seed s sees world s mod "
        f"{worlds}; data.worlds 0 gives every seed one of its own"
    )
