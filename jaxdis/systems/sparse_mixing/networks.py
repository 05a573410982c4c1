"""The encoder and the decoder: built in, by the shape of the data, or a user's."""

from typing import Any

from jaxdis import nets
from jaxdis.systems.sparse_mixing.config import Config
from jaxdis.types import Spec

__all__ = ["decoder", "encoder"]

_ENCODES = "means and then log variances of the latents"


def encoder(config: Config, spec: Spec, given: Any = None) -> nets.Network:
    """From x `[b, *x]` to means and log variances of the latents, `[b, 2 z]`.

    Args:
      config: settings that are sized.
      spec: the shape of the data.
      given: a network of one's own; see `nets.network`.

    Raises:
      ValueError: a network of one's own whose outputs have another shape.
    """
    if given is not None:
        return nets.checked(given, "encoder", spec.shape, (2 * config.z_dim,), _ENCODES)
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
      ValueError: a network of one's own whose outputs have another shape.
    """
    if given is not None:
        return nets.checked(
            given, "decoder", (config.z_dim,), spec.shape, "the mean of x"
        )
    return nets.decoder_for(
        spec.shape,
        hidden=config.decoder,
        channels=config.channels,
        precision=config.precision,
    )
