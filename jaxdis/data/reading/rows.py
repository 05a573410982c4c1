"""`jaxdis.read`: data of one's own as rows."""

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from jaxdis.data import files
from jaxdis.data.checking import checked
from jaxdis.data.reading.coding import (
    Kinds,
    check_count,
    code_classes,
    code_labels,
    code_splits,
)
from jaxdis.data.reading.columns import (
    Columns,
    Field,
    Fields,
    note_unread,
    resolve,
)
from jaxdis.data.reading.folders import folder_columns
from jaxdis.data.reading.hdf5 import hdf5_columns
from jaxdis.data.reading.series import cut, unrolled, windows
from jaxdis.data.reading.tables import (
    csv_columns,
    frame_columns,
    is_frame,
    parquet_columns,
)
from jaxdis.data.shapes import check_images
from jaxdis.data.values import check_finite, narrowed, number_columns, tidy
from jaxdis.types import Names, Rows

__all__ = ["TRUTH", "columns_of", "read"]


def read(
    source: object,
    *,
    x: Field = None,
    a: Field = None,
    u: Field = None,
    y: Field = None,
    k: Field = None,
    z: Field = None,
    episode: Field = None,
    window: int | None = None,
    stride: int | None = None,
    split: Field = None,
    labels: Kinds = None,
    size: int | None = None,
) -> Rows:
    """Data of one's own as rows, arrays of numpy on the host.

    A field is a name of an array or column of the source, a pattern ("torque_*"), or a
    list of them; several columns are stacked. Left out, it is the array or column that
    is called as the field is, or columns `x_0, x_1, ...`; `()` is for none. The pattern
    "*" takes what no other field takes.

    Values of u, k and y may be words, bools or whole numbers. They are numbered from 0
    in sorted order, and `names` keeps what each number stands for. A column of y is of
    classes if it holds words or bools, or at most 20 whole numbers of which each is in
    two rows on average, and else of numbers. Missing labels are NaN.

    With `episode` the rows are one long series, in the order of time within an episode,
    and are cut into windows `x [n, t, ...]`. A row of the series holds an observation
    and *the action that led to it*; a window has the action, the label and the rest of
    its last row, and `group` is its episode. Sequences `x [n, t, ...]` with an action
    for each of their observations, `a [n, t, a]`, are cut likewise, as n episodes.

    Args:
      source: the path of an npz, npy, csv, tsv, csv.gz, parquet or HDF5 file, or of a
        folder of images; a mapping of arrays by name; a DataFrame of pandas or polars;
        rows, which are checked and returned; or what `columns_of` returns.
      x: the observations, vectors `[n, x]`, images `[n, h, w, c]`, or sequences of
        them `[n, t, ...]`.
      a: the actions `[n, a]`, or `[n, t, a]`.
      u: the domain of each row.
      y: the labels.
      k: the transformation of each row, or several.
      z: the true latents `[n, z]` or `[n, t, z]`, for scores.
      episode: the column that tells episodes apart.
      window: the number of observations of a window, 2 if left out; of 1, rows stay as
        they are and only `group` keeps episodes together.
      stride: the number of rows from one window to the next; `window - 1` if left out,
        so that every transition is in one window.
      split: a column of train, valid and test, or 0, 1 and 2.
      labels: what columns of y are where it is not seen, `{"age": "numbers"}` or
        `["age:numbers"]`: classes, numbers or ordered.
      size: the height and width to which images of a folder are cropped and resized.

    Returns:
      The rows. Numbers are of float32, or of float64 where float32 would blur a column
      that is far from 0; images of bytes remain bytes.

    Raises:
      ValueError: one sentence that names the field, and the row and column, for
        everything that is not as it should be.

    Note:
      New rows for a model that is there may be all alike, so that columns that are
      constant or dwarfed by an outlier are refused by training and not here.
    """
    fields = Fields(x, a, u, y, k, z, episode, split)
    if not isinstance(source, Rows):
        return _read(columns_of(source, size), fields, (window, stride), labels)
    if any(value is not None for value in (*fields, window, stride, labels, size)):
        raise ValueError("data.file are rows already, whose fields cannot be chosen")
    return checked(source)


def _read(
    columns: Columns,
    fields: Fields,
    lengths: tuple[int | None, int | None],
    labels: Kinds,
) -> Rows:
    taken = resolve(columns, fields)
    if "episode" not in taken and lengths != (None, None):
        raise ValueError(
            "data.episode must name the column that tells episodes apart, as "
            f"data.window cuts them; {columns.told}"
        )
    note_unread(columns, fields, taken)
    arrays = _read_columns(columns, taken)
    # A missing label may be a NaN that numpy warns of; whatever matters is checked.
    with np.errstate(invalid="ignore"):
        return _rows(arrays, lengths, labels)


def _read_columns(
    columns: Columns, taken: dict[str, tuple[str, ...]]
) -> dict[str, dict[str, np.ndarray]]:
    """Tidy arrays of each field, all with as many rows."""
    field_of = {name: field for field, names in taken.items() for name in names}
    found = {}
    for name, array in columns.get(tuple(field_of)).items():
        try:
            found[name] = tidy(array)
        except ValueError as error:
            what = f"data.{field_of[name]} must be numbers or words"
            raise ValueError(f"{what}; {name!r} holds {error}") from error
        if not found[name].ndim:
            raise ValueError(
                f"data.{field_of[name]} must have rows; {name!r} is one value"
            )
    first = taken["x"][0]
    for field, names in taken.items():
        for name in names:
            if len(found[name]) != len(found[first]):
                raise ValueError(
                    f"data.{field} must have as many rows as data.x; {name!r} has "
                    f"{len(found[name])} and {first!r} {len(found[first])}"
                )
    if not len(found[first]):
        raise ValueError(
            f"data.x must have rows; {first!r} of {columns.where} has none"
        )
    return {field: {n: found[n] for n in names} for field, names in taken.items()}


def _rows(
    arrays: dict[str, dict[str, np.ndarray]],
    lengths: tuple[int | None, int | None],
    labels: Kinds,
) -> Rows:
    out: dict[str, np.ndarray] = {}
    names: dict[str, Any] = {}
    for field in ("x", "a", "z"):
        if field in arrays:
            numbers, names[field] = number_columns(field, arrays[field])
            out[field] = _observations(field, numbers, names[field])
            for name, column in arrays[field].items():
                if column.ndim == 1:
                    check_count(field, name, column)
    for field in ("u", "k"):
        if field in arrays:
            out[field], names[field] = code_classes(field, arrays[field])
    if "y" in arrays:
        out["y"], names["y"] = code_labels(arrays["y"], labels)
    elif labels:
        raise ValueError("data.y must name the columns that data.labels speaks of")
    if "split" in arrays:
        out["split"] = code_splits(arrays["split"])
    if "episode" in arrays:
        out["group"], _ = code_classes("episode", {**arrays["episode"]})
        out = _cut(out, lengths)
    elif "a" in out and out["a"].ndim == 3 and out["x"].ndim in (3, 5):
        out = _cut(unrolled(out), lengths)
    _check_axes(out)
    return Rows(**cast(Any, out), names=Names(**names))


def _observations(field: str, array: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Numbers that are what they should be, of float32; bytes of images.

    Of float64 where a column is so far from 0 that float32 would blur it.

    Args:
      field: "x", "a" or "z".
      array: numbers, with one row for each row of the data.
      names: what the last axis is called; none for images.
    """
    if 0 in array.shape:
        raise ValueError(f"data.{field} must not be empty, got shape {array.shape}")
    check_finite(field, array, names)
    if field == "x" and array.ndim >= 3:
        check_images(array, "data.x")
        if array.dtype == np.uint8:
            return array
    if array.ndim > 3:
        return np.ascontiguousarray(array, np.float32)
    return narrowed(array)


def _cut(
    series: dict[str, np.ndarray], lengths: tuple[int | None, int | None]
) -> dict[str, np.ndarray]:
    """Windows of a series; of what is not observed, the value of the last row."""
    if series["x"].ndim not in (2, 4):
        raise ValueError(
            "data.x must be a series of vectors or images where there are episodes; "
            f"got shape {series['x'].shape}"
        )
    rows = windows(series["group"], *lengths)
    out = {name: array[rows[:, -1]] for name, array in series.items()}
    out |= {name: cut(series[name], rows) for name in ("x", "z") if name in series}
    if "split" in out:
        pairs = np.unique(np.stack([series["group"], series["split"]], 1), axis=0)
        group, splits = np.unique(pairs[:, 0], return_counts=True)
        if (splits > 1).any():
            raise ValueError(
                "data.split must be the same for all rows of an episode; "
                f"{(splits > 1).sum()} of {len(group)} episodes are in several"
            )
    return out


def _check_axes(out: dict[str, np.ndarray]) -> None:
    x = out["x"]
    if "a" in out and out["a"].ndim != 2:
        raise ValueError(
            f"data.a must be [n, a], the action that led to the last observation of "
            f"each row; got shape {out['a'].shape}"
        )
    if "z" in out:
        z, steps = out["z"], x.shape[1:2] if x.ndim in (3, 5) else ()
        if z.ndim != 2 + len(steps) or z.shape[1:-1] != steps:
            raise ValueError(
                "data.z must be latents [n, z], or [n, t, z] with the steps of data.x; "
                f"got shape {z.shape} and data.x {x.shape}"
            )


# Sources.

TRUTH = ("mask", "gz", "ga")
"""Arrays of an npz that say how the data were made, and are no rows."""


def _npz(path: Path) -> Columns:
    names = files.npz_names(path)
    get = partial(files.read_npz_arrays, path)
    return Columns(str(path), names, get, optional=TRUTH)


def _npy(path: Path) -> Columns:
    return Columns(str(path), ("x",), lambda names: {"x": files.read_npy(path)})


READERS = {
    ".npz": _npz,
    ".npy": _npy,
    ".csv": csv_columns,
    ".tsv": csv_columns,
    ".csv.gz": csv_columns,
    ".tsv.gz": csv_columns,
    ".parquet": parquet_columns,
    ".pq": parquet_columns,
    ".h5": hdf5_columns,
    ".hdf5": hdf5_columns,
}


def columns_of(source: object, size: int | None = None) -> Columns:
    """What a source holds by name, before it is read.

    Args:
      source: as in `read`, but no rows; or what was returned before.
      size: the height and width of images of a folder.

    Raises:
      ValueError: a source of another kind, a file that is not there or cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        return _path_columns(source, size)
    if isinstance(source, Columns) and size is None:
        return source
    if size is not None:
        raise ValueError("data.size is for a folder of images, and this is none")
    if isinstance(source, Mapping):
        return _mapping_columns(source)
    if is_frame(source):
        return frame_columns(source)
    raise ValueError(
        "data.file must be a path, a mapping of arrays by name, a DataFrame of pandas "
        f"or polars, or rows; got {type(source).__name__}"
    )


def _path_columns(source: str | os.PathLike[str], size: int | None) -> Columns:
    text = os.fspath(source)
    if re.match(r"\w{2,}:/", text):  # Path makes one stroke of two
        raise ValueError(
            f"data.file must be a path on this machine, got {text}: copy it here first"
        )
    path = Path(text).expanduser()
    if path.is_dir():
        return folder_columns(path, size)
    if not path.exists():
        raise ValueError(f"data.file: there is no such file or folder: {path}")
    if size is not None:
        raise ValueError(f"data.size is for a folder of images, and {path} is none")
    name = path.name.lower()
    reader = next((READERS[s] for s in READERS if name.endswith(s)), None)
    if reader is None:
        raise ValueError(
            f"data.file must be a folder of images or end in {', '.join(READERS)}; got "
            f"{path}"
        )
    if not path.is_file() or not path.stat().st_size:
        raise ValueError(f"data.file must be a file with data; {path} is empty")
    return reader(path)


def _mapping_columns(source: Mapping[Any, Any]) -> Columns:
    def get(names: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: _array(name, found[name]) for name in names}

    found = {str(name): value for name, value in source.items() if value is not None}
    return Columns("the mapping", tuple(found), get)


def _array(name: str, value: object) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray):
        return value
    try:
        array = np.asarray(value)
        # Of a list of words and NaN numpy makes the word "nan".
        listed = array.dtype.kind == "U" and not hasattr(value, "dtype")
        return np.asarray(value, object) if listed else array
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"data.file must hold arrays; {name!r} is of mixed lengths: put its parts "
            "behind one another, and the episode of each row into a column `episode`"
        ) from error
