"""Two classes of pairs, real and permuted, told apart by a log odds."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxdis.types import Metrics

__all__ = ["permuted", "real_or_permuted"]


def permuted(x: Shaped[Array, "b ..."]) -> Shaped[Array, "b ..."]:
    """Each row's neighbour in its place.

    Rows of a batch are drawn independently of each other, so that a neighbour is a draw
    of its own; and no row, as in a random permutation, stays where it is.
    """
    return jnp.roll(x, 1, axis=0)


def real_or_permuted(
    real: Float[Array, "*b"], other: Float[Array, "*b"]
) -> tuple[Float[Array, ""], Metrics]:
    """Logistic regression with as many permuted pairs as real ones.

        loss = mean (softplus(-r(real)) + softplus(r(permuted))) / 2

    Its minimum is at `r = log p(pair) - log p(permuted pair)`.

    Args:
      real: the log odds r of real pairs.
      other: those of permuted pairs.

    Returns:
      The loss in nats, log 2 for r = 0, and the `accuracy`.

    Source: Hyvärinen and Morioka 2017, the proof of Theorem 1; Hyvärinen, Sasaki and
      Turner 2019 (arXiv 1805.08651).
    """
    loss = jax.nn.softplus(-real).mean() + jax.nn.softplus(other).mean()
    right = (real > 0).mean() + (other <= 0).mean()
    return loss / 2, {"accuracy": right / 2}
