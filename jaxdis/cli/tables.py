"""Tables of columns, written as csv or parquet."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdis import log

__all__ = ["FORMATS", "check_path", "write"]

Columns = Mapping[str, Sequence[Any] | np.ndarray]


def _csv(columns: Columns) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    values = [np.asarray(column).tolist() for column in columns.values()]
    writer.writerows(
        ["" if cell != cell else cell for cell in row]  # NaN is a cell without number
        for row in zip(*values, strict=True)
    )
    return text.getvalue().encode()


def _parquet(columns: Columns) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ValueError(
            "parquet needs pyarrow, which is not installed: pip install pyarrow, or "
            "write csv"
        ) from None
    data = io.BytesIO()
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    parquet.write_table(pyarrow.table(arrays), data)
    return data.getvalue()


FORMATS: dict[str, Callable[[Columns], bytes]] = {".csv": _csv, ".parquet": _parquet}


def check_path(path: Path, endings: Sequence[str]) -> None:
    """Whether a file of one of some kinds can be written there.

    Args:
      path: the file.
      endings: what its name may end in, as ".csv".

    Raises:
      ValueError: it ends otherwise, is a directory or lies in none.
    """
    if path.suffix not in endings:
        raise ValueError(f"out must end in {' or '.join(endings)}, got {path}")
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"out must be a file in a directory that exists, got {path}")


def write(path: Path, columns: Columns) -> None:
    """Writes columns as the ending of the file says, all of the file or nothing.

    Args:
      path: a file that ends in one of `FORMATS`.
      columns: columns of one length by name; NaN where there is no number.

    Raises:
      ValueError: as `check_path`; parquet without pyarrow.
    """
    check_path(path, tuple(FORMATS))
    log.write_atomically(path, FORMATS[path.suffix](columns))
