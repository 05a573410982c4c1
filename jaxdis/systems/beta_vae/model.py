"""Beta-VAE: a variational autoencoder whose latents pay beta times for what they tell.

It sees the observations alone: no actions, domains, labels or time. On the data of any
other method it is what can be had without an inductive bias but a factorised prior.

Source: Higgins et al. 2017, "beta-VAE: Learning Basic Visual Concepts with a
Constrained Variational Framework" (ICLR 2017); the capacity of Burgess et al. 2018
(arXiv 1804.03599).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Shaped

from jaxdis import losses, optimise
from jaxdis.optimise import in_one_pass, minimise
from jaxdis.systems.beta_vae.config import Config, Hyper, default_hyper
from jaxdis.systems.beta_vae.elbo import (
    Model,
    ModelParams,
    build,
    decode,
    elbo_terms,
    init_params,
    observations,
    posterior,
)
from jaxdis.systems.beta_vae.scores import Extra, report
from jaxdis.types import Metrics, PRNGKey, Rows, Spec, System, TrainState

__all__ = ["Config", "Hyper", "adam", "default_hyper", "make", "objective"]


def objective(
    params: ModelParams,
    model: Model,
    x: Shaped[Array, "b ..."],
    noise: Float[Array, "b z"],
    step: Int[Array, ""],
    hyper: Hyper,
) -> tuple[Float[Array, ""], Metrics]:
    """What is minimised, `mean_b -log p(x | z) + beta c(mean_b KL(q(z | x) || p(z)))`.

    c is the identity, or the distance from a capacity that rises with the steps.

    Args:
      params: the parameters.
      model: networks and sizes.
      x: observations.
      noise: standard normal, for the draws of z.
      step: the number of steps taken so far.
      hyper: the hyper-parameters.

    Returns:
      The loss in nats per observation, and what is logged.

    Source: Higgins et al. 2017, equation 4; Burgess et al. 2018, equation 8.

    Note: beta is not divided by the sizes of x and z, as the paper's "normalised" one.
    """
    terms, _ = elbo_terms(params, model, x, noise, hyper.noise_std)
    reconstruction, kl = terms.reconstruction.mean(), terms.kl.sum(-1).mean()
    priced = model.constraint(kl, step, hyper)
    loss = losses.negative_elbo(reconstruction, priced, hyper.beta)
    return loss, {"reconstruction": reconstruction, "kl": kl}


def adam(hyper: Hyper) -> optax.GradientTransformation:
    """Adam on one vector of all parameters: one pass instead of one per array."""
    return in_one_pass(optax.adam(hyper.learning_rate))


def make(
    config: Config,
    spec: Spec,
    *,
    encoder: object = None,
    decoder: object = None,
    optimiser: object = None,
    loss: Callable[..., tuple[Array, Metrics]] | None = None,
) -> System:
    """Builds the system for observations of the given shape.

    It minimises `objective` by Adam.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of that of the config; see `elbo.build`.
      decoder: likewise.
      optimiser: an optimiser, or a function of the hyper-parameters that gives one, in
        place of `adam`.
      loss: what is minimised in place of `objective`, with the same arguments and
        results.

    Raises:
      ValueError: a config or networks that do not fit.

    Note: Hidden layers are (leaky) rectified linear, and the convolutions are those of
      `jaxdis.nets`; the paper's decoder of binary images has hyperbolic tangents, and
      its convolutions halve four times.
    """
    model = build(config, spec, encoder=encoder, decoder=decoder)
    minimised = objective if loss is None else loss
    tx = optimise.optimiser(optimiser, adam)

    def evaluate(
        params: ModelParams, state: TrainState, batch: Rows, hyper: Hyper, key: PRNGKey
    ) -> tuple[Array, tuple[Extra, Metrics]]:
        x = observations(model, batch.x)
        noise = jax.random.normal(key, (len(x), model.config.z_dim))
        value, metrics = minimised(params, model, x, noise, state.step, hyper)
        return value, (state.extra, metrics)

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        params = init_params(key, model)
        opt_state = tx(hyper).init(params)
        extra = Extra(jnp.asarray(hyper.noise_std, float))
        return TrainState(params, opt_state, extra, jnp.zeros((), int))

    return System(
        init=init,
        step=minimise(evaluate, tx),
        encode=lambda params, x: posterior(params, model, x).mean,
        decode=lambda params, z: decode(params, model, z),
        report=partial(report, model),
    )
