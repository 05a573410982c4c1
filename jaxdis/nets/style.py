"""Style-based generators and their discriminators.

Weights are stored with the same scale in every layer and multiplied when they are used,
so that Adam moves all layers alike.

Source: Karras et al. 2018 (arXiv 1710.10196), equalised rates and the deviation of a
minibatch; Karras et al. 2020 (arXiv 1912.04958), modulation and demodulation, the
skips; Karras et al. 2020 (arXiv 2006.06676), the projection.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Key

from jaxdis.nets.convolutions import CONVOLUTIONS
from jaxdis.nets.layers import LEAKY_SLOPE

__all__ = [
    "TINY",
    "DomainNet",
    "EqualDense",
    "StyleDiscriminator",
    "StyleMLP",
    "Synthesis",
    "batch_deviation",
    "bilinear",
    "leaky",
    "unit_square",
]

TINY = 1e-8


def leaky(x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """`sqrt(2) leaky_relu(x, .2)`, which about keeps the second moment of N(0, 1)."""
    return 2**0.5 * nn.leaky_relu(x, LEAKY_SLOPE)


def unit_square(x: Float[Array, "*b i"]) -> Float[Array, "*b i"]:
    """Scales a row to a mean square of 1: `x (mean_i x_i^2 + 1e-8)^(-1/2)`."""
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + TINY)


class EqualDense(nn.Module):
    """`(r / sqrt(in)) W x + r b` with W drawn from N(0, 1 / r^2).

    Attributes:
      out: output size.
      rate: r, the factor by which the layer learns slower than others under Adam.
      bias: r b at the start.
      precision: precision of the matrix product, a `jax.lax.Precision` name.
    """

    out: int
    rate: float = 1.0
    bias: float = 0.0
    precision: str = "highest"

    @nn.compact
    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        r, inputs = self.rate, x.shape[-1]
        normal = nn.initializers.normal(1 / r)
        constant = nn.initializers.constant(self.bias / r)
        kernel = self.param("kernel", normal, (inputs, self.out))
        bias = self.param("bias", constant, (self.out,))
        y = jnp.matmul(x, kernel * (r * inputs**-0.5), precision=self.precision)
        return y + (r * bias).reshape((1,) * (y.ndim - 1) + (self.out,))


class DomainNet(nn.Module):
    """From a domain, one-hot, to the parameters of its maps.

    `FC_1`, rows to mean square 1, `layers` leaky `FC_rate`, `FC_rate` to `out`; `FC_r`
    is an `EqualDense` of rate r.

    Attributes:
      width: units of each layer but the last.
      layers: number of layers between the first and the last.
      out: output size.
      rate: rate of all layers but the first.
      precision: precision of the matrix products, a `jax.lax.Precision` name.
    """

    width: int
    layers: int
    out: int
    rate: float = 0.01
    precision: str = "highest"

    @nn.compact
    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b o"]:
        x = unit_square(EqualDense(self.width, precision=self.precision)(x))
        for _ in range(self.layers):
            x = leaky(EqualDense(self.width, self.rate, precision=self.precision)(x))
        return EqualDense(self.out, self.rate, precision=self.precision)(x)


class StyleMLP(nn.Module):
    """Leaky layers of the same width, each an `EqualDense`.

    Attributes:
      width: units of each layer.
      layers: number of layers.
      rate: rate of each layer.
      precision: precision of the matrix products, a `jax.lax.Precision` name.
    """

    width: int
    layers: int
    rate: float = 0.01
    precision: str = "highest"

    @nn.compact
    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        for _ in range(self.layers):
            x = leaky(EqualDense(self.width, self.rate, precision=self.precision)(x))
        return x


def _pointwise(x: Array, kernel: Array, precision: str) -> Array:
    return jnp.einsum("bhwc,co->bhwo", x, kernel[0, 0], precision=precision)


class _EqualConv(nn.Module):
    """A convolution with equalised rate and bias."""

    out: int
    size: int
    convolution: Callable[[Array, Array, str], Array]
    precision: str

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 o"]:
        c = x.shape[-1]
        shape = (self.size, self.size, c, self.out)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.out,))
        gain = (self.size**2 * c) ** -0.5
        y = self.convolution(x, gain * kernel, self.precision)
        return y + bias[None, None, None]


class _StyledConv(nn.Module):
    """A convolution whose weights are modulated by each example's style.

    `y_o = d_o conv_o(s x) + b`, `s = FC_1(style)` a factor per input channel and
    `d_o = (sum_ik (s_i W_kio)^2 + 1e-8)^(-1/2)`, which is the convolution with weights
    of each example's own, but shares the product of all examples.
    """

    out: int
    size: int
    convolution: Callable[[Array, Array, str], Array]
    precision: str
    demodulate: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], style: Float[Array, "b i"]
    ) -> Float[Array, "b h2 w2 o"]:
        c = x.shape[-1]
        scale = EqualDense(c, bias=1.0, precision=self.precision)(style)
        shape = (self.size, self.size, c, self.out)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.out,))
        kernel = kernel * (self.size**2 * c) ** -0.5
        y = self.convolution(x * scale[:, None, None], kernel, self.precision)
        if self.demodulate:
            power = (kernel**2).sum((0, 1))
            power = jnp.matmul(scale**2, power, precision=self.precision)
            y = y * jax.lax.rsqrt(power + TINY)[:, None, None]
        return y + bias[None, None, None]


def bilinear(x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w c"]:
    """Bilinear interpolation to twice the size; the edge goes on outside."""

    def doubled(a: Array, axis: int) -> Array:
        n = a.shape[axis]
        edge = [(int(i == axis),) * 2 for i in range(a.ndim)]
        padded = jnp.pad(a, edge, mode="edge")
        before, after = (
            0.75 * a + 0.25 * jax.lax.slice_in_dim(padded, i, i + n, axis=axis)
            for i in (0, 2)
        )
        shape = (*a.shape[:axis], 2 * n, *a.shape[axis + 1 :])
        return jnp.stack([before, after], axis + 1).reshape(shape)

    return doubled(doubled(x, 1), 2)


class Synthesis(nn.Module):
    """Images from styles: a learned 4 x 4 map, doubled and coloured in by styles.

    Each size has a convolution 3/1/1 of the size before it, doubled bilinearly (not the
    first), and one of its own, with noise of a learned strength added after each, and a
    layer to the image's channels, whose outputs are doubled bilinearly and summed over
    the sizes. A convolution takes the next style; a layer to the channels the one that
    the next convolution takes.

    To convolve before doubling is a quarter of the work of a transposed convolution,
    and leaves no checkerboard.

    Attributes:
      widths: channels at 4 x 4, 8 x 8, ...; the last size is cut to the image's centre.
      shape: `(height, width, channels)` of an image.
      convolutions: form of the convolutions, a key of `CONVOLUTIONS`.
      precision: precision of the matrix products, a `jax.lax.Precision` name.
    """

    widths: tuple[int, ...]
    shape: tuple[int, int, int]
    convolutions: str = "matmul"
    precision: str = "highest"

    @nn.compact
    def __call__(
        self, styles: Float[Array, "b l i"], key: Key[Array, ""] | None
    ) -> Float[Array, "b h w c"]:
        """Images of styles.

        Args:
          styles: two per size.
          key: key of the noise; without one there is no noise.
        """
        forms = CONVOLUTIONS[self.convolutions]
        b, channels, precision = len(styles), self.shape[2], self.precision
        start = self.param("start", nn.initializers.normal(1.0), (4, 4, self.widths[0]))
        x = jnp.broadcast_to(start[None], (b, *start.shape))
        image = None
        for size, width in enumerate(self.widths):
            for half in (0, 1) if size else (1,):
                layer = 2 * size - 1 + half
                conv = _StyledConv(width, 3, forms.smooth, precision)
                x = conv(x, styles[:, layer])
                if not half:
                    x = bilinear(x)
                strength = self.param(f"noise_{layer}", nn.initializers.zeros, ())
                if key is not None:
                    shape = (*x.shape[:3], 1)
                    noise = jax.random.normal(jax.random.fold_in(key, layer), shape)
                    x = x + strength * noise
                x = leaky(x)
            colour = _StyledConv(channels, 1, _pointwise, precision, False)
            seen = colour(x, styles[:, 2 * size + 1])
            image = seen if image is None else bilinear(image) + seen
        assert image is not None
        top, left = ((image.shape[1 + i] - self.shape[i]) // 2 for i in (0, 1))
        return image[:, top : top + self.shape[0], left : left + self.shape[1]]


def batch_deviation(
    x: Float[Array, "b h w c"], most: int = 4
) -> Float[Array, "b h w c+1"]:
    """Appends how much the examples of a group differ, by which a collapse shows.

    The mean over pixels and channels of the deviation in groups of neighbours, of the
    largest size up to `most` that divides the batch; one channel more, the same number
    at every pixel of a group.
    """
    b, h, w, c = x.shape
    group = max(n for n in range(1, most + 1) if b % n == 0)
    deviation = jnp.sqrt(x.reshape(-1, group, h, w, c).var(1) + TINY).mean((1, 2, 3))
    deviation = jnp.repeat(deviation, group)[:, None, None, None]
    return jnp.concatenate([x, jnp.broadcast_to(deviation, (b, h, w, 1))], -1)


class StyleDiscriminator(nn.Module):
    """Scores of images, each as one of its domain: residual halvings to 4 x 4.

    1/1/0 to the last width; at each size conv 3/1/1 and 4/2/1, leaky, plus the means of
    2 x 2 pixels through 1/1/0, over sqrt(2); at 4 x 4 the deviation of the minibatch,
    conv 3/1/1, dense to the first width, and a dense layer a. The score is the product
    `a . e_u / sqrt(width)` with the domain's embedding e_u, of mean square 1.

    Attributes:
      widths: channels at 4 x 4, 8 x 8, ...
      domains: number of domains, of which each has an embedding.
      convolutions: form of the convolutions, a key of `CONVOLUTIONS`.
      precision: precision of the matrix products, a `jax.lax.Precision` name.
    """

    widths: tuple[int, ...]
    domains: int
    convolutions: str = "matmul"
    precision: str = "highest"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], u: Int[Array, "b"]
    ) -> Float[Array, "b"]:
        forms, precision = CONVOLUTIONS[self.convolutions], self.precision
        side = 4 * 2 ** (len(self.widths) - 1)
        rows, columns = side - x.shape[1], side - x.shape[2]
        edges = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
        x = jnp.pad(x, ((0, 0), *edges, (0, 0)), mode="edge")
        x = leaky(_EqualConv(self.widths[-1], 1, _pointwise, precision)(x))
        for width in self.widths[-2::-1]:
            c = x.shape[-1]
            y = leaky(_EqualConv(c, 3, forms.smooth, precision)(x))
            y = leaky(_EqualConv(width, 4, forms.halve, precision)(y))
            b, h, w, _ = x.shape
            x = x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))
            x = _EqualConv(width, 1, _pointwise, precision)(x)
            x = (x + y) * 2**-0.5
        width = self.widths[0]
        x = batch_deviation(x)
        x = leaky(_EqualConv(width, 3, forms.smooth, precision)(x))
        x = leaky(EqualDense(width, precision=precision)(x.reshape(len(x), -1)))
        x = EqualDense(width, precision=precision)(x)
        hot = jax.nn.one_hot(u, self.domains)
        embedded = unit_square(EqualDense(width, precision=precision)(hot))
        return jnp.sum(x * embedded, -1) * width**-0.5
