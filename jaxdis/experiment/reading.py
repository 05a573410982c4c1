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
TABLES = (".csv", ".tsv", ".csv.gz", ".parquet")


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
    table = file.name.endswith(TABLES)
    # The arrays of one file and the columns of a table are called otherwise.
    alike = str(own.get("file", "")).endswith(TABLES) == table
    same = own if alike else {name: own[name] for name in SIZES if name in own}
    called = {"x": names.x, "a": names.a} if table else {}
    chosen: dict[str, Any] = {
        name: value or called.get(name) or same.get(name) or None
        for name, value in asked.items()
        if value or kept is None or name in kept
    }
    episodes = "episode" in columns_of(file, chosen.get("size")).names
    if kept == OBSERVATIONS and (episodes or chosen.get("episode")):
        chosen = {"window": 1} | chosen
    words: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in chosen.items()
    }
    rows = read(file, **words)
    if table or rows.names is None:
        return rows
    # Columns of an array have no names of their own: they are meant in their order.
    return rows._replace(names=replace(rows.names, x=(), a=()))
