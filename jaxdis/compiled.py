"""The compiled program of a run, and what it starts from."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from jaxdis import streaming
from jaxdis.devices import shardings
from jaxdis.layout import over_rows
from jaxdis.made_once import made_once
from jaxdis.program import (
    Progress,
    StackedRows,
    World,
    guarded,
    initialiser,
    make_chunk,
    new_chunk,
)
from jaxdis.turns import Home, in_turns
from jaxdis.types import Batch, Hyper, Metrics, PRNGKey, Sampler, System, TrainState

__all__ = ["Given", "Steps", "compile_steps", "lower", "make_report"]


class Given(NamedTuple):
    """What is known of every row before the first step.

    Attributes:
      keys: one key per row.
      hyper: one value per row of every hyper-parameter.
      world: which of the data's worlds each row sees; None where all see the same.
    """

    keys: Array
    hyper: Hyper
    world: World


class Steps(NamedTuple):
    """The compiled program.

    Attributes:
      advance: `(progress, start, length) -> progress`.
      progress: what it starts from.
      again: `rows -> progress`, at the start of a further chunk.
      compile_s: the seconds that tracing and compiling took.
    """

    advance: Callable[[Progress, int, int], Progress]
    progress: Progress
    again: Callable[[StackedRows], Progress]
    compile_s: float


def _at(number: int) -> Array:
    return jnp.asarray(number, jnp.int32)


def lower(
    system: System, rows: StackedRows, placed: Given, sample: Sampler, mesh: Mesh
) -> tuple[Any, Progress]:
    """Lowers the program for rows that are on the devices, or for their shapes.

    Args:
      system: the method.
      rows: the states of the rows.
      placed: what is known of them.
      sample: what makes batches.
      mesh: the devices.

    Returns:
      The program, and shapes of what it takes and gives.
    """
    step = guarded(system)

    def start(rows: StackedRows, placed: Given, sample: Sampler) -> Progress:
        return new_chunk(step, mesh, rows, *placed, sample)

    new = jax.eval_shape(start, rows, placed, sample)
    row, _ = shardings(mesh)
    shapes = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=row), new
    )
    chunk = make_chunk(step, mesh)
    return chunk.lower(shapes, *placed, sample, *map(_at, (0, 1, 1))), shapes


def _check_sums(given: Progress, new: Progress) -> None:
    if set(given.sums) != set(new.sums):
        raise ValueError(
            f"start holds sums of {', '.join(sorted(given.sums))}, and the metrics "
            f"of the method are {', '.join(sorted(new.sums))}"
        )


def compile_steps(
    system: System,
    feed: streaming.Feed,
    given: Given,
    where: Home,
    mesh: Mesh,
    start: Progress | StackedRows | None,
) -> Steps:
    """Compiles the program, and lays out what it starts from.

    Args:
      system: the method.
      feed: the data.
      given: what is known of every row.
      where: where the rows are between steps.
      mesh: the devices.
      start: what earlier steps led to, or rows to begin a chunk with; None to start.

    Raises:
      ValueError: sums of other metrics in start.
    """
    began = time.perf_counter()
    n = len(given.keys)
    held = where.put(given)
    placed: list[Given] = [where.load(held, turn) for turn in where.turns]
    if start is None:
        init = initialiser(system, mesh)
        rows = in_turns(lambda i: init(placed[i].keys, placed[i].hyper), where)
    else:
        rows = where.put(start.rows if isinstance(start, Progress) else start)
    some = where.load(rows, where.turns[0])
    lowered, shapes = lower(system, some, placed[0], feed.sample, mesh)
    del some

    def again(rows: StackedRows) -> Progress:
        zeros = jax.tree.map(lambda a: np.zeros((n, *a.shape[1:]), a.dtype), shapes[1:])
        return Progress(rows, *where.put(zeros))

    progress = again(rows)
    if isinstance(start, Progress):
        _check_sums(start, progress)
        progress = Progress(rows, *where.put(start[1:]))
    compiled = lowered.compile()
    seconds = time.perf_counter() - began

    def program(
        progress: Progress, sample: Sampler, start: int, length: int
    ) -> tuple[Progress, Array]:
        of_all = shardings(mesh)[1]
        for turn, own in zip(where.turns, placed, strict=True):
            numbers = map(_at, (start, length, turn.length))
            span = jax.device_put(tuple(numbers), of_all)
            part, done = compiled(where.load(progress, turn), *own, sample, *span)
            progress = where.store(progress, turn, part)
        return progress, done

    def advance(progress: Progress, start: int, length: int) -> Progress:
        progress = feed.advance(program, progress, start, length)
        jax.block_until_ready(progress.applied)
        return progress

    return Steps(advance, progress, again, seconds)


@made_once
def make_report(system: System, mesh: Mesh) -> Any:
    """`(state, batch, keys, world, count) -> figures` of rows, to be compiled.

    Args:
      system: the method.
      mesh: the devices.
    """

    def one(
        carried: tuple[()],
        given: tuple[TrainState, PRNGKey, Array | None],
        batch: Batch,
    ) -> tuple[tuple[()], Metrics]:
        state, key, world = given
        if world is not None:
            batch = jax.tree.map(lambda a: a[world], batch)
        return (), system.report(state, batch, key)

    of_all = over_rows(one, mesh)

    def report(
        state: TrainState, batch: Batch, keys: Array, world: World, count: Array
    ) -> Metrics:
        figures: Metrics = of_all((), (state, keys, world), batch, count)[1]
        return figures

    return jax.jit(report)
