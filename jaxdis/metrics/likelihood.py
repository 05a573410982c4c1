"""Bounds on the likelihood of frames, and the figure that was published in their place.

All are of one frame, in nats, from S samples of its latent: `log_x = log N(x;
decoder(z), I)`, `log_p` the prior's and `log_q` the posterior's log density at z.
"""

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from jaxdis import gaussian
from jaxdis.metrics.inputs import Table, as_float, as_numbers
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


def unit_gaussian(x: Table, mean: Table) -> Float[Array, "*b"]:
    """log N(x; mean, I) of a frame; at most `-(D / 2) log(2 pi)`, D its pixels.

    Args:
      x: frames, [*b, h, w, c], of any numbers.
      mean: their means, of the same shape.

    Returns:
      A number of nats for each frame.

    Raises:
      ValueError: for what are no frames, or of unequal shapes.
    """
    x, mean = as_float(as_numbers("x", x)), as_float(as_numbers("mean", mean))
    if x.ndim < 3 or mean.shape != x.shape:
        raise ValueError(
            f"x has shape {x.shape} and mean {mean.shape}; both must be the same "
            "frames [..., h, w, c]"
        )
    return jnp.sum(gaussian.log_prob(x, mean, jnp.ones(mean.shape)), (-3, -2, -1))


def _of_samples(
    log_x: Table, log_p: Table, log_q: Table
) -> tuple[Float[Array, "s *b"], Float[Array, "s *b"], Float[Array, "s *b"]]:
    x, p, q = (
        as_float(as_numbers(name, value))
        for name, value in (("log_x", log_x), ("log_p", log_p), ("log_q", log_q))
    )
    if x.ndim < 1 or not x.shape == p.shape == q.shape:
        raise ValueError(
            f"log_x, log_p and log_q have shapes {x.shape}, {p.shape} and {q.shape}; "
            "they must be of the same samples, [samples, ...]"
        )
    return x, p, q


def elbo(log_x: Table, log_p: Table, log_q: Table) -> Float[Array, "*b"]:
    """`mean_s (log_x + log_p - log_q)`, a lower bound on log p(x) in expectation.

    Args:
      log_x: log density of the frame given each of S samples.
      log_p: the prior's log density at these samples.
      log_q: the posterior's log density at these samples.

    Returns:
      A number of nats for each frame, higher is better.

    Raises:
      ValueError: for unequal shapes, no samples, or what holds no numbers.

    Source: Kingma and Welling 2014 (arXiv 1312.6114).
    """
    log_x, log_p, log_q = _of_samples(log_x, log_p, log_q)
    return jnp.mean(log_x + log_p - log_q, 0)


def iwae(log_x: Table, log_p: Table, log_q: Table) -> Float[Array, "*b"]:
    """`log mean_s exp(log_x + log_p - log_q)`, between the ELBO and log p(x).

    Args:
      log_x: log density of the frame given each of S samples.
      log_p: the prior's log density at these samples.
      log_q: the posterior's log density at these samples.

    Returns:
      A number of nats for each frame, higher is better; above the ELBO, the more the
      more samples.

    Raises:
      ValueError: for unequal shapes, no samples, or what holds no numbers.

    Source: Burda et al. 2016, "Importance Weighted Autoencoders", equation 8.
    """
    log_x, log_p, log_q = _of_samples(log_x, log_p, log_q)
    return logsumexp(log_x + log_p - log_q, 0) - jnp.log(len(log_x))


def compat_loglik(log_x: Table, log_p: Table, log_q: Table) -> Float[Array, "*b"]:
    """`mean_s (log_x - log_p + log_q)`, to compare with published figures alone.

    It is no likelihood: the released program prints its negative as a negative log
    likelihood, and so adds the divergence that a bound subtracts. Values above
    `-(D / 2) log(2 pi)`, which no log likelihood reaches, give it away.

    Args:
      log_x: log density of the frame given each of S samples.
      log_p: the prior's log density at these samples.
      log_q: the posterior's log density at these samples.

    Returns:
      A number for each frame, of which neither side is the better one.

    Raises:
      ValueError: for unequal shapes, no samples, or what holds no numbers.
    """
    log_x, log_p, log_q = _of_samples(log_x, log_p, log_q)
    return jnp.mean(log_x - log_p + log_q, 0)
