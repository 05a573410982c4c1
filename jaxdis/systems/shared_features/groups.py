"""Which rows are the samples of which task."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxdis.systems.shared_features.columns import Columns, labelled
from jaxdis.types import Rows

__all__ = ["Group", "groups_of", "of_tasks", "usable"]


class Group(NamedTuple):
    """The rows and the label column of one task.

    Attributes:
      rows: the numbers of its rows, all of which have a label.
      column: its column of y.
    """

    rows: Int[np.ndarray, "r"]
    column: int


def groups_of(
    rows: Rows, domains: Int[np.ndarray, "d"] | None, columns: Sequence[int]
) -> list[Group]:
    """A task for every domain, if there are any, and label column.

    Args:
      rows: the rows of one split.
      domains: the domains that have tasks; None if rows have no domains.
      columns: the columns of y that tasks ask for.
    """
    assert rows.y is not None
    there = [labelled(rows.y, column) for column in columns]
    if domains is None:
        parts = [np.ones(len(rows.x), bool)]
    else:
        parts = [np.asarray(rows.u) == domain for domain in domains]
    return [
        Group(np.flatnonzero(part & has), column)
        for part in parts
        for column, has in zip(columns, there, strict=True)
    ]


def usable(
    groups: Sequence[Group], lacks: Callable[[Group], str], *, every: bool
) -> list[Group]:
    """Groups that can be tasks; the others are named.

    Args:
      groups: the groups.
      lacks: why a group cannot be a task; "" if it can.
      every: whether all columns must be in use.
    """
    reasons = [lacks(group) for group in groups]
    kept = [group for group, why in zip(groups, reasons, strict=True) if not why]
    there = {group.column for group in kept}
    for group, why in zip(groups, reasons, strict=True):
        if why and (not kept or (every and group.column not in there)):
            raise ValueError(why)
    if lost := len(groups) - len(kept):
        warnings.warn(
            f"{lost} of {len(groups)} tasks are left out: "
            f"{next(filter(None, reasons))}",
            stacklevel=5,
        )
    return kept


def of_tasks(
    columns: Columns, of: Sequence[int]
) -> tuple[Bool[Array, "t c"] | None, Bool[Array, "t"] | None]:
    """The classes that tasks have, and which tasks are regression.

    Args:
      columns: the label columns.
      of: the column of each task.
    """
    allowed, numbers = columns.allowed, columns.numbers
    at = np.array(of)
    return (
        None if allowed is None else jnp.asarray(allowed[at]),
        None if numbers is None else jnp.asarray(numbers[at]),
    )
