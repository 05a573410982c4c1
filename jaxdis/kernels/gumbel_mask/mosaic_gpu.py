"""The fused Gumbel-sigmoid layer as kernels of Hopper GPUs, in Mosaic GPU.

A program is a warpgroup and takes one latent, 64 rows and a chunk of the inputs at a
time. Noise, mask and masked inputs of such a tile are made in its registers from the
key, go to shared memory, where the tensor cores read them, and no further. The backward
pass makes them again, in two kernels, since the gradients of weights are sums over rows
and those of inputs are sums over latents. Where these sums alone would occupy too few
processors, several programs share each, and XLA adds up what they wrote.

Hidden units beyond what a warpgroup's registers sum are parts of an axis of the grid.
The part of each program draws the masks for itself, except for gradients of inputs.

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
from jaxdis.kernels import Form, recomputed
from jaxdis.kernels.gumbel_mask import ref
from jaxdis.kernels.gumbel_mask.ref import Arguments, Setting
from jaxdis.kernels.tiles import (
    ALL,
    ROWS,
    SHARED,
    SUMS,
    Place,
    Ref,
    Warpgroup,
    hopper_refusal,
    largest,
    padded,
    slices,
    split,
)

__all__ = ["COMPILED", "form", "most_units", "share"]

PROGRAMS = 256  # that keep a GPU busy
LOWER = (
    *("default", "fastest", "bfloat16", jax.lax.Precision.DEFAULT, None),
    *("high", "bfloat16_3x", "tensorfloat32", jax.lax.Precision.HIGH),
)


def most_units(columns: int, pieces: int) -> int:
    """Hidden units of a program, at most: a multiple of a tile's rows.

    The gradient of weights keeps masked inputs, weights and gradients in shared memory,
    and the forward pass sums in registers.

    Args:
      columns: the inputs of a tile.
      pieces: the bfloat16 numbers that a float32 number is cut into.
    """

    def fits(units: int) -> bool:
        staged = ROWS * columns + units * columns + ROWS * units
        return 2 * pieces * staged <= SHARED

    return largest(ROWS, SUMS // ROWS, fits)


class _Cut(NamedTuple):
    """The sizes of the layer, and how they are cut; arrays are padded to tiles."""

    b: int
    n: int
    k: int
    h: int
    columns: int  # inputs of a tile
    chunks: int  # of inputs
    blocks: int  # of rows
    parts: int  # of hidden units
    wide: int  # units of a part, padded for products over them
    tall: int  # units of a part, padded for products of them
    pieces: int  # of a float32 number


def _cut(arguments: Arguments, precision: jax.lax.PrecisionLike) -> _Cut:
    (b, n), (k, _, h) = arguments.x.shape, arguments.weight.shape
    columns = 16 if 0 < n % 32 <= 16 else 32
    chunks, blocks = pl.cdiv(n, columns), pl.cdiv(b, ROWS)
    if precision is None:
        precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    pieces = 2 if precision in LOWER else 3
    parts, tall = split(h, most_units(columns, pieces), ROWS)
    wide = tall if parts > 1 else columns * pl.cdiv(h, columns)
    return _Cut(b, n, k, h, columns, chunks, blocks, parts, wide, tall, pieces)


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
    """`x [r, c, 64, t]`, `W [k, c, t, p, h]`, `log_alpha [k, c, t]`, `tau [1]`.

    With r blocks of rows, c chunks of t inputs and p parts of h hidden units. Weights,
    the largest of them, stay in the order in which they are: tiles are turned where
    they are read.
    """
    x, weight, log_alpha, temperature, words = arguments
    n, inputs = cut.chunks * cut.columns, (cut.chunks, cut.columns)
    x = padded(x, cut.blocks * ROWS, n).reshape(cut.blocks, ROWS, *inputs)
    units = cut.parts * cut.tall
    weight = padded(weight, n, units).reshape(cut.k, *inputs, cut.parts, cut.tall)
    log_alpha = padded(log_alpha, n).reshape(cut.k, *inputs)
    x = x.transpose(0, 2, 1, 3)
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

    def stage_weights(
        self, latent: Array, chunk: Array, part: Array, staged: Ref
    ) -> None:
        """One latent's weights from a chunk of the inputs to a part of the units."""
        for some in slices(self.cut.tall):
            where = self.given.weight.at[latent, chunk, :, part, some]
            tile = self.make.load(where, turned=True)
            self.make.stage(tile, staged, some, ALL)

    def stage_gradients(
        self, g: Ref, latent: Array, block: Array, part: Array, staged: Ref
    ) -> None:
        """One latent's gradients of a block of rows and a part of the units."""
        for some in slices(self.cut.wide):
            tile = self.make.load(g.at[latent, block, :, part, some])
            self.make.stage(tile, staged, ALL, some)

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
    units = slices(cut.wide)

    def body(
        place: Place, x: Ref, w: Ref, a: Ref, t: Ref, words: Ref, out: Ref,
        *staged: Ref,
    ) -> None:  # fmt: skip
        (latent, block, part), (seen, weight) = place, staged
        program = _Program(make, cut, setting, Arguments(x, w, a, t, words))

        def add(chunk: Array, sums: list[Array]) -> list[Array]:
            m, _ = program.draw(latent, block, chunk)
            program.stage_seen(m, program.points(block, chunk), seen)
            program.stage_weights(latent, chunk, part, weight)
            return [
                total + make.product(seen, weight, right_rows=some)
                for total, some in zip(sums, units, strict=True)
            ]

        sums = [make.zeros(some.stop - some.start) for some in units]
        sums = jax.lax.fori_loop(0, cut.chunks, add, sums)
        for some, total in zip(units, sums, strict=True):
            make.store(total, out.at[latent, block, :, part, some])

    dtype = arguments.x.dtype
    out = make.kernel(
        body,
        (cut.k, cut.blocks, cut.parts),
        jax.ShapeDtypeStruct(
            (cut.k, cut.blocks, ROWS, cut.parts, cut.wide), jnp.float32
        ),
        make.staging(ROWS, cut.columns, dtype),
        make.staging(cut.tall, cut.columns, dtype),
    )(*_tiled(cut, arguments))
    rows = out.reshape(cut.k, cut.blocks * ROWS, cut.parts * cut.wide)
    return rows[:, : cut.b, : cut.h]


def _of_weights(
    make: Warpgroup, cut: _Cut, setting: Setting, tiles: Arguments, g: Array
) -> tuple[Array, Array, Array]:
    """Gradients of weights, logits and the temperature: sums over rows."""
    units, all_units = slices(cut.tall), cut.parts * cut.tall
    # Shared sums take a quarter of the memory of all masks, at most.
    programs = cut.k * cut.chunks * cut.parts
    shares = share(cut.blocks, programs, cut.b // (4 * all_units))
    blocks = cut.blocks // shares

    def body(
        place: Place, x: Ref, w: Ref, a: Ref, t: Ref, words: Ref,
        g: Ref, dw: Ref, da: Ref, dt: Ref, *staged: Ref,
    ) -> None:  # fmt: skip
        (latent, chunk, share, part), (seen, weight, pulled) = place, staged
        program = _Program(make, cut, setting, Arguments(x, w, a, t, words))
        program.clear_rest(pulled)
        program.stage_weights(latent, chunk, part, weight)

        def add(i: Array, sums: tuple[list[Array], Array, Array]) -> Any:
            block = share * blocks + i
            program.stage_gradients(g, latent, block, part, pulled)
            ds = make.product(pulled, weight)
            m, pull = program.draw(latent, block, chunk)
            tile = program.points(block, chunk)
            program.stage_seen(m, tile, seen)
            of_logits, of_tau = pull(ds * tile)
            of_weights = [
                total + make.product(pulled, seen, left_columns=some)
                for total, some in zip(sums[0], units, strict=True)
            ]
            return of_weights, sums[1] + of_logits, sums[2] + of_tau

        zeros = make.zeros(cut.columns)
        sums = ([zeros for _ in units], zeros, zeros)
        of_weights, of_logits, of_tau = jax.lax.fori_loop(0, blocks, add, sums)
        for some, total in zip(units, of_weights, strict=True):
            where = dw.at[latent, chunk, share, :, part, some]
            make.store(total, where, turned=True)
        make.store(of_logits.sum(0), da.at[place])
        make.store(of_tau.sum(0), dt.at[place])

    shape = (cut.k, cut.chunks, shares, cut.parts)
    row: Any = jax.ShapeDtypeStruct((*shape, cut.columns), jnp.float32)
    tile: Any = jax.ShapeDtypeStruct(
        (*shape[:3], cut.columns, cut.parts, cut.tall), jnp.float32
    )
    dw, da, dt = make.kernel(
        body,
        shape,
        (tile, row, row),
        make.staging(ROWS, cut.columns, tiles.x.dtype),
        make.staging(cut.tall, cut.columns, tiles.x.dtype),
        make.staging(ROWS, cut.tall, g.dtype),
    )(*tiles, g)
    dw = dw.sum(2).reshape(cut.k, -1, all_units)
    da = da.sum((2, 3)).reshape(cut.k, -1)
    return dw[:, : cut.n, : cut.h], da[:, : cut.n], dt.sum()


def _of_inputs(
    make: Warpgroup, cut: _Cut, setting: Setting, tiles: Arguments, g: Array
) -> Float[Array, "b n"]:
    """Gradients of inputs: sums over latents."""
    groups = share(cut.k, cut.blocks * cut.chunks, cut.k // 4)
    latents = cut.k // groups

    def body(
        place: Place, x: Ref, w: Ref, a: Ref, t: Ref, words: Ref, g: Ref, dx: Ref,
        *staged: Ref,
    ) -> None:  # fmt: skip
        (group, block, chunk), (weight, pulled) = place, staged
        program = _Program(make, cut, setting, Arguments(x, w, a, t, words))
        program.clear_rest(pulled)

        def add(i: Array, total: Array) -> Array:
            latent = group * latents + i

            def of_part(part: Array, ds: Array) -> Array:
                program.stage_weights(latent, chunk, part, weight)
                program.stage_gradients(g, latent, block, part, pulled)
                return ds + make.product(pulled, weight)

            ds = jax.lax.fori_loop(0, cut.parts, of_part, make.zeros(cut.columns))
            m, _ = program.draw(latent, block, chunk)
            return total + m * ds

        total = jax.lax.fori_loop(0, latents, add, make.zeros(cut.columns))
        make.store(total, dx.at[place])

    grid = (groups, cut.blocks, cut.chunks)
    dx = make.kernel(
        body,
        grid,
        jax.ShapeDtypeStruct((*grid, ROWS, cut.columns), jnp.float32),
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
    g = padded(g, cut.blocks * ROWS, cut.parts * cut.wide)
    g = g.reshape(cut.k, cut.blocks, ROWS, cut.parts, cut.wide)
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
    return Form(recomputed(forward, backward), hopper_refusal, platform)


COMPILED = form(None)
