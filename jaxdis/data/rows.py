"""Rows: one sampler and one way to split for every data set."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Int

from jaxdis import check
from jaxdis.types import (
    Batches,
    PRNGKey,
    Rows,
    Sampler,
    Source,
    Spec,
    Splits,
    Stream,
)

__all__ = [
    "VALID_ROWS",
    "batches",
    "bind",
    "check_rows",
    "resident",
    "sampler",
    "split_rows",
    "train_sampler",
    "world_of",
]

VALID_ROWS = 2_000  # that are scored between chunks, at most
_AT_ONCE = 2**24  # numbers of an array of the host that are looked at at once


@cache
def bind(f: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """`partial(f, *static)`, the same object for equal values.

    A `Partial` compares functions by identity: without this a second data set of the
    same kind would be traced again.
    """
    return partial(f, *static)


@runtime_checkable
class Batched(Protocol):
    """A config that says how many rows are in a batch."""

    @property
    def batch(self) -> int: ...


def batches(config: Batched, spec: Spec, splits: Splits) -> Batches:
    """What most methods make of splits: batches of `config.batch` rows.

    A row is a whole sequence where observations come in sequences.

    Args:
      config: the method's config.
      spec: what is known of the data.
      splits: their rows.

    Raises:
      ValueError: fewer training rows than a batch has, where their number is known.
    """
    check.batch(config.batch, spec.rows)
    # Rows are behind the worlds.
    axis = 0 if spec.worlds is None else 1
    some = (slice(None),) * axis + (slice(VALID_ROWS),)
    valid = jax.tree.map(lambda a: a[some], splits.valid)
    sample = train_sampler(splits, config.batch, worlds=spec.worlds is not None)
    return Batches(sample, valid, splits.test)


def _of_the_host(splits: Splits) -> bool:
    """Whether training rows stay on the host, for more of them than a block."""
    train = splits.train
    if splits.block is None or isinstance(train, Source):
        return False
    return isinstance(train.x, np.ndarray) and len(train.x) > splits.block


def train_sampler(
    splits: Splits, batch: int, *, worlds: bool = False
) -> Sampler | Stream:
    """`key -> Rows` of training rows, or the same of rows that stay on the host.

    Arrays of numpy stay there if they hold more than `splits.block` rows.

    Args:
      splits: the rows.
      batch: the number of rows in a batch.
      worlds: as in `sampler`.

    Raises:
      ValueError: as in `sampler`; a block of rows that have an axis of worlds.
    """
    train = splits.train
    if isinstance(train, Source) or not _of_the_host(splits):
        return sampler(train, batch, worlds=worlds)
    if worlds:
        raise ValueError(
            "data.block must be None where every seed has a world of rows of its own, "
            f"got {splits.block}"
        )
    check.at_least("batch", batch, 1)
    check.at_least("data.block", splits.block or 0, 1)
    check_rows(train)
    return Stream(train, Partial(bind(_choose, batch, len(train.x))), splits.block or 1)


def resident(splits: Splits, method: str) -> None:
    """Raises ValueError if training rows stay on the host.

    Args:
      splits: the rows.
      method: the name of a method that needs all of them on the device.
    """
    if _of_the_host(splits):
        raise ValueError(
            f"data.block: {method} needs all training rows on the device, where "
            f"{splits.block} are to be at a time; give fewer rows, or a block of all"
        )


def sampler(train: Rows | Source, batch: int, *, worlds: bool = False) -> Sampler:
    """`key -> Rows` of uniformly drawn rows; the data stay arguments of the program.

    Args:
      train: the training rows, or where they are drawn.
      batch: the number of rows in a batch.
      worlds: whether the rows have an axis of worlds in front, of which the sampler,
        `(key, world) -> Rows`, then takes one.

    Raises:
      ValueError: NaN or infinite data, arrays with different numbers of rows, none at
        all, or a batch below 1.
    """
    check.at_least("batch", batch, 1)
    if isinstance(train, Source):
        drawn = _draw_source_worlds if worlds else _draw_source
        return Partial(bind(drawn, batch), train.draw)
    check_rows(train, worlds=worlds)
    return Partial(bind(_draw_worlds if worlds else _draw_rows, batch), train)


def _draw_source(batch: int, draw: Partial, key: PRNGKey) -> Rows:
    rows: Rows = draw(key, batch)
    return rows


def _draw_source_worlds(
    batch: int, draw: Partial, key: PRNGKey, world: Int[Array, ""]
) -> Rows:
    rows: Rows = draw(key, batch, world)
    return rows


def _choose(batch: int, n: int, key: PRNGKey) -> Int[Array, "b"]:
    return jax.random.randint(key, (batch,), 0, n)


def _draw_rows(batch: int, rows: Rows, key: PRNGKey) -> Rows:
    chosen = _choose(batch, rows.x.shape[0], key)
    return jax.tree.map(lambda a: a[chosen], rows)


def _draw_worlds(batch: int, rows: Rows, key: PRNGKey, world: Int[Array, ""]) -> Rows:
    chosen = _choose(batch, rows.x.shape[1], key)
    return jax.tree.map(lambda a: a[world, chosen], rows)


def world_of(seed: Int[np.ndarray, "n"], worlds: int) -> Int[np.ndarray, "n"]:
    """Which world a seed sees: `seed mod worlds`, or with 0 worlds its own."""
    return np.asarray(seed) % worlds if worlds else np.asarray(seed)


def check_rows(rows: Rows, *, worlds: bool = False) -> None:
    """Raises ValueError unless all arrays are finite and hold the same rows.

    Args:
      rows: the rows.
      worlds: whether they have an axis of worlds in front.
    """
    axes = 2 if worlds else 1
    lead = rows.x.shape[:axes]
    what = "[w, n, ...]" if worlds else "[n, ...]"
    for name, value in rows._replace(names=None)._asdict().items():
        if value is None:
            continue
        if len(lead) < axes or not value.size or value.shape[:axes] != lead:
            raise ValueError(
                f"data.{name} must have shape {what} with the rows of data.x, "
                f"{rows.x.shape}, at least one; got {value.shape}"
            )
        missing = name == "y"  # a missing label is NaN
        if jnp.issubdtype(value.dtype, jnp.inexact) and not _finite(value, missing):
            raise ValueError(
                f"data.{name} holds NaN or infinite values; remove those rows first"
            )


def _finite(value: Array | np.ndarray, missing: bool) -> bool:
    """Whether all numbers are finite; those that are missing do not count.

    Arrays of the host are read in parts, and leave it no more than they have to.
    """
    if not isinstance(value, np.ndarray):
        bad = jnp.isinf(value) if missing else ~jnp.isfinite(value)
        return not bool(bad.any())
    some = max(1, _AT_ONCE * len(value) // value.size)
    there = jax.dtypes.canonicalize_dtype(value.dtype)
    with np.errstate(over="ignore"):  # what that type does not hold is infinite there
        parts = (value[i : i + some].astype(there) for i in range(0, len(value), some))
        if missing:
            return not any(np.isinf(part).any() for part in parts)
        return all(np.isfinite(part).all() for part in parts)


def split_rows(
    order: Int[np.ndarray, "n"], held_out: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shuffled rows as train, valid and test, the last two a share each.

    Args:
      order: the rows in a random order.
      held_out: the share of each of valid and test, at least one row.
    """
    n = max(1, int(held_out * len(order)))
    return order[2 * n :], order[:n], order[n : 2 * n]
