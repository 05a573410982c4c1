"""From a config and what is known of the data to a model; looked up once."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import check, flows, nets
from jaxdis.kernels import potential_flow
from jaxdis.kernels.potential_flow import Potentials
from jaxdis.systems.flow_factorized import terms
from jaxdis.systems.flow_factorized.config import Config
from jaxdis.systems.flow_factorized.networks import Model
from jaxdis.types import Spec

__all__ = ["NEEDS", "SUPERVISIONS", "Supervision", "build"]

NEEDS = ("sequences", "images")


class _Architecture(NamedTuple):
    """A kind of VAE.

    Attributes:
      stride: what must divide the sides of images.
      networks: `(config, shape, K) -> (encoder, decoder, index)`.
      flat: `images -> what the networks take`.
    """

    stride: int
    networks: Callable[
        [Config, tuple[int, int, int], int], tuple[nn.Module, nn.Module, nn.Module]
    ]
    flat: Callable[[Array], Array]


def _mlp(
    config: Config, shape: tuple[int, int, int], k: int
) -> tuple[nn.Module, nn.Module, nn.Module]:
    w, form = config.width, config.precision
    hidden, index = (w,) * config.depth, (config.index_width or w,) * config.depth
    return (
        nets.MLP(hidden, 2 * config.z_dim, form, slope=0.0),
        nets.MLP(hidden, math.prod(shape), form, slope=0.0),
        nets.MLP(index, k, form, slope=0.0),
    )


def _deep_conv(
    config: Config, shape: tuple[int, int, int], k: int
) -> tuple[nn.Module, nn.Module, nn.Module]:
    w, conv, form = config.width, config.convolutions, config.precision
    return (
        nets.DeepConvEncoder(w, 2 * config.z_dim, conv, form),
        nets.DeepConvDecoder(w, shape, conv, form),
        nets.DeepConvEncoder(config.index_width or w, k, conv, form),
    )


def _conv(
    config: Config, shape: tuple[int, int, int], k: int
) -> tuple[nn.Module, nn.Module, nn.Module]:
    w, conv, form = config.width, config.convolutions, config.precision
    index = config.index_width or w
    return (
        nets.ConvEncoder(w, 2 * config.z_dim, 0, conv, form),
        nets.ConvDecoder(w, shape, conv, form),
        nets.ConvEncoder(index, k, index, conv, form),
    )


def _in_a_row(x: Float[Array, "*b h w c"]) -> Float[Array, "*b x"]:
    return x.reshape(*x.shape[:-3], -1)


_ARCHITECTURES = {
    "conv": _Architecture(4, _conv, lambda x: x),
    "deep_conv": _Architecture(16, _deep_conv, lambda x: x),
    "mlp": _Architecture(1, _mlp, _in_a_row),
}


class Supervision(NamedTuple):
    """Which networks there are beside the VAE.

    Attributes:
      flows: whether there are potentials along which latents flow.
      infers: whether there is a network that infers the transformation.
    """

    flows: bool
    infers: bool


SUPERVISIONS = {
    "known": Supervision(flows=True, infers=False),
    "inferred": Supervision(flows=True, infers=True),
    "none": Supervision(flows=False, infers=False),
}


def _without_constant(potentials: Potentials) -> Potentials:
    """Nothing sees it, and nothing moves it."""
    return potentials._replace(b3=jnp.zeros_like(potentials.b3))


_OFFSETS: dict[str, Callable[[Potentials], Potentials]] = {
    "linear": _without_constant,
    "tanh": lambda potentials: potentials,
}

_WORDS: dict[str, Iterable[str]] = {
    "supervision": SUPERVISIONS,
    "vae": _ARCHITECTURES,
    "log_det": flows.LOG_DETS,
    "kl": terms.DIVERGENCES,
    "prior_gradient": terms.GRADIENTS,
    "hj": terms.EQUATIONS,
    "ic": terms.CONDITIONS["known"],
    "head": _OFFSETS,
    "clock": terms.CLOCKS,
    "index_loss": terms.INDEX_LOSSES,
}


def _part(
    architecture: _Architecture, network: nn.Module, shape: tuple[int, int, int]
) -> nets.Bound:
    """A built-in network of images."""
    flat = architecture.flat
    return nets.Bound(
        lambda key: network.init(key, flat(jnp.zeros((1, *shape)))),
        lambda params, x: nets.apply(network, params, flat(x)),
    )


_ENCODES = "the means and log variances of config.z_dim latents"
_DECODES = "the logits of the pixels"


def build(
    config: Config, spec: Spec, encoder: Any = None, decoder: Any = None
) -> Model:
    """Looks up what the config names, once.

    Args:
      config: the config of the method.
      spec: what is known of the data.
      encoder: a network of a user's own, in place of that of the config.
      decoder: likewise.

    Raises:
      ValueError: a config that does not fit itself or the data, by its field.
    """
    check.needs("flow_factorized", NEEDS, spec)
    assert spec.steps is not None
    check.at_least("data.x: the frames of a sequence", spec.steps, 2)
    height, width, channels = spec.shape
    for field, words in _WORDS.items():
        check.one_of(f"config.{field}", getattr(config, field), words)
    for field in ("width", "depth", "batch"):
        check.at_least(f"config.{field}", getattr(config, field), 1)
    k = _number(config, spec)
    hidden = config.potential_width or config.z_dim
    potential_flow.check_sizes(max(k, 1), config.z_dim, hidden)
    _check_combinations(config)
    supervision = config.supervision or ""
    architecture, kind = _ARCHITECTURES[config.vae or ""], SUPERVISIONS[supervision]
    whole = height % architecture.stride == 0 == width % architecture.stride
    built_in = encoder is None or decoder is None or kind.infers
    if built_in and not whole:
        raise ValueError(
            f"config.vae={config.vae!r} halves images until {architecture.stride} must "
            f"divide their sides, and they are {height} x {width}; resize them or use "
            "'mlp'"
        )
    shape = (height, width, channels)
    into, out, index = architecture.networks(config, shape, k)
    z_dim, several = config.z_dim, (height, width, channels * spec.steps)
    encode = _part(architecture, into, shape)
    decode = nets.Bound(
        lambda key: out.init(key, jnp.zeros((1, z_dim))), partial(nets.apply, out)
    )
    if encoder is not None:
        own = nets.checked(encoder, "encoder", shape, (2 * z_dim,), _ENCODES)
        encode = nets.bound(own, shape)
    if decoder is not None:
        own = nets.checked(decoder, "decoder", (z_dim,), shape, _DECODES)
        decode = nets.bound(own, (z_dim,))
    return Model(
        encoder=encode,
        decoder=decode,
        index_encoder=_part(architecture, index, several) if kind.infers else None,
        flows=kind.flows,
        shape=shape,
        steps=spec.steps - 1,
        names=spec.transformations,
        k=k,
        z_dim=config.z_dim,
        hidden=hidden,
        first_time=terms.CLOCKS[config.clock],
        log_det=config.log_det,
        head=config.head,
        offset=_OFFSETS[config.head],
        divergence=terms.DIVERGENCES[config.kl],
        equation=terms.EQUATIONS[config.hj],
        condition=terms.CONDITIONS[supervision][config.ic],
        index_loss=terms.INDEX_LOSSES[config.index_loss],
        gradient=terms.GRADIENTS[config.prior_gradient],
    )


def _number(config: Config, spec: Spec) -> int:
    """How many transformations there are."""
    known, asked = len(spec.transformations), config.transformations
    check.at_least("config.transformations", asked, 0)
    if known and asked not in (0, known):
        raise ValueError(
            f"config.transformations must be 0 for data that name theirs, {known} of "
            f"them, got {asked}"
        )
    kind = SUPERVISIONS[config.supervision or ""]
    if kind.flows and not kind.infers and not known:
        raise ValueError(
            f"config.supervision={config.supervision!r} needs the transformation `k` "
            "of every sequence, or set config.supervision to 'inferred' and "
            "config.transformations to their number, or config.supervision to 'none'; "
            f"{check.has(spec, ('k',))}"
        )
    if kind.infers and not known + asked:
        raise ValueError(
            "config.transformations must be the number of transformations to infer, "
            "since this data set names none; got 0"
        )
    if kind.infers and config.index_loss == "true_label" and not known:
        raise ValueError(
            "config.index_loss='true_label' needs the transformation `k` of every "
            "sequence, and this data set names no transformations; use 'uniform_kl'"
        )
    return known or asked


def _check_combinations(config: Config) -> None:
    """Raises where one field leaves another without a meaning."""
    if config.clock == "start" and config.ic != "off":
        raise ValueError(
            "config.clock='start' moves the first step by grad u(z, 0), which the "
            "initial condition makes 0: set config.ic to 'off', or keep the clock 'end'"
        )
    if (config.log_det == "rowsum") != (config.kl == "softmax_dims"):
        raise ValueError(
            "config.log_det='rowsum' and config.kl='softmax_dims' need each other: row "
            "sums are terms per dimension and no determinant; got "
            f"{config.log_det!r} and {config.kl!r}"
        )
    if config.prior_gradient == "accumulate" and config.kl == "density":
        raise ValueError(
            "config.prior_gradient='accumulate' repeats a defect of the released "
            "prior's scales, which config.kl='density' has not; use 'fresh'"
        )
