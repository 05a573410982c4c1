"""Columns of factors and codes: what every metric of codes begins with.

A dead code (constant up to rounding) correlates 0 with everything. A run with a
non-finite code has failed: its score is NaN, the scores of its neighbours stand.
"""

import math
import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import rankdata
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Num, Shaped

from jaxdis.types import Score

__all__ = [
    "DEAD",
    "as_float",
    "dead",
    "mean_over_factors",
    "over_seeds",
    "paired",
    "ranks",
    "standardise",
]

DEAD_STD = 1e-8  # standard deviation of a dead column, relative to 1 + |mean|

DEAD = Score("dead", "Dead codes", None, (0, math.inf))


def as_float(x: Shaped[ArrayLike, "..."]) -> Float[Array, "..."]:
    """The array in float32 or better."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def paired(
    z: Shaped[ArrayLike, "n d"], z_hat: Shaped[ArrayLike, "*s n k"]
) -> tuple[Float[Array, "n d"], Float[Array, "*s n k"]]:
    """Factors and codes of the same samples as floats, after checks.

    Args:
      z: factors [n, d].
      z_hat: codes [n, k], or [s, n, k] with a leading axis of seeds.

    Raises:
      ValueError: for a wrong rank, unequal rows, or a non-finite factor.

    Warns:
      UserWarning: if a factor is constant. Values are seen only outside of jit.
    """
    z, z_hat = as_float(z), as_float(z_hat)
    if z.ndim != 2:
        raise ValueError(
            f"z has shape {z.shape}; it must be [n, d]: one row per sample, one "
            "column per factor"
        )
    if z_hat.ndim not in (2, 3):
        raise ValueError(
            f"z_hat has shape {z_hat.shape}; it must be [n, k], or [s, n, k] with a "
            "leading axis of seeds"
        )
    if z_hat.shape[-2] != z.shape[0]:
        raise ValueError(
            f"z_hat has {z_hat.shape[-2]} rows and z has {z.shape[0]}; both must hold "
            "the same samples"
        )
    if not isinstance(z, jax.core.Tracer):
        _check_factors(z)
    return z, z_hat


def _check_factors(z: Float[Array, "n d"]) -> None:
    # In numpy: within the jit of a caller, jnp would trace even known values.
    values = np.asarray(z, np.float64)
    broken = np.flatnonzero(~np.isfinite(values).all(0)).tolist()
    if broken:
        raise ValueError(
            f"z has NaN or infinite values in columns {broken}; factors must be finite"
        )
    is_constant = values.std(0) <= DEAD_STD * (1 + np.abs(values.mean(0)))
    constant = np.flatnonzero(is_constant).tolist()
    if constant:
        warnings.warn(
            f"z is constant in columns {constant}; scores leave these factors out",
            stacklevel=4,
        )


def over_seeds(
    score: Callable[[Array, Array], Array],
    z: Float[Array, "n d"],
    z_hat: Float[Array, "*s n k"],
) -> Float[Array, "*s"]:
    """`score(z, z_hat)`, vmapped over the codes alone if they have a seed axis.

    Args:
      score: the score of one run, `([n, d], [n, k]) -> []`.
      z: factors.
      z_hat: codes.
    """
    if z_hat.ndim == 3:
        return jax.vmap(score, (None, 0))(z, z_hat)
    return score(z, z_hat)


@jax.jit
def mean_over_factors(
    scores: Float[Array, "d"], z: Num[Array, "n d"]
) -> Float[Array, ""]:
    """Mean score of the factors that vary; 0 if none does."""
    varies = ~_moments(z)[2]
    return scores.sum(where=varies) / jnp.maximum(varies.sum(), 1)


def _moments(
    x: Num[Array, "n k"],
) -> tuple[Float[Array, "n k"], Float[Array, "k"], Bool[Array, "k"]]:
    """Centred columns, their standard deviations, and which of them are dead."""
    mean = x.mean(0)
    x = x - mean[None, :]
    # Again: a float32 mean is off by a rounding, which would keep constants alive.
    x = x - x.mean(0)[None, :]
    peak = jnp.abs(x).max(0)
    peak = jnp.where(peak > 0, peak, 1.0)  # squares of large codes would overflow
    std = peak * jnp.sqrt(((x / peak[None, :]) ** 2).mean(0))
    # A column with NaN fails this comparison: it is broken, not dead.
    return x, std, std <= DEAD_STD * (1 + jnp.abs(mean))


def standardise(x: Num[ArrayLike, "n k"]) -> Float[Array, "n k"]:
    """Columns of mean 0 and standard deviation 1; dead columns become 0.

        x~ = (x - mean x) / std x,   dead iff std x <= 1e-8 (1 + |mean x|)

    Args:
      x: samples in rows, [n, k].

    Returns:
      [n, k]; a column with a NaN or an infinity is NaN throughout.

    Raises:
      ValueError: if x has another rank.
    """
    x = as_float(x)
    if x.ndim != 2:
        raise ValueError(f"x has shape {x.shape}; it must be [n, k]")
    x, std, is_dead = _moments(x)
    return jnp.where(is_dead[None, :], 0.0, x / jnp.where(is_dead, 1.0, std)[None, :])


@jax.jit
def _count_dead(z_hat: Float[Array, "*s n k"]) -> Int[Array, "*s"]:
    if z_hat.ndim == 3:
        return jax.vmap(_count_dead)(z_hat)
    return _moments(z_hat)[2].sum()


def dead(z_hat: Num[ArrayLike, "*s n k"]) -> Int[Array, "*s"]:
    """Number of dead codes: constant columns, up to rounding.

        #{j: std(c_j) <= 1e-8 (1 + |mean(c_j)|)}

    Args:
      z_hat: codes [n, k], or [s, n, k] with a leading axis of seeds.

    Returns:
      A count for each run. Columns with non-finite values are not counted.

    Raises:
      ValueError: if z_hat has another rank.
    """
    z_hat = as_float(z_hat)
    if z_hat.ndim not in (2, 3):
        raise ValueError(
            f"z_hat has shape {z_hat.shape}; it must be [n, k] or [s, n, k]"
        )
    return _count_dead(z_hat)


def ranks(x: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Average ranks down the columns; dead columns tie, broken ones stay broken."""
    x = jnp.where(_moments(x)[2][None, :], 0.0, x)
    return jnp.where(jnp.isfinite(x), rankdata(x, axis=0), jnp.nan)
