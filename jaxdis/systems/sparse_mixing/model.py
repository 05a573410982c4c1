"""CG-VAE: its settings, its networks and its objective."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxdis import check, gaussian, losses, monotone, nets, priors
from jaxdis.gaussian import Posterior
from jaxdis.types import Params, PRNGKey, Scalar, Spec

__all__ = [
    "COLUMN_SCALES",
    "Config",
    "Hyper",
    "Model",
    "ModelParams",
    "Prior",
    "Terms",
    "build",
    "cgvae_loss",
    "check_config",
    "decode",
    "default_hyper",
    "draw_latents",
    "evidence",
    "init_params",
    "log_prior",
    "moments",
    "posterior",
    "prior_table",
]

LOG_VAR_LIMIT = 10.0
PRIOR_WIDTH = 32
LAST_LAYER = 0.01  # flows start near the identity

ColumnScale: TypeAlias = Literal["std", "none"]


def _std(z: Float[Array, "b z"]) -> Float[Array, "z"]:
    # A latent that has collapsed to a point has a variance of 0, where a root has no
    # derivative: the floor is far below any that is alive.
    return jnp.sqrt(jnp.var(z, 0) + 1e-12)


def _one(z: Float[Array, "b z"]) -> Float[Array, "z"]:
    return jnp.ones(z.shape[-1])


# Weights of the Jacobian's columns, from the latents of a batch.
COLUMN_SCALES: dict[ColumnScale, Callable[[Array], Array]] = {"std": _std, "none": _one}


@dataclass(frozen=True)
class Config:
    """What is compiled in; the defaults are the quickstart's.

    Attributes:
      z_dim: the number of latents of the model; 0 for as many as the data have.
      encoder: the widths of the encoder's hidden layers.
      decoder: the widths of the decoder's hidden layers.
      prior: the flow of a latent in a domain, as `family` of `priors.domain_noise`.
      bins: the number of bins of the splines.
      embedding: the size of a domain's learned vector, from which a network makes the
        parameters of its flows.
      jac: which Jacobian the penalty sees, as `mode` of `losses.jacobian_l1`.
      columns: the number of random columns of "columns".
      difference: the step of "differences".
      jac_scale: the weights of the Jacobian's columns: "std", the latent's standard
        deviation over the batch, through which the gradient flows; "none", 1. With
        "none" latents grow until the penalty is small, and the mixing stays as it was.
      batch: the number of samples in a step.
      precision: the precision of matrix products; densities and losses are float32.
    """

    z_dim: int = 0
    encoder: tuple[int, ...] = (32, 32, 32)
    decoder: tuple[int, ...] = (32, 32, 32)
    prior: priors.Family = "rqs"
    bins: int = 8
    embedding: int = 8
    jac: losses.JacobianMode = "full"
    columns: int = 1
    difference: float = 1e-3
    jac_scale: ColumnScale = "std"
    batch: int = 256
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the learning rate of AdamW at the start.
      decay_steps: the steps in which it falls to 0 along a cosine.
      weight_decay: the weight decay of AdamW.
      alpha: the weight of the Jacobian's sparsity.
      warmup: the steps in which alpha rises from 0 along a line.
      beta: the weight of the divergence from the prior.
      conditioning: 1 for a prior of every domain; 0 takes the changes between domains
        away, as it multiplies the flows' parameters, and those of splines and affine
        maps are then the identity: N(0, 1) for all.
    """

    learning_rate: Scalar
    decay_steps: Scalar
    weight_decay: Scalar
    alpha: Scalar
    warmup: Scalar
    beta: Scalar
    conditioning: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """AdamW 2e-3, alpha .03 after a quarter of the steps, beta .01.

    Args:
      config: not used.
      spec: not used.
      steps: the number of steps of the run.
    """
    return Hyper(
        learning_rate=2e-3,
        decay_steps=float(steps),
        weight_decay=1e-4,
        alpha=0.03,
        warmup=0.25 * steps,
        beta=0.01,
        conditioning=1.0,
    )


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
      encoder: from x to means and log variances of the latents.
      decoder: from latents to x^.
      prior: from a domain's vector to the parameters of its flows.
      x_dim: the number of observed variables.
      z_dim: the number of latents.
      domains: the number of domains.
      config: the settings it was built from.
    """

    encoder: nn.Module
    decoder: nn.Module
    prior: nn.Module
    x_dim: int
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


def check_config(config: Config, spec: Spec) -> None:
    """Raises ValueError, naming the field, unless the config fits the data."""
    for name in ("bins", "embedding", "batch"):
        check.at_least(f"config.{name}", getattr(config, name), 1)
    check.widths("config.encoder", config.encoder)
    check.widths("config.decoder", config.decoder)
    check.one_of("config.jac", config.jac, get_args(losses.JacobianMode))
    check.one_of("config.jac_scale", config.jac_scale, COLUMN_SCALES)
    check.one_of("config.prior", config.prior, get_args(priors.Family))
    if len(spec.shape) != 1 or spec.steps is not None:
        raise ValueError(
            "sparse_mixing needs observations that are vectors; those of this data set "
            f"have shape {spec.shape}" + (" over time" if spec.steps else "")
        )
    n = config.z_dim or spec.z_dim
    if n < 1 or n < spec.z_dim:
        raise ValueError(
            "config.z_dim must be at least 1 and the number of the data's latents, "
            f"{spec.z_dim or 'which is not known'}; got {config.z_dim}"
        )
    if not 1 <= config.columns <= n:
        raise ValueError(
            f"config.columns must be 1 to {n}, the number of latents, got "
            f"{config.columns}"
        )
    check.positive("config.difference", config.difference)
    if config.batch == 1 and config.jac_scale == "std":
        raise ValueError(
            "config.jac_scale='std' needs config.batch of at least 2: latents of a "
            "single sample have no variance"
        )


def build(config: Config, spec: Spec) -> Model:
    """The model for data of the given sizes.

    Raises:
      ValueError: a config that does not fit the data.
    """
    check_config(config, spec)
    n, (m,) = config.z_dim or spec.z_dim, spec.shape
    parameters = n * priors.parameter_count(config.prior, config.bins)
    return Model(
        encoder=nets.MLP(config.encoder, 2 * n, config.precision),
        decoder=nets.MLP(config.decoder, m, config.precision),
        prior=nets.MLP((PRIOR_WIDTH,), parameters, config.precision),
        x_dim=m,
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
        model.encoder.init(keys[0], jnp.zeros((1, model.x_dim))),
        model.decoder.init(keys[1], jnp.zeros((1, model.z_dim))),
        Prior(embedding, network, shared),
    )


def moments(
    model: Model, params: ModelParams, x: Float[Array, "*b x"]
) -> tuple[Float[Array, "*b z"], Float[Array, "*b z"]]:
    """Mean and log variance of q(z | x); the log variance is kept in [-10, 10].

    Args:
      model: the networks.
      params: their parameters.
      x: observations.
    """
    out = nets.apply(model.encoder, params.encoder, x)
    mean, log_var = jnp.split(out, 2, axis=-1)
    return mean, jnp.clip(log_var, -LOG_VAR_LIMIT, LOG_VAR_LIMIT)


def posterior(model: Model, params: ModelParams, x: Float[Array, "*b x"]) -> Posterior:
    """q(z | x), which does not see the domain; arguments as of `moments`."""
    mean, log_var = moments(model, params, x)
    return Posterior(mean, jnp.exp(log_var))


def decode(
    model: Model, params: ModelParams, z: Float[Array, "*b z"]
) -> Float[Array, "*b x"]:
    """The decoder's x^.

    Args:
      model: the networks.
      params: their parameters.
      z: latents.
    """
    return nets.apply(model.decoder, params.decoder, z)


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
    x: Float[Array, "b x"],
    u: Int[Array, "b"],
    hyper: Hyper,
    key: PRNGKey,
) -> tuple[
    Float[Array, ""],
    tuple[Float[Array, ""], Float[Array, ""], Float[Array, "b z"]],
]:
    """The objective without sparsity, its two parts, and the latents drawn.

    Arguments as of `cgvae_loss`.
    """
    z, log_q = draw_latents(key, *moments(model, params, x))
    error = jnp.sum((x - decode(model, params, z)) ** 2, -1).mean()
    log_p = log_prior(model, params, z, u, hyper.conditioning)
    kl = jnp.mean(log_q - log_p)
    return losses.negative_elbo(error, kl, hyper.beta), (error, kl, z)


def cgvae_loss(
    model: Model,
    params: ModelParams,
    x: Float[Array, "b x"],
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
    draw_key, column_key = jax.random.split(key)
    value, (error, kl, z) = evidence(model, params, x, u, hyper, draw_key)
    sparsity = losses.jacobian_l1(
        partial(decode, model, params),
        z,
        COLUMN_SCALES[config.jac_scale](z),
        mode=config.jac,
        columns=config.columns,
        difference=config.difference,
        key=column_key,
    )
    return value + hyper.alpha * sparsity, (Terms(error, kl, sparsity), z)
