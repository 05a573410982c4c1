"""The potential-flow operations as TPU kernels.

A program takes one potential and a block of rows; every activation stays in its vector
memory. The backward pass makes them again. Gradients of weights are summed over blocks
of rows in place; those of points are written for each potential, as the results
themselves are, and summed outside, which saves a second kernel the activations. What a
kernel computes is `ref.block` or `ref.diagonal`, or its derivative by autodiff inside
of the kernel.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float

from jaxdis.kernels.potential_flow import ref
from jaxdis.kernels.potential_flow.ref import Clock, Derivatives, Head, Potentials

ROWS = 256  # of a block, at most
TILE = 8  # rows of a tile, which a block must be a multiple of
LANES = 128  # columns of a tile, which arrays are padded to
VECTOR_MEMORY = 48 * 2**20  # bytes that a program's arrays may take
ANY_CHIP = 16 * 2**20  # which every TPU has; the larger is there from v5 on

# What one program computes: of one potential's arrays and blocks of points, blocks.
Block: TypeAlias = Callable[[Any, tuple[Array, ...]], tuple[Array, ...]]


def _bytes(rows: int, n: int, h: int) -> int:
    """What a backward program takes of vector memory, from above.

    Fitted to what a TPU v5e's compiler reports for n up to 324 and h up to 512:
    products of full precision keep several forms of every matrix.
    """
    n_lanes, h_lanes = (-(-size // LANES) * LANES for size in (n, h))
    row = 12 * n_lanes + 28 * h_lanes + 28 * LANES
    return 4 * (19 * (n + h + 2 * TILE) * h_lanes + rows * row)


def _rows(b: int, n: int, h: int) -> int:
    """Rows of a block: all, or the largest fitting divisor; 0 if there is none."""
    divisors = [r for r in range(TILE, b, TILE) if b % r == 0]
    fit = [r for r in (*divisors, b) if r <= ROWS and _bytes(r, n, h) <= VECTOR_MEMORY]
    return max(fit, default=0)


def _compiler(rows: int, n: int, h: int) -> pltpu.CompilerParams:
    """Asks for more memory than every chip has only where it is needed."""
    small = _bytes(rows, n, h) <= ANY_CHIP
    return pltpu.CompilerParams(vmem_limit_bytes=ANY_CHIP if small else VECTOR_MEMORY)


def refusal(b: int, n: int, h: int, dtype: Any) -> str | None:
    """Why the kernels cannot run on these sizes; None if they can."""
    dtype = jnp.dtype(dtype)
    if dtype != jnp.float32:
        return f"its kernels take float32, got {dtype}"
    if _rows(b, n, h):
        return None
    least = min(b, TILE)
    if _bytes(least, n, h) > VECTOR_MEMORY:
        return f"{least} rows with n = {n} and h = {h} need {_bytes(least, n, h)} bytes"
    return f"a batch of {b} has no divisor that is a multiple of {TILE} and fits"


def derivatives(
    params: Potentials,
    at: Clock,
    z: Float[Array, "b n"],
    v: Float[Array, "b n"] | None,
    head: Head,
    *,
    interpret: bool,
) -> Derivatives:
    """`ref.derivatives`."""
    stacked = ref.networks(params, at.beta), at.rate[:, None]
    points = (z,) if v is None else (z, v)
    found = _every(partial(_derivatives, head), interpret, stacked, points)
    value, time, gradient = found[:3]
    product = None if v is None else found[3]
    return Derivatives(value[..., 0], time[..., 0], gradient, product)


def hessian_diagonal(
    params: Potentials,
    beta: Float[Array, "k h"],
    z: Float[Array, "b n"],
    head: Head,
    *,
    interpret: bool,
) -> Float[Array, "k b n"]:
    """`ref.hessian_diagonal`."""
    stacked = (ref.networks(params, beta),)
    (found,) = _every(partial(_diagonal, head), interpret, stacked, (z,))
    return found


def _derivatives(
    head: Head, of: tuple[ref.Network, Array], points: tuple[Array, ...]
) -> tuple[Array, ...]:
    w, rate = of
    z, *directions = points
    v = directions[0] if directions else None
    value, time, gradient, product = ref.block(w, rate, z, v, head)
    found = value, time, gradient
    return found if product is None else (*found, product)


def _diagonal(
    head: Head, of: tuple[ref.Network], points: tuple[Array, ...]
) -> tuple[Array, ...]:
    (w,) = of
    d1, first, second, outer = ref.factors(w, points[0], head)
    bent = _bent(w.w1, w.w2, d1, first)
    return (ref.diagonal(bent, w.w1, second, outer),)


def _bend(
    row: Float[Array, "1 h"],
    w2: Float[Array, "h h"],
    d1: Float[Array, "b h"],
    first: Float[Array, "b h"],
) -> Float[Array, "b 1"]:
    """One latent's diagonal entry of A' diag(first) A, given its row of W1."""
    a = jnp.matmul(d1 * row, w2, precision=ref.PRECISION)
    return jnp.sum(a * a * first, -1, keepdims=True)


def _is(latent: Array, n: int, axis: int) -> Array:
    """1 at a latent's place of n along an axis, else 0."""
    shape = (n, 1) if axis == 0 else (1, n)
    at = jax.lax.broadcasted_iota(jnp.int32, shape, axis)
    return (at == latent).astype(jnp.float32)


def _row(w1: Float[Array, "n h"], latent: Array) -> Float[Array, "1 h"]:
    # Kernels cannot slice a value at a traced place.
    return jnp.sum(w1 * _is(latent, len(w1), 0), 0, keepdims=True)


# One latent at a time, since a kernel has no arrays [b, h, n]; and by hand in reverse,
# since it has no stack for what autodiff of a loop would keep.
@jax.custom_vjp
def _bent(
    w1: Float[Array, "n h"],
    w2: Float[Array, "h h"],
    d1: Float[Array, "b h"],
    first: Float[Array, "b h"],
) -> Float[Array, "b n"]:
    """Diagonals of A' diag(first) A, for a block of rows."""
    n = len(w1)

    def add(latent: Array, found: Array) -> Array:
        return found + _bend(_row(w1, latent), w2, d1, first) * _is(latent, n, 1)

    zeros = jnp.zeros((len(d1), n), jnp.float32)
    return jax.lax.fori_loop(0, n, add, zeros)


def _bent_forward(*arguments: Array) -> tuple[Array, tuple[Array, ...]]:
    return _bent(*arguments), arguments


def _bent_backward(arguments: tuple[Array, ...], g: Array) -> tuple[Array, ...]:
    w1, *others = arguments
    n = len(w1)

    def add(latent: Array, sums: tuple[Array, ...]) -> tuple[Array, ...]:
        _, pull = jax.vjp(_bend, _row(w1, latent), *others)
        row, *terms = pull(jnp.sum(g * _is(latent, n, 1), -1, keepdims=True))
        terms = [row * _is(latent, n, 0), *terms]
        return tuple(s + term for s, term in zip(sums, terms, strict=True))

    zeros = tuple(jnp.zeros(a.shape, jnp.float32) for a in arguments)
    found: tuple[Array, ...] = jax.lax.fori_loop(0, n, add, zeros)
    return found


_bent.defvjp(_bent_forward, _bent_backward)


def _whole(a: Any) -> pl.BlockSpec:
    """One potential's part of `[k, ...]`."""
    return pl.BlockSpec((None, *a.shape[1:]), lambda i, j: (i, 0, 0))


def _of_rows(a: Any, rows: int) -> pl.BlockSpec:
    """A block of rows of points `[b, n]`."""
    return pl.BlockSpec((rows, a.shape[-1]), lambda i, j: (j, 0))


def _of_both(a: Any, rows: int) -> pl.BlockSpec:
    """A block of rows of one potential's part of `[k, b, ...]`."""
    return pl.BlockSpec((None, rows, a.shape[-1]), lambda i, j: (i, j, 0))


def _read(refs: Any) -> Any:
    return jax.tree.map(lambda a: a[...], refs)


class _Sizes(NamedTuple):
    k: int
    b: int
    n: int
    h: int
    rows: int


def _sizes(w: ref.Network, points: tuple[Array, ...]) -> _Sizes:
    (k, n, h), b = w.w1.shape, len(points[0])
    return _Sizes(k, b, n, h, _rows(b, n, h))


def _forward(
    block: Block, interpret: bool, stacked: Any, points: tuple[Array, ...]
) -> tuple[Array, ...]:
    s = _sizes(stacked[0], points)
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), stacked)
    shapes = [
        jax.ShapeDtypeStruct((s.k, *a.shape), a.dtype)
        for a in jax.eval_shape(block, one, points)
    ]

    def body(stacked: Any, points: Any, *found: Any) -> None:
        results = block(_read(stacked), _read(points))
        for out, result in zip(found, results, strict=True):
            out[...] = result

    found = pl.pallas_call(
        body,
        grid=(s.k, s.b // s.rows),
        in_specs=(
            jax.tree.map(_whole, stacked),
            tuple(_of_rows(a, s.rows) for a in points),
        ),
        out_specs=tuple(_of_both(a, s.rows) for a in shapes),
        out_shape=tuple(shapes),
        compiler_params=_compiler(s.rows, s.n, s.h),
        interpret=interpret,
    )(stacked, points)
    return tuple(found)


def _backward(
    block: Block,
    interpret: bool,
    arguments: tuple[Any, tuple[Array, ...]],
    g: tuple[Array, ...],
) -> tuple[Any, tuple[Array, ...]]:
    stacked, points = arguments
    s = _sizes(stacked[0], points)
    each = tuple(jax.ShapeDtypeStruct((s.k, *a.shape), a.dtype) for a in points)

    def body(stacked: Any, points: Any, g: Any, weights: Any, moved: Any) -> None:
        _, pull = jax.vjp(block, _read(stacked), _read(points))
        terms, moves = pull(_read(g))
        for out, move in zip(moved, moves, strict=True):
            out[...] = move
        sums = jax.tree.leaves(weights)

        @pl.when(pl.program_id(1) == 0)
        def start() -> None:
            for total in sums:
                total[...] = jnp.zeros(total.shape, total.dtype)

        for total, term in zip(sums, jax.tree.leaves(terms), strict=True):
            total[...] += term

    wholes = jax.tree.map(_whole, stacked)
    found = pl.pallas_call(
        body,
        grid=(s.k, s.b // s.rows),
        in_specs=(
            wholes,
            tuple(_of_rows(a, s.rows) for a in points),
            tuple(_of_both(a, s.rows) for a in g),
        ),
        out_specs=(wholes, tuple(_of_both(a, s.rows) for a in each)),
        out_shape=(
            jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), stacked),
            each,
        ),
        compiler_params=_compiler(s.rows, s.n, s.h),
        interpret=interpret,
    )(stacked, points, g)
    weights, moved = found
    return weights, tuple(a.sum(0) for a in moved)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _every(
    block: Block, interpret: bool, stacked: Any, points: tuple[Array, ...]
) -> tuple[Array, ...]:
    """A block's results for every potential and all rows, `[k, b, ...]`."""
    return _forward(block, interpret, stacked, points)


def _keep(
    block: Block, interpret: bool, stacked: Any, points: tuple[Array, ...]
) -> tuple[tuple[Array, ...], tuple[Any, tuple[Array, ...]]]:
    return _forward(block, interpret, stacked, points), (stacked, points)


_every.defvjp(_keep, _backward)
