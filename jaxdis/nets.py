"""Encoders and decoders. The only file that imports flax."""

from collections.abc import Sequence
from typing import cast

import jax
from flax import linen as nn
from jaxtyping import Array, Float

from jaxdis.types import Params

LEAKY_SLOPE = 0.2


def uniform_fan_in(fan_in: int) -> nn.initializers.Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), for weights and biases alike."""
    bound = fan_in**-0.5

    def initialise(key, shape, dtype=None):  # type: ignore[no-untyped-def]
        return jax.random.uniform(key, shape, dtype or float, -bound, bound)

    return initialise


class MLP(nn.Module):
    """Leaky-ReLU (slope .2) network with a linear output and biases everywhere.

    Attributes:
      hidden: widths of the hidden layers.
      out: output size.
      precision: of the matrix products, a `jax.lax.Precision` name.
    """

    hidden: Sequence[int]
    out: int
    precision: str = "highest"

    @nn.compact
    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        for index, width in enumerate((*self.hidden, self.out)):
            init = uniform_fan_in(x.shape[-1])
            layer = nn.Dense(
                width, precision=self.precision, kernel_init=init, bias_init=init
            )
            x = layer(x)
            if index < len(self.hidden):
                x = nn.leaky_relu(x, LEAKY_SLOPE)
        return x


def apply(network: nn.Module, params: Params, x: Float[Array, "..."]) -> Array:
    """The output of a network; `Module.apply` for networks without mutable state."""
    return cast(Array, network.apply(params, x))
