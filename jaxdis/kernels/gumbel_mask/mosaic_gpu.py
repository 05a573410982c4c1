"""The fused Gumbel-sigmoid layer as kernels of Hopper GPUs, in Mosaic GPU.

A program is a warpgroup and takes one latent, 64 rows and a chunk of the inputs at a
time. Noise, mask and masked inputs of such a tile are made in its registers from the
key, go to shared memory, where the tensor cores read them, and no further. The backward
pass makes them again, in two kernels, since the gradients of weights are sums over rows
and those of inputs are sums over latents. Where these sums alone would occupy too few
processors, several programs share each, and XLA adds up what they wrote.

Tensor cores take no float32. A float32 number is therefore cut into three bfloat16
numbers, which add up to it exactly, and the six largest of the nine products of two
such numbers are summed in float32: what is left out is some 1e-7 of a term ("highest").
Any lower precision takes two numbers and three products, which leaves out 1e-5.

What was checked without a GPU: numbers in Mosaic's interpreter, and that the kernels
compile for an H100 down to machine code. They have run on none.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array, Float, UInt32

from jaxdis import masks
from jaxdis.kernels.gumbel_mask import ref
from jaxdis.kernels.gumbel_mask.pallas import Form
from jaxdis.kernels.gumbel_mask.ref import Mask

ROWS = 64  # of a tile: those of a warpgroup's matrix product
WIDEST = 256  # h, at most, for sums to fit the registers
GRID = 65_535  # programs along an axis, at most
CAPABILITY = "9.0"  # of Hopper, whose instruction for matrix products no other has
PROGRAMS = 256  # that keep a GPU busy
TOP = 0xFFFF0000  # the bits that bfloat16 has of float32
LOWER = (
    *("default", "fastest", "bfloat16", jax.lax.Precision.DEFAULT, None),
    *("high", "bfloat16_3x", "tensorfloat32", jax.lax.Precision.HIGH),
)


def refusal(b: int, n: int, k: int, h: int) -> str | None:
    """Why the kernels cannot run on these sizes, or here; None if they can."""
    if h > WIDEST:
        return f"h = {h} is above {WIDEST}, more than the registers of a warpgroup hold"
    if max(pl.cdiv(b, ROWS), k) > GRID:
        return f"a batch of {b} or {k} latents takes more than {GRID} programs a side"
    if jax.default_backend() == "gpu":
        found = getattr(jax.devices()[0], "compute_capability", "unknown")
        if found != CAPABILITY:
            return (
                f"the kernels are for Hopper, compute capability {CAPABILITY}, and "
                f"that of this GPU is {found}"
            )
    return None


class _Sizes(NamedTuple):
    """Sizes of the layer, and how they are cut; all arrays are padded to tiles."""

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


def _sizes(x: Array, weight: Array, precision: jax.lax.PrecisionLike) -> _Sizes:
    (b, n), (k, _, h) = x.shape, weight.shape
    columns = 16 if 0 < n % 32 <= 16 else 32
    chunks, blocks = pl.cdiv(n, columns), pl.cdiv(b, ROWS)
    wide, tall = columns * pl.cdiv(h, columns), ROWS * pl.cdiv(h, ROWS)
    if precision is None:
        precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    pieces = 2 if precision in LOWER else 3
    return _Sizes(b, n, k, h, columns, chunks, blocks, wide, tall, pieces)


def _share(whole: int, programs: int, most: int) -> int:
    """Programs to share a sum: as few as keep a GPU busy, a divisor, not above most."""
    fit = [d for d in range(1, whole + 1) if whole % d == 0 and d <= max(most, 1)]
    return next((d for d in fit if d * programs >= PROGRAMS), fit[-1])


def _slices(size: int) -> list[slice]:
    return [slice(i, min(i + ROWS, size)) for i in range(0, size, ROWS)]


def _padded(a: Array, *sizes: int) -> Array:
    """Zeros after the end of each of the last axes."""
    kept = a.ndim - len(sizes)
    more = [size - old for size, old in zip(sizes, a.shape[kept:], strict=True)]
    return jnp.pad(a, [(0, 0)] * kept + [(0, m) for m in more])


def _tiles(
    s: _Sizes,
    x: Array,
    weight: Array,
    log_alpha: Array,
    temperature: Array,
    words: Array,
) -> tuple[Array, ...]:
    """Arguments in tiles: `x [r, c, 64, t]`, `W^T [k, c, h, t]`, `log_alpha [k, c, t]`.

    With r blocks of rows and c chunks of t inputs.
    """
    n = s.chunks * s.columns
    x = _padded(x, s.blocks * ROWS, n).reshape(s.blocks, ROWS, s.chunks, s.columns)
    weight = _padded(weight, n, s.tall).reshape(s.k, s.chunks, s.columns, s.tall)
    log_alpha = _padded(log_alpha, n).reshape(s.k, s.chunks, s.columns)
    x, weight = x.transpose(0, 2, 1, 3), weight.transpose(0, 1, 3, 2)
    return x, weight, log_alpha, temperature[None], words


class _Maker(NamedTuple):
    """What the kernels are made of.

    The interpreter knows neither layouts nor transposed operands: there they are left
    out, and an ordinary product takes the place of the tensor cores'.
    """

    sizes: _Sizes
    mask: Mask
    interpret: Any  # parameters of the interpreter; None to compile

    def kernel(
        self, body: Callable[..., None], grid: dict[str, int], out: Any, *staged: Any
    ) -> Callable[..., Any]:
        return plgpu.kernel(
            body,
            out_type=out,
            grid=tuple(grid.values()),
            grid_names=tuple(grid),
            scratch_types=staged,
            interpret=self.interpret,
        )

    def staging(self, rows: int, columns: int, dtype: Any) -> Any:
        """Shared memory for the pieces of a matrix, in the tensor cores' order."""
        tile = self.sizes.columns
        order = (plgpu.TilingTransform((8, tile)), plgpu.SwizzleTransform(2 * tile))
        pieces = 1 if dtype == jnp.bfloat16 else self.sizes.pieces
        return plgpu.SMEM((pieces, rows, columns), jnp.bfloat16, transforms=order)

    def laid(self, a: Array) -> Array:
        """As a warpgroup's registers hold a tile of a matrix product."""
        return a if self.interpret else plgpu.layout_cast(a, plgpu.Layout.WGMMA)

    def zeros(self, columns: int, dtype: Any = jnp.float32) -> Array:
        return self.laid(jnp.zeros((ROWS, columns), dtype))

    def load(self, tile: Any) -> Array:
        if self.interpret:
            return tile[...]
        layout: Any = plgpu.Layout.WGMMA
        layout = layout if len(tile.shape) == 2 else layout.reduce(0)
        return plgpu.load(tile, ..., layout=layout, optimized=False)

    def stage(self, tile: Array, staged: Any, rows: Any, columns: Any) -> None:
        """Writes the pieces of a tile."""
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
        left: Any,
        right: Any,
        *,
        left_columns: slice | None = None,
        right_rows: slice | None = None,
    ) -> Array:
        """Of two staged matrices; or of columns, of rows of them, transposed."""
        count = max(left.shape[0], right.shape[0])
        pairs = [
            (i, j)
            for i in range(left.shape[0])
            for j in range(right.shape[0])
            if i + j < count
        ]
        pairs.sort(key=sum, reverse=True)  # the smallest first
        every = slice(None)

        def operands(i: int, j: int, turned: Callable[[Any], Any]) -> tuple[Any, Any]:
            a = left.at[i, :, left_columns or every]
            b = right.at[j, right_rows or every, :]
            return turned(a) if left_columns else a, turned(b) if right_rows else b

        if self.interpret:
            total = jnp.zeros((), jnp.float32)
            for i, j in pairs:
                # Read whole: refs and values are not turned alike.
                a, b = left[i].astype(jnp.float32), right[j].astype(jnp.float32)
                a = a[:, left_columns].T if left_columns else a
                b = b[right_rows].T if right_rows else b
                total = total + jnp.matmul(a, b, precision="highest")
            return total

        def multiply(total: Any) -> Array:
            for i, j in pairs:
                plgpu.wgmma(
                    total, *operands(i, j, lambda a: plgpu.transpose_ref(a, (1, 0)))
                )
            return total[...]

        a, b = operands(0, 0, lambda a: plgpu.transpose_ref(a, (1, 0)))
        plgpu.commit_smem()
        product: Array = pl.run_scoped(
            multiply, plgpu.ACC((a.shape[0], b.shape[1]), jnp.float32)
        )
        return product

    def draw(
        self,
        log_alpha: Any,
        temperature: Any,
        words: Any,
        latent: Any,
        block: Any,
        chunk: Any,
    ) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
        """A tile of masks, and what pulls gradients back to logits and temperature."""
        s = self.sizes
        shape = (ROWS, s.columns)

        def unsigned(x: Any) -> Array:
            return jnp.asarray(x).astype(jnp.uint32)

        def count(axis: int) -> Array:
            return self.laid(jax.lax.broadcasted_iota(jnp.uint32, shape, axis))

        # The number of each element in the whole of `[b, k, n]`, without padding.
        row = unsigned(block * ROWS) + count(0)
        first = unsigned(latent) * jnp.uint32(s.n) + unsigned(chunk * s.columns)
        index = row * jnp.uint32(s.k * s.n) + (count(1) + first)
        noise = ref.logistic((words[0], words[1]), index)
        logits = self.load(log_alpha.at[latent, chunk])
        logits = self.laid(jax.lax.broadcast_in_dim(logits, shape, (1,)))
        tau = temperature[0]
        sample = masks.RELAXATIONS[self.mask].sample
        drawn, pull_logits = jax.vjp(lambda a: sample(a, noise, tau), logits)

        def pull(g: Array) -> tuple[Array, Array]:
            # Any relaxation is a function of (log_alpha + e) / tau.
            (of_logits,) = pull_logits(g)
            return of_logits, -of_logits * (logits + noise) / tau

        return drawn, pull


def _forward(
    x: Float[Array, "b n"],
    weight: Float[Array, "k n h"],
    log_alpha: Float[Array, "k n"],
    temperature: Array,
    words: UInt32[Array, "2"],
    mask: Mask,
    precision: jax.lax.PrecisionLike,
    *,
    interpret: Any,
) -> Float[Array, "k b h"]:
    s = _sizes(x, weight, precision)
    make = _Maker(s, mask, interpret)
    every, parts = slice(None), _slices(s.wide)

    def masked_product(
        x: Any, w: Any, a: Any, t: Any, words: Any, out: Any, seen: Any, weight: Any
    ) -> None:
        latent, block = jax.lax.axis_index("latent"), jax.lax.axis_index("block")

        def add(chunk: Any, sums: list[Array]) -> list[Array]:
            m, _ = make.draw(a, t, words, latent, block, chunk)
            tile = make.load(x.at[block, chunk])
            make.stage((m * tile).astype(tile.dtype), seen, every, every)
            for part in _slices(s.tall):
                tile = make.load(w.at[latent, chunk, part])
                make.stage(tile, weight, part, every)
            return [
                total + make.product(seen, weight, right_rows=part)
                for total, part in zip(sums, parts, strict=True)
            ]

        sums = [make.zeros(part.stop - part.start) for part in parts]
        sums = jax.lax.fori_loop(0, s.chunks, add, sums)
        for part, total in zip(parts, sums, strict=True):
            out[latent, block, :, part] = total

    out = make.kernel(
        masked_product,
        {"latent": s.k, "block": s.blocks},
        jax.ShapeDtypeStruct((s.k, s.blocks, ROWS, s.wide), jnp.float32),
        make.staging(ROWS, s.columns, x.dtype),
        make.staging(s.tall, s.columns, x.dtype),
    )(*_tiles(s, x, weight, log_alpha, temperature, words))
    return out.reshape(s.k, -1, s.wide)[:, : s.b, : s.h]


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
    interpret: Any,
) -> tuple[Array, Array, Array, Array]:
    s = _sizes(x, weight, precision)
    make = _Maker(s, mask, interpret)
    every, parts = slice(None), _slices(s.tall)
    # Shared sums take a quarter of the memory of all masks, at most.
    shares = _share(s.blocks, s.k * s.chunks, s.b // (4 * s.tall))
    groups = _share(s.k, s.blocks * s.chunks, s.k // 4)
    some, latents = s.blocks // shares, s.k // groups

    def stage_weights(w: Any, latent: Any, chunk: Any, weight: Any) -> None:
        for part in parts:
            make.stage(make.load(w.at[latent, chunk, part]), weight, part, every)

    def clear_rest(pulled: Any) -> None:
        rest = slice(s.wide, s.tall)
        if s.wide < s.tall:
            zeros = make.zeros(s.tall - s.wide, jnp.bfloat16)
            for i in range(pulled.shape[0]):
                pulled[i, :, rest] = zeros

    def stage_gradients(g: Any, latent: Any, block: Any, pulled: Any) -> None:
        for part in _slices(s.wide):
            tile = make.load(g.at[latent, block, :, part])
            make.stage(tile, pulled, every, part)

    def weights(
        x: Any, w: Any, a: Any, t: Any, words: Any, g: Any, dw: Any, da: Any, dt: Any,
        seen: Any, weight: Any, pulled: Any,
    ) -> None:  # fmt: skip
        latent, chunk = jax.lax.axis_index("latent"), jax.lax.axis_index("chunk")
        share = jax.lax.axis_index("share")
        clear_rest(pulled)
        stage_weights(w, latent, chunk, weight)

        def add(i: Any, sums: tuple[list[Array], Array, Array]) -> Any:
            block = share * some + i
            stage_gradients(g, latent, block, pulled)
            ds = make.product(pulled, weight)
            m, pull = make.draw(a, t, words, latent, block, chunk)
            tile = make.load(x.at[block, chunk])
            make.stage((m * tile).astype(tile.dtype), seen, every, every)
            of_logits, of_tau = pull(ds * tile)
            of_weights = [
                total + make.product(pulled, seen, left_columns=part)
                for total, part in zip(sums[0], parts, strict=True)
            ]
            return of_weights, sums[1] + of_logits, sums[2] + of_tau

        zeros = make.zeros(s.columns)
        sums = ([zeros for _ in parts], zeros, zeros)
        of_weights, of_logits, of_tau = jax.lax.fori_loop(0, some, add, sums)
        for part, total in zip(parts, of_weights, strict=True):
            dw[latent, chunk, share, part] = total
        da[latent, chunk, share] = of_logits.sum(0)
        dt[latent, chunk, share] = of_tau.sum(0)

    def inputs(
        x: Any, w: Any, a: Any, t: Any, words: Any, g: Any, dx: Any,
        weight: Any, pulled: Any,
    ) -> None:  # fmt: skip
        block, chunk = jax.lax.axis_index("block"), jax.lax.axis_index("chunk")
        group = jax.lax.axis_index("group")
        clear_rest(pulled)

        def add(i: Any, total: Array) -> Array:
            latent = group * latents + i
            stage_weights(w, latent, chunk, weight)
            stage_gradients(g, latent, block, pulled)
            ds = make.product(pulled, weight)
            m, _ = make.draw(a, t, words, latent, block, chunk)
            return total + m * ds

        total = jax.lax.fori_loop(0, latents, add, make.zeros(s.columns))
        dx[group, block, chunk] = total

    single = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    g = _padded(g, s.blocks * ROWS, s.wide).reshape(s.k, s.blocks, ROWS, s.wide)
    given = (*_tiles(s, x, weight, log_alpha, temperature, words), g)
    staged = (
        make.staging(s.tall, s.columns, x.dtype),
        make.staging(ROWS, s.tall, g.dtype),
    )
    row = single((s.k, s.chunks, shares, s.columns))
    dw, da, dt = make.kernel(
        weights,
        {"latent": s.k, "chunk": s.chunks, "share": shares},
        (single((s.k, s.chunks, shares, s.tall, s.columns)), row, row),
        make.staging(ROWS, s.columns, x.dtype),
        *staged,
    )(*given)
    dx = make.kernel(
        inputs,
        {"block": s.blocks, "chunk": s.chunks, "group": groups},
        single((groups, s.blocks, s.chunks, ROWS, s.columns)),
        *staged,
    )(*given)
    dx = dx.sum(0).transpose(0, 2, 1, 3).reshape(s.blocks * ROWS, -1)[: s.b, : s.n]
    dw = dw.sum(2).transpose(0, 1, 3, 2).reshape(s.k, -1, s.tall)[:, : s.n, : s.h]
    da = da.sum(2).reshape(s.k, -1)[:, : s.n]
    return dx.astype(x.dtype), dw.astype(weight.dtype), da, dt.sum()


def form(interpret: Any) -> Form:
    """The layer compiled, or interpreted with parameters of Mosaic's interpreter."""
    return Form(
        partial(_forward, interpret=interpret), partial(_backward, interpret=interpret)
    )


COMPILED = form(None)
