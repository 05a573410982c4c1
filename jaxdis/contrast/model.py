"""An encoder, and what tells real rows from others by its codes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
from jaxtyping import Array, Float, Shaped

from jaxdis import check, nets
from jaxdis.data.colours import unit
from jaxdis.types import Params, PRNGKey, Spec

__all__ = [
    "Model",
    "ModelParams",
    "Settings",
    "build",
    "encode",
    "init_params",
    "sized",
]

S = TypeVar("S", bound=Any)  # a config


@runtime_checkable
class Settings(Protocol):
    """What the config of every such method has.

    Attributes:
      z_dim: the number of codes.
      encoder: the hidden widths of the encoder of vectors.
      channels: the channels of the first convolution of the encoder of images.
      batch: the number of rows in a step.
      precision: the precision of matrix products.
    """

    @property
    def z_dim(self) -> int: ...
    @property
    def encoder(self) -> tuple[int, ...]: ...
    @property
    def channels(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def precision(self) -> str: ...


def sized(config: S, spec: Spec) -> S:
    """The config with a number of codes, which `Spec.codes` tells.

    Args:
      config: a method's config, a dataclass as `Settings`.
      spec: what is known of the data.
    """
    changed: S = replace(config, z_dim=spec.codes(config.z_dim))
    return changed


class Model(NamedTuple):
    """Networks and sizes, built once from a config and the spec of the data.

    Attributes:
      config: the method's config, with its sizes.
      shape: the shape of one observation.
      encoder: from an observation to its codes.
      head: `key -> params` of what is computed from the codes.
      z_true: the number of true latents; 0 where they are not known.
    """

    config: Settings
    shape: tuple[int, ...]
    encoder: nets.Bound
    head: Callable[[PRNGKey], Params]
    z_true: int


def build(
    config: Settings,
    spec: Spec,
    head: Callable[[PRNGKey], Params],
    *,
    least: int = 1,
    encoder: object = None,
) -> Model:
    """Networks and sizes.

    Args:
      config: the method's config, sized.
      spec: what is known of the data.
      head: `key -> params` of what is computed from the codes.
      least: the least number of rows in a batch.
      encoder: a network in place of the one by the shape of x, as `nets.network` takes
        it, with outputs `[b, z_dim]`.

    Raises:
      ValueError: sizes below their least, or an encoder with outputs of another shape.
    """
    for name in ("z_dim", "channels"):
        check.at_least(f"config.{name}", getattr(config, name), 1)
    check.at_least("config.batch", config.batch, least)
    check.widths("config.encoder", config.encoder)
    network = nets.encoder_for(
        spec.shape,
        config.z_dim,
        hidden=config.encoder,
        channels=config.channels,
        precision=config.precision,
        given=encoder,
        meaning="the config.z_dim codes",
    )
    return Model(
        config=config,
        shape=spec.shape,
        encoder=nets.bound(network, spec.shape),
        head=head,
        z_true=spec.z_dim,
    )


class ModelParams(NamedTuple):
    """The parameters of one seed.

    Attributes:
      encoder: the parameters of the encoder.
      head: those of what is computed from the codes.
    """

    encoder: Params
    head: Params


def init_params(key: PRNGKey, model: Model) -> ModelParams:
    """The initial parameters of one seed.

    Args:
      key: a random key.
      model: networks and sizes.
    """
    encoder_key, head_key = jax.random.split(key)
    return ModelParams(model.encoder.init(encoder_key), model.head(head_key))


def encode(
    params: ModelParams, model: Model, x: Shaped[Array, "..."]
) -> Float[Array, "*b z"]:
    """The codes of observations: vectors as floats, images as numbers in [0, 1].

    Args:
      params: the parameters.
      model: networks and sizes.
      x: observations, with any axes in front.
    """
    seen = unit(x) if len(model.shape) == 3 else x.astype(float)
    return model.encoder.apply(params.encoder, seen)
