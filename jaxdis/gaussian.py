"""Diagonal Gaussians in closed form, element by element; the caller sums."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis.types import PRNGKey

LOG_2PI = 1.8378770664093453


class Posterior(NamedTuple):
    """A diagonal Gaussian q(z | x).

    Attributes:
      mean: the means.
      var: the variances.
    """

    mean: Float[Array, "*b z"]
    var: Float[Array, "*b z"]


def sample(
    key: PRNGKey, mean: Float[Array, "*s"], var: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """Reparameterised draw, `mean + sqrt(var) * eps` with eps ~ N(0, 1)."""
    return mean + jnp.sqrt(var) * jax.random.normal(key, mean.shape, mean.dtype)


def log_prob(
    x: Float[Array, "*s"], mean: Float[Array, "*s"], var: Float[Array, "*#s"]
) -> Float[Array, "*s"]:
    """Log density `-(x - mean)^2 / (2 var) - log(2 pi var) / 2`, in nats."""
    return -0.5 * ((x - mean) ** 2 / var + jnp.log(var) + LOG_2PI)


def kl(
    mean_q: Float[Array, "*s"],
    var_q: Float[Array, "*s"],
    mean_p: Float[Array, "*s"],
    var_p: Float[Array, "*s"],
) -> Float[Array, "*s"]:
    """KL(q || p) of two Gaussians, in nats.

    `log(var_p / var_q) / 2 + (var_q + (mean_q - mean_p)^2) / (2 var_p) - 1/2`.
    """
    log_ratio = jnp.log(var_p) - jnp.log(var_q)
    return 0.5 * (log_ratio + (var_q + (mean_q - mean_p) ** 2) / var_p - 1.0)
