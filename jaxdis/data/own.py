"""Data of one's own, for every method."""

import dataclasses
import os
from collections.abc import Mapping
from functools import cached_property, lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxdis import check, log
from jaxdis.data import preparation
from jaxdis.data.checking import check_domains, checked, checked_truth, labels
from jaxdis.data.files import npz_names, read_npz_arrays
from jaxdis.data.memory import block_size
from jaxdis.data.reading import TRUTH, columns_of, read
from jaxdis.data.splitting import SPLITS, assign, ordered
from jaxdis.types import DataSet, Names, Rows, Spec, Splits, Truth

__all__ = ["Frame", "Own", "OwnFile", "OwnRows", "as_data_set"]

NO_FILE = (
    "data.file must name a file of yours: npz, npy, csv, parquet, HDF5, or a folder of "
    "images"
)

COLUMNS = ("x", "a", "u", "y", "k", "z", "labels")
UNKNOWN = Truth()


@runtime_checkable
class Frame(Protocol):
    """A table of pandas or polars."""

    @property
    def columns(self) -> Any: ...

    @property
    def dtypes(self) -> Any: ...


Own: TypeAlias = Rows | Frame | Path | str | np.ndarray | Array | Mapping[str, Any]
"""What a user may give in place of a data set; see `as_data_set`."""


class _Parts(NamedTuple):
    """Rows that were checked, and their places in the splits."""

    rows: Rows
    names: Names
    split: Int[np.ndarray, "n"]
    truth: Truth


@dataclasses.dataclass(frozen=True, eq=False)
class OwnRows:
    """Rows of your own, in memory.

    Attributes:
      rows: the rows, as `jaxdis.read` gives them, or arrays of numpy or JAX.
      held_out: the share of the rows, or of the groups of rows, for each of valid and
        test; of those of each domain where there are domains.
      seed: the seed of the splits.
      standardise: whether vectors x are standardised by the training rows.
      valid_rows: the largest number of rows that are scored between chunks.
      test_rows: the largest number of rows that are scored at the end.
      block: the number of training rows that are on the device at a time; None for all
        of them if they fit.
      truth: what is known of how the data were made, for scores.
    """

    rows: Rows
    held_out: float = 0.1
    seed: int = 0
    standardise: bool = True
    valid_rows: int = 2_000
    test_rows: int = 10_000
    block: int | None = None
    truth: Truth = UNKNOWN

    def spec(self) -> Spec:
        """Sizes and names.

        Raises:
          ValueError: arrays that do not fit together, NaN, images out of range or with
            channels first, a single domain, or too few rows to split.
        """
        rows, names, split, truth = self._parts
        axes = 2 if rows.x.ndim % 2 else 1  # of rows, and of time
        return Spec(
            shape=rows.x.shape[axes:],
            steps=rows.x.shape[1] if axes == 2 else None,
            a_dim=0 if rows.a is None else rows.a.shape[-1],
            domains=names.u,
            labels=names.y,
            transformations=names.k,
            z_dim=0 if rows.z is None else rows.z.shape[-1],
            truth=truth,
            rows=int((split == 0).sum()),
            source="",
        )

    def load(self) -> Splits:
        """The rows, prepared by what was measured on those to train on.

        Raises:
          ValueError: as `spec`; a constant column.
        """
        rows, names, split, _ = self._parts
        caps = (len(rows.x), self.valid_rows, self.test_rows)
        parts = []
        u = None if rows.u is None else np.asarray(rows.u)
        for number, cap in enumerate(caps):
            places = ordered(split, number, u, self.seed)
            if len(places) > cap:
                log.note(
                    f"{cap:,} of {len(places):,} {SPLITS[number]} rows are scored; "
                    f"data.{SPLITS[number]}_rows sets that number"
                )
            parts.append(jax.tree.map(itemgetter(places[:cap]), rows))
        named = parts[0]._replace(names=names)
        prepared = preparation.measure(named, scale_x=self.standardise)
        train, valid, test = (preparation.apply(prepared, part) for part in parts)
        block = block_size(train, self.block)
        return Splits(
            train=_plain(train) if block else _on_device(train),
            valid=_on_device(valid),
            test=_on_device(test),
            preparation=prepared,
            block=block,
        )

    @cached_property
    def _parts(self) -> _Parts:
        check.shares("data.held_out", self.held_out)
        check.at_least("data.seed", self.seed, 0)
        check.at_least("data.valid_rows", self.valid_rows, 1)
        check.at_least("data.test_rows", self.test_rows, 1)
        rows = checked(self.rows)
        check_domains(rows)
        names = _named(rows)
        split = assign(rows, names.u, self.held_out, self.seed)
        for number, cap in ((1, self.valid_rows), (2, self.test_rows)):
            check.at_least(f"data.{SPLITS[number]}_rows", cap, max(1, len(names.u)))
        return _Parts(rows, names, split, checked_truth(self.truth, rows))


@dataclasses.dataclass(frozen=True)
class OwnFile:
    """A file of your own, or a folder of images; see `jaxdis.read`.

    Columns and arrays are named, or matched by a pattern as "torque_*"; those that are
    not asked for are taken if they are called as the field is, or `x_0`, `x_1`, ...

    Attributes:
      file: npz, npy, csv, parquet or HDF5, or a folder of images. In an npz, arrays
        called `mask`, `gz` and `ga`, of 0 and 1, are taken for the true mask and
        graphs.
      x: the observations.
      a: the actions.
      u: the domain.
      y: the labels.
      k: the transformation.
      z: the true latents.
      episode: the column that tells episodes of a long series apart.
      window: the number of observations in each window that a series is cut into; None
        for 2.
      stride: the number of observations from one window to the next.
      split: the column that names the split of each row.
      labels: what columns of y are where that is not plain: words COLUMN:KIND, of the
        kinds classes, ordered and numbers.
      size: the height and width that images are brought to.
      held_out: the share of the rows, or of the episodes, for each of valid and test;
        of those of each domain where there are domains.
      seed: the seed of the splits.
      standardise: whether vectors x are standardised by the training rows.
      valid_rows: the largest number of rows that are scored between chunks.
      test_rows: the largest number of rows that are scored at the end.
      block: the number of training rows that are on the device at a time; None for all
        of them if they fit.
    """

    file: str | None = None
    x: tuple[str, ...] = ()
    a: tuple[str, ...] = ()
    u: tuple[str, ...] = ()
    y: tuple[str, ...] = ()
    k: tuple[str, ...] = ()
    z: tuple[str, ...] = ()
    episode: str | None = None
    window: int | None = None
    stride: int | None = None
    split: str | None = None
    labels: tuple[str, ...] = ()
    size: int | None = None
    held_out: float = 0.1
    seed: int = 0
    standardise: bool = True
    valid_rows: int = 2_000
    test_rows: int = 10_000
    block: int | None = None

    def spec(self) -> Spec:
        """Sizes and names; the file is read for them, once until it changes.

        Raises:
          ValueError: no file, one that cannot be read or lacks what is asked for, or as
            `OwnRows.spec`.
        """
        own, source = self._own()
        return own.spec()._replace(source=source)

    def load(self) -> Splits:
        """The rows, as `OwnRows.load` gives them; ValueError as there and in `spec`."""
        return self._own()[0].load()

    def _own(self) -> tuple[OwnRows, str]:
        """The rows, and what the file holds."""
        columns: dict[str, Any] = {
            name: _words(name, getattr(self, name)) for name in COLUMNS
        }
        if self.file is None:
            raise ValueError(NO_FILE)
        path = Path(self.file).expanduser()
        return _read_once(dataclasses.replace(self, **columns), _stamp(path))


def _words(name: str, value: Any) -> tuple[str, ...]:
    words = (
        (value,) if isinstance(value, str) else tuple(() if value is None else value)
    )
    if not all(isinstance(word, str) for word in words):
        raise ValueError(
            f"data.{name} must be names of columns, or patterns of them as 'torque_*'; "
            "arrays of your own go into jaxdis.Rows or a mapping of arrays"
        )
    return words


def _stamp(path: Path) -> tuple[Any, ...]:
    """What differs when a file, or one in a folder, has changed."""
    if not path.is_dir():
        # What is not there is explained by the reader.
        return (path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else ()
    found: list[Any] = []
    for folder, _, names in os.walk(path):
        paths = [os.path.join(folder, name) for name in sorted(names)]
        # A link to nothing is explained by the reader.
        stats = [os.stat(p) if os.path.exists(p) else os.lstat(p) for p in paths]
        found.append((folder, hash(tuple((s.st_mtime_ns, s.st_size) for s in stats))))
    return tuple(sorted(found))


@lru_cache(maxsize=1)
def _read_once(data: OwnFile, stamp: tuple[Any, ...]) -> tuple[OwnRows, str]:
    assert data.file is not None
    columns = columns_of(data.file, data.size)
    named: dict[str, Any] = {n: list(getattr(data, n)) or None for n in COLUMNS}
    rows = read(
        columns,
        **named,
        episode=data.episode,
        window=data.window,
        stride=data.stride,
        split=data.split,
    )
    truth = _truth(Path(data.file).expanduser())
    return OwnRows(rows, **_common(data), truth=truth), columns.told


def _common(data: OwnFile | OwnRows) -> dict[str, Any]:
    """What files and rows of one's own have in common."""
    names = ("held_out", "seed", "standardise", "valid_rows", "test_rows", "block")
    return {name: getattr(data, name) for name in names}


def _truth(path: Path) -> Truth:
    """Graphs and masks that lie beside the rows in an npz."""
    if path.suffix != ".npz":
        return Truth()
    names = [name for name in npz_names(path) if name in TRUTH]
    return Truth(**read_npz_arrays(path, names))


def as_data_set(value: DataSet | Own, like: DataSet | None = None) -> DataSet:
    """A data set of what a user gives.

    Args:
      value: a data set, which stays what it is; rows; the path of a file or folder; a
        frame of pandas or polars; an array of observations; or arrays by name.
      like: the data set that it replaces; where that is one of a user's own, too, its
        settings are taken over.
    """
    common = _common(like) if isinstance(like, OwnFile | OwnRows) else {}
    if isinstance(value, str | os.PathLike):
        file = os.fspath(value)
        if isinstance(like, OwnFile):
            return dataclasses.replace(like, file=file)
        return OwnFile(file=file, **common)
    if isinstance(value, np.ndarray | jax.Array):
        value = Rows(value)  # type: ignore[arg-type]
    if isinstance(value, Rows):
        return OwnRows(value, **common)
    if isinstance(value, DataSet):
        return value
    return OwnRows(read(value), **common)


def _plain(rows: Rows) -> Rows:
    """Rows as methods see them."""
    return rows._replace(group=None, split=None, names=None)


def _on_device(rows: Rows) -> Rows:
    placed: Rows = jax.tree.map(jnp.asarray, _plain(rows))
    return placed


def _names_of(numbers: Array | np.ndarray) -> tuple[str, ...]:
    """Names of what has none: the numbers."""
    return tuple(map(str, range(int(numbers.max()) + 1)))


def _named(rows: Rows) -> Names:
    """The names of the rows, and numbers for what has none."""
    names = rows.names or Names()
    u, y, k = rows.u, rows.y, rows.k
    return dataclasses.replace(
        names,
        u=() if u is None else names.u or _names_of(u),
        y=() if y is None else names.y or labels(y),
        k=() if k is None else names.k or _names_of(k),
    )
