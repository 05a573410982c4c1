"""Bounds on the likelihood of frames, and the figure that was published in their place.

All are of one frame, in nats, from S samples of its latent: `log_x = log N(x;
decoder(z), I)`, `log_p` the prior's and `log_q` the posterior's log density at z.
"""

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from jaxdis import gaussian
from jaxdis.types import Score

__all__ = [
    "COMPAT_LOGLIK",
    "ELBO",
    "IWAE",
    "compat_loglik",
    "elbo",
    "iwae",
    "unit_gaussian",
]

ELBO = Score(
    "elbo", "ELBO", "higher", source="Kingma and Welling 2014 (arXiv 1312.6114)"
)
IWAE = Score(
    "iwae", "IWAE", "higher", source="Burda et al. 2016 (arXiv 1509.00519), equation 8"
)
COMPAT_LOGLIK = Score("compat_loglik", "ELBO with the released sign")


def unit_gaussian(
    x: Float[Array, "*b h w c"], mean: Float[Array, "*b h w c"]
) -> Float[Array, "*b"]:
    """log N(x; mean, I) of a frame; at most `-(D / 2) log(2 pi)`, D its pixels."""
    return jnp.sum(gaussian.log_prob(x, mean, jnp.ones(mean.shape)), (-3, -2, -1))


def elbo(
    log_x: Float[Array, "s *b"],
    log_p: Float[Array, "s *b"],
    log_q: Float[Array, "s *b"],
) -> Float[Array, "*b"]:
    """`mean_s (log_x + log_p - log_q)`, a lower bound on log p(x) in expectation.

    Args:
      log_x: log density of the frame given each of S samples.
      log_p: the prior's log density at these samples.
      log_q: the posterior's log density at these samples.
    """
    return jnp.mean(log_x + log_p - log_q, 0)


def iwae(
    log_x: Float[Array, "s *b"],
    log_p: Float[Array, "s *b"],
    log_q: Float[Array, "s *b"],
) -> Float[Array, "*b"]:
    """`log mean_s exp(log_x + log_p - log_q)`, between the ELBO and log p(x).

    Args:
      log_x: log density of the frame given each of S samples.
      log_p: the prior's log density at these samples.
      log_q: the posterior's log density at these samples.

    Source: Burda et al. 2016, "Importance Weighted Autoencoders", equation 8.
    """
    return logsumexp(log_x + log_p - log_q, 0) - jnp.log(len(log_x))


def compat_loglik(
    log_x: Float[Array, "s *b"],
    log_p: Float[Array, "s *b"],
    log_q: Float[Array, "s *b"],
) -> Float[Array, "*b"]:
    """`mean_s (log_x - log_p + log_q)`, to compare with published figures alone.

    It is no likelihood: the released program prints its negative as a negative log
    likelihood, and so adds the divergence that a bound subtracts. Values above
    `-(D / 2) log(2 pi)`, which no log likelihood reaches, give it away.

    Args:
      log_x: log density of the frame given each of S samples.
      log_p: the prior's log density at these samples.
      log_q: the posterior's log density at these samples.
    """
    return jnp.mean(log_x - log_p + log_q, 0)
