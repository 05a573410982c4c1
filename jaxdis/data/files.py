"""Reading files of one's own; errors name `data.file`."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["read_npz"]


def read_npz(path: Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """All arrays of an npz file, which must hold those wanted.

    Args:
      path: the file.
      wanted: the names of the arrays that must be there; others may be.

    Returns:
      The arrays by name.

    Raises:
      ValueError: no such file, no npz, Python objects in it, or an array that is
        missing.
    """
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array without a name")
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # numpy takes whatever is no array for a pickle, and says how to load that.
        objects = isinstance(error, ValueError) and "pickle" in str(error)
        reason = "it holds no arrays of numbers or strings" if objects else error
        raise ValueError(
            f"data.file must be a readable npz of {', '.join(wanted)}; {path}: {reason}"
        ) from error
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(
            f"data.file must hold {', '.join(wanted)}; {path} lacks "
            f"{', '.join(missing)} and has {', '.join(found) or 'nothing'}"
        )
    return found
