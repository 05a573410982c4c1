"""What a source holds by name, and which of it a field of `Rows` takes."""

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeAlias

import numpy as np

from jaxdis import check, log

__all__ = ["FIELDS", "Columns", "Field", "Fields", "note_unread", "resolve", "shown"]

Field: TypeAlias = str | Sequence[str] | None
"""A name, a pattern as "torque_*", or several of them; () for none, None for the
default."""

FIELDS = ("x", "a", "u", "y", "k", "z", "episode", "split")
NUMBERED = ("x", "a", "u", "y", "k", "z")  # that may be x_0, x_1, ...
MOST_SHOWN = 20


class Columns(NamedTuple):
    """What a source holds, before any of it is read.

    Attributes:
      where: the source, as messages call it.
      names: the names of its arrays, or of the columns of a table, in their order.
      get: reads those named; an array has one row for each row of the data.
      defaults: the column of a field, where none is called as the field is.
      optional: the names of which nothing is said where no field takes them.
    """

    where: str
    names: tuple[str, ...]
    get: Callable[[Sequence[str]], dict[str, np.ndarray]]
    defaults: Mapping[str, str] = {}
    optional: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What it holds, as messages say it."""
        return f"{self.where} has {shown(self.names)}"


class Fields(NamedTuple):
    """Which columns each field of `Rows` takes; see `jaxdis.read`."""

    x: Field = None
    a: Field = None
    u: Field = None
    y: Field = None
    k: Field = None
    z: Field = None
    episode: Field = None
    split: Field = None


def shown(names: Sequence[str]) -> str:
    """Names for a message, not too many."""
    more = len(names) - MOST_SHOWN
    rest = f" and {more} more" if more > 0 else ""
    return ", ".join(names[:MOST_SHOWN]) + rest or "nothing"


def _default(field: str, columns: Columns) -> tuple[str, ...]:
    if field in columns.names:
        return (field,)
    if field in NUMBERED:
        matches = [re.fullmatch(rf"{field}_?(\d+)", name) for name in columns.names]
        numbered = sorted((int(m[1]), m[0]) for m in matches if m)
        if numbered:
            return tuple(name for _, name in numbered)
    return (columns.defaults[field],) if field in columns.defaults else ()


def _patterns(wanted: Field) -> tuple[str, ...]:
    if wanted is None:
        return ()
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def resolve(columns: Columns, fields: Fields) -> dict[str, tuple[str, ...]]:
    """The names of the columns of each field that has any.

    Names come in the order in which they are given, and what a pattern matches in the
    order of the source. A pattern leaves out what another field takes by name, and the
    pattern "*" what another field takes at all.

    Args:
      columns: what there is.
      fields: what is wanted.

    Raises:
      ValueError: a name or a pattern that nothing is called or that is given twice, a
        pattern of which nothing is left, or no observations.
    """
    wanted = {name: _patterns(value) for name, value in fields._asdict().items()}
    for name, words in wanted.items():
        check.distinct(f"data.{name}", words)
    there = set(columns.names)
    taken = {field: [n for n in wanted[field] if n in there] for field in FIELDS}
    named = {n for names in taken.values() for n in names}
    for field in FIELDS:
        if getattr(fields, field) is None:
            taken[field] = [n for n in _default(field, columns) if n not in named]
    # "*" comes last, as it takes what is left.
    for field in sorted(FIELDS, key=lambda f: "*" in wanted[f]):
        if not wanted[field]:
            continue
        others = {n for other in FIELDS if other != field for n in taken[other]}
        found: dict[str, None] = {}
        for name in wanted[field]:
            matched = [name] if name in there else _matched(field, name, columns)
            found |= dict.fromkeys(n for n in matched if n == name or n not in others)
        if not found:
            raise ValueError(
                f"data.{field} must leave itself a column; all that match "
                f"{', '.join(wanted[field])} belong to other fields"
            )
        taken[field] = list(found)
    if not taken["x"]:
        raise ValueError(
            "data.x must name the observations, as none is called x or x_0, x_1, ...; "
            f"{columns.told}"
        )
    return {field: tuple(names) for field, names in taken.items() if names}


def note_unread(
    columns: Columns, fields: Fields, taken: Mapping[str, Sequence[str]]
) -> None:
    """Says what no field takes, as it may be one that is called otherwise.

    Args:
      columns: what there is.
      fields: what is wanted.
      taken: what each field takes; see `resolve`.
    """
    read = {*columns.optional, *(n for names in taken.values() for n in names)}
    unread = [name for name in columns.names if name not in read]
    free = [n for n in FIELDS if getattr(fields, n) is None and n not in taken]
    if unread and free:
        log.note(
            f"not read of {columns.where}: {shown(unread)}. A field "
            f"({', '.join(free)}) takes what is called as it is, or what "
            f"--data.{free[0]} NAME ({free[0]}= of jaxdis.read) names"
        )


def _matched(field: str, pattern: str, columns: Columns) -> list[str]:
    """The columns that a pattern matches, at least one."""
    if not any(c in pattern for c in "*?["):
        error = check.unknown("column", pattern, columns.names, columns.told)
        raise ValueError(f"data.{field}: {error}")
    matched = [n for n in columns.names if fnmatchcase(n, pattern)]
    if not matched:
        raise ValueError(
            f"data.{field} must match a column, and {pattern!r} matches none; "
            f"{columns.told}"
        )
    return matched
