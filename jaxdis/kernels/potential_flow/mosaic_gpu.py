"""The potential-flow derivatives as kernels of Hopper GPUs, in Mosaic GPU.

Of potentials with at most 64 latents and hidden units, a `program` takes one and 64
rows, and keeps all of their activations to itself. Larger ones are taken layer by
layer: their products are kernels, see `products`, XLA fuses what is between them, and
activations are kept for the backward pass, as in XLA's own form. One program would have
to go through all of these products alone, where a layer's tiles occupy a GPU.
 The operands of a product are in shared memory as bfloat16 pieces, whose
products amount to one of float32; see `tiles`.

The backward pass makes the activations again, and is `ref.block` in reverse by hand,
since autodiff has no rule for what tensor cores do. Gradients of weights are written
for each block of rows and those of points for each potential, as the results themselves
are; XLA adds them up.

What was checked without a GPU: numbers in Mosaic's interpreter, and that the kernels
compile for an H100 down to machine code. They have run on none.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from jaxdis.kernels import Form, Sizes, recomputed
from jaxdis.kernels.potential_flow import ref
from jaxdis.kernels.potential_flow.products import differentiable, hopper
from jaxdis.kernels.potential_flow.program import (
    TILE,
    Parts,
    Program,
    Shelf,
    Tile,
    call,
    tiled,
    wide,
)
from jaxdis.kernels.potential_flow.ref import Arguments, Clock, Derivatives, Head
from jaxdis.kernels.tiles import Ref, hopper_refusal, padded

__all__ = ["COMPILED", "form", "refusal"]


def refusal(sizes: Sizes) -> str | None:
    """Why the kernels cannot run on numbers of this type, or here; None if they can.

    A float64 number has more digits than the pieces that tensor cores multiply.
    """
    dtype = jnp.dtype(sizes.dtype)
    if dtype != jnp.float32:
        return f"its kernels take float32, got {dtype}"
    return hopper_refusal(sizes)


def _shapes(arguments: Arguments) -> tuple[Any, Any]:
    """Those of a row or column, and of a tile, for each potential and block."""
    k, blocks = len(arguments.params.b3), pl.cdiv(len(arguments.z), TILE)
    row = jax.ShapeDtypeStruct((k, blocks, TILE), jnp.float32)
    return row, jax.ShapeDtypeStruct((k, blocks, TILE, TILE), jnp.float32)


def _forward(arguments: Arguments, head: Head, *, interpret: Any) -> Derivatives:
    (b, n), (row, tile) = arguments.z.shape, _shapes(arguments)
    directed = arguments.v is not None
    shapes = Derivatives(row, row, tile, tile if directed else None)

    def body(program: Program, more: None, out: Ref) -> None:
        place = program.potential, program.block
        at: dict[str, Array] = {}
        value, time = program.fill(at)
        gradient = program.gradient(at)
        product = program.product(at) if directed else None
        if head == "tanh":
            y, k1 = jnp.tanh(value), ref.slope(value)
            value, time = y, k1 * time
            if product is not None:
                along = (gradient * program.points(program.given.v)).sum(1)
                bend = wide(-2.0 * y * k1 * along)
                product = wide(k1) * product + bend * gradient
            gradient = wide(k1) * gradient
        out.value[place], out.time[place] = value, time
        out.gradient[place] = gradient
        if product is not None:
            out.product[place] = product

    found = call(body, tiled(arguments), None, shapes, interpret, shelved=False)

    def rows(a: Array) -> Array:
        return a.reshape(len(a), -1, *a.shape[3:])[:, :b]

    return Derivatives(
        rows(found.value),
        rows(found.time),
        rows(found.gradient)[..., :n],
        rows(found.product)[..., :n] if directed else None,
    )


# Gradients of every value of `ref.block`, from its last operation to its first. Sums
# wait in the outputs, which leaves registers free.


def _add(program: Program, total: Ref, term: Tile) -> None:
    place = program.potential, program.block
    total[place] = program.both(total) + term


def _bend(a: Tile, d: Tile) -> Tile:
    """The derivative of e = -2 a d."""
    return -2.0 * d * (d - 2.0 * a * a)


def _pull_head(
    program: Program, at: Shelf, o: Array, time: Array, g: Derivatives, out: Parts
) -> Derivatives:
    """The gradients of o and its derivatives, given those of tanh(o) and its own."""
    place = program.potential, program.block
    y, k1 = jnp.tanh(o), ref.slope(o)
    k2 = -2.0 * y * k1
    gradient = program.gradient(at)
    of_k1 = g.time * time + (g.gradient * gradient).sum(1)
    of_k2 = jnp.zeros_like(of_k1)
    of_gradient, of_product = wide(k1) * g.gradient, g.product
    if of_product is not None:
        v = program.points(program.given.v)
        along = (gradient * v).sum(1)
        turned = (of_product * gradient).sum(1)
        out.v[place] = wide(k2 * turned) * gradient
        of_gradient += wide(k2 * along) * of_product + wide(k2 * turned) * v
        of_k1 = of_k1 + (of_product * program.product(at)).sum(1)
        of_k2 = along * turned
        of_product = wide(k1) * of_product
    # k1' = k2 and k2' = -2 k1 (k1 - 2 y^2) in o.
    of_o = g.value * k1 + of_k1 * k2 - 2.0 * of_k2 * k1 * (k1 - 2.0 * y * y)
    return Derivatives(of_o, k1 * g.time, of_gradient, of_product)


def _pull_product(
    program: Program,
    at: Shelf,
    of_product: Tile,
    of: tuple[Tile, Tile],
    head: Head,
    out: Parts,
) -> Tile:
    """The gradient of s; leaves of_first in bent and `q o of_k` in q."""
    place = program.potential, program.block
    given, w1, w2 = program.given, program.w1, program.w2
    of_s, of_first = of
    of_y, term = program.pull_dot_transposed(of_product, program.y(at), w1)
    _add(program, out.w1, term)
    turned = program.e1(at) * of_y
    of_s = of_s + turned * at["p"]
    of_first = of_first + turned * at["bent"]
    of_first = of_first + _bend(at["a1"], at["d1"]) * at["p"] * at["s"] * of_y
    at["bent"] = of_first
    of_k, term = program.pull_dot_transposed(at["d1"] * of_y, program.k(at), w2)
    out.w2[place] = term
    of_q = -2.0 * at["a2"] * program.c(at) * of_k
    at["q"] = at["q"] * of_k
    of_r, term = program.pull_dot(of_q, at["d1"] * at["p"], w2)
    _add(program, out.w2, term)
    of_p = at["d1"] * of_r + program.e1(at) * at["s"] * of_y
    at["bent"] = at["bent"] + program.e1(at) * at["p"] * of_r
    of_v, term = program.pull_dot(of_p, program.points(given.v), w1)
    _add(program, out.w1, term)
    if head == "tanh":
        of_v = of_v + program.both(out.v)
    out.v[place] = of_v
    return of_s


def _pull(program: Program, g: Derivatives, out: Parts, *, head: Head) -> None:
    """The gradients of everything, given references to those of the results."""
    place = program.potential, program.block
    given, w1, w2 = program.given, program.w1, program.w2
    at = Shelf(program.make, program.shelf)
    o, time = program.fill(at)
    of_product = None if given.v is None else program.both(g.product)
    of = Derivatives(
        program.column(g.value),
        program.column(g.time),
        program.both(g.gradient),
        of_product,
    )
    if head == "tanh":
        of = _pull_head(program, at, o, time, of, out)

    of_m, out.w1[place] = program.pull_dot_transposed(
        of.gradient, at["d1"] * at["s"], w1
    )
    of_s, of_first = at["d1"] * of_m, program.e1(at) * at["s"] * of_m
    if of.product is not None:
        of_s = _pull_product(program, at, of.product, (of_s, of_first), head, out)
    of_c, term = program.pull_dot_transposed(of_s, program.c(at), w2)
    if of.product is None:
        out.w2[place] = term
    else:
        _add(program, out.w2, term)
    of_c = of_c + program.row(given.rate) * wide(of.time)
    out.rate[place] = (program.c(at) * wide(of.time)).sum(0)
    e2 = -2.0 * at["a2"] * at["d2"]
    of_w3 = at["a2"] * wide(of.value) + at["d2"] * of_c
    of_second = at["d2"] * wide(of.value) + e2 * of_c
    if of.product is not None:
        of_w3 = of_w3 + e2 * at["q"]
        of_second = of_second + _bend(at["a2"], at["d2"]) * at["q"]
    out.w3[place] = of_w3.sum(0)
    of_second = program.row(given.w3) * of_second
    out.beta[place] = of_second.sum(0)
    of_a1, term = program.pull_dot(of_second, at["a1"], w2)
    _add(program, out.w2, term)
    if of.product is not None:
        of_first = at["bent"]
    of_first = of_first + at["d1"] * of_a1
    out.b1[place] = of_first.sum(0)
    out.z[place], term = program.pull_dot(of_first, program.points(given.z), w1)
    _add(program, out.w1, term)
    out.b3[place] = of.value


def _backward(
    arguments: Arguments, head: Head, g: Derivatives, *, interpret: Any
) -> Arguments:
    params, _, z, v = arguments
    (b, n), h = z.shape, params.w1.shape[2]
    row, tile = _shapes(arguments)
    _, blocks, _ = row.shape

    def rows(a: Array) -> Array:
        more = padded(a, blocks * TILE, *[TILE] * (a.ndim - 2))
        return more.reshape(len(a), blocks, TILE, *more.shape[2:])

    def points(a: Array) -> Float[Array, "b n"]:
        return a.sum(0).reshape(blocks * TILE, TILE)[:b, :n]

    found = call(
        partial(_pull, head=head),
        tiled(arguments),
        jax.tree.map(rows, g),
        Parts(
            w1=tile, w2=tile, b1=row, beta=row, w3=row, rate=row, b3=row, z=tile,
            v=None if v is None else tile,
        ),
        interpret,
        shelved=True,
    )  # fmt: skip
    # Time's own layers and b2 act through beta and its rate, which were given.
    of_params = jax.tree.map(jnp.zeros_like, params)._replace(
        w1=found.w1.sum(1)[:, :n, :h],
        w2=found.w2.sum(1)[:, :h, :h],
        b1=found.b1.sum(1)[:, :h],
        w3=found.w3.sum(1)[:, :h],
        b3=found.b3.sum((1, 2)),
    )
    of_clock = Clock(found.beta.sum(1)[:, :h], found.rate.sum(1)[:, :h])
    of_v = None if v is None else points(found.v)
    return Arguments(of_params, of_clock, points(found.z), of_v)


def form(interpret: Any) -> Form:
    """The derivatives compiled for None, or interpreted with Mosaic's parameters."""
    fused = recomputed(
        partial(_forward, interpret=interpret), partial(_backward, interpret=interpret)
    )
    tiles = differentiable(partial(hopper, interpret=interpret))

    def run(arguments: Arguments, head: Head) -> Derivatives:
        """`ref.derivatives`."""
        _, n, h = arguments.params.w1.shape
        if max(n, h) <= TILE:
            return fused(arguments, head)
        return ref.derivatives(arguments, head, tiles)

    return Form(run, refusal, "cuda" if interpret is None else None)


COMPILED = form(None)
