"""The built-in encoders: a perceptron, and convolutions."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from jaxdis import check, nets
from jaxdis.systems.shared_features.config import Config
from jaxdis.types import Params

__all__ = ["NETWORKS", "Network", "built_in"]

LEAKY_SLOPE = 0.1


class Network(NamedTuple):
    """One form of the encoder.

    Attributes:
      build: `config -> network`.
      shape: `shape of one observation -> shape that the network takes`; ValueError
        where it cannot.
    """

    build: Callable[[Config], nn.Module]
    shape: Callable[[tuple[int, ...]], tuple[int, ...]]


def _mlp(config: Config) -> nn.Module:
    # A bias at the end would be taken out by the standardisation.
    return nets.MLP(
        config.encoder,
        config.z_dim,
        config.precision,
        LEAKY_SLOPE,
        "he_normal",
        final_bias=False,
    )


def _flat(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (math.prod(shape),)


def _conv(config: Config) -> nn.Module:
    return nets.MergingConvEncoder(
        config.z_dim, config.width, config.convolutions, config.precision
    )


def _image(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise ValueError(
            f"config.network='conv' needs images [h, w, c], the data have {shape}"
        )
    if shape[0] % 16 or shape[1] % 16:
        raise ValueError(
            "config.network='conv' needs sides that are multiples of 16, the data have "
            f"{shape}"
        )
    return shape


NETWORKS = {"mlp": Network(_mlp, _flat), "conv": Network(_conv, _image)}
"""The encoders by name; the MLP takes images as vectors."""


def built_in(config: Config, shape: tuple[int, ...]) -> nets.Bound:
    """The encoder that the config names.

    Args:
      config: its name and sizes.
      shape: the shape of one observation.

    Raises:
      ValueError: no such encoder, or one that does not fit the shape.
    """
    check.one_of("config.network", config.network, NETWORKS)
    kind = NETWORKS[config.network or ""]
    network, taken = kind.build(config), kind.shape(shape)

    def apply(params: Params, x: Array) -> Array:
        x = x.reshape(*x.shape[: x.ndim - len(shape)], *taken)
        return nets.apply(network, params, x)

    return nets.Bound(lambda key: network.init(key, jnp.zeros((1, *taken))), apply)
