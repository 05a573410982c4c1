"""How many features linear heads use, and how evenly.

Heads of tasks are [t, m, c]: tasks, features, outputs. Heads with a value that is not
finite belong to a failed run: they score NaN.
"""

import math

import jax.numpy as jnp
from jax.scipy.special import entr
from jaxtyping import Array, Float

from jaxdis import check
from jaxdis.metrics.inputs import Table, as_float, as_numbers, is_known
from jaxdis.types import Scalar, Score

__all__ = ["HEAD_DENSITY", "USAGE_ENTROPY", "head_density", "usage_entropy"]

HEAD_DENSITY = Score("head_density", "Head density", None, (0, 1))
USAGE_ENTROPY = Score("usage_entropy", "Usage entropy, nats", None, (0, math.inf))


def _heads(w: Table) -> Float[Array, "*s t m c"]:
    w = as_float(as_numbers("w", w))
    if w.ndim < 3:
        raise ValueError(
            f"w has shape {w.shape}; it must be [t, m, c]: tasks, features, outputs"
        )
    return w


def head_density(w: Table) -> Float[Array, "*s"]:
    """Share of the weights of the heads that are not zero.

        #{w_tmc != 0} / (t m c)

    Args:
      w: heads [t, m, c], with any axes of runs in front.

    Returns:
      A share in [0, 1] for each run.

    Raises:
      ValueError: if w has fewer than three axes, is empty or holds no numbers.
    """
    w = _heads(w)
    used = jnp.where(jnp.isfinite(w), (w != 0).astype(w.dtype), jnp.nan)
    return used.mean((-3, -2, -1))


def usage_entropy(w: Table, floor: Scalar = 0.0) -> Float[Array, "*s"]:
    """Entropy of the usage of the features, in nats.

        H(p) = -sum_m p_m log p_m,   p_m = a_m / sum a,   a_m = floor + mean_tc |w_tmc|

    Without a floor, H <= log #{features in use}, with equality for equal usage.

    Args:
      w: heads [t, m, c], with any axes of runs in front.
      floor: added to the usage of every feature; training uses 1e-3.

    Returns:
      An entropy in [0, log m] for each run; 0 if nothing is used and there is no floor.

    Raises:
      ValueError: if w has fewer than three axes, is empty or holds no numbers, or for a
        negative floor.
    """
    if is_known(floor):
        check.at_least("floor", float(floor), 0.0)
    usage = jnp.abs(_heads(w)).mean((-3, -1)) + floor
    total = usage.sum(-1, keepdims=True)
    return entr(usage / jnp.where(total == 0, 1.0, total)).sum(-1)
