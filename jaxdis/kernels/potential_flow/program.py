"""One program of the potential-flow kernels of Hopper GPUs: its tiles and products.

A program is a warpgroup and takes one potential and 64 rows. Every matrix in it is one
tile of 64 x 64, so that weights and activations never leave its registers and shared
memory. Smaller sizes are padded with zeros, which add nothing: a padded hidden unit has
activation tanh(0) = 0 and slope 1, and meets zeros in w1, w2 and w3 wherever the slope
is a factor.
"""

from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array, Float

from jaxdis.kernels.potential_flow import ref
from jaxdis.kernels.potential_flow.ref import Arguments
from jaxdis.kernels.tiles import ALL, ROWS, Place, Ref, Warpgroup, padded

__all__ = ["TILE", "Parts", "Program", "Shelf", "Tile", "call", "tiled", "wide"]

TILE = ROWS  # rows of a program; n and h, at most
PIECES = 3  # of a float32 number in a product

Tile: TypeAlias = Float[Array, "64 64"]


class Parts(NamedTuple):
    """What the kernels take of all potentials and points, or the gradients of that.

    With r blocks of t = 64 rows; gradients have axes `[k, r, ...]` before a tile's.

    Attributes:
      w1: the first layer's weights, `[k, t, t]`.
      w2: the second layer's weights, `[k, t, t]`.
      b1: the first layer's biases, `[k, t]`.
      beta: the second layer's biases, `[k, t]`.
      w3: the output's weights, `[k, t]`.
      rate: the derivatives of beta in time, `[k, t]`.
      b3: the output's biases, `[k]`; their gradients are those of each row.
      z: the points, `[r, t, t]`.
      v: the directions, `[r, t, t]`, or None.
    """

    w1: Any
    w2: Any
    b1: Any
    beta: Any
    w3: Any
    rate: Any
    b3: Any
    z: Any
    v: Any


class Shelf:
    """Tiles by name in shared memory, where registers would not hold them all.

    The forward pass, which needs fewer of them, keeps them in a dictionary.
    """

    # The last three are of v.
    NAMES = ("a1", "d1", "a2", "d2", "s", "p", "q", "bent")

    def __init__(self, make: Warpgroup, memory: Ref) -> None:
        self.make, self.memory = make, memory

    def __setitem__(self, name: str, tile: Tile) -> None:
        self.memory[self.NAMES.index(name)] = tile

    def __getitem__(self, name: str) -> Tile:
        return self.make.load(self.memory.at[self.NAMES.index(name)])


Tiles: TypeAlias = MutableMapping[str, Array] | Shelf


def wide(column: Float[Array, "64"]) -> Tile:
    """Along rows of a tile."""
    return jax.lax.broadcast_in_dim(column, (TILE, TILE), (0,))


class Program(NamedTuple):
    """One program: its part of the arguments, and shared memory for operands.

    Attributes:
      make: what every program is made of.
      given: references to the arguments.
      potential: which potential it takes.
      block: which block of rows.
      w1: staged memory for the first layer's weights.
      w2: staged memory for the second layer's weights.
      left: staged memory for the left operand of a product.
      right: staged memory for the right one, in the backward pass.
      shelf: shared memory for a `Shelf`, in the backward pass.
    """

    make: Warpgroup
    given: Parts
    potential: Array
    block: Array
    w1: Ref
    w2: Ref
    left: Ref
    right: Ref = None
    shelf: Ref = None

    def stage_weights(self) -> None:
        """Puts both layers' weights where products read them."""
        for whole, staged in ((self.given.w1, self.w1), (self.given.w2, self.w2)):
            tile = self.make.load(whole.at[self.potential])
            self.make.stage(tile, staged, ALL, ALL)

    def row(self, whole: Ref) -> Tile:
        """One potential's row, along all rows of a tile."""
        row = self.make.load(whole.at[self.potential])
        return self.make.laid(jax.lax.broadcast_in_dim(row, (TILE, TILE), (1,)))

    def points(self, whole: Ref) -> Tile:
        """A block of points."""
        return self.make.load(whole.at[self.block])

    def both(self, whole: Ref) -> Tile:
        """One potential's block of `[k, r, t, t]`."""
        return self.make.load(whole.at[self.potential, self.block])

    def column(self, whole: Ref) -> Float[Array, "64"]:
        """One potential's block of `[k, r, t]`, a number for each row."""
        return self.make.load(whole.at[self.potential, self.block], column=True)

    def dot(self, x: Tile, w: Ref) -> Tile:
        """`x w` with staged weights."""
        self.make.stage(x, self.left, ALL, ALL)
        return self.make.product(self.left, w)

    def dot_transposed(self, x: Tile, w: Ref) -> Tile:
        """`x w'` with staged weights."""
        self.make.stage(x, self.left, ALL, ALL)
        return self.make.product(self.left, w, right_rows=ALL)

    def pull_dot(self, g: Tile, x: Tile, w: Ref) -> tuple[Tile, Tile]:
        """The gradients of x and w, given that of `dot(x, w)`.

        Args:
          g: the gradient of the product.
          x: its left operand.
          w: its right operand, staged.
        """
        of_x = self.dot_transposed(g, w)
        self.make.stage(x, self.right, ALL, ALL)
        return of_x, self.make.product(self.right, self.left, left_columns=ALL)

    def pull_dot_transposed(self, g: Tile, x: Tile, w: Ref) -> tuple[Tile, Tile]:
        """The gradients of x and w, given that of `dot_transposed(x, w)`.

        Args:
          g: the gradient of the product.
          x: its left operand.
          w: its right operand, staged.
        """
        of_x = self.dot(g, w)
        self.make.stage(x, self.right, ALL, ALL)
        return of_x, self.make.product(self.left, self.right, left_columns=ALL)

    def fill(self, at: Tiles) -> tuple[Float[Array, "64"], Float[Array, "64"]]:
        """Puts what `ref` calls a1 to s on a shelf; o and the time derivative, `[t]`.

        Of v: `p = v W1`, `q = (d1 o p) W2` and `bent = k W2'`.
        """
        given = self.given
        first = self.dot(self.points(given.z), self.w1) + self.row(given.b1)
        at["a1"], at["d1"] = jnp.tanh(first), ref.slope(first)
        second = self.dot(at["a1"], self.w2) + self.row(given.beta)
        at["a2"], at["d2"] = jnp.tanh(second), ref.slope(second)
        o = (at["a2"] * self.row(given.w3)).sum(1) + given.b3[self.potential]
        c = self.c(at)
        time = (c * self.row(given.rate)).sum(1)
        at["s"] = self.dot_transposed(c, self.w2)
        if given.v is not None:
            at["p"] = self.dot(self.points(given.v), self.w1)
            at["q"] = self.dot(at["d1"] * at["p"], self.w2)
            at["bent"] = self.dot_transposed(self.k(at), self.w2)
        return o, time

    def c(self, at: Tiles) -> Tile:
        """`w3 o d2`."""
        return self.row(self.given.w3) * at["d2"]

    def e1(self, at: Tiles) -> Tile:
        """The first layer's second derivatives."""
        return -2.0 * at["a1"] * at["d1"]

    def k(self, at: Tiles) -> Tile:
        """`w3 o e2 o q`."""
        return -2.0 * at["a2"] * self.c(at) * at["q"]

    def y(self, at: Tiles) -> Tile:
        """`e1 o p o s + d1 o bent`, which makes the Hessian-vector product."""
        return at["d1"] * (at["bent"] - 2.0 * at["a1"] * at["p"] * at["s"])

    def gradient(self, at: Tiles) -> Tile:
        """The gradient of o in z."""
        return self.dot_transposed(at["d1"] * at["s"], self.w1)

    def product(self, at: Tiles) -> Tile:
        """The Hessian of o times v."""
        return self.dot_transposed(self.y(at), self.w1)


def tiled(arguments: Arguments) -> Parts:
    """The arguments in tiles, padded with zeros."""
    params, at, z, v = arguments
    blocks = pl.cdiv(len(z), TILE)

    def rows(a: Float[Array, "b n"]) -> Float[Array, "r 64 64"]:
        return padded(a, blocks * TILE, TILE).reshape(blocks, TILE, TILE)

    return Parts(
        w1=padded(params.w1, TILE, TILE),
        w2=padded(params.w2, TILE, TILE),
        b1=padded(params.b1, TILE),
        beta=padded(at.beta, TILE),
        w3=padded(params.w3, TILE),
        rate=padded(at.rate, TILE),
        b3=params.b3,
        z=rows(z),
        v=None if v is None else rows(v),
    )


def call(
    body: Callable[[Program, Any, Any], None],
    given: Parts,
    more: Any,
    out: Any,
    interpret: Any,
    *,
    shelved: bool,
) -> Any:
    """Runs `body(program, more, out)` for every potential and block of rows.

    Args:
      body: takes a program and references to more arguments and to the outputs.
      given: `tiled` arguments.
      more: more arrays for the body, a pytree.
      out: shapes of the outputs, a pytree.
      interpret: the parameters of Mosaic's interpreter; None to compile.
      shelved: whether programs get memory for a `Shelf` and for a right operand.

    Returns:
      The outputs, of the structure of `out`.
    """
    make = Warpgroup(TILE, PIECES, interpret)
    arguments, taken = jax.tree.flatten((given, more))
    results, made = jax.tree.flatten(out)

    def flat(place: Place, *refs: Ref) -> None:
        inputs = refs[: len(arguments)]
        outputs = refs[len(arguments) : len(arguments) + len(results)]
        staged = refs[len(arguments) + len(results) :]
        given, more = jax.tree.unflatten(taken, inputs)
        program = Program(make, given, *place, *staged)
        program.stage_weights()
        body(program, more, jax.tree.unflatten(made, outputs))

    operand = make.staging(TILE, TILE, jnp.float32)
    memory = [operand] * 3
    if shelved:
        order = (plgpu.TilingTransform((8, 32)), plgpu.SwizzleTransform(128))
        names = Shelf.NAMES if given.v is not None else Shelf.NAMES[:5]
        shape = (len(names), TILE, TILE)
        memory += [operand, plgpu.SMEM(shape, jnp.float32, transforms=order)]
    grid = len(given.b3), len(given.z)
    found = make.kernel(flat, grid, tuple(results), *memory)(*arguments)
    return jax.tree.unflatten(made, found)
