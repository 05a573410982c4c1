"""iVAE: latents that are independent given a variable that is seen besides x.

The prior `p(z | u) = prod_i N(z_i; m_i(u), v_i(u))` changes with the actions, the
domain, the labels, or the frame before. Where it changes enough, latents are
identified up to their order and maps of each one.

Source: Khemakhem et al. 2020, "Variational Autoencoders and Nonlinear ICA: A Unifying
Framework" (arXiv 1907.04809).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxdis import check, gaussian, losses, nets, optimise, vae
from jaxdis.gaussian import Posterior
from jaxdis.optimise import minimise
from jaxdis.systems.ivae.auxiliary import AUXILIARIES, Auxiliary, chosen
from jaxdis.systems.ivae.config import Config, Hyper, default_hyper
from jaxdis.types import (
    Metrics,
    Params,
    PRNGKey,
    Rows,
    Scalar,
    Spec,
    System,
    TrainState,
)
from jaxdis.vae import adam

__all__ = [
    "ENCODINGS",
    "PRIORS",
    "Config",
    "Hyper",
    "Model",
    "ModelParams",
    "Prior",
    "adam",
    "build",
    "default_hyper",
    "elbo_terms",
    "init_params",
    "make",
    "marginal",
    "objective",
    "prior",
    "product",
    "report",
]


def product(factor: Posterior, prior: Posterior) -> Posterior:
    """The Gaussian whose density is proportional to the product of two densities.

    `var = v_1 v_2 / (v_1 + v_2)`, `mean = (m_1 v_2 + m_2 v_1) / (v_1 + v_2)`.

    Args:
      factor: what x says of z.
      prior: what the auxiliary variable says of it.
    """
    both = factor.var + prior.var
    mean = (factor.mean * prior.var + prior.mean * factor.var) / both
    return Posterior(mean, factor.var * prior.var / both)


def _of_x(factor: Posterior, prior: Posterior) -> Posterior:
    return factor


ENCODINGS: dict[str, Callable[[Posterior, Posterior], Posterior]] = {
    "x": _of_x,
    "joint": product,
}
"""`(what the encoder makes of x, prior) -> posterior`: q(z | x); or q(z | x, u) by the
rule of Bayes, exact where p(x | z) as a function of z is a Gaussian. Where the prior
knows nearly all, as of latents that actions set, a joint posterior leaves the encoder
little to learn, and codes of x are worse for it."""


class Prior(NamedTuple):
    """A conditional prior of independent Gaussians.

    Attributes:
      outputs: the number of outputs of its network, of each latent.
      law: from these outputs `[b, outputs z]` to the Gaussians.
    """

    outputs: int
    law: Callable[[Array], Posterior]


def _normal(out: Float[Array, "b o"]) -> Posterior:
    return gaussian.from_log_var(*jnp.split(out, 2, axis=-1))


def _variance(out: Float[Array, "b o"]) -> Posterior:
    return gaussian.from_log_var(jnp.zeros_like(out), out)


PRIORS = {"normal": Prior(2, _normal), "variance": Prior(1, _variance)}
"""Gaussians whose mean and variance change, or whose variance does."""


class Model(NamedTuple):
    """Networks and sizes, built once from a config and the spec of the data.

    Attributes:
      vae: encoder and decoder.
      prior: from the auxiliary variable to the parameters of the prior.
      auxiliary: what the auxiliary variable is.
      size: the number of its numbers.
      spec: what is known of the data.
    """

    vae: vae.Model
    prior: nets.Network
    auxiliary: Auxiliary
    size: int
    spec: Spec

    @property
    def config(self) -> Config:
        """The method's config, with its sizes."""
        return cast(Config, self.vae.config)


def build(
    config: Config, spec: Spec, *, encoder: object = None, decoder: object = None
) -> Model:
    """Networks and sizes.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of that of the config; see `vae.build`.
      decoder: likewise.

    Raises:
      ValueError: a config or networks that do not fit, or an auxiliary variable that
        the data lack.
    """
    check.one_of("config.encoding", config.encoding, ENCODINGS)
    check.one_of("config.prior", config.prior, PRIORS)
    check.widths("config.prior_net", config.prior_net)
    auxiliary = AUXILIARIES[chosen(config.auxiliary, spec)]
    inner = vae.build(config, spec, encoder=encoder, decoder=decoder)
    d = inner.config.z_dim
    outputs = PRIORS[config.prior].outputs * d
    net = nets.network(nets.MLP(config.prior_net, outputs, config.precision))
    return Model(inner, net, auxiliary, auxiliary.size(spec, d), spec)


class ModelParams(NamedTuple):
    """The parameters of one seed.

    Attributes:
      vae: those of encoder and decoder.
      prior: those of the prior's network.
    """

    vae: vae.ModelParams
    prior: Params


def init_params(key: PRNGKey, model: Model) -> ModelParams:
    """The initial parameters of one seed.

    Args:
      key: a random key.
      model: networks and sizes.
    """
    vae_key, prior_key = jax.random.split(key)
    return ModelParams(
        vae.init_params(vae_key, model.vae),
        model.prior.init(prior_key, jnp.zeros(model.size)),
    )


def prior(
    params: ModelParams, model: Model, given: Shaped[Array, "b ..."]
) -> Posterior:
    """Mean and variance of p(z | u).

    Args:
      params: the parameters.
      model: networks and sizes.
      given: what the auxiliary variable is made of, as `Seen.given`.
    """

    def encode(x: Array) -> Array:
        return vae.posterior(params.vae, model.vae, x).mean

    variable = model.auxiliary.variable(encode, given)
    out = model.prior.over(params.prior, variable, 1)
    return PRIORS[model.config.prior].law(out)


def elbo_terms(
    params: ModelParams,
    model: Model,
    x: Shaped[Array, "b ..."],
    given: Shaped[Array, "b ..."],
    noise: Float[Array, "b z"],
    noise_std: Scalar,
) -> tuple[vae.Terms, Posterior]:
    """Both parts of the negative ELBO of log p(x | u), and what the encoder makes of x.

    `-log p(x | z)` of a draw z ~ q, and `KL(q(z_i | x, u) || p(z_i | u))`.

    Args:
      params: the parameters.
      model: networks and sizes.
      x: observations.
      given: what the auxiliary variable is made of.
      noise: standard normal.
      noise_std: the standard deviation of the decoder's noise, in units of x.

    Source: Khemakhem et al. 2020, the evidence lower bound of log p(x | u).

    Note: q(z | x, u) of the released program is a network of x and u together, which
      has no codes of x alone. By the rule of Bayes u moves the posterior through the
      prior alone: "joint" makes that its form, so that its encoder is a network of x.
      "x" is a bound, too, and tight where x tells all of z.
    """
    factor = vae.posterior(params.vae, model.vae, x)
    p = prior(params, model, given)
    q = ENCODINGS[model.config.encoding](factor, p)
    out = vae.output(params.vae, model.vae, gaussian.sample(q, noise))
    seen = vae.numbers(model.vae, x)
    error = model.vae.likelihood.error(seen, out, noise_std)
    return vae.Terms(error, gaussian.kl(*q, *p)), factor


def objective(
    params: ModelParams,
    model: Model,
    x: Shaped[Array, "b ..."],
    given: Shaped[Array, "b ..."],
    noise: Float[Array, "b z"],
    hyper: Hyper,
) -> tuple[Float[Array, ""], Metrics]:
    """What is minimised, `mean_b -log p(x | z) + beta KL(q(z | x, u) || p(z | u))`.

    Args:
      params: the parameters.
      model: networks and sizes.
      x: observations.
      given: what the auxiliary variable is made of.
      noise: standard normal, for the draws of z.
      hyper: the hyper-parameters.

    Returns:
      The loss in nats per observation, and what is logged.
    """
    terms, _ = elbo_terms(params, model, x, given, noise, hyper.noise_std)
    reconstruction, kl = terms.reconstruction.mean(), terms.kl.sum(-1).mean()
    loss = losses.negative_elbo(reconstruction, kl, hyper.beta)
    return loss, {"reconstruction": reconstruction, "kl": kl}


def marginal(q: Posterior) -> Posterior:
    """The Gaussian with mean and variance of all rows' latents together.

    `mean = E m`, `var = E v + Var m`.

    Args:
      q: the Gaussians of all rows `[b, z]`.
    """
    return Posterior(q.mean.mean(0), q.var.mean(0) + q.mean.var(0))


def report(model: Model, state: TrainState, batch: Rows, key: PRNGKey) -> Metrics:
    """Those of `vae.report`, with the bound of log p(x | u).

    Codes are what the encoder makes of x alone, whichever the encoding. A code counts
    as constant where it tells less than `vae.DEAD_KL` of its row beyond what all rows
    have in common (`marginal`): to tell u is to tell something.

    Args:
      model: networks and sizes.
      state: the state of one seed.
      batch: the held-out rows.
      key: a random key for the draws of z.
    """
    seen = model.auxiliary.see(model.spec, batch)
    noise = jax.random.normal(key, (len(seen.x), model.config.z_dim))

    def bound(x: Array, given: Array, noise: Array) -> tuple[vae.Terms, Posterior]:
        noise_std = state.extra.noise_std
        return elbo_terms(state.params, model, x, given, noise, noise_std)

    inputs = (seen.x, seen.given, noise)
    return vae.measure(state.params.vae, model.vae, bound, inputs, seen.z, marginal)


def make(
    config: Config,
    spec: Spec,
    *,
    encoder: object = None,
    decoder: object = None,
    optimiser: object = None,
    loss: Callable[..., tuple[Array, Metrics]] | None = None,
) -> System:
    """Builds the system for observations of the given shape and what comes with them.

    It minimises `objective` by Adam. Of sequences every frame is a row of its own that
    has an auxiliary variable. To encode takes x alone.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of that of the config; see `vae.build`.
      decoder: likewise.
      optimiser: an optimiser, or a function of the hyper-parameters that gives one, in
        place of `adam`.
      loss: what is minimised in place of `objective`, with the same arguments and
        results.

    Raises:
      ValueError: as `build`.
    """
    model = build(config, spec, encoder=encoder, decoder=decoder)
    tx = optimise.optimiser(optimiser, adam)
    minimised = objective if loss is None else loss

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        params = init_params(key, model)
        extra = vae.Extra(jnp.asarray(hyper.noise_std, float))
        return TrainState(params, tx(hyper).init(params), extra, jnp.zeros((), int))

    def evaluate(
        params: ModelParams, state: TrainState, batch: Rows, hyper: Hyper, key: PRNGKey
    ) -> tuple[Array, tuple[vae.Extra, Metrics]]:
        seen = model.auxiliary.see(spec, batch)
        noise = jax.random.normal(key, (len(seen.x), model.config.z_dim))
        value, metrics = minimised(params, model, seen.x, seen.given, noise, hyper)
        return value, (state.extra, metrics)

    return System(
        init=init,
        step=minimise(evaluate, tx),
        encode=lambda params, x: vae.posterior(params.vae, model.vae, x).mean,
        decode=lambda params, z: vae.decode(params.vae, model.vae, z),
        report=partial(report, model),
    )
