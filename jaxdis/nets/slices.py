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
    """How many inputs a slice has: the most that divide all and keep within `LIMIT`.

    Args:
      apply: the network.
      params: its parameters.
      x: all inputs.
    """
    count = len(x)
    most = max(1, LIMIT // max(1, kept(apply, params, x)))
    return max(n for n in range(1, min(count, most) + 1) if count % n == 0)


def _cut(x: Array, one: int) -> Array:
    return x.reshape(-1, one, *x.shape[1:])


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
    y = jax.lax.map(partial(again, params), _cut(x, one))
    return y.reshape(len(x), *y.shape[2:])


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
    return _in_turn(loss, params, _cut(z, one), _cut(x, one))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _in_turn(loss: Loss, params: Params, z: Array, x: Array) -> Array:
    def add(total: Array, rows: tuple[Array, Array]) -> tuple[Array, None]:
        return total + loss(params, *rows), None

    return jax.lax.scan(add, jnp.zeros(()), (z, x))[0]


def _forward(
    loss: Loss, params: Params, z: Array, x: Array
) -> tuple[Array, tuple[Params, Array, Array]]:
    slope = jax.value_and_grad(loss, (0, 1, 2))

    def add(sums, rows):  # type: ignore[no-untyped-def]
        value, (of_params, *of_rows) = slope(params, *rows)
        return jax.tree.map(jnp.add, sums, (value, of_params)), tuple(of_rows)

    start = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
    (total, of_params), (of_z, of_x) = jax.lax.scan(add, start, (z, x))
    return total, (of_params, of_z, of_x)


def _backward(
    loss: Loss, slopes: tuple[Params, Array, Array], pull: Array
) -> tuple[Params, Array, Array]:
    return jax.tree.map(lambda slope: slope * pull, slopes)


_in_turn.defvjp(_forward, _backward)
