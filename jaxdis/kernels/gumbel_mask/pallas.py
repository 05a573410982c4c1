"""The fused Gumbel-sigmoid layer as TPU kernels.

A program takes one latent, a block of rows, a chunk of inputs and a part of the hidden
units: noise, mask and masked inputs are made in its registers and vector memory from
the key and are gone when its product is. The backward pass makes them again, in two
kernels, since the gradients of weights are sums over rows and those of inputs are sums
over latents: a program adds to its output only while the next program has the same one.
What a kernel computes is `ref.block`, or its derivative by autodiff inside of the
kernel. Axes that are cut into several parts are padded with zeros, so that the kernels
run on all sizes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float

from jaxdis.kernels import Form, recomputed
from jaxdis.kernels.gumbel_mask import ref
from jaxdis.kernels.gumbel_mask.ref import Arguments, Setting
from jaxdis.kernels.tiles import (
    LANES,
    SUBLANES,
    Ref,
    Split,
    add_up,
    largest,
    padded,
    whole_or,
)

__all__ = ["COMPILED", "INTERPRETED", "Cut", "cut_up"]

ROWS = 512  # of a block, at most
INPUTS = 256  # of a chunk, at most
UNITS = 512  # of a part of the hidden units, at most
VECTOR_MEMORY = 8 * 2**20  # bytes that a program's arrays may take, twice over


class Cut(NamedTuple):
    """The sizes of the layer, and how its axes are cut.

    Attributes:
      b: the number of rows.
      n: the number of inputs.
      k: the number of latents.
      h: the number of hidden units.
      rows: blocks of rows.
      chunks: chunks of inputs.
      parts: parts of hidden units.
    """

    b: int
    n: int
    k: int
    h: int
    rows: Split
    chunks: Split
    parts: Split

    @property
    def inputs(self) -> int:
        """How many there are with padding."""
        return self.chunks.parts * self.chunks.size

    @property
    def units(self) -> int:
        """How many hidden units there are with padding."""
        return self.parts.parts * self.parts.size


def cut_up(b: int, n: int, k: int, h: int) -> Cut:
    """Blocks that fit into a program's memory.

    Args:
      b: the number of rows.
      n: the number of inputs.
      k: the number of latents.
      h: the number of hidden units.
    """
    chunks, parts = whole_or(n, INPUTS, LANES), whole_or(h, UNITS, LANES)

    def fits(rows: int) -> bool:
        # Inputs, masks, noise and their derivatives; products; weights and theirs.
        inputs, units = chunks.size, parts.size
        size = 8 * rows * inputs + 2 * rows * units + 2 * inputs * units
        return 4 * size <= VECTOR_MEMORY

    rows = whole_or(b, largest(SUBLANES, ROWS, fits), SUBLANES)
    return Cut(b, n, k, h, rows, chunks, parts)


def _cut(arguments: Arguments) -> Cut:
    (b, n), (k, _, h) = arguments.x.shape, arguments.weight.shape
    return cut_up(b, n, k, h)


def _tiled(cut: Cut, arguments: Arguments) -> Arguments:
    """Logits as rows, the temperature as one, and the key's words as a row; padded."""
    x, weight, log_alpha, temperature, words = arguments
    return Arguments(
        x=padded(x, cut.rows.parts * cut.rows.size, cut.inputs),
        weight=padded(weight, cut.inputs, cut.units),
        log_alpha=padded(log_alpha, cut.inputs)[:, None],
        temperature=jnp.broadcast_to(temperature, (1, cut.inputs)),
        words=words[None],
    )


class _Place(NamedTuple):
    """Which latent, block of rows, chunk of inputs and part of units a program has."""

    latent: Any
    rows: Any
    chunk: Any
    part: Any


def _block(
    cut: Cut, setting: Setting, place: _Place, words: Ref
) -> Callable[[Array, Array, Array, Array], Float[Array, "b h"]]:
    """`(x, weight, log_alpha, temperature) -> product` of a program."""
    key, shape = (words[0, 0], words[0, 1]), (cut.rows.size, cut.chunks.size)
    first = place.rows * shape[0], place.latent, place.chunk * shape[1]
    index = ref.numbers(shape, (cut.k, cut.n), first)

    def product(
        x: Array, weight: Array, log_alpha: Array, temperature: Array
    ) -> Float[Array, "b h"]:
        of: Any = (x, weight, log_alpha, temperature, key)
        return ref.block(Arguments(*of), setting, index)

    return product


def _specs(cut: Cut, at: Callable[..., _Place]) -> tuple[Arguments, pl.BlockSpec]:
    """Blocks of the arguments and of the product, `at` a program's place."""
    rows, inputs, units = cut.rows.size, cut.chunks.size, cut.parts.size

    def spec(shape: Any, where: Callable[[_Place], Any]) -> pl.BlockSpec:
        return pl.BlockSpec(shape, lambda *program: where(at(*program)))

    given: Any = (
        spec((rows, inputs), lambda p: (p.rows, p.chunk)),
        spec((None, inputs, units), lambda p: (p.latent, p.chunk, p.part)),
        spec((None, 1, inputs), lambda p: (p.latent, 0, p.chunk)),
        spec((1, inputs), lambda p: (0, p.chunk)),
        pl.BlockSpec(memory_space=pltpu.SMEM),
    )
    product = spec((None, rows, units), lambda p: (p.latent, p.rows, p.part))
    return Arguments(*given), product


def _here(at: Callable[..., _Place]) -> _Place:
    return at(*(pl.program_id(axis) for axis in range(4)))


def _forward(
    arguments: Arguments, setting: Setting, *, interpret: bool
) -> Float[Array, "k b h"]:
    cut = _cut(arguments)

    def at(latent: Any, rows: Any, part: Any, chunk: Any) -> _Place:
        return _Place(latent, rows, chunk, part)

    def body(of: Arguments, out: Ref) -> None:
        place = _here(at)
        product = _block(cut, setting, place, of.words)
        add_up([out], [product(*(a[...] for a in of[:4]))], place.chunk == 0)

    given, product = _specs(cut, at)
    rows = cut.rows.parts * cut.rows.size
    found: Array = pl.pallas_call(
        body,
        grid=(cut.k, cut.rows.parts, cut.parts.parts, cut.chunks.parts),
        in_specs=(given,),
        out_specs=product,
        out_shape=jax.ShapeDtypeStruct((cut.k, rows, cut.units), jnp.float32),
        interpret=interpret,
    )(_tiled(cut, arguments))
    return found[:, : cut.b, : cut.h]


def _of_weights(
    cut: Cut, tiles: Arguments, setting: Setting, g: Array, interpret: bool
) -> tuple[Array, Array, Array]:
    """Gradients of weights, logits and the temperature: sums over rows.

    The last two are sums over parts of the units as well, which XLA takes.
    """

    def at(latent: Any, chunk: Any, part: Any, rows: Any) -> _Place:
        return _Place(latent, rows, chunk, part)

    def body(of: Arguments, g: Ref, dw: Ref, da: Ref, dt: Ref) -> None:
        place = _here(at)
        product = _block(cut, setting, place, of.words)
        _, pull = jax.vjp(partial(product, of.x[...]), *(a[...] for a in of[1:4]))
        add_up([dw, da, dt], pull(g[...]), place.rows == 0)

    given, product = _specs(cut, at)
    row = pl.BlockSpec(
        (None, None, 1, cut.chunks.size), lambda i, c, p, _: (i, p, 0, c)
    )
    rows = (cut.k, cut.parts.parts, 1, cut.inputs)
    dw, da, dt = pl.pallas_call(
        body,
        grid=(cut.k, cut.chunks.parts, cut.parts.parts, cut.rows.parts),
        in_specs=(given, product),
        out_specs=[given.weight, row, row],
        out_shape=[
            jax.ShapeDtypeStruct(shape, jnp.float32)
            for shape in (tiles.weight.shape, rows, rows)
        ],
        interpret=interpret,
    )(tiles, g)
    return dw[:, : cut.n, : cut.h], da.sum((1, 2))[:, : cut.n], dt.sum()


def _of_inputs(
    cut: Cut, tiles: Arguments, setting: Setting, g: Array, interpret: bool
) -> Float[Array, "b n"]:
    """Gradients of inputs: sums over latents and units."""

    def at(rows: Any, chunk: Any, latent: Any, part: Any) -> _Place:
        return _Place(latent, rows, chunk, part)

    def body(of: Arguments, g: Ref, dx: Ref) -> None:
        place = _here(at)
        product = _block(cut, setting, place, of.words)
        rest = [a[...] for a in of[1:4]]
        _, pull = jax.vjp(lambda x: product(x, *rest), of.x[...])
        add_up([dx], pull(g[...]), (place.latent == 0) & (place.part == 0))

    given, product = _specs(cut, at)
    found: Array = pl.pallas_call(
        body,
        grid=(cut.rows.parts, cut.chunks.parts, cut.k, cut.parts.parts),
        in_specs=(given, product),
        out_specs=given.x,
        out_shape=jax.ShapeDtypeStruct(tiles.x.shape, jnp.float32),
        interpret=interpret,
    )(tiles, g)
    return found[: cut.b, : cut.n]


def _backward(
    arguments: Arguments,
    setting: Setting,
    g: Float[Array, "k b h"],
    *,
    interpret: bool,
) -> Arguments:
    cut, (x, weight, *_, words) = _cut(arguments), arguments
    tiles = _tiled(cut, arguments)
    g = padded(g, len(tiles.x), cut.units)
    dw, da, dt = _of_weights(cut, tiles, setting, g, interpret)
    dx = _of_inputs(cut, tiles, setting, g, interpret)
    none: Any = np.zeros(words.shape, jax.dtypes.float0)
    return Arguments(dx.astype(x.dtype), dw.astype(weight.dtype), da, dt, none)


def _form(interpret: bool) -> Form:
    forward = partial(_forward, interpret=interpret)
    backward = partial(_backward, interpret=interpret)
    platform = None if interpret else "tpu"
    return Form(recomputed(forward, backward), lambda sizes: None, platform)


COMPILED, INTERPRETED = _form(False), _form(True)
