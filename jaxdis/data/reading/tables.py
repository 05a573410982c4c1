"""Tables: csv by the standard library, parquet and frames by pandas or polars."""

import csv
import gzip
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from jaxdis.data.files import explained
from jaxdis.data.memory import check_memory
from jaxdis.data.reading.columns import Columns
from jaxdis.data.values import tidy

__all__ = ["csv_columns", "frame_columns", "is_frame", "parquet_columns"]

MISSING = frozenset(("", "nan", "NaN", "NA", "N/A", "null", "NULL", "None"))
SEPARATORS = (";", "\t", "|", ",")  # that files may have in place of theirs
BLOCK = 20_000  # rows of a csv that are held as words at a time


# csv.


def csv_columns(path: Path) -> Columns:
    """The columns of a csv or tsv file, which may be compressed by gzip.

    The first row names the columns. Empty cells and NaN, NA, N/A, null and None are
    missing. A column with anything but numbers is one of words; of bools, if they all
    are True and False.

    Args:
      path: the file; the suffix says what separates its cells.

    Raises:
      ValueError: a file that cannot be read, columns without a name or with the same
        name, or rows of unequal length.
    """
    with explained(path, "a readable table"), _rows(path) as rows:
        names = _header(next(rows, []))
    return Columns(str(path), names, partial(_read_csv, path, names))


@contextmanager
def _rows(path: Path) -> Iterator[Iterator[list[str]]]:
    suffixes = [s.lower() for s in path.suffixes]
    open_text: Callable[..., Any] = gzip.open if suffixes[-1] == ".gz" else open
    delimiter = "\t" if ".tsv" in suffixes[-2:] else ","
    stream: TextIO
    with open_text(path, "rt", encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(
            stream, delimiter=delimiter, skipinitialspace=True, strict=True
        )
        yield (row for row in reader if row)


def _header(row: Sequence[str]) -> tuple[str, ...]:
    # pandas calls a column without a name so; the index that it writes is one.
    names = tuple(n.strip() or f"Unnamed: {i}" for i, n in enumerate(row))
    if not names:
        raise ValueError("it is empty")
    if _numbers(names) is not None:
        raise ValueError(
            f"its first row must name the columns and is {', '.join(names[:5])}"
        )
    other = next((c for c in SEPARATORS if len(names) == 1 and c in row[0]), None)
    if other:
        raise ValueError(
            f"its cells must be separated by commas, or by tabs in a tsv; its first "
            f"row is {row[0]!r}, with {other!r} in it"
        )
    _check_unique(names)
    return names


def _check_unique(names: Sequence[str]) -> None:
    """Raises ValueError that says which columns have the same name."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"it has several columns that are called {', '.join(twice)}")


def _read_csv(
    path: Path, names: tuple[str, ...], wanted: Sequence[str]
) -> dict[str, np.ndarray]:
    place_of = {name: i for i, name in enumerate(names)}
    places = [place_of[name] for name in wanted]
    words: set[int] = set()  # columns that hold more than numbers
    with explained(path, "a readable table"):
        while True:
            blocks: list[list[Any]] = [[] for _ in places]
            found = set(words)
            with _rows(path) as rows:
                next(rows)
                for cells in _blocks(rows, len(names)):
                    for place, parts in zip(places, blocks, strict=True):
                        if place not in found:
                            numbers = _numbers(cells[place])
                            found |= {place} if numbers is None else set()
                            parts.append(numbers)
                        else:
                            parts.append(cells[place])
            # A column whose first words come late is read once more, as words.
            if found == words:
                break
            words = found
        return {
            name: _as_words(parts) if place in words else np.concatenate(parts)
            for name, place, parts in zip(wanted, places, blocks, strict=True)
        }


def _blocks(rows: Iterator[list[str]], width: int) -> Iterator[list[tuple[str, ...]]]:
    """Columns of a block of rows after the other."""
    start = 0
    while block := list(islice(rows, BLOCK)):
        if {len(row) for row in block} != {width}:
            bad = next(i for i, row in enumerate(block) if len(row) != width)
            raise ValueError(
                f"row {start + bad} has {len(block[bad])} cells in place of {width}"
            )
        start += len(block)
        yield list(zip(*block, strict=True))
    if not start:
        raise ValueError("it has no rows below the names of its columns")


def _numbers(words: tuple[str, ...]) -> np.ndarray | None:
    """Numbers of a block of a column, NaN where one is missing; None for words."""
    # Python takes 2020_01_01 for a number.
    if "_" in "".join(words):
        return None
    try:
        return np.fromiter(map(float, words), float, len(words))
    except ValueError:
        pass
    values = (math.nan if w.strip() in MISSING else float(w) for w in words)
    try:
        return np.fromiter(values, float, len(words))
    except ValueError:
        return None


def _as_words(parts: list[tuple[str, ...]]) -> np.ndarray:
    words = (word.strip() for part in parts for word in part)
    return tidy(np.array([None if w in MISSING else w for w in words], object))


# Frames and parquet.


def is_frame(source: object) -> bool:
    """Whether it is a DataFrame of pandas or polars."""
    kind = type(source)
    return kind.__name__ == "DataFrame" and hasattr(source, "columns")


def frame_columns(frame: Any, where: str = "the frame") -> Columns:
    """The columns of a DataFrame of pandas or polars.

    Args:
      frame: the frame.
      where: what messages call it.

    Raises:
      ValueError: columns with the same name.
    """
    labels = {str(label): label for label in frame.columns}
    names = [str(label) for label in frame.columns]
    try:
        _check_unique(names)
    except ValueError as error:
        raise ValueError(f"data.file must have one column of a name; {error}") from None

    def get(wanted: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: frame[labels[name]].to_numpy() for name in wanted}

    return Columns(where, tuple(names), get)


def parquet_columns(path: Path) -> Columns:
    """The columns of a parquet file; ValueError if it cannot be read, or pandas is not
    installed.
    """
    try:
        import pandas
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(
            f"data.file is read by pandas and pyarrow, and cannot be ({error}): pip "
            "install 'jaxdis[tables]'"
        ) from error
    with explained(path, "a readable parquet"):
        described = pyarrow.parquet.read_metadata(path)
        names, rows = described.schema.to_arrow_schema().names, described.num_rows
        _check_unique(names)
        if not rows:
            raise ValueError("it has no rows")

    def get(wanted: Sequence[str]) -> dict[str, np.ndarray]:
        with explained(path, "a readable parquet"):
            check_memory("it", 8 * rows * len(wanted))
            frame = pandas.read_parquet(path, columns=list(wanted))
            return {name: frame[name].to_numpy() for name in wanted}

    return Columns(str(path), tuple(names), get)
