"""Reading files of one's own; errors name `data.file`.

What is read may be damaged, or made to harm: nothing is unpickled, and no file is
trusted about its size.
"""

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdis.data.memory import check_memory

__all__ = [
    "explained",
    "npz_names",
    "read_npy",
    "read_npz",
    "read_npz_arrays",
]

NO_ARRAYS = "it holds no arrays of numbers or strings"


@contextmanager
def explained(path: Path, wanted: str) -> Iterator[None]:
    """Turns whatever a file raises while it is read into one sentence.

    Args:
      path: the file.
      wanted: what it should be, as "a readable csv".

    Raises:
      ValueError: anything was raised.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # there is no end to what a damaged file can raise
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError):
            reason = "there is not enough memory for it"
        # numpy takes whatever is no array for a pickle, and says how to load that.
        reason = NO_ARRAYS if "pickle" in reason else reason
        raise ValueError(f"data.file must be {wanted}; {path}: {reason}") from error


class _Header(NamedTuple):
    """What an array says of itself, and where its numbers begin."""

    shape: tuple[int, ...]
    dtype: np.dtype
    begin: int


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _read_header(stream: Any) -> _Header:
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"its arrays are of an unknown version, {version}")
    shape, _, dtype = _HEADERS[version](stream)
    return _Header(shape, dtype, stream.tell())


def _check_header(header: _Header, stored: int) -> None:
    """Whether an array can be read: no objects, and as many bytes as it declares."""
    if header.dtype.hasobject:
        raise ValueError(f"{NO_ARRAYS}, but Python objects")
    size = header.dtype.itemsize
    for axis in header.shape:
        size *= axis
    if size < 0 or size != stored - header.begin:
        raise ValueError(
            f"it is damaged: an array of shape {header.shape} and type {header.dtype} "
            f"takes {size} bytes and there are {stored - header.begin}"
        )
    check_memory("an array in it", size)


def _begins_as(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in found:
            raise ValueError(f"it holds two arrays that are called {name}")
        # A damaged name would pass for an array that nobody asked for; to open a member
        # compares its name with the one in front of it.
        archive.open(info).close()
        found[name] = info
    return found


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    if _begins_as(path, np.lib.format.MAGIC_PREFIX):
        raise ValueError("it holds one array without a name")
    if not zipfile.is_zipfile(path):
        raise ValueError(NO_ARRAYS)
    with zipfile.ZipFile(path) as archive:
        yield archive


def npz_names(path: Path, wanted: str = "a readable npz") -> tuple[str, ...]:
    """The names of the arrays of an npz file.

    Args:
      path: the file.
      wanted: what messages say it should be.

    Raises:
      ValueError: no such file, or no npz.
    """
    with explained(path, wanted), _opened(path) as archive:
        return tuple(_members(path, archive))


def read_npz_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Some arrays of an npz file, and nothing else of it.

    Args:
      path: the file.
      names: the names of arrays that are there, as `npz_names` lists them.

    Raises:
      ValueError: a file or an array that cannot be read, Python objects, or more bytes
        than there is memory.
    """
    found = {}
    with explained(path, "a readable npz"), _opened(path) as archive:
        members = _members(path, archive)
        for name in names:
            with archive.open(members[name]) as stream:
                _check_header(_read_header(stream), members[name].file_size)
            with archive.open(members[name]) as stream:
                found[name] = np.lib.format.read_array(stream, allow_pickle=False)
    return found


def read_npz(path: Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """All arrays of an npz file, which must hold those wanted.

    Args:
      path: the file.
      wanted: the names of the arrays that must be there; others may be.

    Returns:
      The arrays by name.

    Raises:
      ValueError: no such file, no npz, Python objects in it, damage, more bytes than
        there is memory, or an array that is missing.
    """
    names = npz_names(path, f"a readable npz of {', '.join(wanted)}")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(
            f"data.file must hold {', '.join(wanted)}; {path} lacks "
            f"{', '.join(missing)} and has {', '.join(names) or 'nothing'}"
        )
    return read_npz_arrays(path, names)


def read_npy(path: Path) -> np.ndarray:
    """The array of an npy file; ValueError as `read_npz_arrays`."""
    with explained(path, "a readable npy"), path.open("rb") as stream:
        if not _begins_as(path, np.lib.format.MAGIC_PREFIX):
            raise ValueError(NO_ARRAYS)
        _check_header(_read_header(stream), path.stat().st_size)
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)
