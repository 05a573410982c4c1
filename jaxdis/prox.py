"""Proximal gradient descent on the lasso: FISTA, with exact zeros.

Problems are rows, each solved by itself: `min_w f(w) + sum_p price_p |w_p|` with a
smooth convex f that is given by its gradient.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["eigenvalue_bound", "fista", "soft_threshold", "violation"]


def soft_threshold(
    u: Float[Array, "*shape"], by: Float[Array, "*#shape"]
) -> Float[Array, "*shape"]:
    """`sign(u) max(|u| - by, 0)`, the proximal map of `by |u|`."""
    return jnp.sign(u) * jnp.maximum(jnp.abs(u) - by, 0.0)


def eigenvalue_bound(gram: Float[Array, "t p p"]) -> Float[Array, "t"]:
    """A bound on the largest eigenvalue: the lesser of two norms of a Gram matrix.

    The norms are the largest sum of a row's absolute values, and Frobenius's.
    """
    size = jnp.abs(gram)
    return jnp.minimum(size.sum(2).max(1), jnp.sqrt((size**2).sum((1, 2))))


def fista(
    slope: Callable[[Float[Array, "t p"]], Float[Array, "t p"]],
    prices: Float[Array, "#t #p"],
    curvature: Float[Array, "#t"],
    start: Float[Array, "t p"],
    steps: int,
) -> Float[Array, "t p"]:
    """FISTA with adaptive restart, every row by itself, a fixed number of steps.

        w+ = soft(u - grad f(u) / L, price / L),   u+ = w+ + (q - 1) / q+ (w+ - w)

    with q+ = (1 + sqrt(1 + 4 q^2)) / 2. Where the extrapolation u points uphill it
    starts anew from q+ = 1, without momentum.

    Args:
      slope: the gradient of f in all rows, `[t, p] -> [t, p]`.
      prices: the weight of every `|w_p|`.
      curvature: L of each row, an upper bound on the second derivatives of f.
      start: unknowns to start from.
      steps: static.

    Returns:
      The unknowns, [t, p]; those that do not matter are exactly 0.

    Source: Beck and Teboulle 2009; O'Donoghue and Candes 2015 (gradient restart).
    """
    step = (1.0 / jnp.maximum(curvature, 1e-12))[:, None]
    threshold = prices * step

    def improve(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple, None]:
        w, ahead, q = carry
        new = soft_threshold(ahead - step * slope(ahead), threshold)
        uphill = ((ahead - new) * (new - w)).sum(1, keepdims=True) > 0
        q_new = jnp.where(uphill, 1.0, (1 + jnp.sqrt(1 + 4 * q**2)) / 2)
        momentum = jnp.where(uphill, 0.0, (q - 1) / q_new)
        return (new, new + momentum * (new - w), q_new), None

    carry = (start, start, jnp.ones((len(start), 1), start.dtype))
    return jax.lax.scan(improve, carry, None, length=steps)[0][0]


def violation(
    slope: Float[Array, "*shape"],
    prices: Float[Array, "*#shape"],
    w: Float[Array, "*shape"],
) -> Float[Array, "*shape"]:
    """How far every unknown is from its optimality condition.

    `|slope + price sign(w)|` where w is not 0, `max(|slope| - price, 0)` where it is.

    Args:
      slope: the gradient of f at w.
      prices: the weight of every `|w_p|`.
      w: the unknowns.

    Returns:
      The violations, in the units of the gradient; all are 0 at the optimum.
    """
    active = jnp.abs(slope + prices * jnp.sign(w))
    idle = jnp.maximum(jnp.abs(slope) - prices, 0.0)
    return jnp.where(w != 0, active, idle)
