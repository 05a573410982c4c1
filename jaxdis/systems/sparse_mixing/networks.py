"""The encoder and the decoder: built in, by the shape of the data, or a user's."""

from typing import Any

import jax
from jaxtyping import Array

from jaxdis import nets
from jaxdis.systems.sparse_mixing.config import Config
from jaxdis.types import Spec

__all__ = ["decoder", "encoder"]


def _fitting(
    given: Any, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> nets.Network:
    """A user's network, of which one pass is traced."""
    found = nets.network(given, name)

    def one(x: Array) -> Array:
        return found.apply(found.init(jax.random.key(0), x[0]), x)

    try:
        shape = jax.eval_shape(one, jax.ShapeDtypeStruct((2, *inputs), float)).shape
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} fails on an input of shape {inputs}: {error}"
        ) from error
    if shape != (2, *outputs):
        raise ValueError(
            f"{name} must map an input of shape {inputs} to an output of shape "
            f"{outputs}, got {shape[1:]}"
        )
    return found


def encoder(config: Config, spec: Spec, given: Any = None) -> nets.Network:
    """From x `[b, *x]` to means and log variances of the latents, `[b, 2 z]`.

    Args:
      config: settings that are sized.
      spec: the shape of the data.
      given: a network of one's own; see `nets.network`.

    Raises:
      ValueError: a network of one's own that fails on such data, or has other outputs.
    """
    if given is not None:
        return _fitting(given, "encoder", spec.shape, (2 * config.z_dim,))
    return nets.encoder_for(
        spec.shape,
        2 * config.z_dim,
        hidden=config.encoder,
        channels=config.channels,
        precision=config.precision,
    )


def decoder(config: Config, spec: Spec, given: Any = None) -> nets.Network:
    """From latents `[b, z]` to x^ `[b, *x]`.

    Args:
      config: settings that are sized.
      spec: the shape of the data.
      given: a network of one's own; see `nets.network`.

    Raises:
      ValueError: a network of one's own that fails on latents, or has other outputs.
    """
    if given is not None:
        return _fitting(given, "decoder", (config.z_dim,), spec.shape)
    return nets.decoder_for(
        spec.shape,
        hidden=config.decoder,
        channels=config.channels,
        precision=config.precision,
    )
