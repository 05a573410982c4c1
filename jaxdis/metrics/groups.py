"""Rows that share the value of a factor: what scores of interventions compare."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxdis import check
from jaxdis.metrics.checks import warn
from jaxdis.metrics.counts import binned_on_host
from jaxdis.metrics.inputs import Table, as_numbers
from jaxdis.metrics.kinds import Discrete, Factors, as_factors
from jaxdis.types import PRNGKey

__all__ = [
    "BINS",
    "Groups",
    "as_groups",
    "check_shared",
    "of_halves",
    "take_batches",
    "take_pairs",
]

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
            return jnp.asarray(found.classes)

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
        warn(
            f"z is continuous in columns {np.flatnonzero(numbers).tolist()}; they are "
            f"cut into {bins} bins of equal width"
        )
    for j in np.flatnonzero(numbers):
        values = np.asarray(z[known[:, j], j], np.float64)
        classes[known[:, j], j] = binned_on_host(values, bins, "width")
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


def check_shared(classes: Int[np.ndarray, "*s n d"]) -> None:
    """Whether some rows share a value of each factor.

    Args:
      classes: the values, -1 where they are not known.

    Raises:
      ValueError: if all rows of a factor differ in it.
    """
    *_, n, d = classes.shape
    for labels in classes.reshape(-1, n, d).swapaxes(1, 2).reshape(-1, n):
        if np.bincount(labels[labels >= 0]).max() < 2:
            raise ValueError(
                "z has a column of which no two rows share a value; say discrete=False "
                "for it, which cuts it into bins"
            )


class _Shared(NamedTuple):
    """Rows by the value of each factor; those that are alone with theirs come last.

    Attributes:
      order: the rows.
      start: where the rows of the value begin, for each place in order.
      alike: how many they are.
      number: how many rows are not alone.
    """

    order: Int[Array, "d n"]
    start: Int[Array, "d n"]
    alike: Int[Array, "d n"]
    number: Int[Array, "d"]


def _shared(classes: Int[Array, "n d"], size: int) -> _Shared:
    def of_factor(labels: Int[Array, "n"]) -> _Shared:
        # A label that is not known counts for an own value of negligible rows.
        known = jnp.where(labels < 0, size, labels)
        counts = jnp.zeros(size + 1, jnp.int32).at[known].add(1).at[size].set(0)
        counts = jnp.where(counts > 1, counts, 0)
        value = jnp.where(counts[known] > 0, known, size)
        order = jnp.argsort(value)
        ordered = value[order]
        start = jnp.cumsum(counts) - counts
        return _Shared(order, start[ordered], counts[ordered], counts.sum())

    return jax.lax.map(of_factor, classes.T)


def _draw_held(
    key: PRNGKey, shared: _Shared, shape: tuple[int, int]
) -> tuple[Int[Array, "v"], Int[Array, "v b"], PRNGKey]:
    """A factor for every vote, and places of random rows in its order."""
    which, where, rest = jax.random.split(key, 3)
    held = jax.random.randint(which, shape[:1], 0, len(shared.number))
    number = jnp.maximum(shared.number, 1)[held]
    return held, jax.random.randint(where, shape, 0, number[:, None]), rest


def take_batches(
    key: PRNGKey, shared: _Shared, number: int, batch: int
) -> tuple[Int[Array, "v"], Int[Array, "v b"]]:
    """Batches of rows, each of one value of one factor.

    Args:
      key: what they are drawn with, with replacement.
      shared: rows by their values.
      number: of batches.
      batch: rows of one.

    Returns:
      The factor that each batch shares, and its rows.
    """
    held, place, rest = _draw_held(key, shared, (number, 1))
    alike = jnp.maximum(shared.alike[held[:, None], place], 1)
    within = jax.random.randint(rest, (number, batch), 0, alike)
    place = shared.start[held[:, None], place] + within
    return held, shared.order[held[:, None], place]


def take_pairs(
    key: PRNGKey, shared: _Shared, number: int, batch: int
) -> tuple[Int[Array, "v"], Int[Array, "v 2 b"]]:
    """Batches of pairs of rows, each pair of one value of the factor of its batch.

    Args:
      key: what they are drawn with, with replacement.
      shared: rows by their values.
      number: of batches.
      batch: pairs of one.

    Returns:
      The factor that the pairs of a batch share, and their rows.
    """
    held, place, rest = _draw_held(key, shared, (number, batch))
    start = shared.start[held[:, None], place]
    alike = jnp.maximum(shared.alike[held[:, None], place], 2)
    # Another row of the same value: so many further, around the end.
    step = 1 + jax.random.randint(rest, place.shape, 0, alike - 1)
    other = start + (place - start + step) % alike
    return held, shared.order[held[:, None, None], jnp.stack([place, other], 1)]


def of_halves(
    take: Callable[..., tuple[Array, Array]],
    key: PRNGKey,
    classes: Int[Array, "n d"],
    size: int,
    numbers: tuple[int, int],
) -> tuple[Int[Array, "v"], Int[Array, "v ..."]]:
    """Factors held and rows taken: first those of one half, then those of the other.

    A rule that was made of the very rows that judge it would do better than chance.

    Args:
      take: `take_batches` or `take_pairs` of a number of rows,
        `(key, shared, number) -> (held, rows)`.
      key: what rows are drawn with.
      classes: the values of factors.
      size: how many they are.
      numbers: how many are taken of each half.
    """
    split, *keys = jax.random.split(key, 3)
    half = len(classes) // 2
    rows = jax.random.permutation(split, len(classes))[: 2 * half].reshape(2, half)

    def of_half(given: tuple[PRNGKey, Int[Array, "h"]]) -> tuple[Array, Array]:
        key, rows = given
        held, places = take(key, _shared(classes[rows], size), max(numbers))
        return held, rows[places]

    both = jax.lax.map(of_half, (jnp.stack(keys), rows))

    def joined(both: Array) -> Array:
        return jnp.concatenate([both[0, : numbers[0]], both[1, : numbers[1]]])

    return joined(both[0]), joined(both[1])
