"""Beta-VAE: a variational autoencoder whose latents pay beta times for what they tell.

It sees the observations alone: no actions, domains, labels or time. On the data of any
other method it is what can be had without an inductive bias but a factorised prior.

Source: Higgins et al. 2017, "beta-VAE: Learning Basic Visual Concepts with a
Constrained Variational Framework" (ICLR 2017); the capacity of Burgess et al. 2018
(arXiv 1804.03599).
"""

from collections.abc import Callable
from typing import cast

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxdis import check, losses, optimise, vae
from jaxdis.optimise import ramp
from jaxdis.systems.beta_vae.config import Config, Hyper, default_hyper
from jaxdis.types import Metrics, Spec, System
from jaxdis.vae import Model, ModelParams, adam

__all__ = [
    "CONSTRAINTS",
    "Config",
    "Hyper",
    "adam",
    "default_hyper",
    "make",
    "objective",
]


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
    terms, _ = vae.elbo_terms(params, model, x, noise, hyper.noise_std)
    reconstruction, kl = terms.reconstruction.mean(), terms.kl.sum(-1).mean()
    constraint = CONSTRAINTS[cast(Config, model.config).constraint]
    priced = constraint(kl, step, hyper)
    loss = losses.negative_elbo(reconstruction, priced, hyper.beta)
    return loss, {"reconstruction": reconstruction, "kl": kl}


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
      encoder: a network in place of that of the config; see `vae.build`.
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
    check.one_of("config.constraint", config.constraint, CONSTRAINTS)
    check.fraction("config.warmup", config.warmup, "the steps")
    model = vae.build(config, spec, encoder=encoder, decoder=decoder)
    tx = optimise.optimiser(optimiser, adam)
    return vae.system(model, objective if loss is None else loss, tx)
