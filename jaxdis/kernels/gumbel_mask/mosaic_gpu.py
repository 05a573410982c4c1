"""The fused Gumbel-sigmoid layer as kernels of Hopper GPUs, in Mosaic GPU.

A program is a warpgroup and takes one latent, 64 rows and a chunk of the inputs at a
time. Noise, mask and masked inputs of such a tile are made in its registers from the
key, go to shared memory, where the tensor cores read them, and no further. The backward
pass makes them again, in two kernels, since the gradients of weights are sums over rows
and those of inputs are sums over latents. Where these sums alone would occupy too few
processors, several programs share each, and XLA adds up what they wrote.

A float32 number is cut into three pieces for the tensor cores ("highest"), or into two
for any lower precision; see `tiles`.

What was checked without a GPU: numbers in Mosaic's interpreter, and that the kernels
compile for an H100 down to machine code. They have run on none.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from jaxdis import masks
from jaxdis.kernels import Form, Sizes, recomputed
from jaxdis.kernels.gumbel_mask import ref
from jaxdis.kernels.gumbel_mask.ref import Arguments, Setting
from jaxdis.kernels.tiles import (
    ALL,
    ROWS,
    Ref,
    Warpgroup,
    hopper_refusal,
    padded,
    slices,
)

__all__ = ["COMPILED", "form", "refusal", "share"]

WIDEST = 256  # h, at most, for sums to fit the registers
PROGRAMS = 256  # that keep a GPU busy
LOWER = (
    *("default", "fastest", "bfloat16", jax.lax.Precision.DEFAULT, None),
    *("high", "bfloat16_3x", "tensorfloat32", jax.lax.Precision.HIGH),
)


def refusal(sizes: Sizes) -> str | None:
    """Why the kernels cannot run on these sizes, or here; None if they can."""
    if sizes.h > WIDEST:
        return (
            f"h = {sizes.h} is above {WIDEST}, more than the registers of a warpgroup "
            "hold"
        )
    return hopper_refusal(sizes)


class _Cut(NamedTuple):
    """The sizes of the layer, and how they are cut; arrays are padded to tiles."""

    b: int
    n: int
    k: int
    h: int
    columns: int  # inputs of a tile
    chunks: int  # of inputs
    blocks: int  # of rows
    wide: int  # h, padded for products over it
    tall: int  # h, padded for products of it
    pieces: int  # of a float32 number


def _cut(arguments: Arguments, precision: jax.lax.PrecisionLike) -> _Cut:
    (b, n), (k, _, h) = arguments.x.shape, arguments.weight.shape
    columns = 16 if 0 < n % 32 <= 16 else 32
    chunks, blocks = pl.cdiv(n, columns), pl.cdiv(b, ROWS)
    wide, tall = columns * pl.cdiv(h, columns), ROWS * pl.cdiv(h, ROWS)
    if precision is None:
        precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    pieces = 2 if precision in LOWER else 3
    return _Cut(b, n, k, h, columns, chunks, blocks, wide, tall, pieces)


def share(whole: int, programs: int, most: int) -> int:
    """Programs to share a sum: as few as keep a GPU busy, a divisor, not above most.

    Args:
      whole: how many terms the sum has.
      programs: how many programs there are if they share none.
      most: at most so many share one.
    """
    fit = [d for d in range(1, whole + 1) if whole % d == 0 and d <= max(most, 1)]
    return next((d for d in fit if d * programs >= PROGRAMS), fit[-1])


def _tiled(cut: _Cut, arguments: Arguments) -> Arguments:
    """`x [r, c, 64, t]`, `W^T [k, c, h, t]`, `log_alpha [k, c, t]`, `tau [1]`.

    With r blocks of rows and c chunks of t inputs.
    """
    x, weight, log_alpha, temperature, words = arguments
    n, inputs = cut.chunks * cut.columns, (cut.chunks, cut.columns)
    x = padded(x, cut.blocks * ROWS, n).reshape(cut.blocks, ROWS, *inputs)
    weight = padded(weight, n, cut.tall).reshape(cut.k, *inputs, cut.tall)
    log_alpha = padded(log_alpha, n).reshape(cut.k, *inputs)
    x, weight = x.transpose(0, 2, 1, 3), weight.transpose(0, 1, 3, 2)
    return Arguments(x, weight, log_alpha, temperature[None], words)


class _Program(NamedTuple):
    """One program's means, and the references to all tiles of the arguments."""

    make: Warpgroup
    cut: _Cut
    setting: Setting
    given: Arguments

    def draw(
        self, latent: Array, block: Array, chunk: Array
    ) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
        """A tile of masks, and what pulls gradients back to logits and temperature."""
        cut, given = self.cut, self.given
        shape = (ROWS, cut.columns)

        def unsigned(x: Array) -> Array:
            return jnp.asarray(x).astype(jnp.uint32)

        def count(axis: int) -> Array:
            return self.make.laid(jax.lax.broadcasted_iota(jnp.uint32, shape, axis))

        # The number of each element in the whole of `[b, k, n]`, without padding.
        row = unsigned(block * ROWS) + count(0)
        first = unsigned(latent) * jnp.uint32(cut.n) + unsigned(chunk * cut.columns)
        index = row * jnp.uint32(cut.k * cut.n) + (count(1) + first)
        noise = ref.logistic((given.words[0], given.words[1]), index)
        logits = self.make.load(given.log_alpha.at[latent, chunk])
        logits = self.make.laid(jax.lax.broadcast_in_dim(logits, shape, (1,)))
        tau = given.temperature[0]
        sample = masks.RELAXATIONS[self.setting.mask].sample
        drawn, pull_logits = jax.vjp(lambda a: sample(a, noise, tau), logits)

        def pull(g: Array) -> tuple[Array, Array]:
            # Any relaxation is a function of (log_alpha + e) / tau.
            (of_logits,) = pull_logits(g)
            return of_logits, -of_logits * (logits + noise) / tau

        return drawn, pull

    def points(self, block: Array, chunk: Array) -> Array:
        """A tile of the inputs."""
        return self.make.load(self.given.x.at[block, chunk])

    def stage_seen(self, mask: Array, tile: Array, seen: Ref) -> None:
        """The masked inputs."""
        self.make.stage((mask * tile).astype(tile.dtype), seen, ALL, ALL)

    def stage_weights(self, latent: Array, chunk: Array, staged: Ref) -> None:
        """One latent's weights of a chunk of the inputs."""
        for part in slices(self.cut.tall):
            tile = self.make.load(self.given.weight.at[latent, chunk, part])
            self.make.stage(tile, staged, part, ALL)

    def stage_gradients(self, g: Ref, latent: Array, block: Array, staged: Ref) -> None:
        """One latent's gradients of a block of rows."""
        for part in slices(self.cut.wide):
            tile = self.make.load(g.at[latent, block, :, part])
            self.make.stage(tile, staged, ALL, part)

    def clear_rest(self, staged: Ref) -> None:
        """Zeros where no gradients are staged."""
        wide, tall = self.cut.wide, self.cut.tall
        if wide < tall:
            zeros = self.make.zeros(tall - wide, jnp.bfloat16)
            for i in range(staged.shape[0]):
                staged[i, :, slice(wide, tall)] = zeros


def _forward(
    arguments: Arguments, setting: Setting, *, interpret: Any
) -> Float[Array, "k b h"]:
    cut = _cut(arguments, setting.precision)
    make = Warpgroup(cut.columns, cut.pieces, interpret)
    parts = slices(cut.wide)

    def body(
        x: Ref, w: Ref, a: Ref, t: Ref, words: Ref, out: Ref, *staged: Ref
    ) -> None:
        seen, weight = staged
        program = _Program(make, cut, setting, Arguments(x, w, a, t, words))
        latent, block = jax.lax.axis_index("latent"), jax.lax.axis_index("block")

        def add(chunk: Array, sums: list[Array]) -> list[Array]:
            m, _ = program.draw(latent, block, chunk)
            program.stage_seen(m, program.points(block, chunk), seen)
            program.stage_weights(latent, chunk, weight)
            return [
                total + make.product(seen, weight, right_rows=part)
                for total, part in zip(sums, parts, strict=True)
            ]

        sums = [make.zeros(part.stop - part.start) for part in parts]
        sums = jax.lax.fori_loop(0, cut.chunks, add, sums)
        for part, total in zip(parts, sums, strict=True):
            make.store(total, out.at[latent, block, :, part])

    dtype = arguments.x.dtype
    out = make.kernel(
        body,
        {"latent": cut.k, "block": cut.blocks},
        jax.ShapeDtypeStruct((cut.k, cut.blocks, ROWS, cut.wide), jnp.float32),
        make.staging(ROWS, cut.columns, dtype),
        make.staging(cut.tall, cut.columns, dtype),
    )(*_tiled(cut, arguments))
    return out.reshape(cut.k, -1, cut.wide)[:, : cut.b, : cut.h]


def _of_weights(
    make: Warpgroup, cut: _Cut, setting: Setting, tiles: Arguments, g: Array
) -> tuple[Array, Array, Array]:
    """Gradients of weights, logits and the temperature: sums over rows."""
    parts = slices(cut.tall)
    # Shared sums take a quarter of the memory of all masks, at most.
    shares = share(cut.blocks, cut.k * cut.chunks, cut.b // (4 * cut.tall))
    some = cut.blocks // shares

    def body(
        x: Ref, w: Ref, a: Ref, t: Ref, words: Ref, g: Ref, dw: Ref, da: Ref, dt: Ref,
        *staged: Ref,
    ) -> None:  # fmt: skip
        seen, weight, pulled = staged
        program = _Program(make, cut, setting, Arguments(x, w, a, t, words))
        latent, chunk = jax.lax.axis_index("latent"), jax.lax.axis_index("chunk")
        part_of_rows = jax.lax.axis_index("share")
        program.clear_rest(pulled)
        program.stage_weights(latent, chunk, weight)

        def add(i: Array, sums: tuple[list[Array], Array, Array]) -> Any:
            block = part_of_rows * some + i
            program.stage_gradients(g, latent, block, pulled)
            ds = make.product(pulled, weight)
            m, pull = program.draw(latent, block, chunk)
            tile = program.points(block, chunk)
            program.stage_seen(m, tile, seen)
            of_logits, of_tau = pull(ds * tile)
            of_weights = [
                total + make.product(pulled, seen, left_columns=part)
                for total, part in zip(sums[0], parts, strict=True)
            ]
            return of_weights, sums[1] + of_logits, sums[2] + of_tau

        zeros = make.zeros(cut.columns)
        sums = ([zeros for _ in parts], zeros, zeros)
        of_weights, of_logits, of_tau = jax.lax.fori_loop(0, some, add, sums)
        for part, total in zip(parts, of_weights, strict=True):
            make.store(total, dw.at[latent, chunk, part_of_rows, part])
        make.store(of_logits.sum(0), da.at[latent, chunk, part_of_rows])
        make.store(of_tau.sum(0), dt.at[latent, chunk, part_of_rows])

    shape = (cut.k, cut.chunks, shares)
    row: Any = jax.ShapeDtypeStruct((*shape, cut.columns), jnp.float32)
    tile: Any = jax.ShapeDtypeStruct((*shape, cut.tall, cut.columns), jnp.float32)
    dw, da, dt = make.kernel(
        body,
        {"latent": cut.k, "chunk": cut.chunks, "share": shares},
        (tile, row, row),
        make.staging(ROWS, cut.columns, tiles.x.dtype),
        make.staging(cut.tall, cut.columns, tiles.x.dtype),
        make.staging(ROWS, cut.tall, g.dtype),
    )(*tiles, g)
    dw = dw.sum(2).transpose(0, 1, 3, 2).reshape(cut.k, -1, cut.tall)
    return dw[:, : cut.n, : cut.h], da.sum(2).reshape(cut.k, -1)[:, : cut.n], dt.sum()


def _of_inputs(
    make: Warpgroup, cut: _Cut, setting: Setting, tiles: Arguments, g: Array
) -> Float[Array, "b n"]:
    """Gradients of inputs: sums over latents."""
    groups = share(cut.k, cut.blocks * cut.chunks, cut.k // 4)
    latents = cut.k // groups

    def body(
        x: Ref, w: Ref, a: Ref, t: Ref, words: Ref, g: Ref, dx: Ref, *staged: Ref
    ) -> None:
        weight, pulled = staged
        program = _Program(make, cut, setting, Arguments(x, w, a, t, words))
        block, chunk = jax.lax.axis_index("block"), jax.lax.axis_index("chunk")
        group = jax.lax.axis_index("group")
        program.clear_rest(pulled)

        def add(i: Array, total: Array) -> Array:
            latent = group * latents + i
            program.stage_weights(latent, chunk, weight)
            program.stage_gradients(g, latent, block, pulled)
            ds = make.product(pulled, weight)
            m, _ = program.draw(latent, block, chunk)
            return total + m * ds

        total = jax.lax.fori_loop(0, latents, add, make.zeros(cut.columns))
        make.store(total, dx.at[group, block, chunk])

    shape = (groups, cut.blocks, cut.chunks, ROWS, cut.columns)
    dx = make.kernel(
        body,
        {"block": cut.blocks, "chunk": cut.chunks, "group": groups},
        jax.ShapeDtypeStruct(shape, jnp.float32),
        make.staging(cut.tall, cut.columns, tiles.x.dtype),
        make.staging(ROWS, cut.tall, g.dtype),
    )(*tiles, g)
    dx = dx.sum(0).transpose(0, 2, 1, 3).reshape(cut.blocks * ROWS, -1)
    return dx[: cut.b, : cut.n]


def _backward(
    arguments: Arguments,
    setting: Setting,
    g: Float[Array, "k b h"],
    *,
    interpret: Any,
) -> Arguments:
    cut = _cut(arguments, setting.precision)
    make = Warpgroup(cut.columns, cut.pieces, interpret)
    g = padded(g, cut.blocks * ROWS, cut.wide)
    g = g.reshape(cut.k, cut.blocks, ROWS, cut.wide)
    tiles = _tiled(cut, arguments)
    dw, da, dt = _of_weights(make, cut, setting, tiles, g)
    dx = _of_inputs(make, cut, setting, tiles, g)
    none: Any = np.zeros(arguments.words.shape, jax.dtypes.float0)
    dx, dw = dx.astype(arguments.x.dtype), dw.astype(arguments.weight.dtype)
    return Arguments(dx, dw, da, dt, none)


def form(interpret: Any) -> Form:
    """The layer compiled for None, or interpreted with Mosaic's parameters."""
    forward = partial(_forward, interpret=interpret)
    backward = partial(_backward, interpret=interpret)
    platform = "cuda" if interpret is None else None
    return Form(recomputed(forward, backward), refusal, platform)


COMPILED = form(None)
