"""The networks of a variational autoencoder, and both parts of its ELBO."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxdis import check, gaussian, nets
from jaxdis.data.colours import unit
from jaxdis.gaussian import Posterior
from jaxdis.types import Params, PRNGKey, Scalar, Spec
from jaxdis.vae.likelihoods import LIKELIHOODS, Likelihood
from jaxdis.vae.networks import NETWORKS, Settings, preferred

__all__ = [
    "Model",
    "ModelParams",
    "Terms",
    "build",
    "decode",
    "elbo_terms",
    "init_params",
    "numbers",
    "observations",
    "output",
    "posterior",
    "sized",
]

S = TypeVar("S", bound=Any)  # a config


def sized(config: S, spec: Spec) -> S:
    """The config with a number of latents and a likelihood.

    `Spec.codes` tells the number. Where the likelihood is None it becomes "bernoulli"
    of images and "gaussian" of vectors.

    Args:
      config: a method's config, a dataclass as `networks.Settings`.
      spec: what is known of the data.
    """
    fitting = "bernoulli" if len(spec.shape) == 3 else "gaussian"
    changed: S = replace(
        config,
        z_dim=spec.codes(config.z_dim),
        likelihood=config.likelihood or fitting,
    )
    return changed


class Model(NamedTuple):
    """Networks and sizes, built once from a config and the spec of the data.

    Attributes:
      config: the method's config, with its sizes.
      shape: the shape of one observation.
      inner: the shape of one observation as the networks see it.
      encoder: from an observation to mean and logarithm of the variance of each latent.
      decoder: from latents to an observation, as the likelihood takes it.
      likelihood: what the decoder's output means.
      z_true: the number of true latents; 0 where they are not known.
    """

    config: Settings
    shape: tuple[int, ...]
    inner: tuple[int, ...]
    encoder: nets.Network
    decoder: nets.Network
    likelihood: Likelihood
    z_true: int


_ENCODES = "mean and log-variance of each of the config.z_dim latents"
_WORDS: Mapping[str, Iterable[object]] = {
    "likelihood": LIKELIHOODS,
    "networks": (None, *NETWORKS),
}


def build(
    config: Settings, spec: Spec, *, encoder: object = None, decoder: object = None
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


def numbers(model: Model, x: Shaped[Array, "..."]) -> Float[Array, "..."]:
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
    seen = numbers(model, x).reshape(*lead, *model.inner)
    out = model.encoder.over(params.encoder, seen, len(model.inner))
    return gaussian.from_log_var(*jnp.split(out, 2, axis=-1))


def output(
    params: ModelParams, model: Model, z: Float[Array, "*b z"]
) -> Float[Array, "..."]:
    """What the likelihood takes: the mean of x, or the logits of pixels.

    Args:
      params: the parameters.
      model: networks and sizes.
      z: the latents.
    """
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
    return model.likelihood.mean(output(params, model, z))


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
    logits = output(params, model, gaussian.sample(q, noise))
    error = model.likelihood.error(numbers(model, x), logits, noise_std)
    return Terms(error, gaussian.kl(*q, *gaussian.standard(q.mean))), q
