"""How far a score depends on its samples, and what it is where nothing is to be found.

Rows are drawn and scored on the device in one program: resampled with replacement for
an interval, permuted for a null.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from jaxdis.types import PRNGKey

__all__ = ["Data", "Drawn", "Place", "draw", "moved_interval", "place_rows"]

BUDGET = 2**20  # numbers of the factors and codes that are scored at a time


class Data(NamedTuple):
    """Factors and codes of the same samples, and what is known of them.

    Attributes:
      z: factors [n, d], or [s, n, d].
      codes: codes [n, k], or [s, n, k].
      mask: which labels are known, as z; None if all are.
      pattern: which factors each factor may be mixed with, [d, d]; None if not known.
    """

    z: Array | np.ndarray
    codes: Array | np.ndarray
    mask: Array | np.ndarray | None = None
    pattern: Array | np.ndarray | None = None

    def rows(self, of_z: Array | np.ndarray, of_codes: Array | np.ndarray) -> "Data":
        """Some rows of the factors beside some of the codes.

        Args:
          of_z: rows of the factors and of their mask.
          of_codes: as many rows of the codes.
        """
        mask = None if self.mask is None else self.mask[..., of_z, :]
        return self._replace(
            z=self.z[..., of_z, :], codes=self.codes[..., of_codes, :], mask=mask
        )


class Place(NamedTuple):
    """What each row may be replaced by: the rows `order[start : start + size]`.

    Attributes:
      order: all rows, part by part.
      start: where the part of each row begins.
      size: how many rows it has.
    """

    order: Int[np.ndarray, "n"]
    start: Int[np.ndarray, "n"]
    size: Int[np.ndarray, "n"]


class Drawn(NamedTuple):
    """Scores of drawn rows.

    Attributes:
      resampled: the scores of each resample.
      permuted: those of each permutation of the factors.
    """

    resampled: PyTree
    permuted: PyTree


def place_rows(n: int, parts: Sequence[np.ndarray] = ()) -> Place:
    """Where rows are drawn from: from all, or each from those of its own part.

    A probe that fits some rows and is judged by others would otherwise be judged by
    copies of what it was fitted on.

    Args:
      n: the number of rows.
      parts: the rows of each part, all of them once; none for a single part.
    """
    parts = parts or (np.arange(n),)
    order = np.concatenate(parts).astype(np.int32)
    start, size = np.zeros(n, np.int32), np.zeros(n, np.int32)
    first = 0
    for part in parts:
        start[part], size[part] = first, len(part)
        first += len(part)
    return Place(order, start, size)


@partial(jax.jit, static_argnames=("score", "setting", "resamples", "nulls", "batch"))
def _draw(
    score: Callable[[Data, Any], PyTree],
    data: Data,
    setting: Hashable,
    place: Place,
    key: PRNGKey,
    resamples: int,
    nulls: int,
    batch: int,
) -> Drawn:
    n = data.codes.shape[-2]
    rows = jnp.arange(n)

    def resampled(key: PRNGKey) -> tuple[Array, Array]:
        drawn = place.order[place.start + jax.random.randint(key, (n,), 0, place.size)]
        return drawn, drawn

    def permuted(key: PRNGKey) -> tuple[Array, Array]:
        return jax.random.permutation(key, n).astype(place.order.dtype), rows

    def scored(_: None, given: tuple[Array, Array]) -> tuple[None, PyTree]:
        keys, is_null = given
        # One program for both, so that the score is compiled once.
        both = jax.lax.cond(is_null, jax.vmap(permuted), jax.vmap(resampled), keys)
        return None, jax.vmap(lambda two: score(data.rows(*two), setting))(both)

    rounds = -(-resamples // batch), -(-nulls // batch)
    keys = jax.random.split(key, (sum(rounds), batch))
    is_null = jnp.arange(sum(rounds)) >= rounds[0]
    _, found = jax.lax.scan(scored, None, (keys, is_null))

    def flat(part: slice, count: int) -> PyTree:
        return jax.tree.map(lambda a: a[part].reshape(-1, *a.shape[2:])[:count], found)

    return Drawn(flat(slice(rounds[0]), resamples), flat(slice(rounds[0], None), nulls))


def draw(
    score: Callable[[Data, Any], PyTree],
    data: Data,
    setting: Hashable = None,
    *,
    resamples: int,
    nulls: int,
    key: PRNGKey,
    place: Place | None = None,
) -> Drawn:
    """Scores of resampled rows and of permuted factors, in one program.

    Every resample and every permutation is the same for all seeds, and of all columns:
    what factors have to do with each other stays.

    Args:
      score: `(data, setting) -> tree of arrays`, which JAX can trace; it is compiled
        once for a setting and data of the same shapes.
      data: factors and codes, as arrays of floats.
      setting: what the score is told besides.
      resamples: how often as many rows are drawn with replacement.
      nulls: how often the rows of the factors are permuted.
      key: what they are drawn with.
      place: what each row may be replaced by; by default any.

    Returns:
      The trees with an axis of resamples, or of permutations, in front.
    """
    n = data.codes.shape[-2]
    place = place_rows(n) if place is None else place
    drawn = [count for count in (resamples, nulls) if count]
    numbers = np.size(data.codes) + np.size(data.z)
    batch = max(1, min(BUDGET // numbers, *drawn, max(drawn)))
    return _draw(score, data, setting, place, key, resamples, nulls, batch)


def moved_interval(
    value: Float[np.ndarray, "*s"],
    resampled: Float[np.ndarray, "b *s"],
    confidence: float = 0.95,
    span: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[Float[np.ndarray, "*s"], Float[np.ndarray, "*s"]]:
    """The percentile interval of a score, moved to where the score is.

        [q_(1-c)/2 - b, q_(1+c)/2 - b],   b = mean of the resamples - value

    Resamples hold rows twice, which flatters what is fitted: R2 of a useless code is
    k / n, and twice that among its resamples, whose plain percentiles may leave the
    score out. The interval is that of the score for as many samples, as the null is.

    Args:
      value: the score of all rows.
      resampled: the scores of the resamples.
      confidence: c, in (0, 1).
      span: the range of the score.

    Returns:
      The lower and the upper end; NaN where a score is.

    Source: Efron 1979.
    """
    wide = np.asarray(resampled, np.float64)
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = np.quantile(wide, tails, axis=0) - (wide.mean(0) - value)
    return np.asarray(np.clip(low, *span)), np.asarray(np.clip(high, *span))
