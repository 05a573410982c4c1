"""Arrays in one file: named, of any dtype, each with a checksum, and a record.

The file is an npz archive of every array under a number, and a manifest that names
them. Zip keeps a checksum of each, so that one flipped bit is noticed.
"""

import json
import math
import os
import zipfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxdis

__all__ = [
    "Manifest",
    "OtherVersion",
    "arrays_of",
    "is_damaged",
    "is_key",
    "manifest_of",
    "named",
    "opened",
    "write",
]

FORMAT = 1
"""Of the file."""
MANIFEST = "manifest"


class Manifest(NamedTuple):
    """What a file says of itself.

    Attributes:
      step: the number of steps taken.
      score: how good the state is, more is better; NaN where that is not known.
      record: what else was kept with it.
      arrays: the name, dtype and shape of every array.
    """

    step: int
    score: float
    record: dict[str, Any]
    arrays: list[tuple[str, str, tuple[int, ...]]]


class OtherVersion(ValueError):
    """A good file that this version does not know how to read."""


def named(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by the path to them, as "rows/state/params/w"."""
    name = partial(jax.tree_util.keystr, simple=True, separator="/")
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {name(path): leaf for path, leaf in leaves}


def is_key(leaf: Any) -> bool:
    """Whether a leaf is an array of typed keys."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf: Any) -> tuple[np.ndarray, str]:
    """An array of a dtype that npz knows, and the name of its own dtype."""
    if is_key(leaf):
        return np.asarray(jax.random.key_data(leaf)), f"key:{jax.random.key_impl(leaf)}"
    array = np.asarray(leaf)
    # bfloat16 and its like are strange to numpy's files.
    plain = array if array.dtype.isbuiltin == 1 else array.view(f"u{array.itemsize}")
    return plain, str(array.dtype)


def _exact(array: np.ndarray, dtype: str) -> Any:
    """The inverse of `_raw`."""
    if dtype.startswith("key:"):
        return jax.random.wrap_key_data(
            jnp.asarray(array), impl=dtype.removeprefix("key:")
        )
    wanted = jnp.dtype(dtype)
    return array if array.dtype == wanted else array.view(wanted)


def write(
    path: Path, tree: Any, *, step: int, score: float, record: Mapping[str, Any]
) -> None:
    """Writes a new file and waits until the disk has it.

    Args:
      path: the file.
      tree: a pytree of arrays.
      step, score, record: as in `Manifest`.
    """
    raw = {name: _raw(leaf) for name, leaf in named(tree).items()}
    manifest = {
        "format": FORMAT,
        "jaxdis": jaxdis.__version__,
        "step": step,
        "score": float(score) if math.isfinite(score) else None,
        "record": dict(record),
        "arrays": [(n, dtype, array.shape) for n, (array, dtype) in raw.items()],
    }
    text = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    arrays = {str(i): array for i, (array, _) in enumerate(raw.values())}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **{MANIFEST: text, **arrays})
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A file to be read; that it is damaged shows in many kinds of errors."""
    # numpy leaves a file open that it cannot read.
    with path.open("rb") as file, np.load(file) as archive:
        yield archive


def manifest_of(archive: Any) -> Manifest:
    """The manifest of a file that is `opened`.

    Raises:
      OtherVersion: it is of another format.
    """
    found = json.loads(archive[MANIFEST].tobytes())
    if found["format"] != FORMAT:
        raise OtherVersion(
            f"was written by jaxdis {found.get('jaxdis')} in format {found['format']}, "
            f"and this version knows {FORMAT}: use that version"
        )
    score = math.nan if found["score"] is None else found["score"]
    arrays = [(name, dtype, tuple(shape)) for name, dtype, shape in found["arrays"]]
    return Manifest(found["step"], score, found["record"], arrays)


def arrays_of(
    archive: Any, manifest: Manifest, names: Container[str]
) -> dict[str, Any]:
    """Arrays of a file by their names.

    Args:
      archive: a file that is `opened`.
      manifest: its manifest.
      names: those that are wanted.
    """
    return {
        name: _exact(archive[str(i)], dtype)
        for i, (name, dtype, _) in enumerate(manifest.arrays)
        if name in names
    }


def is_damaged(path: Path) -> bool:
    """Whether a file is, where it could not be read: memory or rights may lack as well.

    Raises:
      OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return archive.testzip() is not None
        except Exception:  # damaged files raise many kinds
            return True
