"""Classes of any kind as numbers from 0, and what each number stands for."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Int

from jaxdis import check
from jaxdis.data.values import check_finite, is_whole, missing, narrowed, numbers
from jaxdis.types import Label

__all__ = [
    "Kinds",
    "Labels",
    "check_count",
    "code_classes",
    "code_labels",
    "code_splits",
    "kinds_of",
]

MOST_CLASSES = 20  # of whole numbers, unless they are said to be classes
KINDS = ("classes", "numbers", "ordered")
EXACT = 2**53  # from which on float64 lacks whole numbers
SPLITS = {
    "train": 0, "training": 0, "0": 0,
    "valid": 1, "validation": 1, "val": 1, "1": 1,
    "test": 2, "2": 2,
}  # fmt: skip

Kinds: TypeAlias = Mapping[str, str] | Sequence[str] | None
"""What label columns are: "classes", "numbers" or "ordered" (classes with an order), by
the name of the column, or as words "column:kind"."""


def _words(values: np.ndarray) -> list[str | None]:
    """Each value as a word; None where there is none."""
    gaps = missing(values)
    if values.dtype.kind == "f":
        filled = np.where(gaps, 0.0, values)
        cells = [str(int(v)) if v == int(v) else str(v) for v in filled.tolist()]
    else:
        cells = [str(v) for v in values.tolist()]
    return [
        None if gap else cell for gap, cell in zip(gaps.tolist(), cells, strict=True)
    ]


def _code(
    field: str, values: np.ndarray
) -> tuple[Int[np.ndarray, "n"], tuple[str, ...]]:
    """The number of each value in sorted order, and the values as words.

    Args:
      field: the field, as messages call it.
      values: tidy values of rank 1.

    Returns:
      Numbers from 0, -1 where a value is missing, and what each stands for.
    """
    there = ~missing(values)
    out = np.full(len(values), -1, np.int32)
    if values.dtype.kind == "O":
        words = sorted(set(values[there].tolist()))
        place = {word: i for i, word in enumerate(words)}
        out[there] = [place[word] for word in values[there].tolist()]
        return out, tuple(words)
    found, index = np.unique(values[there], return_inverse=True)
    if values.dtype.kind == "f" and np.abs(found).max(initial=0) >= EXACT:
        raise ValueError(
            f"data.{field} must be words or numbers below {EXACT}, beyond which two "
            f"may be one; got {np.abs(found).max():.0f}"
        )
    out[there] = index
    return out, tuple(word or "" for word in _words(found))


def code_classes(
    field: str, arrays: dict[str, np.ndarray]
) -> tuple[Int[np.ndarray, "..."], tuple[str, ...]]:
    """Domains or transformations as numbers from 0, and what they are called.

    Args:
      field: "u", "k" or "episode".
      arrays: tidy columns, which share one coding.

    Returns:
      Numbers `[n]`, or `[n, j]` of several columns, and the words.

    Raises:
      ValueError: a missing value, numbers that are not whole, or values of which
        almost every row has its own.
    """
    values = _joined(field, arrays)
    name = ", ".join(arrays)
    gaps = missing(values)
    if gaps.any():
        row = int(np.argmax(gaps.reshape(len(gaps), -1).any(1)))
        raise ValueError(f"data.{field} must not be missing; {name!r} is in row {row}")
    if values.dtype.kind == "c" or not (values.dtype.kind != "f" or is_whole(values)):
        raise ValueError(
            f"data.{field} must be words or whole numbers; {name!r} holds others"
        )
    if values.dtype.kind == "f":
        check_finite(field, values, (name,))
    codes, words = _code(field, values.reshape(-1))
    if field != "episode":
        _check_repeated(field, name, len(words), codes.size)
    return codes.reshape(values.shape), words


def _joined(field: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    columns: list[np.ndarray] = list(arrays.values())
    if len(columns) == 1:
        values = columns[0]
        most = 2 if field == "k" else 1
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim <= most:
            return values
    if field != "k" or any(column.ndim != 1 for column in columns):
        shapes = ", ".join(f"{n} {a.shape}" for n, a in arrays.items())
        raise ValueError(f"data.{field} must be one column; got {shapes}")
    mixed = len({column.dtype.kind == "O" for column in columns}) > 1
    worded = [np.array(_words(c), object) if mixed else c for c in columns]
    return np.stack(worded, 1)


def _check_repeated(field: str, name: str, distinct: int, rows: int) -> None:
    if distinct > MOST_CLASSES and 2 * distinct > rows:
        raise ValueError(
            f"data.{field} must be classes, and almost every row of {name!r} has its "
            f"own: {distinct} values in {rows} rows"
        )


def code_splits(arrays: dict[str, np.ndarray]) -> Int[np.ndarray, "n"]:
    """The split of each row: 0 training, 1 valid, 2 test.

    Raises:
      ValueError: anything but train, valid, test, or 0, 1, 2.
    """
    values = _joined("split", arrays)
    out = np.empty(len(values), np.int32)
    for row, word in enumerate(_words(values)):
        number = SPLITS.get((word or "").strip().lower())
        if number is None:
            raise ValueError(
                "data.split must hold train, valid or test, or 0, 1 or 2; row "
                f"{row} of {next(iter(arrays))!r} holds {word!r}"
            )
        out[row] = number
    return out


# Labels.


class Labels(NamedTuple):
    """Coded labels.

    Attributes:
      values: one column each, NaN where a label is missing; integers if all are classes
        and none is missing.
      columns: what they are.
    """

    values: np.ndarray
    columns: tuple[Label, ...]


def kinds_of(kinds: Kinds) -> dict[str, str]:
    """Kinds of label columns by name; ValueError for a kind that there is not."""
    if kinds is None:
        return {}
    if isinstance(kinds, Mapping):
        pairs = list(kinds.items())
    else:
        words = [kinds] if isinstance(kinds, str) else list(kinds)
        pairs = [tuple(word.rpartition(":")[::2]) for word in words]  # type: ignore[misc]
    for name, kind in pairs:
        if not name or kind not in KINDS:
            raise ValueError(
                f"data.labels must be words column:kind, of the kinds "
                f"{', '.join(KINDS)}; got {f'{name}:{kind}'.lstrip(':')!r}"
            )
    return dict(pairs)


def code_labels(arrays: dict[str, np.ndarray], kinds: Kinds) -> Labels:
    """Label columns: classes as numbers from 0, and numbers as they are.

    Words and bools are classes. Whole numbers are classes if there are at most 20, each
    in two rows on average, and else numbers, as all other numbers are. `kinds` says
    otherwise.

    Args:
      arrays: tidy arrays `[n]` or `[n, l]`.
      kinds: what some columns are.

    Raises:
      ValueError: words of which almost every row has its own, a column that counts the
        rows or is all missing, numbers that are infinite, or kinds of columns that are
        not there.
    """
    columns = _label_columns(arrays)
    said = kinds_of(kinds)
    unknown = [name for name in said if name not in columns]
    if unknown:
        error = check.unknown("column of y", unknown[0], columns)
        raise ValueError(f"data.labels: {error}")
    coded = [
        _code_label(name, values, said.get(name)) for name, values in columns.items()
    ]
    whole = all(label.classes and not missing(v).any() for v, label in coded)
    out = np.stack([v for v, _ in coded], 1)
    return Labels(
        out.astype(np.int32) if whole else narrowed(out),
        tuple(label for _, label in coded),
    )


def _label_columns(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    columns = {}
    for name, values in arrays.items():
        if values.ndim == 1:
            columns[name] = values
        elif values.ndim == 2:
            one = values.shape[1] == 1
            for i in range(values.shape[1]):
                columns[name if one else f"{name}_{i}"] = values[:, i]
        else:
            raise ValueError(
                f"data.y must be labels [n] or [n, l]; {name!r} has shape "
                f"{values.shape}"
            )
    return columns


def _code_label(
    name: str, values: np.ndarray, kind: str | None
) -> tuple[np.ndarray, Label]:
    gaps = missing(values)
    if gaps.all():
        raise ValueError(f"data.y must have labels; {name!r} is missing in every row")
    check_finite("y", values, (name,), gaps=True)
    if kind is None:
        kind = "classes" if _are_classes(values) else "numbers"
    if kind == "numbers":
        numbers("y", name, values)
        check_count("y", name, values)
        return values.astype(np.float64), Label(name)
    codes, words = _code("y", values)
    if values.dtype.kind != "b":
        _check_repeated("y", name, len(words), int((~gaps).sum()))
    counted = words == tuple(map(str, range(len(words))))
    label = Label(name, len(words), kind == "ordered", () if counted else words)
    return np.where(codes < 0, np.nan, codes), label


def _are_classes(values: np.ndarray) -> bool:
    if values.dtype.kind in "Ob":
        return True
    if values.dtype.kind == "c" or not is_whole(values):
        return False
    there = values[~missing(values)]
    distinct = len(np.unique(there))
    return distinct <= MOST_CLASSES and 2 * distinct <= len(there)


def check_count(field: str, name: str, values: np.ndarray) -> None:
    """Raises ValueError for a column that counts the rows, which says nothing.

    Args:
      field: the field, as messages call it.
      name: the name of the column.
      values: its numbers.
    """
    if len(values) > MOST_CLASSES and (np.diff(values) == 1).all():
        raise ValueError(
            f"data.{field} must be measured; {name!r} counts the rows from "
            f"{values[0]:g}: leave it out"
        )
