"""Convolutions of images, whose form is a matter of choice: products or XLA's own.

`vmap` over seeds makes of a `lax.conv` a grouped convolution, which crawls, and of a
matrix product another matrix product. Which products are the fastest depends on a
layer's channels.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = [
    "CONVOLUTIONS",
    "Convolutions",
    "double",
    "halve",
    "merge",
    "smooth",
    "spread",
]

_Pairs: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


def halve(
    x: Float[Array, "b h w c"], kernel: Float[Array, "4 4 c o"], precision: str
) -> Float[Array, "b h//2 w//2 o"]:
    """Convolution 4 x 4 with stride 2 and padding 1, as one matrix product.

    `out[h, w] = sum x[2h + i - 1, 2w + j - 1] kernel[i, j]`: pixels of 2 x 2 blocks
    become channels, on which the kernel is 2 x 2 with stride 1.

    Args:
      x: images of even height and width.
      kernel: weights.
      precision: precision of the matrix product, a `jax.lax.Precision` name.
    """
    b, h, w, c = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = padded.reshape(b, h // 2 + 1, 2, w // 2 + 1, 2, c).swapaxes(2, 3)
    blocks = blocks.reshape(b, h // 2 + 1, w // 2 + 1, 4 * c)
    shifts = [(i, j) for i in range(2) for j in range(2)]
    seen = [blocks[:, i : i + h // 2, j : j + w // 2] for i, j in shifts]
    taps = kernel.reshape(2, 2, 2, 2, c, -1).swapaxes(1, 2).reshape(16 * c, -1)
    patches = jnp.concatenate(seen, -1)
    return jnp.einsum("bhwc,co->bhwo", patches, taps, precision=precision)


# Which (shift, tap) pairs make the even and the odd pixels of a doubled row.
_PHASES = (((1, 1), (0, 3)), ((2, 0), (1, 2)))


def double(
    x: Float[Array, "b h w c"], kernel: Float[Array, "4 4 c o"], precision: str
) -> Float[Array, "b 2*h 2*w o"]:
    """Transposed convolution 4 x 4 with stride 2 and padding 1, as two matrix products.

    `out[2h + r, 2w + q] = sum x[h + a - 1, w + c - 1] kernel[i, j]` over the pairs
    (a, i) of phase r and (c, j) of phase q. Each of the two phases of the rows is one
    product, of two rows of pixels with all four taps of the columns; shifted by a pixel
    or not, two of these sum up to each column. Nothing is dilated or scattered.

    Args:
      x: images.
      kernel: weights.
      precision: precision of the matrix products, a `jax.lax.Precision` name.
    """
    b, h, w, c = x.shape
    o = kernel.shape[-1]
    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    taps = kernel.swapaxes(1, 2).reshape(4, c, 4 * o)

    def phase(pairs: _Pairs) -> Array:
        seen = jnp.concatenate([padded[:, a : a + h] for a, _ in pairs], -1)
        weights = jnp.concatenate([taps[i] for _, i in pairs])
        y = jnp.einsum("bhwc,co->bhwo", seen, weights, precision=precision)
        return _interleaved(_once(y).reshape(b, h, w, 4, o), 2)

    return jnp.stack([phase(p) for p in _PHASES], 2).reshape(b, 2 * h, 2 * w, o)


def spread(
    x: Float[Array, "b h w c"], kernel: Float[Array, "4 4 c o"], precision: str
) -> Float[Array, "b 2*h 2*w o"]:
    """The layer of `double` as one product of every pixel, whose outputs then spread.

    All 16 taps are outputs of one product of the images as they are; shifted by a pixel
    or not, two sum up to each row, and two of these to each column. A derivative keeps
    the images alone and is the same in reverse: two products.

    Args:
      x: images.
      kernel: weights.
      precision: precision of the matrix product, a `jax.lax.Precision` name.
    """
    b, h, w, c = x.shape
    o = kernel.shape[-1]
    taps = kernel.transpose(2, 0, 1, 3).reshape(c, 16 * o)
    y = jnp.einsum("bhwc,co->bhwo", x, taps, precision=precision)
    y = _interleaved(_once(y).reshape(b, h, w, 4, 4 * o), 1).reshape(b, 2 * h, w, 4, o)
    return _interleaved(y, 2).reshape(b, 2 * h, 2 * w, o)


def _once(y: Array) -> Array:
    """Without it XLA may compute a product anew inside each of the sums."""
    return jax.lax.optimization_barrier(y)


def _interleaved(y: Float[Array, "*s 4 o"], axis: int) -> Float[Array, "..."]:
    """`out[2n + r]`, along an axis, of what four taps give each n: `_PHASES`.

    By operations whose derivatives are as cheap: of a slice it would be an array as
    large as what was cut, mostly zeros.
    """
    first, second, third, fourth = (
        part.squeeze(-2) for part in jnp.split(y, 4, axis=-2)
    )
    even = second + _shifted(fourth, axis, 1)
    odd = third + _shifted(first, axis, -1)
    return jnp.stack([even, odd], axis + 1)


def _shifted(x: Array, axis: int, by: int) -> Array:
    """`out[n] = x[n - by]` along an axis, 0 where there is none."""
    edges = [(0, 0, 0)] * x.ndim
    edges[axis] = (by, -by, 0)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), edges)


def smooth(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c o"], precision: str
) -> Float[Array, "b h w o"]:
    """Convolution 3 x 3 with stride 1 and padding 1, as three matrix products.

    `out[h, w] = sum x[h + i - 1, w + j - 1] kernel[i, j]`: three columns side by side
    are the inputs of a product; rows are shifted outputs. All nine taps in one product
    would triple the copy, one at a time the products.

    Args:
      x: images.
      kernel: weights.
      precision: precision of the matrix products, a `jax.lax.Precision` name.
    """
    _, h, w, c = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    columns = jnp.concatenate([padded[:, :, j : j + w] for j in range(3)], -1)
    products = (
        jnp.einsum(
            "bhwc,co->bhwo",
            columns[:, i : i + h],
            kernel[i].reshape(3 * c, -1),
            precision=precision,
        )
        for i in range(3)
    )
    return cast(Array, sum(products))


def merge(
    x: Float[Array, "b h w c"], kernel: Float[Array, "2 2 c o"], precision: str
) -> Float[Array, "b h//2 w//2 o"]:
    """Convolution 2 x 2 with stride 2 and no padding, as one matrix product.

    `out[h, w] = sum x[2h + i, 2w + j] kernel[i, j]`: the blocks do not overlap.

    Args:
      x: images of even height and width.
      kernel: weights.
      precision: precision of the matrix product, a `jax.lax.Precision` name.
    """
    b, h, w, c = x.shape
    blocks = x.reshape(b, h // 2, 2, w // 2, 2, c).swapaxes(2, 3)
    blocks = blocks.reshape(b, h // 2, w // 2, 4 * c)
    taps = kernel.reshape(4 * c, -1)
    return jnp.einsum("bhwc,co->bhwo", blocks, taps, precision=precision)


def _lax_halve(x: Array, kernel: Array, precision: str) -> Array:
    return _lax_conv(x, kernel, precision, window_strides=(2, 2), padding=1)


def _lax_double(x: Array, kernel: Array, precision: str) -> Array:
    flipped = kernel[::-1, ::-1]
    return _lax_conv(
        x, flipped, precision, window_strides=(1, 1), padding=2, lhs_dilation=(2, 2)
    )


def _lax_smooth(x: Array, kernel: Array, precision: str) -> Array:
    return _lax_conv(x, kernel, precision, window_strides=(1, 1), padding=1)


def _lax_merge(x: Array, kernel: Array, precision: str) -> Array:
    return _lax_conv(x, kernel, precision, window_strides=(2, 2), padding=0)


def _lax_conv(
    x: Array,
    kernel: Array,
    precision: str,
    window_strides: tuple[int, int],
    padding: int,
    lhs_dilation: tuple[int, int] | None = None,
) -> Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides,
        [(padding, padding)] * 2,
        lhs_dilation=lhs_dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=precision,
    )


class Convolutions(NamedTuple):
    """Layers `(x, kernel, precision) -> y`, in one of the forms that compute them.

    Attributes:
      halve: convolution 4 x 4 with stride 2 and padding 1.
      double: transposed convolution 4 x 4 with stride 2 and padding 1.
      smooth: convolution 3 x 3 with stride 1 and padding 1.
      merge: convolution 2 x 2 with stride 2 and no padding.
    """

    halve: Callable[[Array, Array, str], Array]
    double: Callable[[Array, Array, str], Array]
    smooth: Callable[[Array, Array, str], Array]
    merge: Callable[[Array, Array, str], Array]


def _auto_double(x: Array, kernel: Array, precision: str) -> Array:
    inputs, outputs = kernel.shape[-2:]
    layer = spread if 4 * outputs <= inputs else double
    return layer(x, kernel, precision)


CONVOLUTIONS = {
    "auto": Convolutions(halve, _auto_double, smooth, merge),
    "matmul": Convolutions(halve, double, smooth, merge),
    "lax": Convolutions(_lax_halve, _lax_double, _lax_smooth, _lax_merge),
}
"""Forms of the same layers.

- "auto": the matrix products that were measured to be the fastest for a layer's
  channels: those of patches, but of all pixels before their outputs spread where there
  are four times fewer outputs than inputs.
- "matmul": matrix products of patches, whatever the channels.
- "lax": XLA's convolutions. On a CPU, and under a `vmap` over seeds everywhere, they
  are many times slower.
"""
