"""Sums of losses over parts, one part after the other.

The slopes of a part are found right after its value, so that nothing of it is kept and
nothing is computed twice.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Term", "scaled", "total", "total_and_slopes"]

_Shared = TypeVar("_Shared")
_Own = TypeVar("_Own")
Term: TypeAlias = Callable[[_Shared, _Own], Float[Array, ""]]


def total(term: Term[_Shared, _Own], shared: _Shared, own: _Own) -> Float[Array, ""]:
    """`sum_i term(shared, own_i)`.

    Args:
      term: the loss of a part.
      shared: arrays that all parts read.
      own: arrays with an axis of parts in front.
    """
    found: Array = jax.lax.map(partial(term, shared), own).sum()
    return found


def total_and_slopes(
    term: Term[_Shared, _Own], shared: _Shared, own: _Own
) -> tuple[Float[Array, ""], tuple[_Shared, _Own]]:
    """The same with its slopes: those of what is shared add up, own ones are stacked.

    Args:
      term: the loss of a part.
      shared: arrays that all parts read.
      own: arrays with an axis of parts in front.
    """

    def add(sums: _Shared, one: _Own) -> tuple[_Shared, tuple[Array, _Own]]:
        value, (slopes, of_one) = jax.value_and_grad(term, (0, 1))(shared, one)
        return jax.tree.map(jnp.add, sums, slopes), (value, of_one)

    zeros = jax.tree.map(jnp.zeros_like, shared)
    of_shared, (values, of_own) = jax.lax.scan(add, zeros, own)
    return values.sum(), (of_shared, of_own)


def scaled(slopes: _Shared, by: Float[Array, ""]) -> _Shared:
    """Slopes of a sum, times the slope of what it is part of."""
    found: _Shared = jax.tree.map(lambda slope: by * slope, slopes)
    return found
