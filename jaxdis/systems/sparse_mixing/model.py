"""CG-VAE: its networks and its objective."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Shaped

from jaxdis import gaussian, losses, monotone, nets, priors
from jaxdis.data import colours
from jaxdis.gaussian import Posterior
from jaxdis.systems.sparse_mixing.config import (
    ColumnScale,
    Config,
    Hyper,
    check_config,
    sized,
)
from jaxdis.types import Params, PRNGKey, Scalar, Spec

__all__ = [
    "COLUMN_SCALES",
    "Model",
    "ModelParams",
    "Prior",
    "Terms",
    "build",
    "cgvae_loss",
    "decode",
    "decode_flat",
    "draw_latents",
    "evidence",
    "init_params",
    "log_prior",
    "moments",
    "observed",
    "posterior",
    "prior_table",
    "squared_error",
]

LOG_VAR_LIMIT = 10.0
PRIOR_WIDTH = 32
LAST_LAYER = 0.01  # flows start near the identity


def _std(z: Float[Array, "b z"]) -> Float[Array, "z"]:
    # A latent that has collapsed to a point has a variance of 0, where a root has no
    # derivative: the floor is far below any that is alive.
    return jnp.sqrt(jnp.var(z, 0) + 1e-12)


def _one(z: Float[Array, "b z"]) -> Float[Array, "z"]:
    return jnp.ones(z.shape[-1])


# Weights of the Jacobian's columns, from the latents of a batch.
COLUMN_SCALES: dict[ColumnScale, Callable[[Array], Array]] = {"std": _std, "none": _one}


class Prior(NamedTuple):
    """What the flows of all domains are made of.

    Attributes:
      embedding: one row per domain.
      network: the parameters of the network from a row to a domain's flows.
      shared: what deep sigmoidal flows share, None for other families.
    """

    embedding: Float[Array, "d e"]
    network: Params
    shared: monotone.Shared | None


class ModelParams(NamedTuple):
    """Parameters of one seed.

    Attributes:
      encoder: the parameters of the encoder.
      decoder: the parameters of the decoder.
      prior: the parameters of the prior.
    """

    encoder: Params
    decoder: Params
    prior: Prior


class Model(NamedTuple):
    """The networks, and what shapes the objective.

    Attributes:
      encoder: from x to means and log variances of the latents, in one vector.
      decoder: from latents to x^.
      prior: from a domain's vector to the parameters of its flows.
      shape: the shape of one observation.
      z_dim: the number of latents.
      domains: the number of domains.
      config: the settings it was built from.
    """

    encoder: nets.Network
    decoder: nets.Network
    prior: nn.Module
    shape: tuple[int, ...]
    z_dim: int
    domains: int
    config: Config


class Terms(NamedTuple):
    """The parts of the loss, unweighted, means over the batch.

    Attributes:
      reconstruction: the squared error.
      kl: the divergence of the posterior from the prior, in nats.
      sparsity: the L1 norm of the decoder's scaled Jacobian.
    """

    reconstruction: Float[Array, ""]
    kl: Float[Array, ""]
    sparsity: Float[Array, ""]


def build(
    config: Config, spec: Spec, *, encoder: Any = None, decoder: Any = None
) -> Model:
    """The model for data of the given sizes.

    Args:
      config: the settings; what they leave to the data is `sized`.
      spec: the shape of the data and their domains.
      encoder: a network of one's own from `[b, *x]` to means and log variances of the
        latents, `[b, 2 z]`; see `nets.network`.
      decoder: likewise from latents `[b, z]` to `[b, *x]`.

    Raises:
      ValueError: a config or a network that does not fit the data.
    """
    check_config(config, spec)
    config = sized(config, spec)
    n = config.z_dim
    parameters = n * priors.parameter_count(config.prior, config.bins)
    return Model(
        encoder=nets.encoder_for(
            spec.shape,
            2 * n,
            hidden=config.encoder,
            channels=config.channels,
            precision=config.precision,
            given=encoder,
            meaning="means and then log variances of the latents",
        ),
        decoder=nets.decoder_for(
            spec.shape,
            n,
            hidden=config.decoder,
            channels=config.channels,
            precision=config.precision,
            given=decoder,
            meaning="the mean of x",
        ),
        prior=nets.MLP((PRIOR_WIDTH,), parameters, config.precision),
        shape=spec.shape,
        z_dim=n,
        domains=len(spec.domains),
        config=config,
    )


def init_params(model: Model, key: PRNGKey) -> ModelParams:
    """Initial parameters of one seed."""
    keys, config = jax.random.split(key, 5), model.config
    embedding = jax.random.normal(keys[2], (model.domains, config.embedding))
    network = model.prior.init(keys[3], embedding)
    small = jax.tree.map(lambda a: LAST_LAYER * a, network["params"]["Dense_1"])
    network = {"params": network["params"] | {"Dense_1": small}}
    shared = monotone.init_shared(keys[4]) if config.prior == "ddsf" else None
    return ModelParams(
        model.encoder.init(keys[0], jnp.zeros(model.shape)),
        model.decoder.init(keys[1], jnp.zeros(model.z_dim)),
        Prior(embedding, network, shared),
    )


def observed(x: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """Observations as networks see them: bytes in [0, 1], numbers as they are."""
    return colours.unit(x) if x.dtype == jnp.uint8 else x.astype(float)


def moments(
    model: Model, params: ModelParams, x: Float[Array, "..."]
) -> tuple[Float[Array, "*b z"], Float[Array, "*b z"]]:
    """Mean and log variance of q(z | x); the log variance is kept in [-10, 10].

    Args:
      model: the networks.
      params: their parameters.
      x: observations.
    """
    out = model.encoder.over(params.encoder, x, len(model.shape))
    mean, log_var = jnp.split(out, 2, axis=-1)
    return mean, jnp.clip(log_var, -LOG_VAR_LIMIT, LOG_VAR_LIMIT)


def posterior(model: Model, params: ModelParams, x: Float[Array, "..."]) -> Posterior:
    """q(z | x), which does not see the domain.

    Args:
      model: the networks.
      params: their parameters.
      x: observations.
    """
    return gaussian.from_log_var(*moments(model, params, x))


def decode(
    model: Model, params: ModelParams, z: Float[Array, "*b z"]
) -> Float[Array, "..."]:
    """The decoder's x^, `[*b, *x]`.

    Args:
      model: the networks.
      params: their parameters.
      z: latents.
    """
    return model.decoder.over(params.decoder, z, 1)


def decode_flat(
    model: Model, params: ModelParams, z: Float[Array, "b z"]
) -> Float[Array, "b m"]:
    """The decoder's x^, all numbers of an observation in a row.

    Args:
      model: the networks.
      params: their parameters.
      z: latents.
    """
    return decode(model, params, z).reshape(len(z), -1)


def squared_error(
    model: Model,
    params: ModelParams,
    x: Float[Array, "b ..."],
    z: Float[Array, "b z"],
) -> Float[Array, "b"]:
    """`|x - x^(z)|^2` of each row.

    Args:
      model: the networks.
      params: their parameters.
      x: observations.
      z: the latents that are decoded.
    """
    return jnp.sum((x.reshape(len(x), -1) - decode_flat(model, params, z)) ** 2, -1)


def prior_table(
    model: Model, params: ModelParams, conditioning: Scalar = 1.0
) -> Float[Array, "d z p"]:
    """Parameters of the flows of all domains and latents.

    Args:
      model: the networks.
      params: their parameters.
      conditioning: what they are multiplied by.
    """
    table = nets.apply(model.prior, params.prior.network, params.prior.embedding)
    return conditioning * table.reshape(model.domains, model.z_dim, -1)


def log_prior(
    model: Model,
    params: ModelParams,
    z: Float[Array, "b z"],
    u: Int[Array, "b"],
    conditioning: Scalar = 1.0,
) -> Float[Array, "b"]:
    """`log p(z | u)` in nats.

    Args:
      model: the networks.
      params: their parameters.
      z: latents.
      u: the domain of each.
      conditioning: see `Hyper`.
    """
    return priors.domain_log_prob(
        prior_table(model, params, conditioning),
        z,
        u,
        family=model.config.prior,
        shared=params.prior.shared,
    )


def draw_latents(
    key: PRNGKey, mean: Float[Array, "b z"], log_var: Float[Array, "b z"]
) -> tuple[Float[Array, "b z"], Float[Array, "b"]]:
    """z^ ~ q(z | x) and `log q(z^ | x)` in nats.

    Args:
      key: of the draw.
      mean: the means of q.
      log_var: its log variances.
    """
    noise = jax.random.normal(key, mean.shape)
    z = mean + jnp.exp(0.5 * log_var) * noise
    log_q = -0.5 * jnp.sum(noise**2 + log_var + gaussian.LOG_2PI, -1)
    return z, log_q


def evidence(
    model: Model,
    params: ModelParams,
    x: Float[Array, "b ..."],
    u: Int[Array, "b"],
    hyper: Hyper,
    key: PRNGKey,
) -> tuple[
    Float[Array, ""],
    tuple[Float[Array, ""], Float[Array, ""], Float[Array, "b z"]],
]:
    """The objective without sparsity, `mean_b |x - x^|^2 + beta KL`.

    Args:
      model: the networks.
      params: their parameters.
      x: observations.
      u: the domain of each.
      hyper: the weights.
      key: of the draw.

    Returns:
      The objective, its two parts, unweighted, and the latents drawn.
    """
    z, log_q = draw_latents(key, *moments(model, params, x))
    error = squared_error(model, params, x, z).mean()
    log_p = log_prior(model, params, z, u, hyper.conditioning)
    kl = jnp.mean(log_q - log_p)
    return losses.negative_elbo(error, kl, hyper.beta), (error, kl, z)


def cgvae_loss(
    model: Model,
    params: ModelParams,
    x: Float[Array, "b ..."],
    u: Int[Array, "b"],
    hyper: Hyper,
    key: PRNGKey,
) -> tuple[Float[Array, ""], tuple[Terms, Float[Array, "b z"]]]:
    """The objective, minimised:

        L   = mean_b |x - x^|^2 + beta KL + alpha L_s
        KL  = mean_b log q(z^ | x) - log p(z^ | u),  one draw z^ ~ q(z | x)
        L_s = mean_b sum_kj |d x^_k / d z^_j| std_j  (`losses.jacobian_l1`)

    Args:
      model: the networks.
      params: their parameters.
      x: observations.
      u: the domain of each.
      hyper: the weights; its alpha is taken as it is, without a warm-up.
      key: of the draw, and of the Jacobian's columns.

    Returns:
      L, its parts, and the latents drawn.

    Source: Li et al. 2025 (arXiv 2503.00639), CG-VAE; the formula is our reading of it.
    """
    config = model.config
    assert config.jac is not None  # a model's config is sized
    draw_key, column_key = jax.random.split(key)
    value, (error, kl, z) = evidence(model, params, x, u, hyper, draw_key)
    sparsity = losses.jacobian_l1(
        partial(decode_flat, model, params),
        z,
        COLUMN_SCALES[config.jac_scale](z),
        mode=config.jac,
        columns=config.columns,
        difference=config.difference,
        key=column_key,
    )
    return value + hyper.alpha * sparsity, (Terms(error, kl, sparsity), z)
