"""What is compiled of a method is made once, however often it is asked for."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

from jax.sharding import Mesh

from jaxdis.types import System

__all__ = ["KEPT", "made_once"]

T = TypeVar("T")
KEPT = 2
"""The number of methods whose programs are kept; those that were used last."""


class _Same:
    """A method by its identity: its functions need not be hashable."""

    def __init__(self, system: System) -> None:
        self.system = system

    def __hash__(self) -> int:
        return id(self.system)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.system is other.system


def made_once(make: Callable[[System, Mesh], T]) -> Callable[[System, Mesh], T]:
    """The same function that gives the same result for the same method and devices.

    What it makes is then compiled once for each shape, and not once for each caller.

    Args:
      make: `(system, mesh) -> a compiled function`.
    """
    kept = lru_cache(maxsize=KEPT)(lambda same, mesh: make(same.system, mesh))

    @wraps(make)
    def made(system: System, mesh: Mesh) -> T:
        found: T = kept(_Same(system), mesh)
        return found

    return made
