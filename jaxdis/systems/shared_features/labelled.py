"""Tasks on labelled rows: a task for every label column and, if there are, domain."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.data.rows import bind
from jaxdis.systems.shared_features.config import Config
from jaxdis.systems.shared_features.targets import Tasks
from jaxdis.types import PRNGKey, Rows, Sampler, Source, Spec, Splits

__all__ = ["Group", "TaskRows", "draw_episodes", "groups_of", "label_tasks"]

TRIALS = 20  # draws of the support of a new task


class Group(NamedTuple):
    """The rows and the label column of one task.

    Attributes:
      rows: the numbers of its rows.
      column: its column of y.
    """

    rows: Int[np.ndarray, "r"]
    column: int


class TaskRows(NamedTuple):
    """Training tasks: which rows each has, in a random order, and its column.

    Attributes:
      x: the observations of all rows.
      y: their labels.
      rows: the rows of every task, padded.
      counts: how many of them are its own.
      columns: its column of y.
    """

    x: Float[Array, "n x"]
    y: Int[Array, "n l"]
    rows: Int[Array, "k r"]
    counts: Int[Array, "k"]
    columns: Int[Array, "k"]


def label_tasks(
    config: Config, spec: Spec, splits: Splits
) -> tuple[Sampler, Tasks, Tasks]:
    """Training tasks on the training rows, and new ones on held-out rows.

    Without domains there is one group of rows. `config.new_labels` are asked for in the
    tests alone; validation asks for known columns, because the new ones must not choose
    anything.

    Args:
      config: the settings of tasks.
      spec: the labels and domains.
      splits: the rows.

    Returns:
      The sampler of training tasks, and the new tasks of validation and test.

    Raises:
      ValueError: a column that the data lack or none that is left for training, a
        training task of one class, or too few samples for a new one.

    Warns:
      UserWarning: fewer rows of a domain than `config.test_query` asks for.
    """
    train, valid, test = splits[:3]
    if isinstance(train, Source):
        raise ValueError("config.tasks='labels' needs rows, not where they are drawn")
    names = [label.name for label in spec.labels]
    for name in config.new_labels:
        check.one_of("config.new_labels", name, names)
    known = [i for i, name in enumerate(names) if name not in config.new_labels]
    if not known:
        raise ValueError("config.new_labels must leave a label column to learn from")
    new = [names.index(name) for name in config.new_labels] or known
    sources = None if train.u is None else np.unique(train.u)
    targets = None if test.u is None else np.unique(test.u)
    training, validation = (groups_of(r, sources, known) for r in (train, valid))
    rng = np.random.default_rng(config.seed)
    rows = _training_tasks(train, training, spec.domains, rng)
    query = config.test_query
    if sources is not None:
        query = _lowered(query, validation)
    asked = max(config.shots), query, config.test_tasks, spec.labels[0].classes or 0
    valid_tasks, test_tasks = (
        draw_episodes(part, groups, *asked, rng)
        for part, groups in (
            (valid, validation),
            (test, groups_of(test, targets, new)),
        )
    )
    draw = bind(_draw, config.support, config.query, config.batch)
    return Partial(draw, rows), valid_tasks, test_tasks


def groups_of(
    rows: Rows, domains: Int[np.ndarray, "d"] | None, columns: Sequence[int]
) -> list[Group]:
    """A task for every domain, if there are any, and label column.

    Args:
      rows: the rows of one split.
      domains: the domains that have tasks; None if rows have no domains.
      columns: the columns of y that tasks ask for.
    """
    if domains is None:
        parts = [np.arange(len(rows.x))]
    else:
        parts = [np.flatnonzero(np.asarray(rows.u) == domain) for domain in domains]
    return [Group(part, column) for part in parts for column in columns]


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
    y = pool.y[rows, pool.columns[task][:, None]]
    return Tasks(pool.x[rows], y, None, None)


def _training_tasks(
    train: Rows,
    groups: Sequence[Group],
    domains: tuple[str, ...],
    rng: np.random.Generator,
) -> TaskRows:
    y = np.asarray(train.y)
    for rows, column in groups:
        if len(np.unique(y[rows, column])) < 2:
            there = () if train.u is None else np.unique(np.asarray(train.u)[rows])
            where = ", ".join(domains[i] for i in there) or "the training rows"
            raise ValueError(
                f"labels of column {column} hold one class only in {where}; a task "
                "needs at least two"
            )
    counts = np.array([len(group.rows) for group in groups])
    padded = [np.resize(rng.permutation(g.rows), counts.max()) for g in groups]
    return TaskRows(
        train.x,
        jnp.asarray(train.y),
        jnp.asarray(np.stack(padded)),
        jnp.asarray(counts),
        jnp.asarray([group.column for group in groups]),
    )


def _episode(
    y: Int[np.ndarray, "n l"],
    group: Group,
    shots: int,
    query: int,
    classes: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, "r"]:
    """Rows of a new task: its classes in turn, `shots` of each, then the query."""
    rows = rng.permutation(group.rows)
    labels = y[rows, group.column]
    of_class = [rows[labels == c] for c in range(classes)]
    fewest = min(map(len, of_class))
    if fewest <= shots or len(rows) < shots * classes + query:
        raise ValueError(
            "config.shots and config.test_query must leave samples to judge by: "
            f"{shots} of each of {classes} classes and {query} more are asked for, and "
            f"label column {group.column} has {len(rows)}, {fewest} of its rarest class"
        )
    chosen = np.stack([some[:shots] for some in of_class], 1).reshape(-1)
    rest = rows[~np.isin(rows, chosen)]
    return np.concatenate([chosen, rest[:query]])


def draw_episodes(
    part: Rows,
    groups: Sequence[Group],
    shots: int,
    query: int,
    test_tasks: int,
    classes: int,
    rng: np.random.Generator,
) -> Tasks:
    """New tasks: of every group as many, each with samples of its own.

    Args:
      part: the rows.
      groups: the tasks.
      shots: the number of samples of each class.
      query: the number of samples that judge a task.
      test_tasks: the number of new tasks, at most.
      classes: the number of classes.
      rng: draws the samples.

    Raises:
      ValueError: too few samples.
    """
    x, y = np.asarray(part.x), np.asarray(part.y)
    groups = groups[:test_tasks]
    trials = min(TRIALS, test_tasks // len(groups))
    drawn = [
        (_episode(y, group, shots, query, classes, rng), group.column)
        for group in groups
        for _ in range(trials)
    ]
    targets = np.stack([y[rows, column] for rows, column in drawn])
    seen = np.stack([x[rows] for rows, _ in drawn])
    return Tasks(jnp.asarray(seen), jnp.asarray(targets), None, None)
