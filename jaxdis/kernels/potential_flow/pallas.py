"""The potential-flow derivatives as TPU kernels.

A program takes one potential and a block of rows; every activation stays in its vector
memory. The backward pass makes them again. Gradients of weights are summed over blocks
of rows in place; those of points are written for each potential, as the results
themselves are, and summed outside, which saves a second kernel the activations. What a
kernel computes is `ref.block`, or its derivative by autodiff inside of the kernel.
Potentials whose weights leave no room for that are taken layer by layer; their products
are kernels, see `products`, and XLA fuses what is between them.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float

from jaxdis.kernels import Form, Sizes, recomputed
from jaxdis.kernels.potential_flow import ref
from jaxdis.kernels.potential_flow.products import differentiable, tpu
from jaxdis.kernels.potential_flow.ref import Arguments, Derivatives, Head
from jaxdis.kernels.tiles import LANES, SUBLANES, Ref, add_up, largest, padded, whole_or

__all__ = ["COMPILED", "INTERPRETED", "block_of_rows", "refusal"]

ROWS = 256  # of a block, at most
VECTOR_MEMORY = 48 * 2**20  # bytes that a program's arrays may take
ANY_CHIP = 16 * 2**20  # which every TPU has; the larger is there from v5 on


class _Given(NamedTuple):
    """What the kernels take: `[k, ...]`, `[k, 1, h]` and one or two of `[b, n]`."""

    networks: ref.Network
    rate: Float[Array, "k 1 h"]
    points: tuple[Float[Array, "b n"], ...]


def _bytes(rows: int, n: int, h: int) -> int:
    """What a backward program takes of vector memory, from above.

    Fitted to what a TPU v5e's compiler reports for n up to 324 and h up to 512:
    products of full precision keep several forms of every matrix.
    """
    n_lanes, h_lanes = (-(-size // LANES) * LANES for size in (n, h))
    row = 12 * n_lanes + 28 * h_lanes + 28 * LANES
    return 4 * (19 * (n + h + SUBLANES) * h_lanes + rows * row)


def block_of_rows(b: int, n: int, h: int) -> int:
    """Rows of a fused program's block; 0 where a potential does not fit into it.

    Args:
      b: the number of rows.
      n: the latent size.
      h: the number of hidden units.
    """

    def fits(rows: int) -> bool:
        return _bytes(rows, n, h) <= VECTOR_MEMORY

    most = largest(SUBLANES, ROWS, fits)
    return whole_or(b, most, SUBLANES).size if most else 0


def _compiler(rows: int, n: int, h: int) -> pltpu.CompilerParams:
    """Asks for more memory than every chip has only where it is needed."""
    small = _bytes(rows, n, h) <= ANY_CHIP
    return pltpu.CompilerParams(vmem_limit_bytes=ANY_CHIP if small else VECTOR_MEMORY)


def refusal(sizes: Sizes) -> str | None:
    """Why the kernels cannot run on numbers of this type; None if they can.

    A TPU has no float64.
    """
    dtype = jnp.dtype(sizes.dtype)
    if dtype != jnp.float32:
        return f"its kernels take float32, got {dtype}"
    return None


def _block(
    networks: ref.Network,
    rate: Float[Array, "1 h"],
    points: tuple[Float[Array, "b n"], ...],
    head: Head,
) -> tuple[Array, ...]:
    """`ref.block` of one potential, without a product that is not asked for."""
    z, *directions = points
    v = directions[0] if directions else None
    found = ref.block(networks, rate, z, v, head)
    return tuple(a for a in found if a is not None)


def _whole(a: Any) -> pl.BlockSpec:
    """One potential's part of `[k, ...]`."""
    return pl.BlockSpec((None, *a.shape[1:]), lambda i, j: (i, 0, 0))


def _of_rows(a: Any, rows: int) -> pl.BlockSpec:
    """A block of rows of points `[b, n]`."""
    return pl.BlockSpec((rows, a.shape[-1]), lambda i, j: (j, 0))


def _of_both(a: Any, rows: int) -> pl.BlockSpec:
    """A block of rows of one potential's part of `[k, b, ...]`."""
    return pl.BlockSpec((None, rows, a.shape[-1]), lambda i, j: (i, j, 0))


def _specs(given: _Given, rows: int) -> Any:
    networks, rate = jax.tree.map(_whole, (given.networks, given.rate))
    points: Any = tuple(_of_rows(a, rows) for a in given.points)
    return _Given(networks, rate, points)


def _read(refs: Any) -> Any:
    return jax.tree.map(lambda a: a[...], refs)


class _Cut(NamedTuple):
    """The sizes, and the rows of a block."""

    k: int
    b: int
    n: int
    h: int
    rows: int


def _cut(given: _Given) -> _Cut:
    (k, n, h), b = given.networks.w1.shape, len(given.points[0])
    return _Cut(k, b, n, h, block_of_rows(b, n, h))


def _forward(given: _Given, head: Head, *, interpret: bool) -> tuple[Array, ...]:
    cut = _cut(given)
    columns = (1, 1, *[cut.n] * len(given.points))
    shapes = [
        jax.ShapeDtypeStruct((cut.k, cut.b, wide), jnp.float32) for wide in columns
    ]

    def body(given: Ref, *found: Ref) -> None:
        networks, rate, points = _read(given)
        results = _block(networks, rate, points, head)
        for out, result in zip(found, results, strict=True):
            out[...] = result

    found = pl.pallas_call(
        body,
        grid=(cut.k, cut.b // cut.rows),
        in_specs=(_specs(given, cut.rows),),
        out_specs=tuple(_of_both(a, cut.rows) for a in shapes),
        out_shape=tuple(shapes),
        compiler_params=_compiler(cut.rows, cut.n, cut.h),
        interpret=interpret,
    )(given)
    return tuple(found)


def _backward(
    given: _Given, head: Head, g: tuple[Array, ...], *, interpret: bool
) -> _Given:
    cut, weights = _cut(given), (given.networks, given.rate)
    each = tuple(jax.ShapeDtypeStruct((cut.k, *a.shape), a.dtype) for a in given.points)

    def body(given: Ref, g: Ref, sums: Ref, moved: Ref) -> None:
        _, pull = jax.vjp(partial(_block, head=head), *_read(given))
        *terms, moves = pull(_read(g))
        for out, move in zip(moved, moves, strict=True):
            out[...] = move
        first = pl.program_id(1) == 0
        add_up(jax.tree.leaves(sums), jax.tree.leaves(tuple(terms)), first)

    sums, moved = pl.pallas_call(
        body,
        grid=(cut.k, cut.b // cut.rows),
        in_specs=(
            _specs(given, cut.rows),
            tuple(_of_both(a, cut.rows) for a in g),
        ),
        out_specs=(
            jax.tree.map(_whole, weights),
            tuple(_of_both(a, cut.rows) for a in each),
        ),
        out_shape=(
            jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), weights),
            each,
        ),
        compiler_params=_compiler(cut.rows, cut.n, cut.h),
        interpret=interpret,
    )(given, g)
    networks, rate = sums
    return _Given(networks, rate, tuple(a.sum(0) for a in moved))


def _form(interpret: bool) -> Form:
    every = recomputed(
        partial(_forward, interpret=interpret), partial(_backward, interpret=interpret)
    )
    tiles = differentiable(partial(tpu, interpret=interpret))

    def fused(arguments: Arguments, head: Head, rows: int) -> Derivatives:
        params, at, z, v = arguments
        (b, n), blocks = z.shape, pl.cdiv(len(z), rows)
        points = tuple(
            padded(a, blocks * rows, n) for a in ((z,) if v is None else (z, v))
        )
        given = _Given(ref.networks(params, at.beta), at.rate[:, None], points)
        value, time, *vectors = every(given, head)
        columns = value[:, :b, 0], time[:, :b, 0]
        gradient, *product = (a[:, :b] for a in vectors)
        return Derivatives(*columns, gradient, product[0] if product else None)

    def run(arguments: Arguments, head: Head) -> Derivatives:
        """`ref.derivatives`."""
        _, n, h = arguments.params.w1.shape
        if rows := block_of_rows(len(arguments.z), n, h):
            return fused(arguments, head, rows)
        return ref.derivatives(arguments, head, tiles)

    return Form(run, refusal, None if interpret else "tpu")


COMPILED, INTERPRETED = _form(False), _form(True)
