"""Networks of many inputs in slices, where what lies between layers needs much memory.

How many inputs a slice has follows from the network and `LIMIT`, before anything is
compiled. Outputs must not depend on other inputs, as those of every network here.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import sums
from jaxdis.types import Params

__all__ = ["LIMIT", "kept", "mapped", "size", "summed"]

LIMIT = 1_000_000_000
"""Bytes that a slice may keep for its derivatives; its temporaries are 2 to 4 times as
many."""

Apply: TypeAlias = Callable[[Params, Array], Array]
Loss: TypeAlias = Callable[[Params, Array, Array], Array]


def kept(apply: Apply, params: Params, x: Float[Array, "b *x"]) -> int:
    """Bytes that each further input of a network makes its derivative keep.

    Nothing is computed.

    Args:
      apply: the network, `(params, x) -> y` of a batch.
      params: its parameters.
      x: inputs, of which only the shape of one matters.
    """

    def of(count: int) -> int:
        inputs = jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype)
        pull = jax.eval_shape(lambda p, x: jax.vjp(apply, p, x)[1], params, inputs)
        return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(pull))

    return of(2) - of(1)


def size(apply: Apply, params: Params, x: Float[Array, "b *x"]) -> int:
    """How many inputs a slice has: all, or as many as keep within `LIMIT`, evenly cut.

    The last slice has fewer where the others leave fewer.

    Args:
      apply: the network.
      params: its parameters.
      x: all inputs.
    """
    most = max(1, LIMIT // max(1, kept(apply, params, x)))
    slices = max(1, -(-len(x) // most))
    return -(-len(x) // slices)


def _cut(x: Array, one: int) -> tuple[Array, Array]:
    """Whole slices, and what is left."""
    whole = len(x) // one * one
    return x[:whole].reshape(-1, one, *x.shape[1:]), x[whole:]


def mapped(apply: Apply, params: Params, x: Float[Array, "b *x"]) -> Array:
    """The outputs of a network, of one slice after another where there are several.

    Derivatives compute a slice's outputs once more, a third of a network's time with
    its derivatives.

    Args:
      apply: the network, `(params, x) -> y` of a batch.
      params: its parameters.
      x: all inputs.
    """
    one = size(apply, params, x)
    if one == len(x):
        return apply(params, x)
    again = jax.checkpoint(apply)
    slices, rest = _cut(x, one)
    y = jax.lax.map(partial(again, params), slices)
    y = y.reshape(-1, *y.shape[2:])
    return jnp.concatenate([y, again(params, rest)]) if len(rest) else y


def summed(
    loss: Loss,
    apply: Apply,
    params: Params,
    z: Float[Array, "b z"],
    x: Float[Array, "b *x"],
) -> Float[Array, ""]:
    """`loss(params, z, x)`, a sum over inputs, of one slice after another.

    A slice's derivatives are computed with its value, so that nothing of it is kept and
    nothing computed twice; where no derivative is asked for, none is computed.

    Args:
      loss: the sum `(params, z, x) -> number` over inputs.
      apply: the network in it, `(params, z) -> y`, whose memory counts.
      params: its parameters.
      z: the network's inputs.
      x: what its outputs are compared with.
    """
    one = size(apply, params, z)
    if one == len(z):
        return loss(params, z, x)
    (z, last_z), (x, last_x) = _cut(z, one), _cut(x, one)
    total = _in_turn(lambda p, rows: loss(p, *rows), params, (z, x))
    return total + loss(params, last_z, last_x) if len(last_z) else total


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _in_turn(
    term: sums.Term[Params, tuple[Array, Array]],
    params: Params,
    rows: tuple[Array, Array],
) -> Float[Array, ""]:
    return sums.total(term, params, rows)


_in_turn.defvjp(sums.total_and_slopes, lambda term, slopes, by: sums.scaled(slopes, by))
