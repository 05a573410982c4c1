"""The Laplace prior of a step, and the divergence of Gaussians from it."""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jax.scipy.special import erf
from jaxtyping import Array, Float

from jaxdis import gaussian
from jaxdis.gaussian import Posterior
from jaxdis.types import Scalar

__all__ = ["TRANSITIONS", "entropy", "laplace_cross_entropy", "transition_kl"]


def entropy(var: Float[Array, "*b z"]) -> Float[Array, "*b z"]:
    """That of Gaussians, `log(2 pi e var) / 2`, in nats."""
    return 0.5 * (jnp.log(var) + 1 + gaussian.LOG_2PI)


def laplace_cross_entropy(
    mean: Float[Array, "*b z"], var: Float[Array, "*b z"], rate: Scalar
) -> Float[Array, "*b z"]:
    """`-E log p(d)` of d ~ N(m, s^2) under `p(d) = rate / 2 exp(-rate |d|)`, in nats.

    `rate (s sqrt(2 / pi) exp(-m^2 / (2 s^2)) + m erf(m / (s sqrt 2))) - log(rate / 2)`,
    as the mean of a folded normal law is.

    Args:
      mean: m.
      var: s^2, positive.
      rate: the rate of the Laplace law.

    Source: Klindt et al. 2021; the released program has the same closed form.
    """
    std = jnp.sqrt(var)
    spread = std * math.sqrt(2 / math.pi) * jnp.exp(-0.5 * mean**2 / var)
    size = spread + mean * erf(mean / (std * math.sqrt(2)))
    return rate * size - jnp.log(0.5 * rate)


def transition_kl(past: Posterior, now: Posterior, rate: Scalar) -> Float[Array, "b z"]:
    """`E_q(z) KL(q(z') || Laplace(z' - z; rate))` of each latent, in nats.

    Exact: z' - z is Gaussian, with the difference of the means and the sum of the
    variances.

    Args:
      past: the posterior of z.
      now: the posterior of z'.
      rate: the rate of the Laplace law.
    """
    cross = laplace_cross_entropy(now.mean - past.mean, now.var + past.var, rate)
    return cross - entropy(now.var)


def _bound(first: Posterior, second: Posterior, rate: Scalar) -> Array:
    forwards = transition_kl(first, second, rate)
    return 0.5 * (forwards + transition_kl(second, first, rate))


def _released(first: Posterior, second: Posterior, rate: Scalar) -> Array:
    move = second.mean - first.mean
    cross = laplace_cross_entropy(-move, first.var, rate)
    cross = cross + laplace_cross_entropy(move, second.var, rate)
    return cross - 0.5 * (entropy(first.var) + entropy(second.var))


TRANSITIONS: dict[str, Callable[[Posterior, Posterior, Scalar], Array]] = {
    "bound": _bound,
    "released": _released,
}
"""What gamma weighs, of the posteriors of two frames: the mean of both directions'
`transition_kl`; or, as the released program has it, both cross-entropies less one
entropy, with the mean of the other frame's posterior in place of a draw from it."""
