"""New tasks on held-out rows: a few samples of each to fit a head, others to judge."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, Num

from jaxdis.systems.shared_features.columns import Columns, targets_of
from jaxdis.systems.shared_features.groups import Group, of_tasks, usable
from jaxdis.systems.shared_features.targets import Tasks
from jaxdis.types import Rows

__all__ = ["Asked", "draw_episodes"]

TRIALS = 20  # draws of the support of a new task
MOST_QUERY = 200  # rows that judge a new task where their number is left to the data


class Asked(NamedTuple):
    """How large new tasks are.

    Attributes:
      shots: the number of shots that fit a head.
      size: the number of samples in a shot.
      query: the number of samples that judge it; 0 for all others, at most 200.
      tasks: the number of new tasks, at most.
    """

    shots: int
    size: int
    query: int
    tasks: int


def _lacks_samples(
    y: Num[np.ndarray, "n l"], asked: Asked, columns: Columns
) -> Callable[[Group], str]:
    """`group -> why it cannot be a new task`."""

    def lacks(group: Group) -> str:
        classes, count = columns.sizes[group.column], len(group.rows)
        support = asked.shots * asked.size
        of_class = np.bincount(
            y[group.rows, group.column].astype(int) * (classes > 0),
            minlength=max(classes, 1),
        )
        fewest = int(of_class.min())
        of_each = -(-support // max(classes, 1))
        if fewest > of_each and count >= support + max(asked.query, 1):
            return ""
        rarest = f", {fewest} of its rarest class" if classes else ""
        return (
            "config.shots and config.test_query must leave samples to judge by: "
            f"{support} to fit, as many of each class, and {max(asked.query, 1)} more "
            f"are asked for, and label column {columns.names[group.column]!r} has "
            f"{count} held-out rows{rarest}"
        )

    return lacks


def _episode(
    y: Num[np.ndarray, "n l"],
    group: Group,
    asked: Asked,
    columns: Columns,
    rng: np.random.Generator,
) -> Int[np.ndarray, "r"]:
    """Rows of a new task: its classes in turn, for all shots, then the query."""
    rows = rng.permutation(group.rows)
    support, classes = asked.shots * asked.size, columns.sizes[group.column]
    chosen = rows[:support]
    if classes:
        labels, of_each = y[rows, group.column], -(-support // classes)
        of_class = [rows[labels == c][:of_each] for c in range(classes)]
        chosen = np.stack(of_class, 1).reshape(-1)[:support]
    rest = rows[~np.isin(rows, chosen)]
    return np.concatenate([chosen, rest[: asked.query]])


def draw_episodes(
    part: Rows,
    groups: Sequence[Group],
    asked: Asked,
    columns: Columns,
    rng: np.random.Generator,
    *,
    every: bool = False,
) -> Tasks:
    """New tasks: of every group as many, each with samples of its own.

    Args:
      part: the rows.
      groups: the tasks.
      asked: how many samples they have.
      columns: the label columns.
      rng: draws the samples.
      every: whether each of the groups' columns must be a new task.

    Raises:
      ValueError: too few samples.

    Warns:
      UserWarning: groups with too few samples, which are left out.
    """
    assert part.y is not None
    x, y = np.asarray(part.x), targets_of(part.y, columns)
    groups = usable(groups, _lacks_samples(y, asked, columns), every=every)
    groups = groups[: asked.tasks]
    if not asked.query:
        spare = min(len(group.rows) for group in groups) - asked.shots * asked.size
        asked = asked._replace(query=min(spare, MOST_QUERY))
    trials = min(TRIALS, asked.tasks // len(groups))
    drawn = [
        (_episode(y, group, asked, columns, rng), group.column)
        for group in groups
        for _ in range(trials)
    ]
    targets = np.stack([y[rows, column] for rows, column in drawn])
    seen = np.stack([x[rows] for rows, _ in drawn])
    of = [column for _, column in drawn]
    allowed, numbers = of_tasks(columns, of)
    return Tasks(jnp.asarray(seen), jnp.asarray(targets), allowed, None, numbers)
