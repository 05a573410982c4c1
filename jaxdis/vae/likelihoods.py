"""What the output of a decoder means."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array

from jaxdis import losses
from jaxdis.types import Scalar

__all__ = ["LIKELIHOODS", "Likelihood"]


class Likelihood(NamedTuple):
    """What the output of the decoder means.

    Attributes:
      fits: whether it is one of observations of a shape.
      wants: what it takes, in words.
      error: `(x, output, noise_std) -> -log p(x | z)`, in nats per observation.
      mean: `output -> mean of x`.
    """

    fits: Callable[[tuple[int, ...]], bool]
    wants: str
    error: Callable[[Array, Array, Scalar], Array]
    mean: Callable[[Array], Array]


def _gaussian_error(x: Array, output: Array, noise_std: Scalar) -> Array:
    rows = (len(x), -1)
    return losses.gaussian_reconstruction(
        x.reshape(rows), output.reshape(rows), noise_std
    )


def _bernoulli_error(x: Array, output: Array, noise_std: Scalar) -> Array:
    return losses.bernoulli_reconstruction(x, output)


LIKELIHOODS = {
    "gaussian": Likelihood(
        lambda shape: True,
        "anything",
        _gaussian_error,
        lambda output: output,
    ),
    "bernoulli": Likelihood(
        lambda shape: len(shape) == 3,
        "images, whose numbers lie in [0, 1]",
        _bernoulli_error,
        jax.nn.sigmoid,
    ),
}
"""N(x; output, noise_std^2), or pixels in [0, 1] with the output as logits."""
