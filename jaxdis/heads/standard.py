"""Features of mean 0 and standard deviation 1 over all tasks and samples."""

import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["Standard", "apply_standard", "standardise"]

EPSILON = 1e-5  # added to standard deviations


class Standard(NamedTuple):
    """The mean and the standard deviation of every feature."""

    mean: Float[Array, "m"]
    std: Float[Array, "m"]


def standardise(
    features: Float[Array, "t n m"],
) -> tuple[Float[Array, "t n m"], Standard]:
    """`F = (h - mean) / (std + 1e-5)`, over all tasks and samples at once.

    There is no learned scale: it would let a network shrink its heads, and with them
    the L1 term, for free. Gradients flow through mean and std.

    Args:
      features: h.

    Returns:
      F, and the mean and standard deviation.

    Raises:
      ValueError: for no features, and outside of jit for features of which float32
        cannot hold the squares.

    Warns:
      UserWarning: if a feature is constant; it becomes 0, which drops it. Values are
        seen only outside of jit.
    """
    if 0 in features.shape:
        raise ValueError(
            f"features has shape {features.shape}; at least one task, one sample and "
            "one feature are needed"
        )
    # Relative to one row, the mean of equal numbers is exact and F exactly 0.
    row = jax.lax.stop_gradient(features[:1, :1])
    mean = row[0, 0] + (features - row).mean((0, 1))
    square = ((features - mean[None, None]) ** 2).mean((0, 1))
    # A root has no derivative at 0, where a feature is constant.
    varies = square > 0
    std = jnp.where(varies, jnp.sqrt(jnp.where(varies, square, 1.0)), 0.0)
    if not isinstance(std, jax.core.Tracer):
        _check_moments(np.asarray(mean), np.asarray(std), features)
    moments = Standard(mean, std)
    return apply_standard(moments, features), moments


def _check_moments(
    mean: np.ndarray, std: np.ndarray, features: Float[Array, "t n m"]
) -> None:
    overflows = np.isinf(std) & np.isfinite(np.asarray(features)).all((0, 1))
    if overflows.any():
        raise ValueError(
            f"features {np.flatnonzero(overflows).tolist()} are too large: float32 "
            "cannot hold their squares; divide them by a constant first"
        )
    constant = np.flatnonzero(std <= 1e-7 * (1 + np.abs(mean))).tolist()
    if constant:
        warnings.warn(
            f"features {constant} are constant and cannot be standardised; they are "
            "dropped",
            stacklevel=3,
        )


def apply_standard(
    moments: Standard, features: Float[Array, "*b m"]
) -> Float[Array, "*b m"]:
    """Features standardised by given moments."""
    shape = (1,) * (features.ndim - 1) + (-1,)
    std = moments.std.reshape(shape) + EPSILON
    return (features - moments.mean.reshape(shape)) / std
