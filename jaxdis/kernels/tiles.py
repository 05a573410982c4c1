"""What the compiled kernels of all operations share: blocks of rows, and tiles.

For TPUs, how many rows a block has, and sums over programs that share an output. For
Hopper GPUs, a warpgroup's loads, stores and products.

Tensor cores take no float32. A float32 number is therefore cut into three bfloat16
numbers, which add up to it exactly, and the six largest of the nine products of two
such numbers are summed in float32: what is left out is some 1e-7 of a term. Of two
pieces and three products what is left out is 1e-5.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array, Float

from jaxdis.kernels import Sizes

__all__ = [
    "ALL",
    "LANES",
    "ROWS",
    "SHARED",
    "SUBLANES",
    "SUMS",
    "Place",
    "Ref",
    "Split",
    "Warpgroup",
    "add_up",
    "hopper_refusal",
    "largest",
    "padded",
    "slices",
    "split",
    "whole_or",
]

Ref: TypeAlias = Any
"""A reference to memory, or an index of one, which only a kernel has."""
Place: TypeAlias = tuple[Any, ...]
"""Where in a grid a program is: its number along each axis."""

SUBLANES = 16  # rows of a TPU's tile: 8 of float32, 16 of bfloat16
LANES = 128  # columns of a TPU's tile
ROWS = 64  # of a Hopper GPU's tile: those of a warpgroup's matrix product
SHARED = 232_448  # bytes of a Hopper processor's memory that a program may take
SUMS = 128 * 128  # numbers that a warpgroup sums in registers: half of all it has
CAPABILITY = "9.0"  # of Hopper, whose instruction for matrix products no other has
TOP = 0xFFFF0000  # the bits that bfloat16 has of float32
ALL = slice(None)

# `plgpu.load` needs an index after the reference in jax 0.10 and takes none from 0.12
# on; a reference may always be indexed before.
_INDEX = inspect.signature(plgpu.load).parameters.get("idx")
_WHOLE = (...,) if _INDEX and _INDEX.default is inspect.Parameter.empty else ()

# From jax 0.12 on, a plain store of rows shorter than a cache line is refused.
_STORE = getattr(plgpu, "store", None)


class Split(NamedTuple):
    """How an axis is cut.

    Attributes:
      parts: how many parts there are.
      size: the size of each, with padding in the last ones.
    """

    parts: int
    size: int


def split(size: int, most: int, unit: int) -> Split:
    """As few parts of an axis as may be, of one size with as little padding as may be.

    Args:
      size: the size of the axis.
      most: the largest size of a part, a multiple of the unit.
      unit: what a part's size is a multiple of.
    """
    parts = pl.cdiv(size, most)
    return Split(parts, unit * pl.cdiv(size, parts * unit))


def largest(unit: int, most: int, fits: Callable[[int], bool]) -> int:
    """The largest multiple of a unit, up to `most`, that fits; 0 if none does.

    Args:
      unit: what the number is a multiple of.
      most: the largest number.
      fits: whether a number fits into a program's memory; all smaller ones do then.
    """
    return max((i for i in range(unit, most + 1, unit) if fits(i)), default=0)


# TPUs.


def whole_or(size: int, most: int, unit: int) -> Split:
    """The whole of an axis where it fits, which needs no padding; else parts of it.

    Args:
      size: the size of the axis.
      most: the largest size of a part, a multiple of the unit.
      unit: what the size of several parts is a multiple of.
    """
    return Split(1, size) if size <= most else split(size, most, unit)


def add_up(sums: Sequence[Ref], terms: Sequence[Array], first: Array) -> None:
    """Adds to outputs that programs one after the other share.

    Args:
      sums: the outputs.
      terms: what this program adds to each.
      first: whether it is the first of these programs, where sums start from zero.
    """

    @pl.when(first)
    def _() -> None:
        for total in sums:
            total[...] = jnp.zeros(total.shape, total.dtype)

    for total, term in zip(sums, terms, strict=True):
        total[...] += term.astype(total.dtype)


# Hopper GPUs.


def hopper_refusal(sizes: Sizes) -> str | None:
    """Why no kernel can run: this GPU or an old jax; None if one can, on any sizes.

    A program may be lowered where there is no GPU, for one that is taken for a Hopper.
    """
    if "out_type" not in inspect.signature(plgpu.kernel).parameters:
        return f"the kernels for Hopper need jax 0.10.2, and this is {jax.__version__}"
    found = {
        getattr(device, "compute_capability", "unknown")
        for device in jax.devices()
        if device.platform == "gpu"
    }
    if others := found - {CAPABILITY}:
        return (
            f"the kernels are for Hopper, compute capability {CAPABILITY}, and that of "
            f"this GPU is {min(others)}"
        )
    return None


def slices(size: int) -> list[slice]:
    """Parts of an axis, of `ROWS` each but the last."""
    return [slice(i, min(i + ROWS, size)) for i in range(0, size, ROWS)]


def padded(a: Array, *sizes: int) -> Array:
    """Zeros after the end of each of the last axes, until they have these sizes."""
    kept = a.ndim - len(sizes)
    more = [size - old for size, old in zip(sizes, a.shape[kept:], strict=True)]
    return jnp.pad(a, [(0, 0)] * kept + [(0, m) for m in more])


def _place(number: Array, grid: tuple[int, ...]) -> Place:
    """Of a program's number, as `jax.numpy.unravel_index` gives it."""
    place = []
    for size in reversed(grid):
        place.append(jax.lax.rem(number, jnp.int32(size)))
        number = jax.lax.div(number, jnp.int32(size))
    return tuple(reversed(place))


class Warpgroup(NamedTuple):
    """What a kernel's programs are made of, tiles of 64 rows.

    The interpreter knows neither layouts nor transposed operands: there they are left
    out, and an ordinary product takes the place of the tensor cores'.

    Attributes:
      columns: the columns of a tile, a multiple of 16.
      pieces: the bfloat16 numbers that a float32 number is cut into.
      interpret: the parameters of Mosaic's interpreter; None to compile.
    """

    columns: int
    pieces: int
    interpret: Any

    def kernel(
        self, body: Callable[..., None], grid: tuple[int, ...], out: Any, *staged: Any
    ) -> Callable[..., Any]:
        """The kernel that runs a body at every place of a grid.

        The grid is one axis of the hardware's, of which only the first may be longer
        than 65,535; a vmap adds another one.

        Args:
          body: takes a place and references to arguments, outputs and staged memory.
          grid: the sizes of the axes.
          out: shapes and types of the outputs.
          staged: what `staging` or another shape of memory describes.
        """

        def placed(*refs: Ref) -> None:
            body(_place(jax.lax.axis_index("program"), grid), *refs)

        return plgpu.kernel(
            placed,
            out_type=out,
            grid=(math.prod(grid),),
            grid_names=("program",),
            scratch_types=staged,
            interpret=self.interpret,
        )

    def staging(self, rows: int, columns: int, dtype: Any) -> Any:
        """Shared memory for the pieces of a matrix, in the tensor cores' order."""
        tile = self.columns
        order = (plgpu.TilingTransform((8, tile)), plgpu.SwizzleTransform(2 * tile))
        pieces = 1 if dtype == jnp.bfloat16 else self.pieces
        return plgpu.SMEM((pieces, rows, columns), jnp.bfloat16, transforms=order)

    def laid(self, a: Array) -> Array:
        """As a warpgroup's registers hold a tile of a matrix product."""
        return a if self.interpret else plgpu.layout_cast(a, plgpu.Layout.WGMMA)

    def zeros(self, columns: int, dtype: Any = jnp.float32) -> Array:
        """A tile of zeros."""
        return self.laid(jnp.zeros((ROWS, columns), dtype))

    def load(self, tile: Ref, *, column: bool = False, turned: bool = False) -> Array:
        """A tile, or a row of one, or a column, into registers.

        Args:
          tile: where it is.
          column: whether one axis is a column.
          turned: whether the tile is there transposed.
        """
        if self.interpret:
            found: Array = tile[...]
            return found.T if turned else found
        if turned:
            # Two numbers that follow each other in memory are of one column.
            turned_tile = plgpu.load(
                tile.transpose((1, 0)),
                *_WHOLE,
                layout=plgpu.Layout.WGMMA_TRANSPOSED,
                optimized=False,
            )
            return self.laid(turned_tile)
        layout: Any = plgpu.Layout.WGMMA
        if len(tile.shape) == 1:
            layout = layout.reduce(1 if column else 0)
        return plgpu.load(tile, *_WHOLE, layout=layout, optimized=False)

    def store(self, tile: Array, out: Ref, *, turned: bool = False) -> None:
        """Writes a tile to an output, whose rows may be part of a cache line.

        Args:
          tile: the numbers.
          out: where to.
          turned: whether to write the tile transposed.
        """
        if self.interpret:
            out[...] = tile.T if turned else tile
            return
        if turned:
            tile = plgpu.layout_cast(tile, plgpu.Layout.WGMMA_TRANSPOSED)
            out = out.transpose((1, 0))
        if _STORE is None:
            out[...] = tile
        else:
            _STORE(out, tile, optimized=False)

    def stage(self, tile: Array, staged: Ref, rows: slice, columns: slice) -> None:
        """Writes the pieces of a tile to a part of staged memory."""
        for i in range(staged.shape[0]):
            if tile.dtype == jnp.bfloat16:
                staged[i, rows, columns] = tile
                continue
            bits = jax.lax.bitcast_convert_type(tile, jnp.uint32) & jnp.uint32(TOP)
            top = jax.lax.bitcast_convert_type(bits, jnp.float32)
            staged[i, rows, columns] = top.astype(jnp.bfloat16)  # exact
            tile = tile - top

    def product(
        self,
        left: Ref,
        right: Ref,
        *,
        left_columns: slice | None = None,
        right_rows: slice | None = None,
    ) -> Float[Array, "m n"]:
        """The product of two staged matrices.

        Args:
          left: the pieces of the first matrix.
          right: those of the second one.
          left_columns: columns of the first matrix that take its place, transposed.
          right_rows: rows of the second matrix that take its place, transposed.
        """
        count = max(left.shape[0], right.shape[0])
        pairs = [
            (i, j)
            for i in range(left.shape[0])
            for j in range(right.shape[0])
            if i + j < count
        ]
        pairs.sort(key=sum, reverse=True)  # the smallest first

        def operands(i: int, j: int) -> tuple[Ref, Ref]:
            a = left.at[i, :, left_columns or ALL]
            b = right.at[j, right_rows or ALL, :]
            return (
                a.transpose((1, 0)) if left_columns else a,
                b.transpose((1, 0)) if right_rows else b,
            )

        if self.interpret:
            total = jnp.zeros((), jnp.float32)
            for i, j in pairs:
                # Read whole: refs and values are not turned alike.
                a, b = left[i].astype(jnp.float32), right[j].astype(jnp.float32)
                a = a[:, left_columns].T if left_columns else a
                b = b[right_rows].T if right_rows else b
                total = total + jnp.matmul(a, b, precision="highest")
            return total

        def multiply(total: Ref) -> Array:
            for i, j in pairs:
                plgpu.wgmma(total, *operands(i, j))
            found: Array = total[...]
            return found

        a, b = operands(0, 0)
        plgpu.commit_smem()
        product: Array = pl.run_scoped(
            multiply, plgpu.ACC((a.shape[0], b.shape[1]), jnp.float32)
        )
        return product
