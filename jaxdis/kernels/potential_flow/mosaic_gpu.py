"""The potential-flow derivatives as kernels of Hopper GPUs, in Mosaic GPU.

A program is a warpgroup and takes one potential and 64 rows. Every matrix in it is one
tile of 64 x 64, so that weights and activations never leave its registers and shared
memory. The operands of a product are in shared memory as bfloat16 pieces, whose
products amount to one of float32, as in the fused Gumbel-sigmoid layer.

The backward pass makes the activations again, and is `ref.block` in reverse by hand,
since autodiff has no rule for what tensor cores do. Gradients of weights are written
for each block of rows and those of points for each potential, as the results themselves
are; XLA adds them up.

Smaller sizes are padded with zeros, which add nothing: a padded hidden unit has
activation tanh(0) = 0 and slope 1, and meets zeros in w1, w2 and w3 wherever the slope
is a factor.

What was checked without a GPU: numbers in Mosaic's interpreter, and that the kernels
compile for an H100 down to machine code. They have run on none.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array, Float

from jaxdis.kernels.gumbel_mask import mosaic_gpu as tiles
from jaxdis.kernels.potential_flow import ref
from jaxdis.kernels.potential_flow.ref import Clock, Derivatives, Head, Potentials

TILE = 64  # rows of a program; n and h, at most
ALL = slice(0, TILE)


def refusal(b: int, n: int, k: int, h: int, dtype: Any) -> str | None:
    """Why the kernels cannot run on these sizes, or here; None if they can."""
    dtype = jnp.dtype(dtype)
    if dtype != jnp.float32:
        return f"its kernels take float32, got {dtype}"
    if max(n, h) > TILE:
        return f"n = {n} or h = {h} is above {TILE}, the size of a kernel's only tile"
    return tiles.refusal(b, n, k, h)


class _Given(NamedTuple):
    """Of all potentials `w1, w2 [k, t, t]`, rows `[k, t]`, `b3 [k]`; `z, v [r, t, t]`.

    With r blocks of t = 64 rows.
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


class _Shelf:
    """Tiles by name in shared memory, where registers would not hold them all.

    The forward pass, which needs fewer of them, keeps them in a dictionary.
    """

    # The last three are of v.
    NAMES = ("a1", "d1", "a2", "d2", "s", "p", "q", "bent")

    def __init__(self, make: Any, memory: Any) -> None:
        self.make, self.memory = make, memory

    def __setitem__(self, name: str, tile: Array) -> None:
        self.memory[self.NAMES.index(name)] = tile

    def __getitem__(self, name: str) -> Array:
        tile: Array = self.make.load(self.memory.at[self.NAMES.index(name)])
        return tile


def _wide(column: Array) -> Array:
    """Along rows of a tile."""
    return jax.lax.broadcast_in_dim(column, (TILE, TILE), (0,))


class _Program(NamedTuple):
    """One program: its part of the arguments, and shared memory for operands."""

    make: Any
    given: _Given
    potential: Any
    block: Any
    w1: Any
    w2: Any
    left: Any
    right: Any = None
    shelf: Any = None

    def stage_weights(self) -> None:
        for whole, staged in ((self.given.w1, self.w1), (self.given.w2, self.w2)):
            tile = self.make.load(whole.at[self.potential])
            self.make.stage(tile, staged, ALL, ALL)

    def row(self, whole: Any) -> Array:
        """One potential's row, along all rows of a tile."""
        row = self.make.load(whole.at[self.potential])
        return self.make.laid(jax.lax.broadcast_in_dim(row, (TILE, TILE), (1,)))

    def points(self, whole: Any) -> Array:
        tile: Array = self.make.load(whole.at[self.block])
        return tile

    def both(self, whole: Any) -> Array:
        """One potential's block of `[k, r, t, t]`."""
        tile: Array = self.make.load(whole.at[self.potential, self.block])
        return tile

    def column(self, whole: Any) -> Array:
        """One potential's block of `[k, r, t]`, a number for each row."""
        part = whole.at[self.potential, self.block]
        if self.make.interpret:
            found: Array = part[...]
            return found
        layout: Any = plgpu.Layout.WGMMA
        return plgpu.load(part, ..., layout=layout.reduce(1), optimized=False)

    def dot(self, x: Array, w: Any) -> Array:
        self.make.stage(x, self.left, ALL, ALL)
        product: Array = self.make.product(self.left, w)
        return product

    def dot_transposed(self, x: Array, w: Any) -> Array:
        self.make.stage(x, self.left, ALL, ALL)
        product: Array = self.make.product(self.left, w, right_rows=ALL)
        return product

    def pull_dot(self, g: Array, x: Array, w: Any) -> tuple[Array, Array]:
        """Gradients of x and w, given that of `dot(x, w)`."""
        of_x = self.dot_transposed(g, w)
        self.make.stage(x, self.right, ALL, ALL)
        return of_x, self.make.product(self.right, self.left, left_columns=ALL)

    def pull_dot_transposed(self, g: Array, x: Array, w: Any) -> tuple[Array, Array]:
        of_x = self.dot(g, w)
        self.make.stage(x, self.right, ALL, ALL)
        return of_x, self.make.product(self.left, self.right, left_columns=ALL)

    def fill(self, at: Any) -> tuple[Array, Array]:
        """Puts what `ref` calls a1 to s on a shelf; o and the time derivative, `[t]`.

        Of v: `p = v W1`, `q = (d1 o p) W2` and `bent = k W2'`.
        """
        given = self.given
        first = self.dot(self.points(given.z), self.w1) + self.row(given.b1)
        at["a1"], at["d1"] = jnp.tanh(first), ref._slope(first)
        second = self.dot(at["a1"], self.w2) + self.row(given.beta)
        at["a2"], at["d2"] = jnp.tanh(second), ref._slope(second)
        o = (at["a2"] * self.row(given.w3)).sum(1) + given.b3[self.potential]
        c = self.c(at)
        time = (c * self.row(given.rate)).sum(1)
        at["s"] = self.dot_transposed(c, self.w2)
        if given.v is not None:
            at["p"] = self.dot(self.points(given.v), self.w1)
            at["q"] = self.dot(at["d1"] * at["p"], self.w2)
            at["bent"] = self.dot_transposed(self.k(at), self.w2)
        return o, time

    def c(self, at: Any) -> Array:
        c: Array = self.row(self.given.w3) * at["d2"]
        return c

    def e1(self, at: Any) -> Array:
        e1: Array = -2.0 * at["a1"] * at["d1"]
        return e1

    def k(self, at: Any) -> Array:
        """`w3 o e2 o q`."""
        k: Array = -2.0 * at["a2"] * self.c(at) * at["q"]
        return k

    def y(self, at: Any) -> Array:
        """`e1 o p o s + d1 o bent`, which makes the Hessian-vector product."""
        y: Array = at["d1"] * (at["bent"] - 2.0 * at["a1"] * at["p"] * at["s"])
        return y

    def gradient(self, at: Any) -> Array:
        return self.dot_transposed(at["d1"] * at["s"], self.w1)

    def product(self, at: Any) -> Array:
        return self.dot_transposed(self.y(at), self.w1)


def _given(
    params: Potentials, at: Clock, z: Float[Array, "b n"], v: Float[Array, "b n"] | None
) -> _Given:
    blocks = pl.cdiv(len(z), TILE)

    def rows(a: Array) -> Array:
        return tiles._padded(a, blocks * TILE, TILE).reshape(blocks, TILE, TILE)

    def row(a: Array) -> Array:
        return tiles._padded(a, TILE)

    return _Given(
        w1=tiles._padded(params.w1, TILE, TILE),
        w2=tiles._padded(params.w2, TILE, TILE),
        b1=row(params.b1),
        beta=row(at.beta),
        w3=row(params.w3),
        rate=row(at.rate),
        b3=params.b3,
        z=rows(z),
        v=None if v is None else rows(v),
    )


def _call(
    body: Any, given: _Given, more: Any, out: Any, interpret: Any, *, shelved: bool
) -> Any:
    """Runs `body(program, more, out)` for every potential and block of rows."""
    k, blocks = len(given.b3), len(given.z)
    sizes = tiles._Sizes(
        b=blocks * TILE, n=TILE, k=k, h=TILE, columns=TILE, chunks=1, blocks=blocks,
        wide=TILE, tall=TILE, pieces=3,
    )  # fmt: skip
    make = tiles._Maker(sizes, "soft", interpret)
    arguments, taken = jax.tree.flatten((given, more))
    results, made = jax.tree.flatten(out)

    def flat(*refs: Any) -> None:
        inputs = refs[: len(arguments)]
        outputs = refs[len(arguments) : len(arguments) + len(results)]
        staged = refs[len(arguments) + len(results) :]
        given, more = jax.tree.unflatten(taken, inputs)
        potential, block = (jax.lax.axis_index(axis) for axis in ("potential", "block"))
        program = _Program(make, given, potential, block, *staged)
        program.stage_weights()
        body(program, more, jax.tree.unflatten(made, outputs))

    operand = make.staging(TILE, TILE, jnp.float32)
    memory = [operand] * 3
    if shelved:
        order = (plgpu.TilingTransform((8, 32)), plgpu.SwizzleTransform(128))
        names = _Shelf.NAMES if given.v is not None else _Shelf.NAMES[:5]
        shape = (len(names), TILE, TILE)
        memory += [operand, plgpu.SMEM(shape, jnp.float32, transforms=order)]
    grid = {"potential": k, "block": blocks}
    found = make.kernel(flat, grid, tuple(results), *memory)(*arguments)
    return jax.tree.unflatten(made, found)


def _forward(
    head: Head,
    interpret: Any,
    params: Potentials,
    at: Clock,
    z: Float[Array, "b n"],
    v: Float[Array, "b n"] | None,
) -> Derivatives:
    (b, n), k, blocks = z.shape, len(params.b3), pl.cdiv(len(z), TILE)
    row: Any = jax.ShapeDtypeStruct((k, blocks, TILE), jnp.float32)
    tile: Any = jax.ShapeDtypeStruct((k, blocks, TILE, TILE), jnp.float32)
    shapes = Derivatives(row, row, tile, None if v is None else tile)

    def body(program: _Program, more: None, out: Any) -> None:
        place = program.potential, program.block
        at: dict[str, Array] = {}
        value, time = program.fill(at)
        gradient = program.gradient(at)
        product = None if v is None else program.product(at)
        if head == "tanh":
            y, k1 = jnp.tanh(value), ref._slope(value)
            value, time = y, k1 * time
            if product is not None:
                along = (gradient * program.points(program.given.v)).sum(1)
                bend = _wide(-2.0 * y * k1 * along)
                product = _wide(k1) * product + bend * gradient
            gradient = _wide(k1) * gradient
        out.value[place], out.time[place] = value, time
        out.gradient[place] = gradient
        if product is not None:
            out.product[place] = product

    given = _given(params, at, z, v)
    found = _call(body, given, None, shapes, interpret, shelved=False)

    def rows(a: Array) -> Array:
        return a.reshape(k, blocks * TILE, *a.shape[3:])[:, :b]

    return Derivatives(
        rows(found.value),
        rows(found.time),
        rows(found.gradient)[..., :n],
        None if v is None else rows(found.product)[..., :n],
    )


class _Pulled(NamedTuple):
    """Gradients of `_Given`, for each block and potential; b3's for each row."""

    w1: Any
    w2: Any
    b1: Any
    beta: Any
    w3: Any
    rate: Any
    b3: Any
    z: Any
    v: Any


def _pull(head: Head, program: _Program, g: Derivatives, out: _Pulled) -> None:
    """The gradients of everything, given those of the results."""
    place = program.potential, program.block
    given, w1, w2 = program.given, program.w1, program.w2
    at = _Shelf(program.make, program.shelf)
    o, time = program.fill(at)

    def add(total: Any, term: Array) -> None:
        total[place] = program.both(total) + term

    of_o, of_time = program.column(g.value), program.column(g.time)
    of_gradient = program.both(g.gradient)
    of_product = None if given.v is None else program.both(g.product)
    if head == "tanh":
        y, k1 = jnp.tanh(o), ref._slope(o)
        k2 = -2.0 * y * k1
        gradient = program.gradient(at)
        of_k1 = of_time * time + (of_gradient * gradient).sum(1)
        of_k2 = jnp.zeros_like(of_k1)
        of_gradient = _wide(k1) * of_gradient
        if of_product is not None:
            v = program.points(given.v)
            along = (gradient * v).sum(1)
            turned = (of_product * gradient).sum(1)
            out.v[place] = _wide(k2 * turned) * gradient
            of_gradient += _wide(k2 * along) * of_product + _wide(k2 * turned) * v
            of_k1 = of_k1 + (of_product * program.product(at)).sum(1)
            of_k2 = along * turned
            of_product = _wide(k1) * of_product
        of_time = k1 * of_time
        # k1' = k2 and k2' = -2 k1 (k1 - 2 y^2) in o.
        of_o = of_o * k1 + of_k1 * k2 - 2.0 * of_k2 * k1 * (k1 - 2.0 * y * y)

    # What follows is, from the last operation of `ref.block` to the first, the gradient
    # of each of its values. Sums wait in the outputs, which leaves registers free.
    of_m, out.w1[place] = program.pull_dot_transposed(
        of_gradient, at["d1"] * at["s"], w1
    )
    of_s, of_first = at["d1"] * of_m, program.e1(at) * at["s"] * of_m
    if of_product is not None:
        of_y, term = program.pull_dot_transposed(of_product, program.y(at), w1)
        add(out.w1, term)
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
        add(out.w2, term)
        of_p = at["d1"] * of_r + program.e1(at) * at["s"] * of_y
        at["bent"] = at["bent"] + program.e1(at) * at["p"] * of_r
        of_v, term = program.pull_dot(of_p, program.points(given.v), w1)
        add(out.w1, term)
        if head == "tanh":
            of_v = of_v + program.both(out.v)
        out.v[place] = of_v

    of_c, term = program.pull_dot_transposed(of_s, program.c(at), w2)
    if of_product is None:
        out.w2[place] = term
    else:
        add(out.w2, term)
    of_c = of_c + program.row(given.rate) * _wide(of_time)
    out.rate[place] = (program.c(at) * _wide(of_time)).sum(0)
    e2 = -2.0 * at["a2"] * at["d2"]
    of_w3 = at["a2"] * _wide(of_o) + at["d2"] * of_c
    of_second = at["d2"] * _wide(of_o) + e2 * of_c
    if of_product is not None:
        of_w3 = of_w3 + e2 * at["q"]
        of_second = of_second + _bend(at["a2"], at["d2"]) * at["q"]
    out.w3[place] = of_w3.sum(0)
    of_second = program.row(given.w3) * of_second
    out.beta[place] = of_second.sum(0)
    of_a1, term = program.pull_dot(of_second, at["a1"], w2)
    add(out.w2, term)
    if of_product is not None:
        of_first = at["bent"]
    of_first = of_first + at["d1"] * of_a1
    out.b1[place] = of_first.sum(0)
    out.z[place], term = program.pull_dot(of_first, program.points(given.z), w1)
    add(out.w1, term)
    out.b3[place] = of_o


def _bend(a: Array, d: Array) -> Array:
    """The derivative of e = -2 a d."""
    return -2.0 * d * (d - 2.0 * a * a)


def _backward(
    head: Head,
    interpret: Any,
    arguments: tuple[Potentials, Clock, Array, Array | None],
    g: Derivatives,
) -> tuple[Potentials, Clock, Array, Array | None]:
    params, at, z, v = arguments
    (b, n), k, blocks = z.shape, len(params.b3), pl.cdiv(len(z), TILE)
    h = params.w1.shape[2]
    row: Any = jax.ShapeDtypeStruct((k, blocks, TILE), jnp.float32)
    tile: Any = jax.ShapeDtypeStruct((k, blocks, TILE, TILE), jnp.float32)

    def rows(a: Array) -> Array:
        padded = tiles._padded(a, blocks * TILE, *[TILE] * (a.ndim - 2))
        return padded.reshape(k, blocks, TILE, *padded.shape[2:])

    def points(a: Array) -> Array:
        return a.sum(0).reshape(blocks * TILE, TILE)[:b, :n]

    found = _call(
        partial(_pull, head),
        _given(params, at, z, v),
        jax.tree.map(rows, g),
        _Pulled(
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
    return of_params, of_clock, points(found.z), None if v is None else points(found.v)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _derivatives(
    head: Head,
    interpret: Any,
    params: Potentials,
    at: Clock,
    z: Array,
    v: Array | None,
) -> Derivatives:
    return _forward(head, interpret, params, at, z, v)


def _keep(head: Head, interpret: Any, *arguments: Any) -> tuple[Derivatives, Any]:
    return _forward(head, interpret, *arguments), arguments


_derivatives.defvjp(_keep, _backward)


def derivatives(
    params: Potentials,
    at: Clock,
    z: Float[Array, "b n"],
    v: Float[Array, "b n"] | None,
    head: Head,
    *,
    interpret: Any = None,
) -> Derivatives:
    """`ref.derivatives`, compiled, or with parameters of Mosaic's interpreter."""
    found: Derivatives = _derivatives(head, interpret, params, at, z, v)
    return found
