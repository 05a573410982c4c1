"""What is done to rows before training, and again to all that come later.

It is measured on the training rows alone and kept with the run: `Preparation`. Sums are
of float64; what comes out is float32.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array, Float, Num

from jaxdis.data.checking import check_labels, check_numbers, labels, whole
from jaxdis.data.reading import recode
from jaxdis.types import Names, Preparation, Rows, Scale

__all__ = [
    "apply",
    "apply_x",
    "measure",
    "undo_x",
    "undo_y",
]

_Values: TypeAlias = Any
"""An array of numpy or JAX."""

FAR = 100.0  # deviations of a mean from 0 beyond which float32 blurs
CELLS = 2**22  # that are turned into float64 at a time
DIGIT = 2.0**-23  # of a standard deviation; float32 resolves as much around 1
SAMPLE = 10_000  # rows that are looked at for values that fall together


def measure(rows: Rows, *, scale_x: bool = True) -> Preparation:
    """Means and standard deviations of the columns of training rows.

    Vectors x, actions, and labels that are numbers are standardised. Images, columns of
    actions that hold nothing but 0 and 1, and classes are not. Missing labels count
    nowhere.

    Args:
      rows: the training rows, on the host; x are vectors `[n, x]` or `[n, t, x]`, or
        images.
      scale_x: whether vectors x are standardised; otherwise they are taken as they are,
        with mean 0 and deviation 1.

    Raises:
      ValueError: images that are all the same, a column of x or of numeric labels that
        is constant, an action that never varies, a label that is missing everywhere, or
        a value so far from the others of its column that they would be all but equal.
    """
    names = rows.names or Names()
    x = a = y = None
    if rows.x.ndim < 4:
        every = np.full(rows.x.shape[-1], scale_x)
        x = _measured("x", rows.x, names.x, every)
    elif all((image == rows.x[0]).all() for image in rows.x):  # ends at the first other
        raise ValueError(
            "data.x: the training images are all the same, so that nothing can be "
            "learned from them"
        )
    if rows.a is not None:
        continuous = ~_of_0_and_1(rows.a)
        a = _measured("a", rows.a, names.a, continuous)
        for i in np.flatnonzero(~continuous):
            if np.ptp(np.asarray(rows.a[..., i])) == 0:
                raise _constant("a", names.a, int(i))
        a = a if continuous.any() else None
    if rows.y is not None:
        columns = names.y or labels(rows.y)
        of_numbers = np.array([label.classes is None for label in columns])
        words = tuple(label.name for label in columns)
        y = _measured("y", rows.y, words, of_numbers)
        y = y if of_numbers.any() else None
    return Preparation(x, a, y, names)


def apply(preparation: Preparation, rows: Rows) -> Rows:
    """Rows as they are trained on: float32, standardised, coded as in training.

    Columns are found by their names where both have names, and classes, domains and
    transformations by what they are called. True latents stay as they are. Labels that
    the rows lack are missing.

    Args:
      preparation: what was measured on the training rows.
      rows: other rows, as they were read.

    Returns:
      Arrays of the host, with the names of the preparation.

    Raises:
      ValueError: NaN or infinite numbers, columns that are not there, or a domain, a
        transformation or a class that the training rows did not have.
    """
    here = preparation.names
    there = _filled(rows.names or Names(), here)
    x: _Values = _columns("x", rows.x, there.x, here.x)
    a: _Values = rows.a
    rows = _numbered(rows._replace(names=there))
    rows = rows if there == here else recode(rows, here)
    u, k = rows.u, rows.k
    y: _Values = rows.y
    z: _Values = rows.z
    if a is not None:
        a = _scaled("a", _columns("a", a, there.a, here.a), preparation.a, here.a)
    if y is not None and (y.dtype.kind == "f" or preparation.y is not None):
        words = tuple(label.name for label in here.y)
        y = _scaled("y", y, preparation.y, words, missing=True)
    if z is not None:
        z = _scaled("z", z, None, here.z)
    x = apply_x(preparation, x)
    return rows._replace(x=x, a=a, u=u, y=y, k=k, z=z, names=here)


def apply_x(preparation: Preparation, x: Array | np.ndarray) -> Num[np.ndarray, "..."]:
    """`(x - mean) / std`, float32, of any leading axes; images of bytes stay bytes.

    Args:
      preparation: what was measured on the training rows.
      x: observations as they were read.

    Raises:
      ValueError: NaN or infinite numbers, or another number of columns.
    """
    x = np.asarray(x)
    if preparation.x is None and x.dtype == np.uint8:
        return x
    return _scaled("x", x, preparation.x, preparation.names.x)


def undo_x(preparation: Preparation, x: Array | np.ndarray) -> Float[np.ndarray, "..."]:
    """`mean + std x`, float32, of any leading axes: x in its own units.

    Args:
      preparation: what was measured on the training rows.
      x: observations as they are trained on, as a decoder returns them.
    """
    return _unscaled(x, preparation.x)


def undo_y(preparation: Preparation, y: Array | np.ndarray) -> Float[np.ndarray, "..."]:
    """`mean + std y`, float32, of any leading axes; classes stay as they are.

    Args:
      preparation: what was measured on the training rows.
      y: labels as they are trained on.
    """
    return _unscaled(y, preparation.y)


def _blocks(values: _Values) -> Iterator[Float[np.ndarray, "_ c"]]:
    """The values as float64, some rows of columns at a time."""
    flat = values.reshape(-1, values.shape[-1])
    rows = max(1, CELLS // flat.shape[1])
    for start in range(0, len(flat), rows):
        yield flat[start : start + rows].astype(np.float64)


def _of_0_and_1(values: _Values) -> _Values:
    """Which columns hold nothing else."""
    parts = [((block == 0) | (block == 1)).all(0) for block in _blocks(values)]
    return np.logical_and.reduce(parts)


def _measured(
    name: str, values: _Values, columns: Sequence[str], chosen: np.ndarray
) -> Scale:
    """Mean and deviation of the chosen columns, 0 and 1 of the others."""
    width = values.shape[-1]
    count, total, rest, largest, squares = np.zeros((5, width))
    for block in _blocks(values):
        count += (~np.isnan(block)).sum(0)
        total += np.nan_to_num(block).sum(0)
    empty = np.flatnonzero(count == 0)
    if empty.size:
        raise ValueError(
            f"data.{name}: {_column(columns, int(empty[0]))} is missing in all "
            "training rows; leave it out"
        )
    mean = total / count
    for block in _blocks(values):
        distance = np.nan_to_num(block - mean)
        largest = np.maximum(largest, np.abs(distance).max(0))
        rest += distance.sum(0)
    mean += rest / count  # what rounding has left
    # Squares of the largest and the smallest numbers fit into no float.
    unit = np.where(largest > 0, largest, 1.0)
    for block in _blocks(values):
        squares += np.nan_to_num(((block - mean) / unit) ** 2).sum(0)
    std = unit * np.sqrt(squares / count)
    digits = np.finfo(values.dtype if values.dtype.kind == "f" else np.float64).eps
    constant = np.flatnonzero(chosen & (std <= 4 * digits * np.abs(mean)))
    if constant.size:
        raise _constant(name, columns, int(constant[0]))
    mean, std = np.where(chosen, mean, 0.0), np.where(chosen, std, 1.0)
    _check_distinct(name, values, columns, Scale(mean, std), largest * chosen)
    return Scale(mean, std)


def _constant(name: str, columns: Sequence[str], at: int) -> ValueError:
    return ValueError(
        f"data.{name}: {_column(columns, at)} never varies over the training rows, so "
        "that nothing can be learned from it; leave it out"
    )


def _check_distinct(
    name: str,
    values: _Values,
    columns: Sequence[str],
    scale: Scale,
    largest: np.ndarray,
) -> None:
    """Raises ValueError where values that differ would be all but equal.

    Args:
      name: the array, as messages call it.
      values: its values.
      columns: the names of its columns.
      scale: how they are standardised.
      largest: the largest distance from the mean; 0 in columns to leave out.
    """
    flat = values.reshape(-1, values.shape[-1])
    some = flat[:: -(-len(flat) // SAMPLE)].astype(np.float64)
    ordered = np.sort(some, axis=0)
    coarse = np.rint((ordered - scale.mean) / scale.std / DIGIT)
    before, after = (
        1 + (np.diff(part, axis=0) != 0).sum(0) for part in (ordered, coarse)
    )
    lost = np.flatnonzero((largest > 0) & (2 * after < before))
    if lost.size:
        i = int(lost[0])
        raise ValueError(
            f"data.{name}: {_column(columns, i)} holds a value that is "
            f"{largest[i]:g} away from its mean, {scale.mean[i]:g}, so far that its "
            "other values are all but equal once it is standardised; mend that row or "
            "leave it out"
        )


def _column(columns: Sequence[str], at: int) -> str:
    return f"column {columns[at]!r}" if columns else f"column {at}"


def _scaled(
    name: str,
    values: _Values,
    scale: Scale | None,
    columns: Sequence[str],
    *,
    missing: bool = False,
) -> Float[np.ndarray, "..."]:
    """The values as float32, standardised if there is a scale."""
    values = np.asarray(values)
    if scale is not None and values.shape[-1:] != scale.mean.shape:
        raise ValueError(
            f"data.{name} must have the {len(scale.mean)} columns that were trained "
            f"on, got shape {values.shape}"
        )
    check_numbers(name, values, columns, missing=missing)
    if scale is None:
        return values.astype(np.float32)
    done = np.empty((values.size // len(scale.mean), len(scale.mean)), np.float32)
    start = 0
    for block in _blocks(values):
        done[start : start + len(block)] = (block - scale.mean) / scale.std
        start += len(block)
    return done.reshape(values.shape)


def _unscaled(values: _Values, scale: Scale | None) -> Float[np.ndarray, "..."]:
    values = np.asarray(values)
    if scale is not None:
        values = scale.mean + scale.std * values.astype(np.float64)
        if (np.abs(scale.mean) > FAR * scale.std).any():
            return values
    return values.astype(np.float32)


def _columns(
    name: str, values: _Values, there: Sequence[str], here: Sequence[str]
) -> _Values:
    """The columns that were trained on, in their order."""
    values = np.asarray(values)
    if tuple(there) == tuple(here) or len(there) != values.shape[-1]:
        return values
    missing = [column for column in here if column not in there]
    if missing:
        raise ValueError(
            f"data.{name} lacks the columns {', '.join(missing)}, which were trained "
            f"on; it has {', '.join(there)}"
        )
    return values[..., [there.index(column) for column in here]]


def _filled(there: Names, here: Names) -> Names:
    """The names of rows; what has none is called as in training."""
    fields = [field.name for field in dataclasses.fields(Names)]
    return Names(**{n: getattr(there, n) or getattr(here, n) for n in fields})


def _numbered(rows: Rows) -> Rows:
    """The same rows, whose classes, domains and transformations are whole numbers."""
    changed: dict[str, Any] = {}
    names = rows.names or Names()
    for name, words in (("u", names.u), ("k", names.k)):
        if getattr(rows, name) is not None:
            changed[name] = whole(name, getattr(rows, name), words)
    if rows.y is not None:
        changed["y"] = np.asarray(rows.y)
        check_labels(changed["y"], names.y)
    return rows._replace(**changed)
