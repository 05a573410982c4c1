"""The fused Gumbel-sigmoid layer as TPU kernels.

A program takes one latent and a block of rows: noise, mask and masked inputs are made
in its registers and vector memory from the key and are gone when its product is. The
backward pass makes them again, in two kernels, since the gradients of weights are sums
over rows and those of inputs are sums over latents: a program adds to its output only
while the next program has the same one. What a kernel computes is `ref.block`, or its
derivative by autodiff inside of the kernel.
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

from jaxdis.kernels import Form, Sizes, recomputed
from jaxdis.kernels.gumbel_mask import ref
from jaxdis.kernels.gumbel_mask.ref import Arguments, Setting
from jaxdis.kernels.tiles import SUBLANES, Ref, add_up, rows_of_a_block

__all__ = ["COMPILED", "INTERPRETED", "ROWS", "VECTOR_MEMORY", "refusal"]

ROWS = 512  # of a block, at most
VECTOR_MEMORY = 8 * 2**20  # bytes that a program's arrays may take, twice over


def _rows(b: int) -> int:
    return rows_of_a_block(b, ROWS, lambda rows: True)


def refusal(sizes: Sizes) -> str | None:
    """Why the kernels cannot run on these sizes; None if they can."""
    b, n, _, h, _ = sizes
    rows = _rows(b)
    if not rows:
        return f"a batch of {b} has no divisor that is a multiple of {SUBLANES}"
    # Inputs, masks, noise and their derivatives; products; weights and theirs.
    size = 4 * (8 * rows * n + 2 * rows * h + 2 * n * h)
    if size > VECTOR_MEMORY:
        return f"a block of {rows} rows with n = {n} and h = {h} needs {size} bytes"
    return None


class _Cut(NamedTuple):
    """The sizes of the layer, and the rows of a block."""

    b: int
    n: int
    k: int
    h: int
    rows: int


def _cut(arguments: Arguments) -> _Cut:
    (b, n), (k, _, h) = arguments.x.shape, arguments.weight.shape
    return _Cut(b, n, k, h, _rows(b))


def _tiled(arguments: Arguments) -> Arguments:
    """Logits as rows, the temperature as one, and the key's words as a row."""
    _, _, log_alpha, temperature, words = arguments
    row = jnp.broadcast_to(temperature, (1, log_alpha.shape[1]))
    return arguments._replace(
        log_alpha=log_alpha[:, None], temperature=row, words=words[None]
    )


def _block(
    cut: _Cut, setting: Setting, latent: Array, rows: Array, words: Ref
) -> Callable[[Array, Array, Array, Array], Float[Array, "b h"]]:
    """`(x, weight, log_alpha, temperature) -> product` of a program."""
    key = (words[0, 0], words[0, 1])
    index = ref.numbers((cut.rows, cut.n), cut.k, rows * cut.rows, latent)

    def product(
        x: Array, weight: Array, log_alpha: Array, temperature: Array
    ) -> Float[Array, "b h"]:
        of: Any = (x, weight, log_alpha, temperature, key)
        return ref.block(Arguments(*of), setting, index)

    return product


def _specs(
    cut: _Cut, at: Callable[[Any, Any], tuple[Any, Any]]
) -> tuple[Arguments, pl.BlockSpec]:
    """Blocks of the arguments and of the product, `at` a program's (latent, rows)."""
    given: Any = (
        pl.BlockSpec((cut.rows, cut.n), lambda *p: (at(*p)[1], 0)),
        pl.BlockSpec((None, cut.n, cut.h), lambda *p: (at(*p)[0], 0, 0)),
        pl.BlockSpec((None, 1, cut.n), lambda *p: (at(*p)[0], 0, 0)),
        pl.BlockSpec((1, cut.n), lambda *p: (0, 0)),
        pl.BlockSpec(memory_space=pltpu.SMEM),
    )
    return Arguments(*given), pl.BlockSpec(
        (None, cut.rows, cut.h), lambda *p: (*at(*p), 0)
    )


def _forward(
    arguments: Arguments, setting: Setting, *, interpret: bool
) -> Float[Array, "k b h"]:
    cut = _cut(arguments)
    given, product = _specs(cut, lambda i, j: (i, j))

    def body(of: Arguments, out: Ref) -> None:
        latent, rows = pl.program_id(0), pl.program_id(1)
        product = _block(cut, setting, latent, rows, of.words)
        out[...] = product(*(a[...] for a in of[:4]))

    found: Array = pl.pallas_call(
        body,
        grid=(cut.k, cut.b // cut.rows),
        in_specs=(given,),
        out_specs=product,
        out_shape=jax.ShapeDtypeStruct((cut.k, cut.b, cut.h), jnp.float32),
        interpret=interpret,
    )(_tiled(arguments))
    return found


def _of_weights(
    cut: _Cut,
    arguments: Arguments,
    setting: Setting,
    g: Float[Array, "k b h"],
    interpret: bool,
) -> tuple[Array, Array, Array]:
    """Gradients of weights, logits and the temperature: sums over rows."""

    def body(of: Arguments, g: Ref, dw: Ref, da: Ref, dt: Ref) -> None:
        latent, rows = pl.program_id(0), pl.program_id(1)
        product = _block(cut, setting, latent, rows, of.words)
        _, pull = jax.vjp(partial(product, of.x[...]), *(a[...] for a in of[1:4]))
        add_up([dw, da, dt], pull(g[...]), first=rows == 0)

    given, product = _specs(cut, lambda i, j: (i, j))
    row = (cut.k, 1, cut.n)
    dw, da, dt = pl.pallas_call(
        body,
        grid=(cut.k, cut.b // cut.rows),
        in_specs=(given, product),
        out_specs=[given.weight, given.log_alpha, given.log_alpha],
        out_shape=[
            jax.ShapeDtypeStruct(shape, jnp.float32)
            for shape in ((cut.k, cut.n, cut.h), row, row)
        ],
        interpret=interpret,
    )(_tiled(arguments), g)
    return dw, da, dt


def _of_inputs(
    cut: _Cut,
    arguments: Arguments,
    setting: Setting,
    g: Float[Array, "k b h"],
    interpret: bool,
) -> Float[Array, "b n"]:
    """Gradients of inputs: sums over latents."""

    def body(of: Arguments, g: Ref, dx: Ref) -> None:
        rows, latent = pl.program_id(0), pl.program_id(1)
        product = _block(cut, setting, latent, rows, of.words)
        rest = [a[...] for a in of[1:4]]
        _, pull = jax.vjp(lambda x: product(x, *rest), of.x[...])
        add_up([dx], pull(g[...]), first=latent == 0)

    given, product = _specs(cut, lambda j, i: (i, j))
    found: Array = pl.pallas_call(
        body,
        grid=(cut.b // cut.rows, cut.k),
        in_specs=(given, product),
        out_specs=given.x,
        out_shape=jax.ShapeDtypeStruct(arguments.x.shape, jnp.float32),
        interpret=interpret,
    )(_tiled(arguments), g)
    return found


def _backward(
    arguments: Arguments,
    setting: Setting,
    g: Float[Array, "k b h"],
    *,
    interpret: bool,
) -> Arguments:
    cut, (x, weight, *_, words) = _cut(arguments), arguments
    dw, da, dt = _of_weights(cut, arguments, setting, g, interpret)
    dx = _of_inputs(cut, arguments, setting, g, interpret)
    none: Any = np.zeros(words.shape, jax.dtypes.float0)
    dx, dw = dx.astype(x.dtype), dw.astype(weight.dtype)
    return Arguments(dx, dw, da[:, 0], dt.sum(), none)


def _form(interpret: bool) -> Form:
    forward = partial(_forward, interpret=interpret)
    backward = partial(_backward, interpret=interpret)
    platform = None if interpret else "tpu"
    return Form(recomputed(forward, backward), refusal, platform)


COMPILED, INTERPRETED = _form(False), _form(True)
