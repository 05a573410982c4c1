"""Encoders and decoders of images."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxdis.nets.convolutions import CONVOLUTIONS
from jaxdis.nets.layers import dense, initialisation, uniform_fan_in

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "DeepConvDecoder",
    "DeepConvEncoder",
    "MergingConvEncoder",
]


class _Conv(nn.Module):
    """A convolution with bias; `weights` as of `MLP`."""

    out: int
    size: int
    convolution: Callable[[Array, Array, str], Array]
    precision: str
    transposed: bool = False
    weights: str = "uniform"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 o"]:
        c, area = x.shape[-1], self.size**2
        fan_in = area * (self.out if self.transposed else c)
        start = initialisation(self.weights)
        shape = (self.size, self.size, c, self.out)
        kernel = self.param("kernel", start.kernel(fan_in), shape)
        bias = self.param("bias", start.bias(fan_in), (self.out,))
        y = self.convolution(x, kernel, self.precision)
        return y + bias[None, None, None]


class ConvEncoder(nn.Module):
    """Two halvings, one convolution over all that is left, two dense layers, a head.

    conv 4/2/1 to w, to 2w, dense to 3w, to 2w (ReLU after each), to the neck, to `out`.

    Attributes:
      width: w, the channels of the first layer.
      out: output size.
      neck: units before the head; 2w if 0.
      convolutions: form of the convolutions, a key of `CONVOLUTIONS`.
      precision: precision of the matrix products, a `jax.lax.Precision` name.
    """

    width: int
    out: int
    neck: int = 0
    convolutions: str = "auto"
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
            x = nn.relu(dense(x, width, self.precision))
        x = dense(x, self.neck or 2 * w, self.precision)
        x = dense(x, self.out, self.precision)
        return x.reshape(*batch, self.out)


class ConvDecoder(nn.Module):
    """The mirror image of `ConvEncoder`, without an activation at the end.

    dense to n, 2w, 3w, transposed convolution over all of the h/4 x w/4 map to 2w,
    transposed conv 4/2/1 to w and to the image's channels, ReLU in between.

    Attributes:
      width: w, the channels before the image's.
      shape: `(height, width, channels)` of an image.
      convolutions: form of the convolutions, a key of `CONVOLUTIONS`.
      precision: precision of the matrix products, a `jax.lax.Precision` name.
    """

    width: int
    shape: tuple[int, int, int]
    convolutions: str = "auto"
    precision: str = "highest"

    @nn.compact
    def __call__(self, z: Float[Array, "*b n"]) -> Float[Array, "*b h w c"]:
        batch, w = z.shape[:-1], self.width
        height, width, channels = self.shape
        double = CONVOLUTIONS[self.convolutions].double
        x = z.reshape(-1, z.shape[-1])
        for units in (z.shape[-1], 2 * w, 3 * w):
            x = nn.relu(dense(x, units, self.precision))
        x = nn.relu(_Spread((height // 4, width // 4, 2 * w), self.precision)(x))
        x = _Conv(w, 4, double, self.precision, transposed=True)(x)
        x = _Conv(channels, 4, double, self.precision, transposed=True)(nn.relu(x))
        return x.reshape(*batch, *self.shape)


class _Spread(nn.Module):
    """Transposed convolution of a single pixel: dense, with one bias per channel."""

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
    dense, a head to `out`.

    Attributes:
      width: w, the channels and units of every layer.
      out: output size.
      convolutions: form of the convolutions, a key of `CONVOLUTIONS`.
      precision: precision of the matrix products, a `jax.lax.Precision` name.
    """

    width: int
    out: int
    convolutions: str = "auto"
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
            x = nn.relu(dense(x, w, self.precision))
        x = dense(dense(x, w, self.precision), self.out, self.precision)
        return x.reshape(*batch, self.out)


class DeepConvDecoder(nn.Module):
    """The mirror image of `DeepConvEncoder`, without an activation at the end.

    Three dense layers to w (ReLU after each), transposed convolution over all of the
    h/16 x w/16 map, 4 x [transposed conv 4/2/1, conv 3/1/1], the last to the image's
    channels, ReLU in between.

    Attributes:
      width: w, the channels and units of every layer but the last.
      shape: `(height, width, channels)` of an image.
      convolutions: form of the convolutions, a key of `CONVOLUTIONS`.
      precision: precision of the matrix products, a `jax.lax.Precision` name.
    """

    width: int
    shape: tuple[int, int, int]
    convolutions: str = "auto"
    precision: str = "highest"

    @nn.compact
    def __call__(self, z: Float[Array, "*b n"]) -> Float[Array, "*b h w c"]:
        batch, w = z.shape[:-1], self.width
        height, width, channels = self.shape
        forms, precision = CONVOLUTIONS[self.convolutions], self.precision
        x = z.reshape(-1, z.shape[-1])
        for _ in range(3):
            x = nn.relu(dense(x, w, precision))
        x = _Spread((height // 16, width // 16, w), precision)(x)
        for units in (w, w, w, channels):
            x = nn.relu(x)
            x = nn.relu(_Conv(w, 4, forms.double, precision, transposed=True)(x))
            x = _Conv(units, 3, forms.smooth, precision, transposed=True)(x)
        return x.reshape(*batch, *self.shape)


class MergingConvEncoder(nn.Module):
    """Two halvings, two merges and two dense layers, for images of 64 x 64 pixels.

    conv 4/2/1 to w, to w, conv 2/2/0 to 2w, to 2w, dense to 8w (ReLU after each), dense
    to `out` without a bias. Weights are N(0, 2 / fan_in), biases 0.

    Attributes:
      out: output size.
      width: w, the channels of the first layer.
      convolutions: form of the convolutions, a key of `CONVOLUTIONS`.
      precision: precision of the matrix products, a `jax.lax.Precision` name.

    Raises:
      ValueError: for a height or width of the images that is no multiple of 16.

    Source: Lachapelle, Deleu et al. 2022 (arXiv 2211.14666), the released code.
    """

    out: int
    width: int = 32
    convolutions: str = "auto"
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
        x = nn.relu(dense(x.reshape(len(x), -1), 8 * w, precision, "he_normal"))
        x = dense(x, self.out, precision, "he_normal", bias=False)
        return x.reshape(*batch, self.out)
