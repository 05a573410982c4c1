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
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, UInt32

from jaxdis.kernels.gumbel_mask import ref
from jaxdis.kernels.gumbel_mask.ref import Mask

ROWS = 512  # of a block, at most
TILE = 8  # rows of a tile, which a block must be a multiple of
VECTOR_MEMORY = 8 * 2**20  # bytes that a program's arrays may take, twice over


class Form(NamedTuple):
    """The two directions of the layer."""

    forward: Callable[..., Array]
    backward: Callable[..., tuple[Array, Array, Array, Array]]


def _rows(b: int) -> int:
    """Rows of a block: all, or the largest fitting divisor; 0 if there is none."""
    if b <= ROWS:
        return b
    fit = [r for r in range(TILE, ROWS + 1, TILE) if b % r == 0]
    return max(fit, default=0)


def refusal(b: int, n: int, k: int, h: int) -> str | None:
    """Why the kernels cannot run on these sizes; None if they can."""
    rows = _rows(b)
    if not rows:
        return f"a batch of {b} has no divisor that is a multiple of {TILE}"
    # Inputs, masks, noise and their derivatives; products; weights and theirs.
    size = 4 * (8 * rows * n + 2 * rows * h + 2 * n * h)
    if size > VECTOR_MEMORY:
        return f"a block of {rows} rows with n = {n} and h = {h} needs {size} bytes"
    return None


class _Sizes(NamedTuple):
    b: int
    n: int
    k: int
    h: int
    rows: int


def _sizes(x: Array, weight: Array) -> _Sizes:
    (b, n), (k, _, h) = x.shape, weight.shape
    return _Sizes(b, n, k, h, _rows(b))


def _arguments(
    log_alpha: Array, temperature: Array, words: Array
) -> tuple[Array, Array, Array]:
    """Logits as rows, the temperature as one, and the key's words as a row."""
    row = jnp.broadcast_to(temperature, (1, log_alpha.shape[1]))
    return log_alpha[:, None], row, words[None]


def _block(
    sizes: _Sizes,
    latent: Array,
    rows: Array,
    words: Any,
    mask: Mask,
    precision: jax.lax.PrecisionLike,
) -> Callable[[Array, Array, Array, Array], Array]:
    """`(x, weight, log_alpha, temperature) -> product` of a program."""
    key = (words[0, 0], words[0, 1])
    index = ref.numbers(sizes.rows, sizes.n, sizes.k, rows * sizes.rows, latent)

    def product(x: Array, weight: Array, log_alpha: Array, temperature: Array) -> Array:
        return ref.block(x, weight, log_alpha, temperature, key, index, mask, precision)

    return product


def _specs(
    sizes: _Sizes, at: Callable[[Any, Any], tuple[Any, Any]]
) -> dict[str, pl.BlockSpec]:
    """Blocks of each array, `at` a program's (latent, block of rows)."""
    s = sizes
    return {
        "x": pl.BlockSpec((s.rows, s.n), lambda *p: (at(*p)[1], 0)),
        "weight": pl.BlockSpec((None, s.n, s.h), lambda *p: (at(*p)[0], 0, 0)),
        "log_alpha": pl.BlockSpec((None, 1, s.n), lambda *p: (at(*p)[0], 0, 0)),
        "temperature": pl.BlockSpec((1, s.n), lambda *p: (0, 0)),
        "words": pl.BlockSpec(memory_space=pltpu.SMEM),
        "product": pl.BlockSpec(
            (None, s.rows, s.h), lambda *p: (at(*p)[0], at(*p)[1], 0)
        ),
    }


_INPUTS = ("x", "weight", "log_alpha", "temperature", "words")


def _forward(
    x: Float[Array, "b n"],
    weight: Float[Array, "k n h"],
    log_alpha: Float[Array, "k n"],
    temperature: Array,
    words: UInt32[Array, "2"],
    mask: Mask,
    precision: jax.lax.PrecisionLike,
    *,
    interpret: bool,
) -> Float[Array, "k b h"]:
    s = _sizes(x, weight)
    specs = _specs(s, lambda i, j: (i, j))

    def body(x: Any, w: Any, a: Any, t: Any, words: Any, out: Any) -> None:
        latent, rows = pl.program_id(0), pl.program_id(1)
        product = _block(s, latent, rows, words, mask, precision)
        out[...] = product(x[...], w[...], a[...], t[...])

    return pl.pallas_call(
        body,
        grid=(s.k, s.b // s.rows),
        in_specs=[specs[name] for name in _INPUTS],
        out_specs=specs["product"],
        out_shape=jax.ShapeDtypeStruct((s.k, s.b, s.h), jnp.float32),
        interpret=interpret,
    )(x, weight, *_arguments(log_alpha, temperature, words))


def _backward(
    x: Float[Array, "b n"],
    weight: Float[Array, "k n h"],
    log_alpha: Float[Array, "k n"],
    temperature: Array,
    words: UInt32[Array, "2"],
    g: Float[Array, "k b h"],
    mask: Mask,
    precision: jax.lax.PrecisionLike,
    *,
    interpret: bool,
) -> tuple[Array, Array, Array, Array]:
    s = _sizes(x, weight)
    inputs = (x, weight, *_arguments(log_alpha, temperature, words), g)

    def weights(
        x: Any, w: Any, a: Any, t: Any, words: Any, g: Any, dw: Any, da: Any, dt: Any
    ) -> None:
        latent, rows = pl.program_id(0), pl.program_id(1)
        product = _block(s, latent, rows, words, mask, precision)
        of = partial(product, x[...])
        _, pull = jax.vjp(of, w[...], a[...], t[...])
        _accumulate((dw, da, dt), pull(g[...]), first=rows == 0)

    def moved(x: Any, w: Any, a: Any, t: Any, words: Any, g: Any, dx: Any) -> None:
        rows, latent = pl.program_id(0), pl.program_id(1)
        product = _block(s, latent, rows, words, mask, precision)
        _, pull = jax.vjp(lambda x: product(x, w[...], a[...], t[...]), x[...])
        _accumulate((dx,), pull(g[...]), first=latent == 0)

    specs = _specs(s, lambda i, j: (i, j))
    blocks = s.b // s.rows
    dw, da, dt = pl.pallas_call(
        weights,
        grid=(s.k, blocks),
        in_specs=[specs[name] for name in (*_INPUTS, "product")],
        out_specs=[specs[name] for name in ("weight", "log_alpha", "log_alpha")],
        out_shape=[
            jax.ShapeDtypeStruct(shape, jnp.float32)
            for shape in ((s.k, s.n, s.h), (s.k, 1, s.n), (s.k, 1, s.n))
        ],
        interpret=interpret,
    )(*inputs)
    specs = _specs(s, lambda j, i: (i, j))
    dx = pl.pallas_call(
        moved,
        grid=(blocks, s.k),
        in_specs=[specs[name] for name in (*_INPUTS, "product")],
        out_specs=specs["x"],
        out_shape=jax.ShapeDtypeStruct(x.shape, jnp.float32),
        interpret=interpret,
    )(*inputs)
    return dx.astype(x.dtype), dw.astype(weight.dtype), da[:, 0], dt.sum()


def _accumulate(sums: tuple[Any, ...], terms: tuple[Array, ...], first: Array) -> None:
    """Adds to outputs that programs in a row share, from zero with the first."""

    @pl.when(first)
    def _() -> None:
        for s in sums:
            s[...] = jnp.zeros(s.shape, s.dtype)

    for s, term in zip(sums, terms, strict=True):
        s[...] += term.astype(s.dtype)


COMPILED = Form(partial(_forward, interpret=False), partial(_backward, interpret=False))
INTERPRETED = Form(
    partial(_forward, interpret=True), partial(_backward, interpret=True)
)
