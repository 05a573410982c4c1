"""Graphs, supports and masks from files: npz, npy, csv or tsv."""

import csv
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from jaxdis.report.promised import AXES

__all__ = ["KINDS", "Matrices", "as_edges", "read_matrices"]

KINDS = {"graph": "gz", "actions": "ga", "support": "supports", "mask": "mask"}
"""The matrix that a kind of file holds, by the name that it has in an npz."""

_AXES = {name: [word.split()[-1] for word in words] for name, words in AXES.items()}
"""What names of rows and columns are kept by."""
_WORDS = {"true": 1.0, "false": 0.0}


class Matrices(NamedTuple):
    """What a file holds.

    Attributes:
      arrays: matrices by their names, of whatever numbers.
      names: what rows and columns are called, by what they are.
    """

    arrays: Mapping[str, Shaped[np.ndarray, "r c"]]
    names: Mapping[str, tuple[str, ...]]


def as_edges(
    name: str, matrix: Shaped[np.ndarray, "..."], threshold: float | None
) -> Bool[np.ndarray, "r c"]:
    """A matrix as one of 0 and 1.

    Args:
      name: what messages call it.
      matrix: numbers or booleans.
      threshold: an entry whose absolute value is above it counts; None for a matrix
        that holds 0 and 1.

    Raises:
      ValueError: it is no matrix of numbers, is empty, holds NaN or infinity, or other
        values than 0 and 1 without a threshold.
    """
    if matrix.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds {matrix.dtype}; it must hold real numbers")
    if matrix.ndim != 2:
        raise ValueError(f"{name} has shape {matrix.shape}; it must be one matrix")
    if not matrix.size:
        raise ValueError(f"{name} is empty: it has shape {matrix.shape}")
    values = matrix.astype(float)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"{name} holds {values[row, column]} in row {row}, column {column}; all "
            "entries must be finite"
        )
    if threshold is not None:
        return np.asarray(np.abs(values) > threshold)
    wrong = np.argwhere((values != 0) & (values != 1))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"{name} holds {values[row, column]:g} in row {row}, column {column}, and "
            "must hold 0 and 1; of weights or probabilities, give --threshold, above "
            "which an entry counts"
        )
    return values == 1


def _number(cell: str) -> float | None:
    """The number in a cell; None for words and nothing."""
    try:
        return _WORDS.get(cell.lower()) if cell.lower() in _WORDS else float(cell)
    except ValueError:
        return None


class _Table(NamedTuple):
    values: Float[np.ndarray, "r c"]
    rows: tuple[str, ...]
    columns: tuple[str, ...]


def _cells(path: Path) -> list[tuple[int, list[str]]]:
    """The cells of each line that is not blank, with its number."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8; give npz, csv or tsv") from None
    first = text.split("\n", 1)[0]
    mark = "\t" if path.suffix == ".tsv" else ";" if ";" in first else ","
    lines = csv.reader(text.splitlines(), delimiter=mark)
    rows = [(lines.line_num, [cell.strip() for cell in row]) for row in lines]
    return [(number, row) for number, row in rows if any(row)]


def _read_table(path: Path) -> _Table:
    """A matrix of numbers, with or without names of its rows and columns."""
    lines = _cells(path)
    if not lines:
        raise ValueError(f"{path} is empty")
    head = lines[0][1]
    # A word in front may be the name of a row.
    words = [_number(cell) is None for cell in head]
    named = not head[0] or any(words[1:] or words)
    body = lines[1:] if named else lines
    if not body:
        raise ValueError(f"{path} has names of columns and no row below them")
    width = len(body[0][1])
    labelled = (named and (not head[0] or len(head) == width - 1)) or all(
        _number(row[0]) is None for _, row in body
    )
    columns = head[-(width - labelled) :] if named and width > labelled else []
    values = []
    for line, row in body:
        if len(row) != width or (named and len(columns) != width - labelled):
            raise ValueError(
                f"{path}: line {line} has {len(row)} cells; all must have {width}, as "
                f"line {body[0][0]}"
            )
        numbers = [_number(cell) for cell in row[labelled:]]
        if None in numbers:
            bad = row[labelled:][numbers.index(None)]
            raise ValueError(f"{path}: line {line} holds {bad!r}, which is no number")
        values.append(numbers)
    labels = tuple(row[0] for _, row in body) if labelled else ()
    return _Table(np.array(values, float), labels, tuple(columns))


def _from_table(path: Path, kind: str | None) -> Matrices:
    name = _kind(path, kind)
    table, (row, column) = _read_table(path), _AXES[name]
    names = {column: table.columns} | ({row: table.rows} if table.rows else {})
    return Matrices({name: table.values}, {n: v for n, v in names.items() if v})


def _kind(path: Path, kind: str | None) -> str:
    if kind is None:
        raise ValueError(
            f"{path} holds one matrix; say what it is: --kind {', '.join(KINDS)}"
        )
    return KINDS[kind]


def _from_npy(path: Path, kind: str | None) -> Matrices:
    return Matrices({_kind(path, kind): np.load(path, allow_pickle=False)}, {})


def _stored(held: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    try:
        return np.asarray(held[name])
    except ValueError:  # it would have to be unpickled
        raise ValueError(f"{name} holds objects; it must hold real numbers") from None


def _from_npz(path: Path, kind: str | None) -> Matrices:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
        found = {name: _stored(held, name) for name in held.files}
    if kind is not None:
        if len(found) != 1:
            raise ValueError(
                f"{path} holds {', '.join(found) or 'nothing'}; --kind is for files of "
                "one matrix"
            )
        return Matrices({KINDS[kind]: next(iter(found.values()))}, {})
    known = {name: found[name] for name in KINDS.values() if name in found}
    if not known:
        raise ValueError(
            f"{path} holds {', '.join(found) or 'nothing'}; it must hold one or more "
            f"of {', '.join(KINDS.values())}"
        )
    return Matrices(known, {})


_READERS: dict[str, Callable[[Path, str | None], Matrices]] = {
    ".npz": _from_npz,
    ".npy": _from_npy,
    ".csv": _from_table,
    ".tsv": _from_table,
}


def read_matrices(path: Path, kind: str | None = None) -> Matrices:
    """The matrices in a file.

    Args:
      path: npz with arrays named as the values of `KINDS`; or csv, tsv or npy of one
        matrix, with or without names of rows and columns.
      kind: a key of `KINDS`, for a file of one matrix.

    Raises:
      OSError: the file cannot be read.
      ValueError: there is no such file, its ending is none of these, it is damaged, or
        what it holds is not plain.
    """
    if path.suffix not in _READERS:
        raise ValueError(
            f"file must end in {', '.join(_READERS)}, or be the directory of a run; "
            f"got {path}"
        )
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        return _READERS[path.suffix](path, kind)
    except (EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error})") from error
    except ValueError as error:
        said = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise ValueError(said) from error
