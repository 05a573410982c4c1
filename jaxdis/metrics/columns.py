"""Columns of factors and codes: what every metric of codes begins with.

A dead code (constant up to rounding) correlates 0 with everything. A run with a
non-finite code has failed: its score is NaN, the scores of its neighbours stand.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.stats import rankdata
from jaxtyping import Array, Bool, Float, Int, Num

from jaxdis.metrics.inputs import Table, as_numbers, narrowed
from jaxdis.types import Score

__all__ = [
    "DEAD",
    "dead",
    "ranks",
    "standardise",
]

DEAD_STD = 1e-8  # standard deviation of a dead column, relative to |mean|

DEAD = Score("dead", "Dead codes", None, (0, math.inf))


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
    return x, std, std <= DEAD_STD * jnp.abs(mean)


def standardise(x: Table) -> Float[Array, "n k"]:
    """Columns of mean 0 and standard deviation 1; dead columns become 0.

        x~ = (x - mean x) / std x,   dead iff std x <= 1e-8 |mean x|

    Args:
      x: samples in rows, [n, k].

    Returns:
      [n, k]; a column with a NaN or an infinity is NaN throughout.

    Raises:
      ValueError: if x has another rank.
    """
    x = as_numbers("x", x)
    if x.ndim != 2:
        raise ValueError(f"x has shape {x.shape}; it must be [n, k]")
    x, std, is_dead = _moments(narrowed(x))
    return jnp.where(is_dead[None, :], 0.0, x / jnp.where(is_dead, 1.0, std)[None, :])


@jax.jit
def _count_dead(codes: Float[Array, "*s n k"]) -> Int[Array, "*s"]:
    if codes.ndim == 3:
        return jax.vmap(_count_dead)(codes)
    return _moments(codes)[2].sum()


def dead(codes: Table) -> Int[Array, "*s"]:
    """Number of dead codes: constant columns, up to rounding.

        #{j: std(c_j) <= 1e-8 |mean(c_j)|}

    Args:
      codes: codes [n, k], or [s, n, k] with a leading axis of seeds.

    Returns:
      A count for each run. Columns with non-finite values are not counted.

    Raises:
      ValueError: if codes has another rank.
    """
    codes = as_numbers("codes", codes)
    if codes.ndim not in (2, 3):
        raise ValueError(
            f"codes has shape {codes.shape}; it must be [n, k] or [s, n, k]"
        )
    return _count_dead(narrowed(codes))


def ranks(x: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Average ranks down the columns; dead columns tie, broken ones stay broken."""
    x = jnp.where(_moments(x)[2][None, :], 0.0, x)
    return jnp.where(jnp.isfinite(x), rankdata(x, axis=0), jnp.nan)
