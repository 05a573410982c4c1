"""Rows that share the value of a factor: what scores of interventions compare."""

import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxdis import check
from jaxdis.metrics.inputs import Table, as_numbers
from jaxdis.metrics.kinds import Discrete, Factors, as_factors

__all__ = ["BINS", "Groups", "as_groups"]

BINS = 20


class Groups(NamedTuple):
    """Which rows share a value, for every factor.

    Attributes:
      classes: the value as a number from 0; -1 where the label is not known.
      size: the largest number of values of a factor.
    """

    classes: Int[Array | np.ndarray, "*s n d"]
    size: int


def as_groups(
    z: Table, discrete: Discrete = "auto", bins: int = BINS, mask: Table = None
) -> Groups:
    """Rows that share a class, or a bin of a factor that is a number.

    Numbers are cut into bins of equal width between the least and the largest value
    that is known.

    Args:
      z: factors [n, d], or [s, n, d].
      discrete: which columns are classes; see `as_factors`.
      bins: the number of bins of all other columns.
      mask: where labels are known, [n, d] or [n]; by default all are.

    Raises:
      ValueError: as `as_factors`, and for no bins.

    Warns:
      UserWarning: if columns are cut into bins.
    """
    check.count("bins", bins)
    z = as_numbers("z", z)
    if z.ndim != 3:
        return _groups(z, discrete, bins, mask)
    if isinstance(z, jax.core.Tracer):
        sizes: list[int] = []

        def of_seed(z: Array) -> Array:
            found = _groups(z, discrete, bins, mask)
            sizes.append(found.size)
            return found.classes

        return Groups(jax.vmap(of_seed)(z), sizes[-1])
    each = [_groups(one, discrete, bins, mask) for one in z]
    classes = np.stack([np.asarray(g.classes) for g in each])
    return Groups(classes, max(g.size for g in each))


def _groups(
    z: Array | np.ndarray, discrete: Discrete, bins: int, mask: Table
) -> Groups:
    factors = as_factors(z, discrete, mask)
    numbers = np.array([size == 0 for size in factors.sizes])
    size = max(size or bins for size in factors.sizes)
    if isinstance(factors.values, jax.core.Tracer):
        return Groups(_traced(factors, numbers, bins), size)
    classes = np.array(factors.classes)
    known = np.ones(z.shape, bool) if factors.mask is None else np.asarray(factors.mask)
    if numbers.any():
        warnings.warn(
            f"z is continuous in columns {np.flatnonzero(numbers).tolist()}; they are "
            f"cut into {bins} bins of equal width",
            stacklevel=4,
        )
    for j in np.flatnonzero(numbers):
        values = np.asarray(z[known[:, j], j], np.float64)
        edges = np.linspace(values.min(), values.max(), bins + 1)
        classes[known[:, j], j] = np.digitize(values, edges[1:-1])
    return Groups(np.where(known, classes, -1), size)


def _traced(factors: Factors, numbers: np.ndarray, bins: int) -> Int[Array, "n d"]:
    values, mask = factors.values, factors.mask
    if mask is None:
        mask = jnp.ones(values.shape, bool)
    low = jnp.where(mask, values, jnp.inf).min(0)
    width = jnp.where(mask, values, -jnp.inf).max(0) - low
    place = (values - low[None]) / jnp.where(width > 0, width, 1.0)[None] * bins
    binned = jnp.clip(jnp.where(mask, place, 0.0).astype(jnp.int32), 0, bins - 1)
    classes = jnp.where(jnp.asarray(numbers)[None], binned, factors.classes)
    return jnp.where(mask, classes, -1)
