"""Learnable binary masks: the edges of a graph as relaxed Bernoulli variables.

A mask is an array of logits `log_alpha`. Given logistic noise e and a temperature
tau, a relaxation turns it into a value in [0, 1] through which gradients flow. Which
edges are fixed is a matter of values, not of code: a logit of `+-FROZEN` samples to
exactly 1 or 0 and has a gradient of exactly 0.

Sources: Maddison et al. 2017 and Jang et al. 2017 (the binary concrete or
Gumbel-sigmoid relaxation); Louizos et al. 2018 (hard concrete); Lachapelle et al. 2022.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from jaxdis.types import PRNGKey, Scalar

__all__ = [
    "FROZEN",
    "HARD_CONCRETE",
    "RELAXATIONS",
    "SOFT",
    "STRAIGHT_THROUGH",
    "Relaxation",
    "expected_size",
    "frozen",
    "logistic_noise",
    "threshold",
]

# Beyond any logistic draw, and its sigmoid rounds to 0 or 1 in every float type.
FROZEN = 1e4
_STRETCH_LOW, _STRETCH_HIGH = -0.1, 1.1  # hard concrete: Louizos et al. 2018, section 4


class Relaxation(NamedTuple):
    """One way to draw a mask.

    Attributes:
      sample: `(log_alpha, noise, temperature) -> mask` in [0, 1], of the shape of the
        noise, which may have more axes in front; the temperature broadcasts to it.
      probability: `(log_alpha, temperature) -> P(edge)`, the number that regularisers
        count and that `threshold` cuts.
      initial: `temperature -> log_alpha` of a mask that starts nearly dense.
    """

    sample: Callable[[Array, Array, Scalar | Array], Array]
    probability: Callable[[Array | float, Scalar], Array]
    initial: Callable[[Scalar], Scalar]


def logistic_noise(key: PRNGKey, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard logistic noise, the difference of two Gumbel draws; always finite."""
    return jax.random.logistic(key, shape)


def _soft(log_alpha: Array, noise: Array, temperature: Scalar | Array) -> Array:
    logits = jnp.broadcast_to(log_alpha, noise.shape)
    return jax.nn.sigmoid((logits + noise) / temperature)


def _straight_through(
    log_alpha: Array, noise: Array, temperature: Scalar | Array
) -> Array:
    soft = _soft(log_alpha, noise, temperature)
    # `soft - stop(soft)` is exactly 0, so the forward value is exactly 0 or 1.
    return (soft > 0.5).astype(soft.dtype) + (soft - jax.lax.stop_gradient(soft))


def _hard_concrete(
    log_alpha: Array, noise: Array, temperature: Scalar | Array
) -> Array:
    stretched = _soft(log_alpha, noise, temperature) * (_STRETCH_HIGH - _STRETCH_LOW)
    return jnp.clip(stretched + _STRETCH_LOW, 0.0, 1.0)


def _bernoulli_probability(log_alpha: Array | float, temperature: Scalar) -> Array:
    return jax.nn.sigmoid(log_alpha)


def _hard_concrete_probability(log_alpha: Array | float, temperature: Scalar) -> Array:
    return jax.nn.sigmoid(
        log_alpha - temperature * math.log(-_STRETCH_LOW / _STRETCH_HIGH)
    )


def _hard_concrete_initial(temperature: Scalar) -> Scalar:
    return temperature * (math.log1p(-_STRETCH_LOW) - math.log(_STRETCH_HIGH - 1.0))


SOFT = Relaxation(_soft, _bernoulli_probability, lambda _: 5.0)
"""`m = sigmoid((log_alpha + e) / tau)`; P(edge) = sigmoid(log_alpha), at first .993."""

STRAIGHT_THROUGH = SOFT._replace(sample=_straight_through)
"""Forward 1[m > 1/2], backward the gradient of the soft mask."""

HARD_CONCRETE = Relaxation(
    _hard_concrete, _hard_concrete_probability, _hard_concrete_initial
)
"""`m = clip(s (zeta - gamma) + gamma, 0, 1)` with s the soft mask, zeta = 1.1,
gamma = -.1; P(m > 0) = sigmoid(log_alpha - tau log(-gamma / zeta))."""

RELAXATIONS = {
    "soft": SOFT,
    "straight_through": STRAIGHT_THROUGH,
    "hard_concrete": HARD_CONCRETE,
}


def frozen(
    graph: Shaped[np.ndarray, "*s"] | Shaped[Array, "*s"],
) -> Float[Array, "*s"]:
    """Logits of a mask that stays at `graph` (0/1, any type): no noise, no gradient."""
    return jnp.where(jnp.asarray(graph) > 0, FROZEN, -FROZEN)


def expected_size(probability: Float[Array, "..."]) -> Float[Array, ""]:
    """Expected number of edges, `sum P(edge)`."""
    return jnp.sum(probability)


def threshold(probability: Float[Array, "*s"]) -> Bool[Array, "*s"]:
    """The learned graph: edges with P(edge) > 1/2."""
    return probability > 0.5
