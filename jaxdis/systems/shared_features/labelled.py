"""Tasks on labelled rows: a task for every label column and, if there are, domain."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Int, Num

from jaxdis import check
from jaxdis.data.rows import bind
from jaxdis.systems.shared_features.columns import (
    Columns,
    columns_of,
    known_labels,
    targets_of,
)
from jaxdis.systems.shared_features.config import Config
from jaxdis.systems.shared_features.groups import Group, groups_of, of_tasks, usable
from jaxdis.systems.shared_features.new_tasks import Asked, draw_episodes
from jaxdis.systems.shared_features.targets import Tasks
from jaxdis.types import PRNGKey, Rows, Sampler, Source, Spec, Splits

__all__ = ["TaskRows", "label_tasks"]


class TaskRows(NamedTuple):
    """Training tasks: which rows each has, in a random order, and its column.

    Attributes:
      x: the observations of all rows.
      y: their labels.
      rows: the rows of every task, padded.
      counts: how many of them are its own.
      columns: its column of y.
      allowed: the classes that it has; None if all.
      numbers: which tasks are regression; None if all are of one kind.
    """

    x: Num[Array, "n ..."]
    y: Num[Array, "n l"]
    rows: Int[Array, "k r"]
    counts: Int[Array, "k"]
    columns: Int[Array, "k"]
    allowed: Bool[Array, "k c"] | None
    numbers: Bool[Array, "k"] | None


def label_tasks(
    config: Config, spec: Spec, splits: Splits
) -> tuple[Sampler, Tasks, Tasks]:
    """Training tasks on the training rows, and new ones on held-out rows.

    A task has those rows whose label in its column is there. Without domains there is
    one group of rows. `config.new_labels` are asked for in the tests alone; validation
    asks for known columns, because the new ones must not choose anything.

    Args:
      config: the settings of tasks.
      spec: the labels and domains.
      splits: the rows.

    Returns:
      The sampler of training tasks, and the new tasks of validation and test.

    Raises:
      ValueError: a column that the data lack or none that is left for training, one
        that never varies, or too few samples.

    Warns:
      UserWarning: fewer rows of a domain than `config.test_query` asks for; tasks that
        are left out because their labels do not vary or are too few.
    """
    train, valid, test = splits[:3]
    if isinstance(train, Source):
        raise ValueError("config.tasks='labels' needs rows, not where they are drawn")
    columns = columns_of(spec)
    for name in config.new_labels:
        check.one_of("config.new_labels", name, columns.names)
    known = known_labels(config.new_labels, columns)
    if not known:
        raise ValueError("config.new_labels must leave a label column to learn from")
    new = [columns.names.index(name) for name in config.new_labels] or known
    sources = None if train.u is None else np.unique(train.u)
    targets = None if test.u is None else np.unique(test.u)
    training, validation = (groups_of(r, sources, known) for r in (train, valid))
    rng = np.random.default_rng(config.seed)
    least = config.support + config.query
    rows = _training_tasks(train, training, spec.domains, columns, least, rng)
    asked = Asked(
        max(config.shots), columns.outputs, config.test_query, config.test_tasks
    )
    if sources is not None and asked.query:
        asked = asked._replace(query=_lowered(asked.query, validation))
    valid_tasks = draw_episodes(valid, validation, asked, columns, rng)
    groups = groups_of(test, targets, new)
    test_tasks = draw_episodes(
        test, groups, asked, columns, rng, every=bool(config.new_labels)
    )
    draw = bind(_draw, config.support, config.query, config.batch)
    return Partial(draw, rows), valid_tasks, test_tasks


def _lowered(query: int, groups: Sequence[Group]) -> int:
    """At most half of the smallest group."""
    least = min([query, *(len(group.rows) // 2 for group in groups)])
    if least < query:
        warnings.warn(
            f"config.test_query is lowered from {query} to {least}, half of the "
            "smallest domain's validation samples",
            stacklevel=4,
        )
    return least


def _draw(support: int, query: int, tasks: int, pool: TaskRows, key: PRNGKey) -> Tasks:
    """Support and query come from two halves of a task's rows, cut anew each time."""
    task_key, cut_key, row_key = jax.random.split(key, 3)
    task = jax.random.randint(task_key, (tasks,), 0, pool.counts.shape[0])
    count = pool.counts[task][:, None]
    start = jax.random.randint(cut_key, (tasks, 1), 0, count)
    half = count // 2
    u = jax.random.uniform(row_key, (tasks, support + query))
    first = jnp.arange(support + query)[None] < support
    size = jnp.where(first, half, count - half)
    within = jnp.minimum(jnp.floor(u * size).astype(int), size - 1)
    at = (start + within + jnp.where(first, 0, half)) % count
    rows = jnp.take_along_axis(pool.rows[task], at, 1)
    column = pool.columns[task]
    allowed, numbers = jax.tree.map(lambda a: a[task], (pool.allowed, pool.numbers))
    y = pool.y[rows, column[:, None]]
    return Tasks(pool.x[rows], y, allowed, None, numbers, column)


def _training_tasks(
    train: Rows,
    groups: Sequence[Group],
    domains: tuple[str, ...],
    columns: Columns,
    least: int,
    rng: np.random.Generator,
) -> TaskRows:
    y = np.asarray(train.y)

    def lacks(group: Group) -> str:
        rows, name = group.rows, columns.names[group.column]
        there = () if train.u is None else np.unique(np.asarray(train.u)[rows])
        where = ", ".join(domains[i] for i in there) or "the training rows"
        if len(rows) < least:
            return (
                f"label column {name!r} has {len(rows)} labelled rows in {where}, "
                f"fewer than config.support + config.query, {least}: lower them, or "
                "leave the column out"
            )
        if len(np.unique(y[rows, group.column])) < 2:
            return (
                f"label column {name!r} holds one value only in {where}; a task needs "
                "at least two: leave the column out"
            )
        return ""

    groups = usable(groups, lacks, every=True)
    counts = np.array([len(group.rows) for group in groups])
    padded = [np.resize(rng.permutation(g.rows), counts.max()) for g in groups]
    of = [group.column for group in groups]
    return TaskRows(
        jnp.asarray(train.x),
        jnp.asarray(targets_of(y, columns)),
        jnp.asarray(np.stack(padded)),
        jnp.asarray(counts),
        jnp.asarray(of),
        *of_tasks(columns, of),
    )
