"""Files of one's own, read as the one that a run was trained on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxdis.data.reading import columns_of, read
from jaxdis.types import Names, Rows

__all__ = ["OBSERVATIONS", "read_again"]

OBSERVATIONS = ("x", "size")
"""What tells which observations a file holds, one a row: windows are for training."""

SIZES = ("window", "stride", "size")
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".pq")


def _is_table(file: Path | str | None) -> bool:
    return str(file).lower().endswith(TABLES)


def read_again(
    file: Path,
    settings: Mapping[str, Any],
    names: Names,
    asked: Mapping[str, Any],
    *,
    kept: tuple[str, ...] | None = None,
) -> Rows:
    """Reads a file with the columns, windows and sizes of a run's own file.

    Args:
      file: the file.
      settings: the config.json of the run.
      names: what the columns that it was trained on were called.
      asked: arguments of `jaxdis.read` that replace those of the run; () and None where
        they do not.
      kept: the arguments that are as for the run; by default all of them.

    Raises:
      ValueError: the file cannot be read, or lacks what is asked for.
    """
    data = settings.get("data", {})
    own = data if {"file", *SIZES, "episode"} <= set(data) else {}
    source = columns_of(file, asked["size"] or own.get("size"))
    there = set(source.names)
    table = _is_table(file)
    # The arrays of one file and the columns of a table are called otherwise.
    alike = _is_table(own.get("file")) == table
    same = own if alike else {name: own[name] for name in SIZES if name in own}
    # What the method does not need may be left out of a table.
    known = {"a": names.a, "y": tuple(label.name for label in names.y)}
    gone = {n for n, words in known.items() if table and there.isdisjoint(words)}
    same = {name: value for name, value in same.items() if name not in gone}
    called = {
        name: columns
        for name, columns in (("x", names.x), ("a", names.a))
        if there.issuperset(columns) or (table and there.intersection(columns))
    }
    chosen: dict[str, Any] = {
        name: value or called.get(name) or same.get(name) or None
        for name, value in asked.items()
        if value or kept is None or name in kept
    }
    if kept == OBSERVATIONS and ("episode" in there or chosen.get("episode")):
        chosen = {"window": 1} | chosen
    words: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in chosen.items()
        if name != "size"
    }
    # What the run does not need may be there as well.
    rows = read(source._replace(optional=source.names), **words)
    if table or rows.names is None:
        return rows
    # Columns of an array have no names of their own: they are meant in their order.
    own_names = {name: () for name in ("x", "a") if not called.get(name)}
    return rows._replace(names=replace(rows.names, **own_names))
