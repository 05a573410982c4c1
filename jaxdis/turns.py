"""Where the rows of a run are: on the devices, or on the host until their turn."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from jaxdis import check
from jaxdis.archive import is_key
from jaxdis.devices import place

__all__ = ["Home", "Turn", "home", "in_turns", "size_of_turns"]


class Turn(NamedTuple):
    """Some rows that are on the devices at the same time.

    Attributes:
      rows: their numbers. The last turn repeats some, to be as long as the others.
      own: those that no other turn has.
    """

    rows: Int[np.ndarray, "m"]
    own: slice

    @property
    def length(self) -> int:
        """The number of rows of its own."""
        return int(self.own.stop - self.own.start)


class Home(NamedTuple):
    """Where rows are between steps.

    Attributes:
      mesh: the devices.
      turns: which rows are on them together.
      put: `tree -> held`, all rows.
      empty: `shapes of one turn -> held`, to be filled by `store`.
      load: `(held, turn) -> rows on the devices`.
      store: `(held, turn, rows of the devices) -> held`; held is used up.
    """

    mesh: Mesh
    turns: tuple[Turn, ...]
    put: Callable[[Any], Any]
    empty: Callable[[Any], Any]
    load: Callable[[Any, Turn], Any]
    store: Callable[[Any, Turn, Any], Any]


def size_of_turns(rows: int, at_once: int | None) -> int:
    """The number of rows that are on the devices at the same time.

    Args:
      rows: the number of all rows.
      at_once: how many may be there; None for all.

    Raises:
      ValueError: at_once is below 1.
    """
    if at_once is None:
        return rows
    check.count("rows_at_once", at_once)
    return min(rows, at_once)


def home(rows: int, at_once: int, mesh: Mesh) -> Home:
    """The devices, where all rows fit; or else the host.

    Args:
      rows: the number of all rows.
      at_once: how many are on the devices at the same time.
      mesh: the devices.
    """
    if at_once >= rows:
        every = Turn(np.arange(rows), slice(0, rows))
        return Home(
            mesh,
            (every,),
            partial(place, mesh=mesh),
            lambda shapes: None,
            lambda held, turn: held,
            lambda held, turn, part: part,
        )
    starts = range(0, rows, at_once)
    turns = (
        Turn(np.arange(s, s + at_once) % rows, slice(s, min(s + at_once, rows)))
        for s in starts
    )

    def load(held: Any, turn: Turn) -> Any:
        # A copy, so that the devices never have the memory that waits.
        return place(jax.tree.map(lambda a: a[turn.rows], held), mesh)

    return Home(mesh, tuple(turns), _on_host, partial(_empty, rows), load, _store)


def _together(keys: Any) -> Any:
    """Typed keys, which numpy does not know, are few bytes, and wait on one device."""
    return jax.device_put(keys, jax.local_devices()[0])


def _on_host(tree: Any) -> Any:
    """Copies that may be written to."""
    return jax.tree.map(lambda a: _together(a) if is_key(a) else np.array(a), tree)


def _empty(rows: int, shapes: Any) -> Any:
    def one(a: Any) -> Any:
        shape = (rows, *a.shape[1:])
        if is_key(a):
            return _together(jnp.empty(shape, a.dtype))
        return np.empty(shape, a.dtype)

    return jax.tree.map(one, shapes)


def _store(held: Any, turn: Turn, part: Any) -> Any:
    def one(all_: Any, some: Any) -> Any:
        if is_key(all_):
            return all_.at[turn.own].set(_together(some)[: turn.length])
        all_[turn.own] = np.asarray(some)[: turn.length]
        return all_

    return jax.tree.map(one, held, part)


def in_turns(function: Callable[[int], Any], where: Home) -> Any:
    """What a function of the rows of a turn gives, for all rows.

    Args:
      function: `number of the turn -> tree on the devices`, its rows in front.
      where: where the result is held.
    """
    held = None
    for number, turn in enumerate(where.turns):
        part = function(number)
        held = where.empty(part) if number == 0 else held
        held = where.store(held, turn, part)
    return held
