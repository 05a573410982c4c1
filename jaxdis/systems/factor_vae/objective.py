"""What both networks pay, and codes whose latents are independent.

A discriminator that tells codes from codes with each latent permuted over the batch
learns `log q(z) - log prod_k q(z_k)`, whose mean is the total correlation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxdis import gaussian, losses, nets, vae
from jaxdis.systems.factor_vae.config import Hyper
from jaxdis.types import Metrics, Params, PRNGKey
from jaxdis.vae import ModelParams

__all__ = [
    "Model",
    "autoencoder_loss",
    "discriminator_loss",
    "log_ratio",
    "permuted",
]


class Model(NamedTuple):
    """All networks, built once from a config and the spec of the data.

    Attributes:
      autoencoder: encoder, decoder and sizes.
      discriminator: from a code to the logit of its not being permuted.
    """

    autoencoder: vae.Model
    discriminator: nets.Network


def permuted(key: PRNGKey, z: Float[Array, "b z"]) -> Float[Array, "b z"]:
    """Each latent moved round the batch by a number of rows of its own.

    No code has two latents of the same row, unless there are more latents than rows:
    codes from `prod_k q(z_k)`.

    Args:
      key: draws the numbers.
      z: codes.

    Source: Kim and Mnih 2018, algorithm 1.

    Note: The paper draws any order of the rows for each latent, so that two latents
      come from the same row once in b times. To sort as many numbers as there are codes
      costs more than the rest of the step of a small network.
    """
    size, latents = z.shape
    by = jax.random.permutation(key, size)[jnp.arange(latents) % size]
    rows = (jnp.arange(size)[:, None] + by[None]) % size
    return jnp.take_along_axis(z, rows, axis=0)


def log_ratio(
    discriminator: Params, model: Model, z: Float[Array, "b z"]
) -> Float[Array, "b"]:
    """The discriminator's logit, an estimate of `log q(z) - log prod_k q(z_k)`.

    Args:
      discriminator: the parameters of the discriminator.
      model: networks and sizes.
      z: codes.

    Source: Kim and Mnih 2018, the density-ratio trick; two outputs of a softmax are one
      logit.
    """
    return model.discriminator.over(discriminator, z, 1)[..., 0]


def autoencoder_loss(
    autoencoder: ModelParams,
    discriminator: Params,
    model: Model,
    x: Shaped[Array, "b ..."],
    noise: Float[Array, "b z"],
    hyper: Hyper,
) -> tuple[Float[Array, ""], tuple[Float[Array, "b z"], Metrics]]:
    """What encoder and decoder minimise, `mean_b -log p(x | z) + KL + gamma log_ratio`.

    Args:
      autoencoder: the parameters of encoder and decoder.
      discriminator: those of the discriminator, which are not moved by it.
      model: networks and sizes.
      x: observations.
      noise: standard normal, for the draws of z.
      hyper: the hyper-parameters.

    Returns:
      The loss in nats per observation, and the codes, without a gradient, beside what
      is logged: reconstruction, kl and correlation, the mean of `log_ratio`.

    Source: Kim and Mnih 2018, equation 2, with the estimate of its total correlation.
    """
    terms, q = vae.elbo_terms(autoencoder, model.autoencoder, x, noise, hyper.noise_std)
    z = gaussian.sample(q, noise)
    correlation = log_ratio(discriminator, model, z).mean()
    reconstruction, kl = terms.reconstruction.mean(), terms.kl.sum(-1).mean()
    loss = losses.negative_elbo(reconstruction, kl) + hyper.gamma * correlation
    logged = {"reconstruction": reconstruction, "kl": kl, "correlation": correlation}
    return loss, (jax.lax.stop_gradient(z), logged)


def discriminator_loss(
    discriminator: Params,
    model: Model,
    z: Float[Array, "b z"],
    shuffled: Float[Array, "b z"],
) -> Float[Array, ""]:
    """What the discriminator minimises, the mean cross entropy of both kinds of codes.

    `1/2 mean_b softplus(-D(z)) + 1/2 mean_b softplus(D(shuffled))`, log 2 where it
    cannot tell.

    Args:
      discriminator: the parameters of the discriminator.
      model: networks and sizes.
      z: codes, from which no gradient flows back.
      shuffled: codes with latents permuted.

    Source: Kim and Mnih 2018, algorithm 2.
    """
    z, shuffled = jax.lax.stop_gradient((z, shuffled))
    real = log_ratio(discriminator, model, z)
    fake = log_ratio(discriminator, model, shuffled)
    return 0.5 * jnp.mean(losses.gan_discriminator(fake, real))
