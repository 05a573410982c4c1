"""Networks of a user's own, and the built-in ones by the shape of the data."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxdis.nets.encoders import (
    ConvDecoder,
    ConvEncoder,
    DeepConvDecoder,
    DeepConvEncoder,
)
from jaxdis.nets.layers import MLP
from jaxdis.types import Params, PRNGKey

__all__ = [
    "Bound",
    "Network",
    "bound",
    "checked",
    "decoder_for",
    "encoder_for",
    "network",
]

DEEP = 128  # pixels a side, from which images are halved four times instead of two


class Network(NamedTuple):
    """A network as two pure functions.

    Attributes:
      init: `(key, x) -> params`, of one observation without a batch axis.
      apply: `(params, x) -> y`, of a batch `[b, ...]`.
      any_axes: whether `apply` takes any axes in front, and not those of a batch alone.
    """

    init: Callable[[PRNGKey, Array], Params]
    apply: Callable[[Params, Array], Array]
    any_axes: bool = False

    def over(
        self, params: Params, x: Float[Array, "..."], axes: int
    ) -> Float[Array, "..."]:
        """The outputs over any leading axes.

        Args:
          params: the parameters.
          x: the inputs.
          axes: the number of axes of one input, 1 for vectors and 3 for images.
        """
        if self.any_axes:
            return self.apply(params, x)
        lead, inner = x.shape[: x.ndim - axes], x.shape[x.ndim - axes :]
        y = self.apply(params, x.reshape(-1, *inner))
        return y.reshape(*lead, *y.shape[1:])


class Bound(NamedTuple):
    """A network for inputs of one shape.

    Attributes:
      init: `key -> params`.
      apply: `(params, x) -> y`, over any leading axes.
    """

    init: Callable[[PRNGKey], Params]
    apply: Callable[[Params, Array], Array]


def bound(network: Network, shape: tuple[int, ...]) -> Bound:
    """A network for inputs of one shape.

    Args:
      network: the network.
      shape: the shape of one input.
    """
    return Bound(
        lambda key: network.init(key, jnp.zeros(shape)),
        lambda params, x: network.over(params, x, len(shape)),
    )


def network(given: Any, name: str = "network") -> Network:
    """A flax module, or a pair of functions `(init, apply)`, as a `Network`.

    Args:
      given: the module, whose input has a batch axis in front; or the pair:
        `init(key, x) -> params` of one observation, `apply(params, x) -> y` of a batch.
      name: what an error calls it.

    Raises:
      ValueError: it is neither.
    """
    if isinstance(given, Network):
        return given
    if isinstance(given, nn.Module):
        return Network(
            lambda key, x: given.init(key, x[None]),
            lambda params, x: jnp.asarray(given.apply(params, x)),
        )
    pair = tuple(given) if isinstance(given, Sequence) else (given,)
    if len(pair) == 2 and all(callable(f) for f in pair):
        return Network(*pair)
    raise ValueError(
        f"{name} must be a flax module or a pair of functions (init, apply), got "
        f"{type(given).__name__}"
    )


def checked(
    given: Any,
    name: str,
    shape: tuple[int, ...],
    out: tuple[int, ...],
    meaning: str,
) -> Network:
    """A network of a user's own, whose outputs have the shape that they must have.

    Nothing is computed: the network is traced once.

    Args:
      given: the network, as `network` takes it.
      name: what an error calls it.
      shape: the shape of one input.
      out: the shape of one output.
      meaning: what the outputs are, in words.

    Raises:
      ValueError: it is no network, or its outputs have another shape.
    """
    own = network(given, name)
    two = jax.ShapeDtypeStruct((2, *shape), jnp.float32)

    def run(key: PRNGKey, x: Array) -> Array:
        return own.apply(own.init(key, x[0]), x)

    found = jax.eval_shape(run, jax.random.key(0), two).shape
    if found != (2, *out):
        raise ValueError(
            f"{name} must turn inputs {('b', *shape)} into outputs {('b', *out)}, "
            f"{meaning}; it gives {('b', *found[1:])}"
        )
    return own


def _sides(shape: tuple[int, ...], factor: int) -> bool:
    return len(shape) == 3 and shape[0] % factor == 0 == shape[1] % factor


def encoder_for(
    shape: tuple[int, ...],
    out: int,
    *,
    hidden: Sequence[int],
    channels: int = 32,
    precision: str = "highest",
    given: Any = None,
    meaning: str = "",
) -> Network:
    """The encoder for observations of a shape: a user's, or the built-in one.

    The built-in one has convolutions for images whose sides 4 divides (16, from 128
    pixels on), and is a perceptron on the numbers in a row for all else.

    Args:
      shape: the shape of one observation.
      out: the number of outputs.
      hidden: the hidden widths of the perceptron.
      channels: the channels of the first convolution.
      precision: the precision of products.
      given: a network of a user's own, as `network` takes it; None for the built-in.
      meaning: what its outputs are, in words, for an error.

    Raises:
      ValueError: a network of a user's own whose outputs have another shape.
    """
    if given is not None:
        return checked(given, "encoder", shape, (out,), meaning)
    if _sides(shape, 16) and max(shape) >= DEEP:
        return network(DeepConvEncoder(channels, out, precision=precision))
    if _sides(shape, 4):
        return network(ConvEncoder(channels, out, precision=precision))
    dense = MLP(tuple(hidden), out, precision)
    if len(shape) == 1:
        return network(dense)._replace(any_axes=True)
    return Network(
        lambda key, x: dense.init(key, x.reshape(-1)),
        lambda params, x: jnp.asarray(dense.apply(params, x.reshape(len(x), -1))),
    )


def decoder_for(
    shape: tuple[int, ...],
    z_dim: int,
    *,
    hidden: Sequence[int],
    channels: int = 32,
    precision: str = "highest",
    given: Any = None,
    meaning: str = "",
) -> Network:
    """The decoder for observations of a shape: a user's, or the built-in one.

    The counterpart of `encoder_for`.

    Args:
      shape: the shape of one observation.
      z_dim: the number of latents.
      hidden: the hidden widths of the perceptron.
      channels: the channels of the last hidden convolution.
      precision: the precision of products.
      given: a network of a user's own, as `network` takes it; None for the built-in.
      meaning: what its outputs are, in words, for an error.

    Raises:
      ValueError: a network of a user's own whose outputs have another shape.
    """
    if given is not None:
        return checked(given, "decoder", (z_dim,), shape, meaning)
    if _sides(shape, 16) and max(shape) >= DEEP:
        height, width, colours = shape
        return network(
            DeepConvDecoder(channels, (height, width, colours), precision=precision)
        )
    if _sides(shape, 4):
        height, width, colours = shape
        return network(
            ConvDecoder(channels, (height, width, colours), precision=precision)
        )
    dense = MLP(tuple(hidden), math.prod(shape), precision)
    if len(shape) == 1:
        return network(dense)._replace(any_axes=True)
    return Network(
        lambda key, z: dense.init(key, z),
        lambda params, z: jnp.asarray(dense.apply(params, z)).reshape(-1, *shape),
    )
