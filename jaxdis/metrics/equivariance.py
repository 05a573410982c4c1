"""How well moves in latent space match the transformations of images."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdis import linalg
from jaxdis.metrics.inputs import Table, as_float, as_numbers, is_known
from jaxdis.types import Scalar, Score

__all__ = ["EQUIVARIANCE_ERROR", "fit_linear_steps", "frame_error", "linear_steps"]

EQUIVARIANCE_ERROR = Score(
    "equivariance_error",
    "Equivariance error",
    "lower",
    (0, math.inf),
    "Song et al. 2023 (arXiv 2309.13167), section 4",
)


def frame_error(predicted: Table, x: Table) -> Float[Array, "*b"]:
    """`sum |x_hat - x|` over the pixels and channels of a frame.

    The equivariance error of a sequence is its sum over the frames 1 .. T, where frame
    t is decoded from the latent of frame 0 after t steps; the released figure stops at
    T - 1. It is unbounded: read it beside that of a latent that does not move.

    Args:
      predicted: x_hat, [*b, h, w, c], of any numbers; bytes are not wrapped.
      x: the frames that were seen, of the same shape.

    Returns:
      An error >= 0 for each frame, lower is better; NaN where a frame is not finite.

    Raises:
      ValueError: for what are no frames, or of unequal shapes.

    Source: Song et al. 2023 (arXiv 2309.13167), section 4, after Keller and Welling
    2021.
    """
    predicted, x = as_numbers("predicted", predicted), as_numbers("x", x)
    if x.ndim < 3 or predicted.shape != x.shape:
        raise ValueError(
            f"predicted has shape {predicted.shape} and x {x.shape}; both must be the "
            "same frames [..., h, w, c]"
        )
    if is_known(predicted, x) and not (_is_float32(predicted) and _is_float32(x)):
        # Wide enough for all integers, whose differences float32 might lose.
        off = np.abs(np.float64(predicted) - np.float64(x))
        return jnp.asarray(off.sum((-3, -2, -1)), jnp.float32)
    return jnp.sum(jnp.abs(as_float(predicted) - as_float(x)), axis=(-3, -2, -1))


def _is_float32(x: Array | np.ndarray) -> bool:
    return x.dtype == np.float32


def fit_linear_steps(
    z: Float[Array, "n f d"], weights: Float[Array, "n"], ridge: Scalar = 1e-3
) -> Float[Array, "f-1 d+1 d"]:
    """Least-squares affine maps from each latent of a sequence to the next.

    `z_t ~ [z_{t-1}, 1] A_t`, a map for every t = 1 .. T: the best that a linear step
    can do for latents that were learned without one.

    Args:
      z: latents of n sequences of f = T + 1 frames.
      weights: the weights of the sequences, 0 to leave one out.
      ridge: added to the diagonal of the normal equations, relative to its mean.

    Returns:
      A `[T, d + 1, d]`.
    """
    ones = jnp.ones((*z.shape[:-1], 1))
    known = jnp.concatenate([z, ones], -1)[:, :-1]

    def fit(known: Float[Array, "n e"], target: Float[Array, "n d"]) -> Array:
        gram = jnp.einsum("ne,n,nf->ef", known, weights, known)
        cross = jnp.einsum("ne,n,nd->ed", known, weights, target)
        scale = ridge * jnp.trace(gram) / len(gram)
        return linalg.solve(gram + scale * jnp.eye(len(gram)), cross)

    return jax.vmap(fit, (1, 1))(known, z[:, 1:])


def linear_steps(
    z: Float[Array, "d"], steps: Float[Array, "t d+1 d"]
) -> Float[Array, "t d"]:
    """The latents that `fit_linear_steps` predicts, one after the other."""

    def step(z: Array, a: Array) -> tuple[Array, Array]:
        moved = jnp.append(z, 1.0) @ a
        return moved, moved

    return jax.lax.scan(step, z, steps)[1]
