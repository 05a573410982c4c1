"""Shards: the rows of a run, divided among processes that know nothing of each other.

Rows are points x seeds, and a shard is a rectangle of them: some of the points, and of
each the same seeds. A row is trained by its seed's number and its point alone, so it is
the same row whichever process has it.
"""

import operator
import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from jaxdis.experiment.plan import Plan

__all__ = [
    "AUTO",
    "Asked",
    "Shard",
    "asked",
    "divided",
    "grid_of",
    "of_environment",
    "part",
    "shard_named",
]

AUTO = "auto"

Asked: TypeAlias = tuple[int, int] | str
"""(i, n) with i from 1, "i/n", or "auto" for what the environment says."""


class Shard(NamedTuple):
    """Which part of a run a process trains.

    Attributes:
      number: its own, from 1.
      total: how many there are.
    """

    number: int
    total: int

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    @property
    def directory(self) -> str:
        """Its directory below that of the run."""
        return f"shard-{self.number:04d}-of-{self.total:04d}"


def shard_named(directory: str) -> Shard | None:
    """The shard of a directory of that name; None where it is not of a shard."""
    found = re.fullmatch(r"shard-(\d{4,})-of-(\d{4,})", directory)
    return Shard(int(found[1]), int(found[2])) if found else None


class Source(NamedTuple):
    """Where an environment says which process of how many this one is.

    Attributes:
      number: the variable with its number.
      total: that with the number of processes.
      first: that with the number of the first one; "" where that is 0.
      step: that with the difference between two numbers; "" where that is 1.
    """

    number: str
    total: str
    first: str = ""
    step: str = ""


SOURCES = (
    Source(
        "SLURM_ARRAY_TASK_ID",
        "SLURM_ARRAY_TASK_COUNT",
        "SLURM_ARRAY_TASK_MIN",
        "SLURM_ARRAY_TASK_STEP",
    ),
    Source("JAX_PROCESS_ID", "JAX_NUM_PROCESSES"),
    Source("JAX_PROCESS_INDEX", "JAX_PROCESS_COUNT"),
    Source("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    Source("SLURM_PROCID", "SLURM_NTASKS"),
)


def asked(given: Asked, environment: Mapping[str, str] = os.environ) -> Shard:
    """The shard that is asked for.

    Args:
      given: (i, n), "i/n" or "auto".
      environment: where "auto" looks.

    Raises:
      ValueError: it is none of them, or i is not in 1..n.
    """
    if given == AUTO:
        return of_environment(environment)
    try:
        words = (
            given.split("/") if isinstance(given, str) else map(operator.index, given)
        )
        index, count = map(int, words)
    except (TypeError, ValueError):
        raise ValueError(
            f"shard must be I/N, as 1/4, or auto; got {_shown(given)}"
        ) from None
    if not 1 <= index <= count:
        raise ValueError(
            f"shard must be I/N with I from 1 to N, as 1/4; got {_shown(given)}"
        )
    return Shard(index, count)


def _shown(given: Asked) -> str:
    return "/".join(map(str, given)) if isinstance(given, list | tuple) else repr(given)


def of_environment(environment: Mapping[str, str] = os.environ) -> Shard:
    """The shard that the variables of a scheduler say.

    They are those of `SOURCES`, the first that is there.

    Args:
      environment: the variables.

    Raises:
      ValueError: there are none, or they do not say which process this one is.
    """
    for source in SOURCES:
        if environment.get(source.number) and environment.get(source.total):
            return _said(source, environment)
    known = ", ".join(f"{s.number} and {s.total}" for s in SOURCES)
    raise ValueError(
        f"shard: auto needs the variables of a scheduler, {known}, and none of them is "
        "set; say which part this process trains, as 1/4"
    )


def _said(source: Source, environment: Mapping[str, str]) -> Shard:
    words = {name: environment.get(name, "") for name in source if name}
    try:
        index, count = int(words[source.number]), int(words[source.total])
        first = int(words.get(source.first) or 0)
        step = int(words.get(source.step) or 1)
        at, rest = divmod(index - first, step)
        if rest or not 0 <= at < count:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        there = ", ".join(f"{name}={value}" for name, value in words.items() if value)
        raise ValueError(
            f"shard: auto needs numbers in an unbroken row, and {there} are none; say "
            "which part this process trains, as 1/4"
        ) from None
    return Shard(at + 1, count)


def grid_of(count: int, points: int, seeds: int) -> tuple[int, int]:
    """Into how many groups points and seeds are divided: as many of seeds as possible.

    Args:
      count: the number of shards.
      points: the number of points.
      seeds: the number of seeds.

    Raises:
      ValueError: no such rectangles exist, with numbers of shards that work.
    """
    for groups in range(min(count, seeds), 0, -1):
        if count % groups == 0 and count // groups <= points:
            return count // groups, groups
    works = _works(points, seeds)
    near = [
        max((n for n in works if n < count), default=None),
        min((n for n in works if n > count), default=None),
    ]
    rows = f"{seeds} seeds" + (f" x {points} points" if points > 1 else "")
    raise ValueError(
        f"shard: {rows} cannot be divided into {count} shards, each with all its seeds "
        f"at all its points; {' or '.join(str(n) for n in near if n)} shards work"
    )


def _works(points: int, seeds: int) -> Iterable[int]:
    return sorted({p * s for p in range(1, points + 1) for s in range(1, seeds + 1)})


def divided(plan: Plan, shard: Shard) -> tuple[range, range]:
    """Which points and which seeds of a run a shard has, by their places.

    Args:
      plan: the whole run.
      shard: which part of it.

    Raises:
      ValueError: as `grid_of`.
    """
    points, seeds = len(plan.points), len(plan.seeds)
    grid = grid_of(shard.total, points, seeds)
    at = divmod(shard.number - 1, grid[1])
    return _group(points, grid[0], at[0]), _group(seeds, grid[1], at[1])


def _group(size: int, groups: int, at: int) -> range:
    """One of the groups that `numpy.array_split` makes: the first ones are longer."""
    least, longer = divmod(size, groups)
    first = at * least + min(at, longer)
    return range(first, first + least + (at < longer))


def part(plan: Plan, shard: Shard) -> Plan:
    """The setting of a shard: that of the run, with some of its points and seeds.

    Args:
      plan: the whole run.
      shard: which part of it.

    Raises:
      ValueError: as `grid_of`.
    """
    points, seeds = divided(plan, shard)
    return plan._replace(
        points=tuple(plan.points[i] for i in points),
        seeds=tuple(plan.seeds[i] for i in seeds),
    )
