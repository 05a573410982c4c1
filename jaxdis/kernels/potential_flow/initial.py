"""Potentials before training, and the sizes that they may have."""

import jax
from jaxtyping import Array

from jaxdis.kernels.potential_flow.ref import Potentials
from jaxdis.types import PRNGKey

__all__ = ["check_sizes", "init"]


def check_sizes(potentials: int, n: int, hidden: int) -> None:
    """Says what is wrong with sizes that make no networks.

    Args:
      potentials: the number of networks k.
      n: the latent size.
      hidden: the width h of every hidden layer.

    Raises:
      ValueError: a size that makes none.
    """
    if potentials < 1:
        raise ValueError(f"potentials must be at least 1, got {potentials}")
    if n < 4 or n % 2:
        raise ValueError(
            "the latent size must be even and at least 4, since the time embedding has "
            f"a sine and a cosine for each of two or more frequencies; got {n}"
        )
    if hidden < 1:
        raise ValueError(f"hidden must be at least 1, got {hidden}")


def init(key: PRNGKey, potentials: int, n: int, hidden: int) -> Potentials:
    """Weights and biases U(+-1/sqrt(fan_in)) of k networks.

    Args:
      key: the random key.
      potentials: the number of networks k.
      n: the latent size, even and at least 4.
      hidden: the width h of every hidden layer.
    """
    check_sizes(potentials, n, hidden)
    keys = iter(jax.random.split(key, 10))

    def draw(fan_in: int, *shape: int) -> Array:
        bound = fan_in**-0.5
        shape = (potentials, *shape)
        return jax.random.uniform(next(keys), shape, minval=-bound, maxval=bound)

    h = hidden
    return Potentials(
        w1=draw(n, n, h), b1=draw(n, h),
        wt=draw(n, n, h), bt=draw(n, h), vt=draw(h, h, h), ct=draw(h, h),
        w2=draw(h, h, h), b2=draw(h, h),
        w3=draw(h, h), b3=draw(h),
    )  # fmt: skip
