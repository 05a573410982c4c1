"""The terms of the objectives. Everything here is minimised."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import gaussian
from jaxdis.types import Scalar


def gaussian_reconstruction(
    x: Float[Array, "*b x"], mean: Float[Array, "*b x"], std: Float[Array, ""]
) -> Float[Array, "*b"]:
    """Negative log-likelihood `-sum_D log N(x; mean, std^2)` in nats."""
    return -jnp.sum(gaussian.log_prob(x, mean, std**2), axis=-1)


def bernoulli_reconstruction(
    x: Float[Array, "*b h w c"], logits: Float[Array, "*b h w c"]
) -> Float[Array, "*b"]:
    """Cross entropy of pixels in [0, 1], `sum softplus(l) - x l`, in nats a frame."""
    return jnp.sum(jax.nn.softplus(logits) - x * logits, axis=(-3, -2, -1))


def negative_elbo(
    reconstruction: Float[Array, "*b"],
    kl: Float[Array, "*b"],
    beta: Scalar = 1.0,
) -> Float[Array, "*b"]:
    """`E_q[-log p(x | z)] + beta KL(q(z | x) || p(z))`, example by example, in nats.

    Source: Kingma and Welling 2014, equation 3; beta of Higgins et al. 2017.
    """
    return reconstruction + beta * kl


def annealed_bound(
    step: Scalar,
    full: Scalar,
    target: Scalar,
    warmup: Scalar,
    descent: Scalar,
) -> Float[Array, ""]:
    """Bound on a graph's edges: `full` until `warmup`, then a line to `target`.

    `target + (full - target) clip(1 - (step - warmup) / descent, 0, 1)`.

    Args:
      step: steps taken so far.
      full: number of cells of the graph, where the bound starts.
      target: the edges allowed in the end.
      warmup: steps before the descent, in which the encoder settles.
      descent: steps that the descent takes; 0 is a jump.

    Note: the published code leaves `warmup` out of the line, so that with a warm-up the
      bound jumps when it ends and later falls below the target.
    """
    fraction = 1.0 - (step - warmup) / jnp.maximum(descent, 1.0)
    return target + (full - target) * jnp.clip(fraction, 0.0, 1.0)


def dual_ascent(multiplier: Scalar, defect: Scalar, rate: Scalar) -> Float[Array, ""]:
    """One step of the multiplier of `defect <= 0`, with restart.

    `mu <- max(0, mu + rate * defect)`, and `mu <- 0` as soon as `defect < 0`, so that a
    constraint that holds stops pushing at once. A defect of exactly 0 is no restart.

    Source: Gallego-Posada et al. 2022 (arXiv 2208.04425), section 4.2.
    """
    ascended = jnp.maximum(0.0, multiplier + rate * defect)
    return jnp.where(defect < 0, 0.0, ascended)


def hamilton_jacobi_residual(
    time: Float[Array, "*s"], speed: Float[Array, "*s"], force: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """`du/dt + |grad u|^2 / 2 + f^2`, which optimal transport makes 0.

    The square keeps the force term F = -f^2 from being positive.

    Source: Song et al. 2023, the generalised Hamilton-Jacobi equation of section 3.
    """
    return time + 0.5 * speed + force**2


def index_kl(logits: Float[Array, "*b k"]) -> Float[Array, "*b"]:
    """KL of a softmax over k indices from the uniform law: `log K - H(q)`, in nats."""
    log_q = jax.nn.log_softmax(logits)
    return jnp.sum(jnp.exp(log_q) * log_q, -1) + jnp.log(logits.shape[-1])


def feature_usage(
    weights: Float[Array, "t m c"], floor: Scalar = 0.0, axis_name: str | None = None
) -> Float[Array, "m"]:
    """How much the heads of all tasks use a feature: `a_m = floor + mean_tc |w_tmc|`.

    Args:
      weights: heads of t tasks on m features with c outputs.
      floor: added to each, so that log a stays finite and a feature that was dropped
        can come back.
      axis_name: a mapped axis over which the tasks are spread.
    """
    # The derivative of |0| is 0 here, not 1 as that of `abs`.
    size = weights * jax.lax.stop_gradient(jnp.sign(weights))
    usage = size.mean((0, 2))
    return floor + (usage if axis_name is None else jax.lax.pmean(usage, axis_name))


def feature_sharing(usage: Float[Array, "m"]) -> Float[Array, ""]:
    """Entropy of the features' shares, `H(p) = -sum_m p_m log p_m`, in nats.

    p = a / sum(a) with positive usages a. Small H is weight concentrated on few
    features over all tasks: tasks reuse them.

    Source: Fumero et al. 2023 (arXiv 2304.07939), the sharing term; the formula is our
      reading of it.
    """
    share = usage / usage.sum()
    return -jnp.sum(share * jnp.log(share))


def sharing_price(usage: Float[Array, "m"]) -> Float[Array, "m"]:
    """`dH / da_m = (-log p_m - H) / A`, A = sum(a): what using a feature more costs.

    Negative for features with p_m > e^-H, positive for rarer ones.
    """
    total = usage.sum()
    return (-jnp.log(usage / total) - feature_sharing(usage)) / total
