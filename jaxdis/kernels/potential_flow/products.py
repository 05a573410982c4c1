"""Matrix products of any size, tile by tile, of which large potentials are made.

A program makes one tile of the result and goes through all tiles of its terms; sizes
that are no multiples of a tile are padded with zeros. Seeds and potentials, over which
a product is vmapped, are further axes of its grid: each product is one launch.

What was checked without a device: numbers, interpreted, and that the kernels compile
for an H100 and a TPU v5e. They have run on neither.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from jaxdis.kernels import recomputed
from jaxdis.kernels.potential_flow.ref import PRECISION, Products
from jaxdis.kernels.tiles import (
    ALL,
    LANES,
    ROWS,
    SHARED,
    SUMS,
    Place,
    Ref,
    Warpgroup,
    add_up,
    largest,
    padded,
    split,
    whole_or,
)

__all__ = ["Product", "Turned", "differentiable", "hopper", "tpu"]

TILE = ROWS  # of a Hopper GPU: rows and columns
PIECES = 3  # of a float32 number in a product
SIDE = 512  # of a TPU's tile, at most: three of them, twice, are 6 of 16 MiB


class Turned(NamedTuple):
    """Which operands of a product take their places transposed."""

    left: bool = False
    right: bool = False


Product: TypeAlias = Callable[
    [Float[Array, "_ _"], Float[Array, "_ _"], Turned], Float[Array, "_ _"]
]


def differentiable(product: Product) -> Products:
    """`x w` and `x w'`, whose derivatives are such products as well.

    Args:
      product: `(left, right, turned) -> result`.
    """
    left, right = Turned(left=True), Turned(right=True)

    def plain(operands: tuple[Array, Array], turned: Turned) -> Array:
        return product(*operands, turned)

    def pull(
        operands: tuple[Array, Array], turned: Turned, g: Array
    ) -> tuple[Array, Array]:
        x, w = operands
        of_w = (g, x) if turned.right else (x, g)
        return product(g, w, Turned(right=not turned.right)), product(*of_w, left)

    both = recomputed(plain, pull)
    return Products(
        lambda x, w: both((x, w), Turned()), lambda x, w: both((x, w), right)
    )


def _sizes(left: Array, right: Array, turned: Turned) -> tuple[int, int, int]:
    """Rows of the result, terms of its sums, and its columns."""
    (m, i), (_, j) = left.shape, right.shape
    if turned.left:
        m, i = i, m
    return m, i, len(right) if turned.right else j


def _tile(turned: bool, row: Any, column: Any) -> tuple[Any, Any]:
    """Where an operand's tile is that takes its place at this row and column."""
    return (column, row) if turned else (row, column)


def hopper_columns() -> int:
    """Columns of a Hopper program's part of the result: whole tiles."""

    def fits(columns: int) -> bool:
        # Two programs share a processor, so that one computes while another loads.
        staged = 2 * PIECES * TILE * (TILE + columns)
        return 2 * staged <= SHARED and 2 * TILE * columns <= SUMS

    return largest(TILE, 4 * TILE, fits)


@partial(jax.jit, static_argnames=("turned", "interpret"))  # lowered once a shape
def hopper(
    left: Float[Array, "_ _"],
    right: Float[Array, "_ _"],
    turned: Turned,
    *,
    interpret: Any = None,
) -> Float[Array, "_ _"]:
    """The product on a Hopper GPU's tensor cores, to float32's precision.

    Args:
      left: the first operand.
      right: the second one.
      turned: which of them take their places transposed.
      interpret: the parameters of Mosaic's interpreter; None to compile.
    """
    make = Warpgroup(TILE, PIECES, interpret)
    m, i, j = _sizes(left, right, turned)
    rows, steps = pl.cdiv(m, TILE), pl.cdiv(i, TILE)
    columns = split(j, hopper_columns(), TILE)
    tiles = range(columns.size // TILE)
    left_columns, right_rows = (
        ALL if turned.left else None,
        ALL if turned.right else None,
    )

    def body(place: Place, a: Ref, b: Ref, out: Ref, left: Ref, *right: Ref) -> None:
        row, part = place

        def stage(whole: Ref, turn: bool, row: Any, column: Any, staged: Ref) -> None:
            at = (pl.ds(TILE * i, TILE) for i in _tile(turn, row, column))
            make.stage(make.load(whole.at[tuple(at)]), staged, ALL, ALL)

        def add(step: Array, sums: list[Array]) -> list[Array]:
            stage(a, turned.left, row, step, left)
            for tile in tiles:
                column = part * len(tiles) + tile
                stage(b, turned.right, step, column, right[tile])
            return [
                total
                + make.product(
                    left, right[tile], left_columns=left_columns, right_rows=right_rows
                )
                for tile, total in zip(tiles, sums, strict=True)
            ]

        sums = jax.lax.fori_loop(0, steps, add, [make.zeros(TILE) for _ in tiles])
        for tile, total in zip(tiles, sums, strict=True):
            column = part * len(tiles) + tile
            at = pl.ds(TILE * row, TILE), pl.ds(TILE * column, TILE)
            make.store(total, out.at[at])

    shape = rows * TILE, steps * TILE, columns.parts * columns.size
    operand = make.staging(TILE, TILE, jnp.float32)
    found: Array = make.kernel(
        body,
        (rows, columns.parts),
        jax.ShapeDtypeStruct((shape[0], shape[2]), jnp.float32),
        *[operand] * (1 + len(tiles)),
    )(
        padded(left, *_tile(turned.left, *shape[:2])),
        padded(right, *_tile(turned.right, *shape[1:])),
    )
    return found[:m, :j]


@partial(jax.jit, static_argnames=("turned", "interpret"))
def tpu(
    left: Float[Array, "_ _"],
    right: Float[Array, "_ _"],
    turned: Turned,
    *,
    interpret: bool = False,
) -> Float[Array, "_ _"]:
    """The product on a TPU, to float32's precision.

    Args:
      left: the first operand.
      right: the second one.
      turned: which of them take their places transposed.
      interpret: whether to interpret the kernel.
    """
    m, _, j = sizes = _sizes(left, right, turned)
    cuts = [whole_or(size, SIDE, LANES) for size in sizes]
    (rows, steps, columns), block = zip(*cuts, strict=True)
    contracted = (0 if turned.left else 1,), (1 if turned.right else 0,)

    def body(a: Ref, b: Ref, out: Ref) -> None:
        term = jax.lax.dot_general(
            a[...], b[...], (contracted, ((), ())), precision=PRECISION
        )
        add_up([out], [term], pl.program_id(2) == 0)

    def spec(turn: bool, row: int, column: int) -> pl.BlockSpec:
        return pl.BlockSpec(
            _tile(turn, block[row], block[column]),
            lambda *p: _tile(turn, p[at[row]], p[at[column]]),
        )

    at = 0, 2, 1  # the axis of the grid of rows, terms and columns
    shape = [cut.parts * cut.size for cut in cuts]
    found: Array = pl.pallas_call(
        body,
        grid=(rows, columns, steps),
        in_specs=(spec(turned.left, 0, 1), spec(turned.right, 1, 2)),
        out_specs=spec(False, 0, 2),
        out_shape=jax.ShapeDtypeStruct((shape[0], shape[2]), jnp.float32),
        interpret=interpret,
    )(
        padded(left, *_tile(turned.left, *shape[:2])),
        padded(right, *_tile(turned.right, *shape[1:])),
    )
    return found[:m, :j]
