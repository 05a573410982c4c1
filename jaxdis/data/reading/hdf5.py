"""HDF5 files, by h5py."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxdis.data.files import explained
from jaxdis.data.memory import check_memory
from jaxdis.data.reading.columns import Columns

__all__ = ["hdf5_columns"]


def hdf5_columns(path: Path) -> Columns:
    """The arrays of an HDF5 file; those of a group are called `group/name`.

    Raises:
      ValueError: a file that cannot be read, or h5py is not installed.
    """
    h5py = _library()
    found: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape:
            found.append(name)

    with explained(path, "a readable HDF5 file"), h5py.File(path, "r") as file:
        file.visititems(visit)
    # The file sorts x_10 in front of x_2.
    found.sort(
        key=lambda name: [
            int(w) if w.isdigit() else w for w in re.split(r"(\d+)", name)
        ]
    )
    return Columns(str(path), tuple(found), partial(_read, path))


def _library() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ValueError(
            f"data.file is read by h5py, which cannot be imported ({error}): pip "
            "install 'jaxdis[hdf5]'"
        ) from error
    return h5py


def _read(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    h5py = _library()
    found = {}
    with explained(path, "a readable HDF5 file"), h5py.File(path, "r") as file:
        for name in names:
            array = file[name]
            check_memory(f"{name!r} in it", array.nbytes)
            words = h5py.check_string_dtype(array.dtype) is not None
            found[name] = array.asstr()[...] if words else array[...]
    return found
