"""Encoders and decoders. The only file that imports flax."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Key

from jaxdis.types import Params

LEAKY_SLOPE = 0.2
_Pairs: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
Weights: TypeAlias = Literal["uniform", "he_normal"]


def uniform_fan_in(fan_in: int) -> nn.initializers.Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), for weights and biases alike."""
    bound = fan_in**-0.5

    def initialise(key, shape, dtype=None):  # type: ignore[no-untyped-def]
        return jax.random.uniform(key, shape, dtype or float, -bound, bound)

    return initialise


def he_normal(fan_in: int) -> nn.initializers.Initializer:
    """N(0, 2 / fan_in), which keeps the second moment through ReLU layers."""
    return nn.initializers.normal((2 / fan_in) ** 0.5)


def _initialisers(
    weights: Weights, fan_in: int
) -> tuple[nn.initializers.Initializer, nn.initializers.Initializer]:
    """Of a layer's weights and of its biases."""
    if weights == "uniform":
        return uniform_fan_in(fan_in), uniform_fan_in(fan_in)
    if weights == "he_normal":
        return he_normal(fan_in), nn.initializers.zeros
    raise ValueError(f"weights must be 'uniform' or 'he_normal', got {weights!r}")


def _dense(
    x: Array,
    out: int,
    precision: str,
    weights: Weights = "uniform",
    bias: bool = True,
) -> Array:
    """A dense layer of the module that calls it."""
    kernel_init, bias_init = _initialisers(weights, x.shape[-1])
    layer = nn.Dense(
        out,
        use_bias=bias,
        precision=precision,
        kernel_init=kernel_init,
        bias_init=bias_init,
    )
    return cast(Array, layer(x))


class MLP(nn.Module):
    """Leaky-ReLU network with a linear output.

    Attributes:
      hidden: widths of the hidden layers.
      out: output size.
      precision: of the matrix products, a `jax.lax.Precision` name.
      slope: of the leaky ReLU; 0 is the ReLU.
      weights: initial weights and biases: "uniform", all U(+-1/sqrt(fan_in)), or
        "he_normal", N(0, 2 / fan_in) and 0.
      final_bias: whether the last layer has a bias; all others do.

    Raises:
      ValueError: no such `weights`.
    """

    hidden: Sequence[int]
    out: int
    precision: str = "highest"
    slope: float = LEAKY_SLOPE
    weights: Weights = "uniform"
    final_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        for width in self.hidden:
            x = _dense(x, width, self.precision, self.weights)
            x = nn.leaky_relu(x, self.slope)
        return _dense(x, self.out, self.precision, self.weights, self.final_bias)


def halve(
    x: Float[Array, "b h w c"], kernel: Float[Array, "4 4 c o"], precision: str
) -> Float[Array, "b h/2 w/2 o"]:
    """Convolution 4 x 4 with stride 2 and padding 1, as one matrix product.

    Pixels of 2 x 2 blocks become channels, on which the kernel is 2 x 2 with stride 1.
    `vmap` over kernels keeps it a matrix product, where `lax.conv` becomes a grouped
    convolution, which crawls.
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
) -> Float[Array, "b 2h 2w o"]:
    """Transposed convolution 4 x 4 with stride 2 and padding 1, as matrix products.

    `out[2h + r, 2w + q] = sum x[h + a - 1, w + c - 1] kernel[i, j]` over the pairs
    (a, i) of phase r and (c, j) of phase q: each of the four phases is a convolution
    2 x 2 of the small image. Nothing is dilated or scattered.
    """
    b, h, w, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))

    def phase(row: _Pairs, column: _Pairs) -> Array:
        products = (
            jnp.einsum(
                "bhwc,co->bhwo",
                padded[:, a : a + h, c : c + w],
                kernel[i, j],
                precision=precision,
            )
            for a, i in row
            for c, j in column
        )
        return cast(Array, sum(products))

    rows = [jnp.stack([phase(r, q) for q in _PHASES], 3) for r in _PHASES]
    return jnp.stack(rows, 2).reshape(b, 2 * h, 2 * w, -1)


def smooth(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c o"], precision: str
) -> Float[Array, "b h w o"]:
    """Convolution 3 x 3 with stride 1 and padding 1, as three matrix products.

    Three columns side by side are the inputs of a product; rows are shifted outputs.
    All nine taps in one product would triple the copy, one at a time the products.
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
) -> Float[Array, "b h/2 w/2 o"]:
    """Convolution 2 x 2 with stride 2 and no padding, as one matrix product.

    `out[h, w] = sum x[2h + i, 2w + j] kernel[i, j]`: the blocks do not overlap.
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
    """Layers `(x, kernel, precision) -> y` that halve, double or keep the size.

    `merge` halves it too, by blocks that do not overlap.
    """

    halve: Callable[[Array, Array, str], Array]
    double: Callable[[Array, Array, str], Array]
    smooth: Callable[[Array, Array, str], Array]
    merge: Callable[[Array, Array, str], Array]


CONVOLUTIONS = {
    "matmul": Convolutions(halve, double, smooth, merge),
    "lax": Convolutions(_lax_halve, _lax_double, _lax_smooth, _lax_merge),
}


class _Conv(nn.Module):
    """A convolution with bias; `weights` as of `MLP`."""

    out: int
    size: int
    convolution: Callable[[Array, Array, str], Array]
    precision: str
    transposed: bool = False
    weights: Weights = "uniform"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 o"]:
        c, area = x.shape[-1], self.size**2
        fan_in = area * (self.out if self.transposed else c)
        kernel_init, bias_init = _initialisers(self.weights, fan_in)
        shape = (self.size, self.size, c, self.out)
        kernel = self.param("kernel", kernel_init, shape)
        bias = self.param("bias", bias_init, (self.out,))
        y = self.convolution(x, kernel, self.precision)
        return y + bias[None, None, None]


class ConvEncoder(nn.Module):
    """Two halvings, one convolution over all that is left, two dense layers, a head.

    conv 4/2/1 to w, to 2w, dense to 3w, to 2w (ReLU after each), to the neck, to `out`.

    Attributes:
      width: w.
      out: output size.
      neck: units before the head; 2w if 0.
      convolutions: key of `CONVOLUTIONS`.
      precision: of the matrix products.
    """

    width: int
    out: int
    neck: int = 0
    convolutions: str = "matmul"
    precision: str = "highest"

    @nn.compact
    def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b o"]:
        batch, w = x.shape[:-3], self.width
        halve = CONVOLUTIONS[self.convolutions].halve
        x = x.reshape(-1, *x.shape[-3:])
        for width in (w, 2 * w):
            x = nn.relu(_Conv(width, 4, halve, self.precision)(x))
        x = x.reshape(len(x), -1)
        for width in (3 * w, 2 * w):
            x = nn.relu(_dense(x, width, self.precision))
        x = _dense(x, self.neck or 2 * w, self.precision)
        x = _dense(x, self.out, self.precision)
        return x.reshape(*batch, self.out)


class ConvDecoder(nn.Module):
    """The mirror image of `ConvEncoder`, without an activation at the end.

    dense to n, 2w, 3w, transposed convolution over all of the h/4 x w/4 map to 2w,
    transposed conv 4/2/1 to w and to the image's channels, ReLU in between.

    Attributes:
      width: w.
      shape: `(height, width, channels)` of an image.
      convolutions: key of `CONVOLUTIONS`.
      precision: of the matrix products.
    """

    width: int
    shape: tuple[int, int, int]
    convolutions: str = "matmul"
    precision: str = "highest"

    @nn.compact
    def __call__(self, z: Float[Array, "*b n"]) -> Float[Array, "*b h w c"]:
        batch, w = z.shape[:-1], self.width
        height, width, channels = self.shape
        double = CONVOLUTIONS[self.convolutions].double
        x = z.reshape(-1, z.shape[-1])
        for units in (z.shape[-1], 2 * w, 3 * w):
            x = nn.relu(_dense(x, units, self.precision))
        x = nn.relu(_Spread((height // 4, width // 4, 2 * w), self.precision)(x))
        x = _Conv(w, 4, double, self.precision, transposed=True)(x)
        x = _Conv(channels, 4, double, self.precision, transposed=True)(nn.relu(x))
        return x.reshape(*batch, *self.shape)


class _Spread(nn.Module):
    """Transposed convolution of a single pixel: dense, with one bias a channel."""

    shape: tuple[int, int, int]
    precision: str

    @nn.compact
    def __call__(self, x: Float[Array, "b c"]) -> Float[Array, "b h w o"]:
        height, width, out = self.shape
        init = uniform_fan_in(height * width * out)
        kernel = self.param("kernel", init, (x.shape[-1], height, width, out))
        bias = self.param("bias", init, (out,))
        y = jnp.einsum("bc,chwo->bhwo", x, kernel, precision=self.precision)
        return y + bias[None, None, None]


class DeepConvEncoder(nn.Module):
    """Four halvings with a 3 x 3 convolution after each, for 128 x 128 images.

    All widths are w: 4 x [conv 4/2/1, conv 3/1/1], dense, dense (ReLU after each),
    dense, a head to `out`. Attributes as of `ConvEncoder`.
    """

    width: int
    out: int
    convolutions: str = "matmul"
    precision: str = "highest"

    @nn.compact
    def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b o"]:
        batch, w = x.shape[:-3], self.width
        forms = CONVOLUTIONS[self.convolutions]
        x = x.reshape(-1, *x.shape[-3:])
        for _ in range(4):
            x = nn.relu(_Conv(w, 4, forms.halve, self.precision)(x))
            x = nn.relu(_Conv(w, 3, forms.smooth, self.precision)(x))
        x = x.reshape(len(x), -1)
        for _ in range(2):
            x = nn.relu(_dense(x, w, self.precision))
        x = _dense(_dense(x, w, self.precision), self.out, self.precision)
        return x.reshape(*batch, self.out)


class DeepConvDecoder(nn.Module):
    """The mirror image of `DeepConvEncoder`; attributes as of `ConvDecoder`."""

    width: int
    shape: tuple[int, int, int]
    convolutions: str = "matmul"
    precision: str = "highest"

    @nn.compact
    def __call__(self, z: Float[Array, "*b n"]) -> Float[Array, "*b h w c"]:
        batch, w = z.shape[:-1], self.width
        height, width, channels = self.shape
        forms, precision = CONVOLUTIONS[self.convolutions], self.precision
        x = z.reshape(-1, z.shape[-1])
        for _ in range(3):
            x = nn.relu(_dense(x, w, precision))
        x = _Spread((height // 16, width // 16, w), precision)(x)
        for units in (w, w, w, channels):
            x = nn.relu(x)
            x = nn.relu(_Conv(w, 4, forms.double, precision, transposed=True)(x))
            x = _Conv(units, 3, forms.smooth, precision, transposed=True)(x)
        return x.reshape(*batch, *self.shape)


class TaskConvEncoder(nn.Module):
    """Two halvings, two merges and two dense layers, for images of 64 x 64 pixels.

    conv 4/2/1 to w, to w, conv 2/2/0 to 2w, to 2w, dense to 8w (ReLU after each), dense
    to `out` without a bias. Weights are N(0, 2 / fan_in), biases 0. The layout is that
    of Lachapelle, Deleu et al. (arXiv 2211.14666), the released code.

    Attributes:
      out: output size.
      width: w.
      convolutions: key of `CONVOLUTIONS`.
      precision: of the matrix products.

    Raises:
      ValueError: a height or width of the images that is no multiple of 16.
    """

    out: int
    width: int = 32
    convolutions: str = "matmul"
    precision: str = "highest"

    @nn.compact
    def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b o"]:
        batch, (height, width), w = x.shape[:-3], x.shape[-3:-1], self.width
        if height % 16 or width % 16:
            raise ValueError(
                "images must have a height and width that are multiples of 16, got "
                f"{height} x {width}"
            )
        forms, precision = CONVOLUTIONS[self.convolutions], self.precision
        x = x.reshape(-1, *x.shape[-3:])
        for units in (w, w):
            conv = _Conv(units, 4, forms.halve, precision, weights="he_normal")
            x = nn.relu(conv(x))
        for units in (2 * w, 2 * w):
            conv = _Conv(units, 2, forms.merge, precision, weights="he_normal")
            x = nn.relu(conv(x))
        x = nn.relu(_dense(x.reshape(len(x), -1), 8 * w, precision, "he_normal"))
        x = _dense(x, self.out, precision, "he_normal", bias=False)
        return x.reshape(*batch, self.out)


def apply(network: nn.Module, params: Params, x: Float[Array, "..."]) -> Array:
    """The output of a network; `Module.apply` for networks without mutable state."""
    return cast(Array, network.apply(params, x))


# Style-based generators and their discriminators. Weights are stored with the same
# scale in every layer and multiplied when they are used, so that Adam moves all layers
# alike. Sources: Karras et al. 2018 (arXiv 1710.10196), equalised rates and the
# deviation of a minibatch; Karras et al. 2020 (arXiv 1912.04958), modulation and
# demodulation, the skips; Karras et al. 2020 (arXiv 2006.06676), the projection.

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
      rate: r, by which the layer learns slower than others under Adam.
      bias: r b at the start.
      precision: of the matrix product.
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

    `FC_1`, rows to mean square 1, `layers` leaky `FC_.01`, `FC_.01` to `out`.
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
    """`layers` leaky layers `FC_.01`, all of the same width."""

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


def bilinear(x: Float[Array, "b h w c"]) -> Float[Array, "b 2h 2w c"]:
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
      convolutions: key of `CONVOLUTIONS`.
      precision: of the matrix products.
    """

    widths: tuple[int, ...]
    shape: tuple[int, int, int]
    convolutions: str = "matmul"
    precision: str = "highest"

    @nn.compact
    def __call__(
        self, styles: Float[Array, "b l i"], key: Key[Array, ""] | None
    ) -> Float[Array, "b h w c"]:
        """Styles, two a size, and a key of the noise, without which there is none."""
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
    largest size up to `most` that divides the batch.
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
      domains: number of domains.
      convolutions: key of `CONVOLUTIONS`.
      precision: of the matrix products.
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
