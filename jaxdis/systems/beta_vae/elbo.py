"""The networks, and both parts of the ELBO."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Shaped

from jaxdis import check, gaussian, losses, nets
from jaxdis.data.colours import unit
from jaxdis.gaussian import Posterior
from jaxdis.optimise import ramp
from jaxdis.systems.beta_vae.config import Config, Hyper, sized
from jaxdis.types import Params, PRNGKey, Scalar, Spec

__all__ = [
    "CONSTRAINTS",
    "LIKELIHOODS",
    "NETWORKS",
    "Likelihood",
    "Model",
    "ModelParams",
    "Networks",
    "Terms",
    "build",
    "decode",
    "elbo_terms",
    "init_params",
    "observations",
    "posterior",
    "preferred",
]


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
    encoder: Callable[[Config, tuple[int, ...]], nn.Module]
    decoder: Callable[[Config, tuple[int, ...]], nn.Module]


def _dense_encoder(config: Config, shape: tuple[int, ...]) -> nn.Module:
    return nets.MLP(config.encoder, 2 * config.z_dim, config.precision)


def _dense_decoder(config: Config, shape: tuple[int, ...]) -> nn.Module:
    return nets.MLP(config.decoder, math.prod(shape), config.precision)


def _encoder(config: Config, shape: tuple[int, ...]) -> nn.Module:
    return nets.ConvEncoder(
        config.channels, 2 * config.z_dim, precision=config.precision
    )


def _decoder(config: Config, shape: tuple[int, ...]) -> nn.Module:
    height, width, channels = shape
    return nets.ConvDecoder(
        config.channels, (height, width, channels), precision=config.precision
    )


def _deep_encoder(config: Config, shape: tuple[int, ...]) -> nn.Module:
    return nets.DeepConvEncoder(
        config.channels, 2 * config.z_dim, precision=config.precision
    )


def _deep_decoder(config: Config, shape: tuple[int, ...]) -> nn.Module:
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


class Likelihood(NamedTuple):
    """What the output of the decoder means.

    Attributes:
      fits: whether it is one of observations of a shape.
      wants: what it takes, in words.
      error: `(x, output, noise_std) -> -log p(x | z)`, in nats per observation.
      mean: `output -> mean of x`.
    """

    fits: Callable[[tuple[int, ...]], bool]
    wants: str
    error: Callable[[Array, Array, Scalar], Array]
    mean: Callable[[Array], Array]


def _gaussian_error(x: Array, output: Array, noise_std: Scalar) -> Array:
    rows = (len(x), -1)
    return losses.gaussian_reconstruction(
        x.reshape(rows), output.reshape(rows), noise_std
    )


def _bernoulli_error(x: Array, output: Array, noise_std: Scalar) -> Array:
    return losses.bernoulli_reconstruction(x, output)


LIKELIHOODS = {
    "gaussian": Likelihood(
        lambda shape: True,
        "anything",
        _gaussian_error,
        lambda output: output,
    ),
    "bernoulli": Likelihood(
        lambda shape: len(shape) == 3,
        "images, whose numbers lie in [0, 1]",
        _bernoulli_error,
        jax.nn.sigmoid,
    ),
}
"""N(x; output, noise_std^2), or pixels in [0, 1] with the output as logits."""


def _divergence(kl: Array, step: Array, hyper: Hyper) -> Array:
    return kl


def _distance(kl: Array, step: Array, hyper: Hyper) -> Array:
    return jnp.abs(kl - hyper.capacity * ramp(step, hyper.warmup))


CONSTRAINTS: dict[str, Callable[[Array, Array, Hyper], Array]] = {
    "beta": _divergence,
    "capacity": _distance,
}
"""What beta weighs, of a batch's mean divergence: it, or its distance from a capacity
that rises along a line (Burgess et al. 2018, equation 8)."""


class Model(NamedTuple):
    """Networks and sizes, built once from a config and the spec of the data.

    Attributes:
      config: the config.
      shape: the shape of one observation.
      inner: the shape of one observation as the networks see it.
      encoder: from an observation to mean and logarithm of the variance of each latent.
      decoder: from latents to an observation, as the likelihood takes it.
      likelihood: what the decoder's output means.
      constraint: what beta weighs.
      z_true: the number of true latents; 0 where they are not known.
    """

    config: Config
    shape: tuple[int, ...]
    inner: tuple[int, ...]
    encoder: nets.Network
    decoder: nets.Network
    likelihood: Likelihood
    constraint: Callable[[Array, Array, Hyper], Array]
    z_true: int


_ENCODES = "mean and log-variance of each of the config.z_dim latents"
_WORDS: Mapping[str, Iterable[object]] = {
    "likelihood": LIKELIHOODS,
    "constraint": CONSTRAINTS,
    "networks": (None, *NETWORKS),
}


def build(
    config: Config, spec: Spec, *, encoder: object = None, decoder: object = None
) -> Model:
    """Networks and sizes.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of that of the config, as `nets.network` takes it,
        with mean and logarithm of the variance of each latent as outputs `[b, 2 z]`.
      decoder: likewise, from `[b, z]` to observations `[b, ...]`.

    Raises:
      ValueError: a value that is out of range, or networks or a likelihood that do not
        fit the shape of x.
    """
    config = sized(config, spec)
    for name, table in _WORDS.items():
        check.one_of(f"config.{name}", getattr(config, name), table)
    for name in ("z_dim", "channels", "batch"):
        check.at_least(f"config.{name}", getattr(config, name), 1)
    for name in ("encoder", "decoder"):
        check.widths(f"config.{name}", getattr(config, name))
    check.fraction("config.warmup", config.warmup, "the steps")
    shape, d = spec.shape, config.z_dim
    kind = config.networks or preferred(shape)
    networks, likelihood = NETWORKS[kind], LIKELIHOODS[config.likelihood or ""]
    for name, word, part in (
        ("networks", kind, networks),
        ("likelihood", config.likelihood, likelihood),
    ):
        if not part.fits(shape):
            raise ValueError(
                f"config.{name}={word!r} takes {part.wants}; an observation of this "
                f"data set has shape {shape}"
            )
    return Model(
        config=config,
        shape=shape,
        inner=networks.inner(shape) if encoder is None else shape,
        encoder=nets.network(networks.encoder(config, shape))
        if encoder is None
        else nets.checked(encoder, "encoder", shape, (2 * d,), _ENCODES),
        decoder=nets.network(networks.decoder(config, shape))
        if decoder is None
        else nets.checked(decoder, "decoder", (d,), shape, "of the shape of x"),
        likelihood=likelihood,
        constraint=CONSTRAINTS[config.constraint],
        z_true=spec.z_dim,
    )


class ModelParams(NamedTuple):
    """The parameters of one seed.

    Attributes:
      encoder: the parameters of the encoder.
      decoder: the parameters of the decoder.
    """

    encoder: Params
    decoder: Params


def init_params(key: PRNGKey, model: Model) -> ModelParams:
    """The initial parameters of one seed.

    Args:
      key: a random key.
      model: networks and sizes.
    """
    encoder_key, decoder_key = jax.random.split(key)
    return ModelParams(
        model.encoder.init(encoder_key, jnp.zeros(model.inner)),
        model.decoder.init(decoder_key, jnp.zeros(model.config.z_dim)),
    )


def observations(model: Model, x: Shaped[Array, "..."]) -> Shaped[Array, "b ..."]:
    """All observations in one row: those of sequences become rows of their own."""
    return x.reshape(-1, *model.shape)


def _numbers(model: Model, x: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """Vectors as floats, images as numbers in [0, 1]."""
    return unit(x) if len(model.shape) == 3 else x.astype(float)


def posterior(params: ModelParams, model: Model, x: Shaped[Array, "..."]) -> Posterior:
    """Mean and variance of q(z | x).

    Args:
      params: the parameters.
      model: networks and sizes.
      x: observations, with any axes in front.
    """
    lead = x.shape[: x.ndim - len(model.shape)]
    seen = _numbers(model, x).reshape(*lead, *model.inner)
    out = model.encoder.over(params.encoder, seen, len(model.inner))
    return gaussian.from_log_var(*jnp.split(out, 2, axis=-1))


def _output(
    params: ModelParams, model: Model, z: Float[Array, "*b z"]
) -> Float[Array, "..."]:
    out = model.decoder.over(params.decoder, z, 1)
    return out.reshape(*z.shape[:-1], *model.shape)


def decode(
    params: ModelParams, model: Model, z: Float[Array, "*b z"]
) -> Float[Array, "..."]:
    """The mean of p(x | z), with the axes of the latents in front.

    Args:
      params: the parameters.
      model: networks and sizes.
      z: the latents.
    """
    return model.likelihood.mean(_output(params, model, z))


class Terms(NamedTuple):
    """The parts of the negative ELBO, in nats per observation.

    Attributes:
      reconstruction: -log p(x | z) of one draw z ~ q(z | x).
      kl: the divergence of each latent's posterior from N(0, 1).
    """

    reconstruction: Float[Array, "b"]
    kl: Float[Array, "b z"]


def elbo_terms(
    params: ModelParams,
    model: Model,
    x: Shaped[Array, "b ..."],
    noise: Float[Array, "b z"],
    noise_std: Scalar,
) -> tuple[Terms, Posterior]:
    """Both parts of the negative ELBO, and the posterior that they come from.

    `-log p(x | z)` with `z = mean + sqrt(var) * noise`, and
    `KL(q(z_j | x) || N(0, 1))` of each latent.

    Args:
      params: the parameters.
      model: networks and sizes.
      x: observations.
      noise: standard normal.
      noise_std: the standard deviation of the decoder's noise, in units of x.
    """
    q = posterior(params, model, x)
    output = _output(params, model, gaussian.sample(q, noise))
    error = model.likelihood.error(_numbers(model, x), output, noise_std)
    return Terms(error, gaussian.kl(*q, *gaussian.standard(q.mean))), q
