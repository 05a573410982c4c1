"""Labels of samples by their kind, and rows to fit on and to judge on."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num

from jaxdis.metrics.inputs import (
    Failed,
    Key,
    Table,
    as_key,
    as_numbers,
    halves,
    is_known,
    paired,
    raw_pair,
    shuffled,
)
from jaxdis.metrics.kinds import Discrete, as_factors, as_mask, filled

__all__ = [
    "Labels",
    "Part",
    "each",
    "labelled",
    "masked",
    "parts",
    "permuted",
]

T = TypeVar("T")

LEAST = 4  # labels of a factor, to fit on some and judge on others


class Labels(NamedTuple):
    """Factors, of numpy where their values are known.

    Attributes:
      values: all columns as floats.
      classes: those that are classes, as numbers from 0.
      sizes: how many classes each column has; 0 for numbers.
      known: where labels are known, of numpy; None if all are.
    """

    values: Num[Array | np.ndarray, "n d"]
    classes: Int[Array | np.ndarray, "n d"]
    sizes: tuple[int, ...]
    known: Bool[np.ndarray, "n d"] | None


class Part(NamedTuple):
    """Columns of factors whose known labels are those of the same rows.

    Attributes:
      columns: which columns.
      fit: the rows that a probe is fitted on.
      judge: the rows that it is judged on.
    """

    columns: Int[np.ndarray, "c"]
    fit: Int[np.ndarray, "f"]
    judge: Int[np.ndarray, "j"]


def masked(z: Table, mask: Table) -> tuple[Table, Bool[np.ndarray, "n d"] | None]:
    """Factors with known values in place of others, and where they were known.

    Args:
      z: factors [n, d].
      mask: where labels are known, [n, d] or [n]; None if all are.

    Raises:
      ValueError: for a mask that is traced, or that does not fit.
    """
    if mask is None:
        return z, None
    if not is_known(mask):
        raise ValueError("mask is traced; which labels are known must not be")
    z = as_numbers("z", z)
    if z.ndim != 2:
        raise ValueError(f"z has shape {z.shape}; with a mask it must be [n, d]")
    known = np.asarray(as_mask(mask, z))
    return (filled(z, known) if isinstance(z, np.ndarray) else z), known


def labelled(
    z: Table, codes: Table, discrete: Discrete, mask: Table, failed: Failed
) -> tuple[Labels, Float[Array | np.ndarray, "*s n k"]]:
    """Factors by kind, and codes of the same samples, after all checks.

    Known values come back in float64 of numpy, with their shifts and scales; traced
    ones as floats of JAX.

    Args:
      z: factors [n, d].
      codes: codes [n, k], or [s, n, k] with a leading axis of seeds.
      discrete: which columns of z are classes; see `kinds.as_factors`.
      mask: where labels are known, [n, d] or [n].
      failed: what codes that are not finite do.

    Raises:
      ValueError: as `inputs.paired` and `kinds.as_factors`.
    """
    full, known = masked(z, mask)
    on_host = is_known(z, codes)
    values, codes = (raw_pair if on_host else paired)(full, codes, failed)
    if values.ndim != 2:
        raise ValueError(f"z has shape {values.shape}; it must be [n, d]")
    if discrete is False:
        none = np.zeros(values.shape, np.int32)
        return Labels(values, none, (0,) * values.shape[1], known), codes
    factors = as_factors(z, discrete, mask)
    classes = np.asarray(factors.classes) if on_host else factors.classes
    return Labels(values, classes, factors.sizes, known), codes


def parts(labels: Labels, key: Key, share: float) -> list[Part]:
    """The rows that fit and those that judge, of every column.

    Rows are permuted by a key, as factors often come in the order of a grid.

    Args:
      labels: the factors.
      key: see `inputs.as_key`; it must be known.
      share: the share of known labels of a column that fit.

    Raises:
      ValueError: for fewer than 4 rows, or fewer than 4 known labels of a column.
    """
    n, d = labels.values.shape
    fit, judge = halves(key, n, share)
    if labels.known is None:
        return [Part(np.arange(d), fit, judge)]
    rows = np.concatenate([fit, judge])
    patterns, which = np.unique(labels.known, axis=1, return_inverse=True)
    found = []
    for i, pattern in enumerate(patterns.T):
        columns, some = np.flatnonzero(which == i), rows[pattern[rows]]
        if len(some) < LEAST:
            raise ValueError(
                f"mask leaves {len(some)} labels of z in columns {columns.tolist()}; "
                f"at least {LEAST} are needed, to fit on some and test on the others"
            )
        cut = math.floor(share * len(some))
        found.append(Part(columns, some[:cut], some[cut:]))
    return found


def permuted(labels: Labels, key: Key) -> Labels:
    """The labels with their rows permuted: what they say of codes is lost.

    Args:
      labels: the factors.
      key: what the order is drawn with.
    """
    with jax.ensure_compile_time_eval():
        other = jax.random.fold_in(as_key(key), 1)  # not that of the split
    rows = shuffled(other, len(labels.values))
    known = None if labels.known is None else labels.known[rows]
    values, classes = labels.values[rows], labels.classes[rows]
    return labels._replace(values=values, classes=classes, known=known)


def each(one: Callable[..., T], z: Table, codes: Table) -> T:
    """`one(z, codes)`; of factors [s, n, d] that of each seed, stacked.

    Args:
      one: the scores of factors [n, d].
      z: factors.
      codes: codes.

    Raises:
      ValueError: if factors have an axis of seeds that codes do not have.
    """
    z = as_numbers("z", z)
    if z.ndim != 3:
        return one(z, codes)
    codes = as_numbers("codes", codes)
    if codes.ndim != 3 or len(codes) != len(z):
        raise ValueError(
            f"z has shape {z.shape} and codes {codes.shape}; factors with an axis of "
            "seeds need codes with the same one"
        )
    runs = [one(*pair) for pair in zip(z, codes, strict=True)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *runs)
