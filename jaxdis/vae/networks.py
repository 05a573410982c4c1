"""Encoders and decoders by the shape of an observation."""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from flax import linen as nn

from jaxdis import nets

__all__ = ["NETWORKS", "Networks", "Settings", "preferred"]


@runtime_checkable
class Settings(Protocol):
    """What the config of every method with such networks has.

    Attributes:
      z_dim: the number of latents.
      networks: a key of `NETWORKS`; None for the one that fits the shape of x.
      encoder: the hidden widths of the encoder, of "dense" networks.
      decoder: the hidden widths of the decoder, likewise.
      channels: the channels of the first layer of convolutional networks.
      likelihood: a key of `LIKELIHOODS`.
      batch: the number of rows in a step.
      precision: the precision of matrix products.
    """

    @property
    def z_dim(self) -> int: ...
    @property
    def networks(self) -> str | None: ...
    @property
    def encoder(self) -> tuple[int, ...]: ...
    @property
    def decoder(self) -> tuple[int, ...]: ...
    @property
    def channels(self) -> int: ...
    @property
    def likelihood(self) -> str | None: ...
    @property
    def batch(self) -> int: ...
    @property
    def precision(self) -> str: ...


class Networks(NamedTuple):
    """A kind of encoder and decoder.

    Attributes:
      fits: whether they take observations of a shape.
      wants: what they take, in words.
      inner: the shape of an observation as they see it.
      encoder: `(config, shape) -> network`, with twice as many outputs as latents.
      decoder: `(config, shape) -> network`.
    """

    fits: Callable[[tuple[int, ...]], bool]
    wants: str
    inner: Callable[[tuple[int, ...]], tuple[int, ...]]
    encoder: Callable[[Settings, tuple[int, ...]], nn.Module]
    decoder: Callable[[Settings, tuple[int, ...]], nn.Module]


def _dense_encoder(config: Settings, shape: tuple[int, ...]) -> nn.Module:
    return nets.MLP(config.encoder, 2 * config.z_dim, config.precision)


def _dense_decoder(config: Settings, shape: tuple[int, ...]) -> nn.Module:
    return nets.MLP(config.decoder, math.prod(shape), config.precision)


def _encoder(config: Settings, shape: tuple[int, ...]) -> nn.Module:
    return nets.ConvEncoder(
        config.channels, 2 * config.z_dim, precision=config.precision
    )


def _decoder(config: Settings, shape: tuple[int, ...]) -> nn.Module:
    height, width, channels = shape
    return nets.ConvDecoder(
        config.channels, (height, width, channels), precision=config.precision
    )


def _deep_encoder(config: Settings, shape: tuple[int, ...]) -> nn.Module:
    return nets.DeepConvEncoder(
        config.channels, 2 * config.z_dim, precision=config.precision
    )


def _deep_decoder(config: Settings, shape: tuple[int, ...]) -> nn.Module:
    height, width, channels = shape
    return nets.DeepConvDecoder(
        config.channels, (height, width, channels), precision=config.precision
    )


def _images_of(side: int) -> Callable[[tuple[int, ...]], bool]:
    def fits(shape: tuple[int, ...]) -> bool:
        return len(shape) == 3 and shape[0] % side == 0 == shape[1] % side

    return fits


NETWORKS = {
    "dense": Networks(
        lambda shape: True,
        "anything",
        lambda shape: (math.prod(shape),),
        _dense_encoder,
        _dense_decoder,
    ),
    "convolutional": Networks(
        _images_of(4),
        "images whose sides are multiples of 4",
        lambda shape: shape,
        _encoder,
        _decoder,
    ),
    "deep": Networks(
        _images_of(16),
        "images whose sides are multiples of 16",
        lambda shape: shape,
        _deep_encoder,
        _deep_decoder,
    ),
}
"""Perceptrons, of images on their numbers in a row; or convolutions that halve an image
two times, or four times."""


def preferred(shape: tuple[int, ...]) -> str:
    """The networks that fit a shape best: deep ones from sides of 128 pixels on."""
    order = ("deep", "convolutional") if max(shape) >= 128 else ("convolutional",)
    fitting = [name for name in order if NETWORKS[name].fits(shape)]
    return [*fitting, "dense"][0]
