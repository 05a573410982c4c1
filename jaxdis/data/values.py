"""What arrays hold: numbers of float32, words, or nothing."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

__all__ = [
    "check_finite",
    "is_whole",
    "missing",
    "narrowed",
    "number_columns",
    "numbers",
    "tidy",
    "tidy_field",
]

TRUTHS = {"True": True, "False": False, "true": True, "false": False}
FLOAT32_MAX = float(np.finfo(np.float32).max)
BLUR = 1e-5  # deviations of a column by which rounding may move its numbers
BLOCK = 1 << 22  # numbers that are looked at, at a time


def tidy(array: np.ndarray) -> np.ndarray:
    """Numbers, bools, or objects that are words or None.

    Objects that are all numbers or missing become numbers, and words that are all True
    or False become bools.

    Args:
      array: any array.

    Returns:
      An array of the same shape.

    Raises:
      ValueError: dates, structures, lists or other objects.
    """
    if isinstance(array, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(array)
        array = np.where(masked, np.array(None), array.data)
    if array.dtype.kind == "V" and array.dtype.names is None:  # bfloat16 and the like
        array = array.astype(np.float32)
    if array.dtype.kind in "biufc":
        return array
    if array.dtype.kind not in "SUO":
        raise ValueError(f"values of type {array.dtype}, not numbers or words")
    flat = [_cell(value) for value in array.ravel().tolist()]
    return _typed(flat).reshape(array.shape)


def tidy_field(field: str, value: object) -> np.ndarray:
    """What a user gave as a field of rows as a tidy array; NaN where it is masked.

    Args:
      field: the field, as messages call it.
      value: an array of any library, or nested lists.

    Raises:
      ValueError: no array, or one that is not tidy.
    """
    if value is None:
        raise ValueError(f"data.{field} must be given")
    try:
        masked = isinstance(value, np.ma.MaskedArray)
        return tidy(value if masked else np.asarray(value))  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(
            f"data.{field} must be an array of numbers; it holds {error}"
        ) from error


def _cell(value: Any) -> Any:
    """A number, a bool, a word, or None."""
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bool | int | float | complex):
        return None if value != value else value
    if isinstance(value, Decimal):
        return float(value)
    raise ValueError(f"values such as {_short(value)}, not numbers or words")


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else text[:37] + "..."


def _typed(cells: list[Any]) -> np.ndarray:
    kinds = {type(cell) for cell in cells}
    there = kinds - {type(None)}
    if there == {str} and set(cells) <= {*TRUTHS, None}:
        cells, there = [cell and TRUTHS[cell] for cell in cells], {bool}
    if there == {bool} and kinds == there:
        return np.array(cells, bool)
    if there == {int} and kinds == there and max(map(abs, cells)) < 2**63:
        return np.array(cells, np.int64)
    if there <= {int, float}:
        return np.array([np.nan if cell is None else cell for cell in cells], float)
    out = np.empty(len(cells), object)
    out[:] = [None if cell is None else str(cell) for cell in cells]
    return out


def missing(array: np.ndarray) -> np.ndarray:
    """Where a tidy array has nothing: None or NaN."""
    if array.dtype.kind == "O":
        flat = (value is None for value in array.ravel().tolist())
        return np.fromiter(flat, bool, array.size).reshape(array.shape)
    if array.dtype.kind == "f":
        return np.isnan(array)
    return np.zeros(array.shape, bool)


def is_whole(array: np.ndarray) -> bool:
    """Whether all numbers are whole, as far as they are there."""
    if array.dtype.kind != "f":
        return array.dtype.kind in "iu"
    there = array[np.isfinite(array)]
    return bool((there == np.trunc(there)).all())


def narrowed(array: np.ndarray) -> np.ndarray:
    """Numbers of float32, or of float64 where a column is so far from 0 that float32
    would blur it; NaN for what is missing.

    Args:
      array: numbers `[..., columns]`.
    """
    narrow = np.ascontiguousarray(array, np.float32)
    if array.dtype == np.float32 or array.dtype.itemsize <= 2:
        return narrow
    wide = np.ascontiguousarray(array, np.float64)
    rows = tuple(range(array.ndim - 1))
    with np.errstate(over="ignore"):  # of squares; such columns are not near each other
        spread = np.nanstd(wide, rows)
    blurred = (np.nanmax(np.abs(wide - narrow), rows) > BLUR * spread) & (spread > 0)
    return wide if blurred.any() else narrow


def _place(array: np.ndarray, bad: int, names: Sequence[str]) -> str:
    """Words for where a flat index is."""
    index = [int(i) for i in np.unravel_index(bad, array.shape)]
    row = f"row {index[0]}"
    if not names or len(index) == 1:
        place = f" at {tuple(index[1:])}" if len(index) > 1 else ""
        return row + place + (f" of column {names[0]!r}" if names else "")
    step = f", step {index[1]}," if len(index) == 3 else ""
    return f"{row}{step} of column {names[index[-1]]!r}"


def check_finite(
    field: str, array: np.ndarray, names: Sequence[str], *, gaps: bool = False
) -> None:
    """Raises ValueError for NaN, infinity, and what float32 cannot hold.

    Args:
      field: the field, as messages call it.
      array: numbers with one row for each row of the data.
      names: what the last axis is called; none if it has no names.
      gaps: whether NaN stands for what is missing.
    """
    if array.dtype.kind != "f":
        return
    flat = array.reshape(-1)
    limit = min(FLOAT32_MAX, float(np.finfo(array.dtype).max))
    for start in range(0, flat.size, BLOCK):
        part = flat[start : start + BLOCK]
        good = np.abs(part) <= limit
        good |= gaps & np.isnan(part)
        if not good.all():
            bad = start + int(np.argmin(good))
            value, place = flat[bad], _place(array, bad, names)
            if np.isfinite(value):
                raise ValueError(
                    f"data.{field} must fit into float32, which ends at 3.4e38; "
                    f"{place} is {value:.3g}"
                )
            what = "missing (NaN)" if np.isnan(value) else "infinite"
            raise ValueError(f"data.{field} must be finite; {place} is {what}")


def numbers(field: str, name: str, array: np.ndarray) -> np.ndarray:
    """A tidy array that must hold real numbers.

    Args:
      field: the field, as messages call it.
      name: the name of the array.
      array: the array.

    Raises:
      ValueError: words or complex numbers in it; the first row that has one.
    """
    if array.dtype.kind == "c":
        raise ValueError(
            f"data.{field} must be real; {name!r} holds complex numbers: give the real "
            "and the imaginary part as two columns"
        )
    if array.dtype.kind == "O":
        flat = array.ravel()
        words = [i for i, value in enumerate(flat) if value is not None]
        at = next((i for i in words if not _is_number(flat[i])), words[0])
        word, row = flat[at], at // max(1, array[0].size if array.ndim > 1 else 1)
        raise ValueError(
            f"data.{field} must be numbers; column {name!r} holds words, as "
            f"{_short(word)} in row {row}"
        )
    return array


def _is_number(value: object) -> bool:
    """Whether a word of a column of words reads as a number."""
    try:
        float(str(value))
    except ValueError:
        return False
    return "_" not in str(value)  # which Python reads as part of a number


def number_columns(
    field: str, arrays: dict[str, np.ndarray]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The columns of a field as one array of numbers, and what they are called.

    One array is taken as it is, and of rank 1 as one column; several must be of rank 1
    and are stacked.

    Args:
      field: the field, as messages call it.
      arrays: tidy arrays by name.

    Returns:
      The array `[n, m]`, or of any rank if it is one, and the names of its last axis,
      none if it has more than 3 axes.
    """
    found = {name: numbers(field, name, array) for name, array in arrays.items()}
    if len(found) == 1:
        ((name, array),) = found.items()
        if array.ndim == 1:
            return array[:, None], (name,)
        count = array.shape[-1] if array.ndim <= 3 else 0
        return array, tuple(f"{name}_{i}" for i in range(count))
    for name, array in found.items():
        if array.ndim != 1:
            raise ValueError(
                f"data.{field} must be one array or several columns; {name!r} has "
                f"shape {array.shape}"
            )
    return np.stack(list(found.values()), 1), tuple(found)
