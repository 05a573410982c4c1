"""Which factors are classes and which are numbers, and which labels are known."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxdis.metrics.checks import warn
from jaxdis.metrics.inputs import Table, as_float, as_numbers, is_known, standardised

__all__ = [
    "Discrete",
    "Factors",
    "RawFactors",
    "answers",
    "as_factors",
    "as_mask",
    "distinct",
    "filled",
    "raw_factors",
]

Discrete: TypeAlias = (
    Literal["auto"] | Sequence[bool | int] | Shaped[Array | np.ndarray, "d"] | bool
)
"""Which columns are classes: "auto", one answer for all, or one a column, where a
number says how many classes there are (0, 1, ... below it)."""

EXACT = 2.0**53  # whole numbers that float64 tells apart
FEW = 50  # distinct values of a column that is taken for classes


class RawFactors(NamedTuple):
    """`Factors` on the host, with the numbers as they came.

    Attributes:
      values: all columns in float64, those that are not known filled from other rows.
      classes: those that are classes, as numbers from 0; others are 0.
      sizes: how many classes each column has; 0 for a column of numbers.
      mask: where the label is known; None if all are.
    """

    values: Float[np.ndarray, "n d"]
    classes: Int[np.ndarray, "n d"]
    sizes: tuple[int, ...]
    mask: Bool[np.ndarray, "n d"] | None


class Factors(NamedTuple):
    """Factors after each column has been told to be classes or numbers.

    Attributes:
      values: all columns as floats, centred and scaled where float32 would lose them.
      classes: those that are classes, as numbers from 0; others are 0.
      sizes: how many classes each column has; 0 for a column of numbers.
      mask: where the label is known; None if all are.
    """

    values: Float[Array, "n d"]
    classes: Int[Array, "n d"]
    sizes: tuple[int, ...]
    mask: Bool[Array, "n d"] | None


def distinct(
    column: Shaped[np.ndarray, "n"],
) -> tuple[Shaped[np.ndarray, "m"], Int[np.ndarray, "n"]]:
    """The values of a column in order, and the place of each row's value among them.

    Whole numbers that lie close together are counted, not sorted.

    Args:
      column: finite numbers.
    """
    least, most = float(column.min()), float(column.max())
    if most - least <= len(column) and max(-least, most) < EXACT:
        whole = column.astype(np.intp)
        if (whole == column).all():
            steps = whole - int(least)
            there = np.bincount(steps) > 0
            values = np.flatnonzero(there) + int(least)
            return values.astype(column.dtype), (np.cumsum(there) - 1)[steps]
    values, places = np.unique(column, return_inverse=True)
    return values, places


def _most_classes(column: np.ndarray) -> float:
    """How many distinct values a column of classes has at most."""
    n = len(column)
    if column.dtype.kind in "biu" or (column == np.round(column)).all():
        return n / 2
    return min(FEW, n / 5)


def _classes(column: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Classes from 0 and their number, if values repeat as those of classes do."""
    most = _most_classes(column)
    if most <= FEW and len(np.unique(column[: 4 * FEW])) > most:
        return None  # without a sort of all rows
    values, places = distinct(column)
    return (places, len(values)) if len(values) <= most else None


def _guessed(columns: list[np.ndarray]) -> list[tuple[np.ndarray, int] | None]:
    found = [_classes(c) for c in columns]
    few = [
        j
        for j, (c, yes) in enumerate(zip(columns, found, strict=True))
        if yes and _most_classes(c) <= FEW and not (c == np.round(c)).all()
    ]
    if few:
        warn(
            f"z has few distinct values in columns {few}, which are taken for classes; "
            "say discrete= to decide otherwise"
        )
    return found


def answers(name: str, discrete: Discrete, of: str, columns: int) -> list[bool | int]:
    """Which columns are classes, or how many: one answer a column.

    Args:
      name: the argument, as messages call it.
      discrete: one answer for all columns, or one for each.
      of: the table that has the columns.
      columns: how many there are.

    Raises:
      ValueError: for anything else, or a number of classes below 1.
    """
    # Of arrays of any library, too; of sets and the like it is no list.
    plain = np.asarray(discrete, None if hasattr(discrete, "dtype") else object)
    asked: Any = plain.tolist()
    asked = [asked] * columns if isinstance(asked, bool | np.bool_) else asked
    fit = isinstance(asked, list) and len(asked) == columns
    if not fit or not all(_is_answer(x) for x in asked):
        raise ValueError(
            f"{name} must be 'auto', or true, false or the number of classes for each "
            f"of the {columns} columns of {of}, got {discrete!r}"
        )
    return asked


def _is_answer(x: object) -> bool:
    whole = isinstance(x, int | np.integer) and x > 0
    return isinstance(x, bool | np.bool_) or bool(whole)


def as_mask(mask: Table, z: Array | np.ndarray) -> Array | np.ndarray | None:
    """Where each label is known, [n, d]; None if all are.

    Args:
      mask: true or false for each label, or for each row.
      z: factors [n, d].

    Raises:
      ValueError: for another shape or type, or a column without a known label.
    """
    if mask is None:
        return None
    mask = as_numbers("mask", mask)
    if mask.shape not in (z.shape, z.shape[:1]) or mask.dtype != bool:
        raise ValueError(
            f"mask has shape {mask.shape} and type {mask.dtype}; it must be true or "
            f"false for each label, {z.shape}, or for each row, {z.shape[:1]}"
        )
    full = mask if mask.ndim == 2 else mask[:, None]
    numpy = np if not isinstance(mask, jax.core.Tracer) else jnp
    full = numpy.broadcast_to(full, z.shape)
    if numpy is np and not full.any(0).all():
        empty = np.flatnonzero(~full.any(0)).tolist()
        raise ValueError(f"mask leaves no label of z in columns {empty}")
    return full


def filled(
    z: Shaped[np.ndarray, "n d"], known: Bool[np.ndarray, "n d"] | None
) -> Shaped[np.ndarray, "n d"]:
    """Factors with a known value of the column where the label is not known.

    Args:
      z: factors.
      known: where labels are known; None if all are.
    """
    if known is None:
        return z
    return np.where(known, z, np.take_along_axis(z, known.argmax(0)[None], 0))


def _coded(known: np.ndarray, asked: bool | int, j: int) -> tuple[np.ndarray, int]:
    """Classes from 0 of the values that are known, and their number."""
    if isinstance(asked, bool | np.bool_):
        values, classes = distinct(known)
        return classes, len(values)
    whole = (known == np.round(known)).all()
    if not (whole and known.min() >= 0 and known.max() < asked):
        raise ValueError(
            f"discrete says that column {j} of z has {asked} classes; its values "
            f"must be whole numbers in 0..{asked - 1}"
        )
    return known, int(asked)


def _told(
    columns: list[np.ndarray], asked: list[bool | int]
) -> list[tuple[np.ndarray, int] | None]:
    told = enumerate(zip(columns, asked, strict=True))
    return [_coded(c, a, j) if a else None for j, (c, a) in told]


def _check_finite(z: np.ndarray, known: np.ndarray | None) -> None:
    if z.dtype.kind in "biu":
        return
    broken = ~np.isfinite(z if z.itemsize > 2 else z.astype(np.float32))
    if known is not None:
        broken &= known
    if broken.any():
        row, column = np.argwhere(broken)[0].tolist()
        raise ValueError(
            f"z is NaN or infinite at row {row}, column {column}; pass mask= for "
            "labels that are missing"
        )


def raw_factors(
    z: Table, discrete: Discrete = "auto", mask: Table = None
) -> RawFactors:
    """`as_factors` on the host, with the numbers as they came.

    Args:
      z: factors [n, d].
      discrete: which columns are classes; see `as_factors`.
      mask: where labels are known, [n, d] or [n].

    Raises:
      ValueError: as `as_factors`, and within jit or vmap.
    """
    if not is_known(z, mask):
        raise ValueError("these factors are looked at; call it outside of jit")
    z = np.asarray(as_numbers("z", z))
    if z.ndim != 2:
        raise ValueError(f"z has shape {z.shape}; it must be [n, d]")
    full = as_mask(mask, z)
    known = None if full is None else np.asarray(full)
    _check_finite(z, known)
    d = z.shape[1]
    rows = [slice(None) if known is None else known[:, j] for j in range(d)]
    together = np.ascontiguousarray(z.T)  # strides are slow
    columns = [together[j, at] for j, at in enumerate(rows)]
    guess = isinstance(discrete, str) and discrete == "auto"
    found = (
        _guessed(columns)
        if guess
        else _told(columns, answers("discrete", discrete, "z", d))
    )
    classes, sizes = np.zeros((d, len(z)), np.int32), [0] * d
    for j, coded in enumerate(found):
        if coded is not None:
            classes[j, rows[j]], sizes[j] = coded
    values = z.astype(np.float64)
    return RawFactors(filled(values, known), classes.T, tuple(sizes), known)


def as_factors(z: Table, discrete: Discrete = "auto", mask: Table = None) -> Factors:
    """Factors of which each column is told to be classes or numbers.

    Args:
      z: factors [n, d].
      discrete: which columns are classes. "auto" takes columns of whole numbers that
        repeat, and columns of at most 50 distinct values that repeat five times on
        average, and warns of the latter. Within jit the numbers of classes are needed.
      mask: where labels are known, [n, d] or [n], true or false. Values elsewhere are
        ignored and may be NaN; by default all are known.

    Raises:
      ValueError: for what is no table of numbers, another rank, a discrete or mask that
        does not fit, values that are no classes, or a known value that is not finite.
    """
    if is_known(z, mask):
        raw = raw_factors(z, discrete, mask)
        return Factors(
            as_float(standardised(raw.values)),
            jnp.asarray(raw.classes),
            raw.sizes,
            None if raw.mask is None else jnp.asarray(raw.mask),
        )
    z = as_numbers("z", z)
    if z.ndim != 2:
        raise ValueError(f"z has shape {z.shape}; it must be [n, d]")
    guess = isinstance(discrete, str) and discrete == "auto"
    return _traced(
        z,
        [] if guess else answers("discrete", discrete, "z", z.shape[1]),
        as_mask(mask, z),
    )


def _traced(
    z: Array | np.ndarray, asked: list[bool | int], mask: Array | np.ndarray | None
) -> Factors:
    if not asked or any(isinstance(a, bool | np.bool_) and a for a in asked):
        raise ValueError(
            "within jit the values of z are not known; discrete must say for each "
            "column how many classes it has, or False"
        )
    sizes = tuple(0 if isinstance(a, bool | np.bool_) else int(a) for a in asked)
    discrete = jnp.asarray([size > 0 for size in sizes])
    values = as_float(z)
    classes = jnp.where(discrete[None], values, 0).astype(jnp.int32)
    return Factors(values, classes, sizes, None if mask is None else jnp.asarray(mask))
