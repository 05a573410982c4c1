"""Beta-TCVAE: a variational autoencoder whose latents pay for their dependence alone.

The divergence of beta-VAE is what the latents tell of the row, their total correlation,
and how each is distributed. Only the second is a matter of disentanglement, and here it
has a weight of its own. It sees the observations alone.

Source: Chen et al. 2018, "Isolating Sources of Disentanglement in Variational
Autoencoders" (arXiv 1802.04942).
"""

from collections.abc import Callable
from typing import cast

from jaxtyping import Array, Float, Int, Shaped

from jaxdis import check, gaussian, optimise, vae
from jaxdis.gaussian import Posterior
from jaxdis.systems.beta_tcvae.config import Config, Hyper, default_hyper
from jaxdis.types import Metrics, Spec, System
from jaxdis.vae import Model, ModelParams, adam

__all__ = ["Config", "Hyper", "adam", "default_hyper", "make", "objective"]


def objective(
    params: ModelParams,
    model: Model,
    x: Shaped[Array, "b ..."],
    noise: Float[Array, "b z"],
    step: Int[Array, ""],
    hyper: Hyper,
) -> tuple[Float[Array, ""], Metrics]:
    """What is minimised, `-log p(x | z) + alpha I + beta TC + gamma D`, a mean over b.

    I, TC and D are the three parts of the divergence, as `vae.divergence_parts` has
    them.

    Args:
      params: the parameters.
      model: networks and sizes.
      x: observations.
      noise: standard normal, for the draws of z.
      step: the number of steps taken so far, on which nothing depends.
      hyper: the hyper-parameters.

    Returns:
      The loss in nats per observation, and what is logged: reconstruction and kl, and
      the parts information, correlation and each.

    Source: Chen et al. 2018, the beta-TCVAE's objective with all three weights.

    Note: It is computed as `-log p + KL + (alpha - 1) I + (beta - 1) TC + (gamma - 1)
      D`, with the divergence in closed form: the same mean as the paper's, which takes
      the parts of one draw throughout, and less noise.
    """
    config = cast(Config, model.config)
    terms, q = vae.elbo_terms(params, model, x, noise, hyper.noise_std)
    some = config.draws or len(noise)
    z = gaussian.sample(Posterior(q.mean[:some], q.var[:some]), noise[:some])
    parts = vae.divergence_parts(z, q, hyper.rows, config.estimate)
    reconstruction, kl = terms.reconstruction.mean(), terms.kl.sum(-1).mean()
    extra = (
        (hyper.alpha - 1.0) * parts.information
        + (hyper.beta - 1.0) * parts.correlation
        + (hyper.gamma - 1.0) * parts.each
    )
    logged = {"reconstruction": reconstruction, "kl": kl, **parts._asdict()}
    return reconstruction + kl + extra, logged


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

    Note: The frames of a sequence are rows of their own, though a batch has them
      together: of sequences, the aggregate posterior is that of a batch that was not
      drawn row by row.
    """
    check.one_of("config.estimate", config.estimate, vae.ESTIMATES)
    vae.two_rows(config.batch)
    observations = config.batch * (spec.steps or 1)
    if not 0 <= config.draws <= observations:
        raise ValueError(
            f"config.draws must be 0 or one of 1 to {observations}, the number of "
            f"observations in a batch; got {config.draws}"
        )
    model = vae.build(config, spec, encoder=encoder, decoder=decoder)
    tx = optimise.optimiser(optimiser, adam)
    return vae.system(model, objective if loss is None else loss, tx)
