"""A folder of images, with a sub-folder for each domain or a table of labels."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from jaxdis import log
from jaxdis.data.reading.columns import Columns, shown
from jaxdis.data.reading.pictures import SUFFIXES, is_image, read_images
from jaxdis.data.reading.tables import csv_columns, parquet_columns
from jaxdis.data.values import tidy

__all__ = ["TABLES", "folder_columns"]

TABLES = {
    "labels.csv": csv_columns,
    "labels.csv.gz": csv_columns,
    "labels.tsv": csv_columns,
    "labels.parquet": parquet_columns,
}
WANTED = "labels.csv with a column `file`, the path of each image in the folder"
FILE, FOLDER, IMAGES = "file", "folder", "x"


def folder_columns(path: Path, size: int | None) -> Columns:
    """The images of a folder as x, and what is known of each.

    A table `labels.csv` (.tsv, .csv.gz, .parquet) in the folder has a column `file`,
    the path of an image in the folder, and any others; rows come in its order. Without
    it images are sorted by sub-folder and name. The column `folder` is the sub-folder
    of each image, and the domain u, if there are several and no column u.

    Args:
      path: the folder.
      size: the height and width of images; None for their own.

    Raises:
      ValueError: no images, images both in the folder and in sub-folders, several
        tables, or a table that names images that are not there.
    """
    tables = [name for name in TABLES if (path / name).is_file()]
    if len(tables) > 1:
        raise ValueError(f"data.file must have one table; {path} has {tables}")
    if tables:
        return _with_table(path, TABLES[tables[0]](path / tables[0]), size)
    _note_tables(path)
    paths = _list_images(path)
    get = partial(_get, path, paths, size, None)
    columns = _columns(path, paths, (IMAGES, FOLDER), get)
    return columns._replace(where=f"{path}, which has no table {WANTED},")


def _note_tables(path: Path) -> None:
    """Says which tables are not read, as they are called otherwise."""
    endings = {name.removeprefix("labels") for name in TABLES}
    others = sorted(p.name for p in path.iterdir() if p.name.endswith((*endings,)))
    if others:
        log.note(f"not read of {path}: {shown(others)}; its table is called {WANTED}")


def _columns(path: Path, paths: Sequence[Path], names: tuple, get: partial) -> Columns:
    several = len({p.parent for p in paths}) > 1
    return Columns(str(path), names, get, {"u": FOLDER} if several else {}, (FOLDER,))


def _list_images(path: Path) -> list[Path]:
    here = sorted(p for p in path.iterdir() if is_image(p))
    folders = [
        p for p in sorted(path.iterdir()) if p.is_dir() and not p.name.startswith(".")
    ]
    below = {p: sorted(q for q in p.iterdir() if is_image(q)) for p in folders}
    found = [image for images in below.values() for image in images]
    if here and found:
        raise ValueError(
            "data.file must have images either in the folder or in sub-folders; "
            f"{path} has {len(here)} and {len(found)}"
        )
    empty = [p.name for p, images in below.items() if not images]
    if found and empty:
        raise ValueError(
            f"data.file must have images in every sub-folder; {path} has none in "
            f"{shown(empty)}"
        )
    if not here and not found:
        raise ValueError(
            f"data.file must have images ({', '.join(SUFFIXES)}); the folder {path} "
            "has none"
        )
    return here or found


def _with_table(path: Path, table: Columns, size: int | None) -> Columns:
    if FILE not in table.names:
        raise ValueError(
            f"data.file must have a table with a column {FILE!r}; {table.where} has "
            f"{shown(table.names)}"
        )
    words = tidy(table.get((FILE,))[FILE])
    if words.dtype.kind != "O" or any(word is None for word in words):
        raise ValueError(
            f"data.file must have a table with the path of an image in every row of "
            f"{FILE!r}: {table.where}"
        )
    paths = [path / word for word in words]
    absent = [str(p) for p in paths if not p.is_file()]
    if absent:
        raise ValueError(
            f"data.file must have the images of its table; {shown(absent[:3])} "
            f"{'is' if len(absent) == 1 else 'are'} not there ({len(absent)} of "
            f"{len(paths)})"
        )
    images = [p for p in path.rglob("*") if is_image(p)]
    unnamed = len(set(images) - set(paths))
    if unnamed:
        log.note(f"{unnamed} images in {path} are not in {table.where}: left out")
    others = tuple(name for name in table.names if name not in (FILE, IMAGES, FOLDER))
    get = partial(_get, path, paths, size, table)
    return _columns(path, paths, (IMAGES, *others, FOLDER), get)


def _get(
    path: Path,
    paths: Sequence[Path],
    size: int | None,
    table: Columns | None,
    names: Sequence[str],
) -> dict[str, np.ndarray]:
    found = {}
    if IMAGES in names:
        found[IMAGES] = read_images(paths, size)
    if FOLDER in names:
        words = [str(p.parent.relative_to(path)) for p in paths]
        found[FOLDER] = np.array(words, object)
    others = [name for name in names if name not in found]
    if table is not None and others:
        found |= table.get(others)
    return {name: found[name] for name in names}
