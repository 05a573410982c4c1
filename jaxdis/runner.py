"""The one runner: many seeds and hyper-parameters of one system in one program."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Key

from jaxdis import check, processes, streaming
from jaxdis.compiled import Given, compile_steps, make_report
from jaxdis.devices import default_mesh, shardings, take
from jaxdis.program import (
    Progress,
    StackedRows,
    World,
    means,
)
from jaxdis.turns import home, size_of_turns
from jaxdis.types import (
    Batch,
    Hyper,
    Sampler,
    Stream,
    System,
    TrainState,
)

__all__ = ["Chunk", "Result", "Visit", "evaluator", "run"]

GROWTH = 16  # times as many steps as in the piece before, at most
AIM = 0.8  # of the time between two visits: steps are not equally long


class Chunk(NamedTuple):
    """What the host sees between two chunks.

    Attributes:
      step: steps taken.
      rows: the run's state; its buffers are reused as soon as the callbacks return.
      metrics: of each row, the mean over the chunk's applied updates.
      length: steps of this chunk that were taken here, and not before an interruption.
      seconds: their wall time, without compilation.
      scores: of each row, what was measured on held-out rows; none where nobody did.
    """

    step: int
    rows: StackedRows
    metrics: dict[str, Float[np.ndarray, "n"]]
    length: int
    seconds: float
    scores: Mapping[str, np.ndarray] = {}

    @property
    def values(self) -> dict[str, np.ndarray]:
        """All numbers of each row by the names that logs have for them."""
        names = {name: f"train_{name}" for name in self.metrics} | {"loss": "loss"}
        return {**{names[n]: v for n, v in self.metrics.items()}, **self.scores}


class Visit(NamedTuple):
    """What the host sees between two pieces of a chunk, and before the first one.

    Attributes:
      step: steps taken.
      progress: `() -> Progress`, what the run can go on from; its buffers are reused
        as soon as the callbacks return.
    """

    step: int
    progress: Callable[[], Progress]


class Result(NamedTuple):
    """The end of a run.

    Attributes:
      rows: final state, one row per key of `at`.
      step: steps taken; fewer than asked for if a callback stopped the run.
      compile_s: seconds spent on tracing and compiling.
      step_s: median over chunks of the seconds per step (of all rows together).
      devices: devices used.
      at: which of the keys the rows are of, as `keys[at]`: all of them, or the share of
        this process.
    """

    rows: StackedRows
    step: int
    compile_s: float
    step_s: float
    devices: int
    at: slice

    @property
    def failed(self) -> Bool[np.ndarray, "n"]:
        """Rows that diverged and are frozen, or lost more updates than were applied.

        The second kind is found in runs that are too short to freeze a row.
        """
        lost = 2 * np.asarray(self.rows.skipped) > self.step
        return np.asarray(self.rows.failed) | lost


def _check_run(keys: Array, hyper: Hyper, steps: int, chunk: int) -> None:
    if not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) or keys.ndim != 1:
        raise ValueError(
            "keys must be a vector of typed keys, one per row, as `seed_keys(8)` or "
            f"`jax.random.split(key, 8)` gives; got shape {keys.shape}, {keys.dtype}"
        )
    if keys.shape[0] == 0:
        raise ValueError("keys must hold at least one key, got none")
    check.at_least("steps", steps, 1)
    check.at_least("chunk", chunk, 1)
    n = keys.shape[0]
    for name, value in zip(hyper._fields, hyper, strict=True):
        if jnp.shape(value) not in ((), (n,)):
            raise ValueError(
                f"hyper.{name} must be a scalar or one value per key, shape ({n},); "
                f"got shape {jnp.shape(value)}"
            )


def _length(left: int, last: tuple[int, float] | None, seconds: float | None) -> int:
    """How many steps to take before the host looks again.

    Args:
      left: the steps of the chunk that are left.
      last: the length of the piece before and the seconds that it took.
      seconds: how long a piece may take; None where chunks are not cut.
    """
    if seconds is None:
        return left
    if last is None:
        return 1
    length, took = last
    fitting = int(AIM * seconds * length / max(took, 1e-9))
    return max(1, min(left, GROWTH * length, fitting))


def run(
    system: System,
    sample: Sampler | Stream,
    keys: Array,
    hyper: Hyper,
    *,
    steps: int,
    chunk: int,
    world: World = None,
    mesh: Mesh | None = None,
    on_chunk: Sequence[Callable[[Chunk], bool | None]] = (),
    on_visit: Sequence[Callable[[Visit], bool | None]] = (),
    visit_seconds: float | None = None,
    start: tuple[int, Progress | StackedRows] | None = None,
    rows_at_once: int | None = None,
) -> Result:
    """Trains one row per key in one compiled program.

    Step i of a row uses `fold_in(key, i)`. What a row draws depends on its key alone.
    Its numbers depend, bit for bit, on its key, hyper-parameters and world, on the
    system and the data, on the versions of JAX and XLA, on the kind of device, and

    - on CPUs on whether there are one or several devices, and, where products are so
      large that cores share them, on the number of cores: not on the other rows, nor on
      the number of devices from two on. A run takes two or more where the process has
      them, as `use_all_cores` sees to.
    - on GPUs and TPUs on the number of rows of a device, which are mapped together;
      `rows_at_once` fixes it.

    They never depend on the length of chunks, nor on interruptions. What is rounded
    elsewhere differs by 1e-7 at first, and grows with the steps: `benchmarks/rows.py`.

    Args:
      system: the method.
      sample: `key -> batch`. Give data as a `jax.tree_util.Partial(draw, data)`: its
        arrays become arguments of the program instead of constants inside it. Of a
        `Stream` a block at a time is on the devices.
      keys: one key per row.
      hyper: the system's hyper-parameters; each field a scalar or one value per row
        (`grid` makes both keys and hyper of a sweep).
      steps: steps to take in all.
      chunk: steps between two measurements, at multiples of it.
      world: for rows that differ in their data, which of the data's worlds each sees;
        the sampler is then called as `sample(key, world)`.
      mesh: devices with the axis "seed"; default `devices.default_mesh`, all of them.
        Rows are padded to a multiple of the mesh; the padding is dropped from all that
        is returned.
        Where the devices are those of several processes, each process trains a share
        of the rows on its own ones, and sees, starts from and returns these alone;
        processes never wait for each other. A mesh of devices of this process has all
        the rows.
      on_chunk: called in order with a `Chunk`; a true return value stops the run.
      on_visit: called in order with a `Visit`, right after compilation and whenever the
        host looks, at a chunk's end after `on_chunk`; a true return value stops.
      visit_seconds: how long the host looks away at most: longer chunks are cut, which
        changes no number. None cuts none.
      start: steps already taken, and what they led to: the progress of a visit, or
        rows, to begin a new chunk with.
      rows_at_once: how many rows are on the devices at a time; the others wait on the
        host, and all of them take the steps between two visits in turn. None is all.

    Returns:
      The final rows and the timing.

    Raises:
      ValueError: untyped or no keys, fewer of them than processes, steps or chunk below
        1, a hyper field of another length than keys, a block smaller than what a step
        draws, sums of other metrics in start, or rows_at_once below 1.
    """
    _check_run(keys, hyper, steps, chunk)
    if world is not None and isinstance(sample, Stream):
        raise ValueError("world: rows that stay on the host are the same for all seeds")
    every = keys.shape
    hyper = jax.tree.map(
        lambda h: jnp.broadcast_to(jnp.asarray(h, float), every), hyper
    )
    world = None if world is None else jnp.asarray(world, jnp.int32)
    at = processes.share(every[0], mesh)
    keys, hyper, world = jax.tree.map(lambda a: a[at], (keys, hyper, world))
    n = keys.shape[0]
    size = size_of_turns(n, rows_at_once)
    mesh = default_mesh(size) if mesh is None else processes.local_mesh(mesh)
    where, used = home(n, size, mesh), min(size, mesh.size)
    step = 0 if start is None else start[0]
    if start is not None and step >= steps:
        given = start[1]
        rows = given.rows if isinstance(given, Progress) else given
        return Result(take(where.put(rows), n), step, 0.0, 0.0, used, at)
    with streaming.feeding(sample, keys, (step, steps), mesh) as feed:
        advance, progress, again, compile_s = compile_steps(
            system, feed, Given(keys, hyper, world), where, mesh, start and start[1]
        )

        def seen() -> Progress:
            found: Progress = take(progress, n)
            return found

        step_s: list[float] = []
        taken, spent, last = 0, 0.0, None
        wishes = [callback(Visit(step, seen)) for callback in on_visit]
        while step < steps and not any(wishes):
            end = min(step - step % chunk + chunk, steps)
            length = _length(end - step, last, visit_seconds)
            began = time.perf_counter()
            progress = advance(progress, step, length)
            last = length, time.perf_counter() - began
            step, taken, spent = step + length, taken + length, spent + last[1]
            wishes = []
            if step == end:
                rows, *sums = seen()
                metrics = means(*jax.tree.map(np.asarray, sums))
                wishes = [c(Chunk(step, rows, metrics, taken, spent)) for c in on_chunk]
                step_s, taken, spent = [*step_s, spent / taken], 0, 0.0
                progress = again(progress.rows)
            wishes += [callback(Visit(step, seen)) for callback in on_visit]
    step_s = step_s or [spent / taken] if taken else step_s
    middle = float(np.median(step_s)) if step_s else 0.0
    return Result(take(progress.rows, n), step, compile_s, middle, used, at)


def evaluator(
    system: System,
    batch: Batch,
    keys: Key[Array, "n"],
    mesh: Mesh | None = None,
    world: World = None,
    rows_at_once: int | None = None,
) -> Callable[[TrainState], dict[str, np.ndarray]]:
    """Compiles `system.report` for all rows on one batch.

    Args:
      system: the method.
      batch: held-out rows, the same for every row of the run.
      keys: one key per row, for what the report draws at random.
      mesh: as in `run`; all rows are those of this process.
      world: as in `run`; the arrays of the batch then have an axis of worlds in front.
      rows_at_once: as in `run`.

    Returns:
      `state -> figures`, on the host, with one row per key.
    """
    n = keys.shape[0]
    size = size_of_turns(n, rows_at_once)
    mesh = default_mesh(size) if mesh is None else processes.local_mesh(mesh)
    world = None if world is None else jnp.asarray(world, jnp.int32)
    where = home(n, size, mesh)
    given = where.put((keys, world))
    placed = [where.load(given, turn) for turn in where.turns]
    batch = jax.device_put(batch, shardings(mesh)[1])
    report = make_report(system, mesh)

    def evaluate(state: TrainState) -> dict[str, np.ndarray]:
        held = where.put(state) if len(where.turns) == 1 else state
        parts = []
        for turn, own in zip(where.turns, placed, strict=True):
            figures = report(where.load(held, turn), batch, *own, turn.length)
            parts.append({k: np.asarray(a)[: turn.length] for k, a in figures.items()})
        return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}

    return evaluate
