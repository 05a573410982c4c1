"""What is done to rows before training, and again to all that come later.

It is measured on the training rows alone and kept with the run: `Preparation`. Sums are
of float64; what comes out is float32.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Num, Shaped

from jaxdis import check
from jaxdis.types import Label, Names, Preparation, Rows, Scale

__all__ = [
    "apply",
    "apply_x",
    "from_json",
    "labels",
    "measure",
    "to_json",
    "undo_x",
    "undo_y",
]

CELLS = 2**22  # that are turned into float64 at a time
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
      ValueError: a column of x or of numeric labels that is constant, an action that
        never varies, a label that is missing everywhere, or a value so far from the
        others of its column that they would become equal in float32.
    """
    names = rows.names or Names()
    x = a = y = None
    if rows.x.ndim < 4:
        every = np.full(rows.x.shape[-1], scale_x)
        x = _measured("data.x", rows.x, names.x, every)
    if rows.a is not None:
        continuous = ~_of_0_and_1(rows.a)
        a = _measured("data.a", rows.a, names.a, continuous)
        for i in np.flatnonzero(~continuous):
            if np.ptp(np.asarray(rows.a[..., i])) == 0:
                raise _constant("data.a", names.a, int(i))
        a = a if continuous.any() else None
    if rows.y is not None:
        columns = names.y or labels(rows.y)
        of_numbers = np.array([label.classes is None for label in columns])
        words = tuple(label.name for label in columns)
        y = _measured("data.y", rows.y, words, of_numbers)
        y = y if of_numbers.any() else None
    return Preparation(x, a, y, names)


def labels(y: Shaped[np.ndarray, "n l"]) -> tuple[Label, ...]:
    """What is known of labels without names: whole numbers are classes from 0."""
    return tuple(
        Label(str(i), None if y.dtype.kind == "f" else int(y[:, i].max()) + 1)
        for i in range(y.shape[1])
    )


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
    there, here = rows.names or Names(), preparation.names
    x = _columns("data.x", rows.x, there.x, here.x)
    a, u, y, k, z = rows.a, rows.u, rows.y, rows.k, rows.z
    if a is not None:
        a = _columns("data.a", a, there.a, here.a)
        a = _scaled("data.a", a, preparation.a, here.a)
    if y is not None:
        y = _label_columns(y, there.y, here.y)
        names = tuple(label.name for label in here.y)
        as_floats = y.dtype.kind == "f" or preparation.y is not None
        y = y.astype(np.int32) if not as_floats else _scaled(
            "data.y", y, preparation.y, names, missing=True
        )  # fmt: skip
    if u is not None:
        u = _coded("data.u", u, there.u, here.u).astype(np.int32)
    if k is not None:
        k = _coded("data.k", k, there.k, here.k).astype(np.int32)
    if z is not None:
        z = _scaled("data.z", z, None, here.z)
    x = apply_x(preparation, x)
    return rows._replace(x=x, a=a, u=u, y=y, k=k, z=z, names=here)


def apply_x(
    preparation: Preparation, x: Num[np.ndarray, "..."]
) -> Num[np.ndarray, "..."]:
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


def undo_x(
    preparation: Preparation, x: Num[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """`mean + std x`, float32, of any leading axes: x in its own units.

    Args:
      preparation: what was measured on the training rows.
      x: observations as they are trained on, as a decoder returns them.
    """
    return _unscaled(x, preparation.x)


def undo_y(
    preparation: Preparation, y: Num[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """`mean + std y`, float32, of any leading axes; classes stay as they are.

    Args:
      preparation: what was measured on the training rows.
      y: labels as they are trained on.
    """
    return _unscaled(y, preparation.y)


def to_json(preparation: Preparation) -> dict[str, Any]:
    """The preparation as what `json` writes; every number is kept to its last digit."""
    scales = {
        name: None
        if scale is None
        else {"mean": scale.mean.tolist(), "std": scale.std.tolist()}
        for name, scale in zip("xay", preparation[:3], strict=True)
    }
    names = {
        name: list(getattr(preparation.names, name))
        for name in ("x", "a", "u", "k", "z")
    }
    columns = [
        {**label._asdict(), "values": list(label.values)}
        for label in preparation.names.y
    ]
    return {**scales, "names": {**names, "y": columns}}


def from_json(found: dict[str, Any]) -> Preparation:
    """The preparation that `to_json` gave."""
    scales = (
        None
        if found[name] is None
        else Scale(*(np.array(found[name][n], np.float64) for n in ("mean", "std")))
        for name in "xay"
    )
    names = {name: tuple(words) for name, words in found["names"].items()}
    columns = (
        Label(**{**label, "values": tuple(label["values"])}) for label in names["y"]
    )
    return Preparation(*scales, Names(**{**names, "y": tuple(columns)}))


def _blocks(values: np.ndarray) -> Iterator[Float[np.ndarray, "_ c"]]:
    """The values as float64, some rows of columns at a time."""
    flat = values.reshape(-1, values.shape[-1])
    rows = max(1, CELLS // flat.shape[1])
    for start in range(0, len(flat), rows):
        yield flat[start : start + rows].astype(np.float64)


def _of_0_and_1(values: np.ndarray) -> np.ndarray:
    """Which columns hold nothing else."""
    parts = [((block == 0) | (block == 1)).all(0) for block in _blocks(values)]
    return np.logical_and.reduce(parts)


def _measured(
    name: str, values: np.ndarray, columns: Sequence[str], chosen: np.ndarray
) -> Scale:
    """Mean and deviation of the chosen columns, 0 and 1 of the others."""
    width = values.shape[-1]
    count, total, largest, squares = np.zeros((4, width))
    for block in _blocks(values):
        count += (~np.isnan(block)).sum(0)
        total += np.nan_to_num(block).sum(0)
    empty = np.flatnonzero(count == 0)
    if empty.size:
        raise ValueError(
            f"{name}: {_column(columns, empty[0])} is missing in all training rows; "
            "leave it out"
        )
    mean = total / count
    for block in _blocks(values):
        largest = np.fmax(largest, np.nan_to_num(np.abs(block - mean)).max(0))
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
        f"{name}: {_column(columns, at)} never varies over the training rows, so that "
        "nothing can be learned from it; leave it out"
    )


def _check_distinct(
    name: str,
    values: np.ndarray,
    columns: Sequence[str],
    scale: Scale,
    largest: np.ndarray,
) -> None:
    """Raises ValueError where values that differ would become equal in float32.

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
    narrow = ((ordered - scale.mean) / scale.std).astype(np.float32)
    before, after = (
        1 + (np.diff(part, axis=0) != 0).sum(0) for part in (ordered, narrow)
    )
    lost = np.flatnonzero((largest > 0) & (2 * after < before))
    if lost.size:
        i = int(lost[0])
        raise ValueError(
            f"{name}: {_column(columns, i)} holds a value that is {largest[i]:g} away "
            f"from its mean, {scale.mean[i]:g}, so far that its other values become "
            "equal in float32; mend that row or leave it out"
        )


def _column(columns: Sequence[str], at: int) -> str:
    return f"column {columns[at]!r}" if columns else f"column {at}"


def _scaled(
    name: str,
    values: np.ndarray,
    scale: Scale | None,
    columns: Sequence[str],
    *,
    missing: bool = False,
) -> Float[np.ndarray, "..."]:
    """The values as float32, standardised if there is a scale."""
    values = np.asarray(values)
    if scale is not None and values.shape[-1:] != scale.mean.shape:
        raise ValueError(
            f"{name} must have the {len(scale.mean)} columns that were trained on, got "
            f"shape {values.shape}"
        )
    check.numbers(name, values, columns, missing=missing)
    if scale is None:
        return values.astype(np.float32)
    done = np.empty((values.size // len(scale.mean), len(scale.mean)), np.float32)
    start = 0
    for block in _blocks(values):
        done[start : start + len(block)] = (block - scale.mean) / scale.std
        start += len(block)
    return done.reshape(values.shape)


def _unscaled(values: np.ndarray, scale: Scale | None) -> Float[np.ndarray, "..."]:
    values = np.asarray(values)
    if scale is not None:
        values = scale.mean + scale.std * values.astype(np.float64)
    return values.astype(np.float32)


def _columns(
    name: str, values: np.ndarray, there: Sequence[str], here: Sequence[str]
) -> np.ndarray:
    """The columns that were trained on, in their order."""
    if not there or not here or tuple(there) == tuple(here):
        return np.asarray(values)
    missing = [column for column in here if column not in there]
    if missing:
        raise ValueError(
            f"{name} lacks the columns {', '.join(missing)}, which were trained on; it "
            f"has {', '.join(there)}"
        )
    return np.asarray(values)[..., [there.index(column) for column in here]]


def _coded(
    name: str, values: np.ndarray, there: Sequence[str], here: Sequence[str]
) -> np.ndarray:
    """Numbers of what is called so in training."""
    values = np.asarray(values)
    known = len(here) or np.inf
    if there and here and tuple(there) != tuple(here):
        numbers = [here.index(word) if word in here else -1 for word in there]
        unknown = [i for i in np.unique(values).tolist() if numbers[i] < 0]
        values = np.array(numbers)[values]
        words = [there[i] for i in unknown]
    else:
        words = [str(i) for i in np.unique(values).tolist() if not 0 <= i < known]
    if words:
        raise ValueError(
            f"{name} holds {', '.join(words)}, which was not trained on; that was "
            f"{', '.join(here) or 'numbers from 0'}"
        )
    return values


def _label_columns(
    y: np.ndarray, there: Sequence[Label], here: Sequence[Label]
) -> np.ndarray:
    """The columns that were trained on, coded as they were; NaN for those not there."""
    y = np.asarray(y)
    if not there or not here or tuple(there) == tuple(here):
        return y
    places = {label.name: i for i, label in enumerate(there)}
    found = np.full((len(y), len(here)), np.nan)
    for i, label in enumerate(here):
        if label.name not in places:
            continue
        column, other = y[:, places[label.name]], there[places[label.name]]
        known = ~np.isnan(column)
        if known.any() and (other.classes is None) != (label.classes is None):
            kinds = {True: "numbers", False: "classes"}
            raise ValueError(
                f"data.y: column {label.name!r} holds {kinds[other.classes is None]}, "
                f"and {kinds[label.classes is None]} were trained on"
            )
        some = column[known]
        if label.classes is not None:
            name = f"data.y, column {label.name!r},"
            some = _coded(name, some.astype(int), other.values, label.values)
        found[known, i] = some
    return found
