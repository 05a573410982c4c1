"""The one runner: many seeds and hyper-parameters of one system in one program."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Key

from jaxdis import check, streaming
from jaxdis.devices import place, seed_mesh, shardings, take
from jaxdis.types import (
    Batch,
    Hyper,
    Metrics,
    PRNGKey,
    Sampler,
    Stream,
    System,
    TrainState,
)

__all__ = [
    "Chunk",
    "Result",
    "StackedRows",
    "evaluator",
    "init_rows",
    "make_chunk",
    "run",
]

# A row that had this many non-finite updates in a row is frozen: it has diverged.
PATIENCE = 10
LARGE = 2**14  # numbers of an array that is looked at by itself
CACHED = 2**19  # bytes of the rows that a CPU core trains at the same time

World: TypeAlias = Int[Array, "n"] | None


class StackedRows(NamedTuple):
    """The state of a run, one row per seed (and hyper-parameter point).

    Attributes:
      state: the system's states, stacked.
      skipped: how many non-finite updates of each row were not applied.
      streak: how many of them in a row just now.
    """

    state: TrainState
    skipped: Int[Array, "*n"]
    streak: Int[Array, "*n"]

    @property
    def failed(self) -> Bool[Array, "*n"]:
        """Rows that diverged and are frozen in their last finite state."""
        return self.streak >= PATIENCE


class Chunk(NamedTuple):
    """What the host sees between two chunks.

    Attributes:
      step: steps taken.
      rows: the run's state; its buffers are reused as soon as the callbacks return.
      metrics: of each row, the mean over the chunk's applied updates.
      length: steps in this chunk.
      seconds: the chunk's wall time, without compilation.
    """

    step: int
    rows: StackedRows
    metrics: dict[str, Float[np.ndarray, "n"]]
    length: int
    seconds: float


class Result(NamedTuple):
    """The end of a run.

    Attributes:
      rows: final state, one row per key.
      step: steps taken; fewer than asked for if a callback stopped the run.
      compile_s: seconds spent on tracing and compiling.
      step_s: median over chunks of the seconds per step (of all rows together).
      devices: devices used.
    """

    rows: StackedRows
    step: int
    compile_s: float
    step_s: float
    devices: int


def _all_finite(tree: Any) -> Bool[Array, ""]:
    """Whether all numbers are finite.

    Large arrays are summed over their last axis, by a product, which runs at the speed
    of memory; such sums pass on what is not finite. Small ones are put together.
    """
    leaves = [a for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.inexact)]
    large = [a for a in leaves if a.size >= LARGE]
    sums = [jnp.matmul(a, jnp.ones(a.shape[-1], a.dtype)) for a in large]
    small = [a for a in leaves if a.size < LARGE]
    return jnp.isfinite(ravel_pytree(small + sums)[0]).all()


def _guarded_step(
    system: System, row: StackedRows, batch: Batch, hyper: Hyper, key: PRNGKey
) -> tuple[StackedRows, Metrics, Bool[Array, ""]]:
    """One step of one row, applied only if all it would write is finite."""
    state, metrics = system.step(row.state, batch, hyper, key)
    frozen = row.failed
    applied = _all_finite((state, metrics)) & ~frozen
    state = jax.tree.map(
        lambda new, old: jnp.where(applied, new, old), state, row.state
    )
    missed = (~applied & ~frozen).astype(jnp.int32)
    streak = jnp.where(applied, 0, row.streak + missed)
    return StackedRows(state, row.skipped + missed, streak), metrics, applied


def init_rows(
    system: System, keys: Key[Array, "n"], hyper: Hyper, mesh: Mesh | None = None
) -> StackedRows:
    """Initial state of every row, laid out over the mesh from the start.

    Args:
      system: the method.
      keys: one key per row.
      hyper: one value per row of every hyper-parameter.
      mesh: the devices; None leaves the placing to JAX.
    """

    def init(key: PRNGKey, hyper: Hyper) -> StackedRows:
        zero = jnp.zeros((), jnp.int32)
        return StackedRows(system.init(key, hyper), zero, zero)

    spread = None if mesh is None else shardings(mesh)[0]
    return jax.jit(jax.vmap(init), out_shardings=spread)(keys, hyper)


def _group(rows: StackedRows) -> int:
    """How many rows a core takes at a time: a divisor, of at most `CACHED` bytes."""
    n = len(rows.skipped)
    leaves = jax.tree.leaves(rows.state)
    each = sum(a.size * a.dtype.itemsize for a in leaves) / n
    return max(
        d for d in range(1, n + 1) if n % d == 0 and (d == 1 or d * each <= CACHED)
    )


def _steps(
    guarded_step: Callable[..., tuple[StackedRows, Metrics, Array]],
    row: StackedRows,
    key: PRNGKey,
    hyper: Hyper,
    world: Array | None,
    sample: Sampler,
    start: Array,
    end: Array,
) -> tuple[StackedRows, Metrics, Int[Array, ""]]:
    """Steps of one row, the means of its metrics, and how many updates were applied."""

    def draw(key: PRNGKey) -> Batch:
        return sample(key) if world is None else sample(key, world)

    def body(i: Array, carry: Any) -> Any:
        row, sums, count = carry
        batch_key, step_key = streaming.step_keys(key, i)
        row, metrics, applied = guarded_step(row, draw(batch_key), hyper, step_key)
        sums = jax.tree.map(lambda s, m: s + jnp.where(applied, m, 0), sums, metrics)
        return row, sums, count + applied

    batch = jax.eval_shape(draw, key)
    metrics = jax.eval_shape(guarded_step, row, batch, hyper, key)[1]
    sums = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), metrics)
    row, sums, count = jax.lax.fori_loop(start, end, body, (row, sums, 0))
    # 0 / 0 = NaN is the honest mean of a chunk in which no update was applied.
    return row, jax.tree.map(lambda s: s / count, sums), count


def make_chunk(system: System, mesh: Mesh) -> Any:
    """The compiled unit of training: `length` steps of all rows.

    `chunk(rows, keys, hyper, world, sample, start, length) -> (rows, metrics, applied)`
    loops over steps inside a vmap over rows inside a shard_map over devices inside one
    jit; `applied` counts the updates that the metrics are means of. Rows never meet, so
    there is nothing to communicate, and shard_map lets the compiler add nothing.
    `start` and `length` are traced: chunks of any length are one program.

    A CPU core takes its rows a few at a time, through all steps of the chunk, so that
    what they write between steps stays in its cache.
    """

    # Traced once: the call for shapes and the one in the loop share the cache.
    guarded_step = jax.jit(partial(_guarded_step, system))
    steps = partial(_steps, guarded_step)

    def chunk(
        rows: StackedRows,
        keys: Array,
        hyper: Hyper,
        world: World,
        sample: Sampler,
        start: Array,
        length: Array,
    ) -> tuple[StackedRows, Metrics, Array]:
        axes = (0, 0, 0, 0, None, None, None)
        end = start + length

        def some(
            at: tuple[StackedRows, Array, Hyper, World],
        ) -> tuple[StackedRows, Metrics, Array]:
            return jax.vmap(steps, axes)(*at, sample, start, end)

        on_cpu = mesh.devices.flat[0].platform == "cpu"
        group = _group(rows) if on_cpu else len(keys)
        if group == len(keys):
            return some((rows, keys, hyper, world))
        groups = jax.tree.map(
            lambda a: a.reshape(-1, group, *a.shape[1:]), (rows, keys, hyper, world)
        )
        done = jax.lax.map(some, groups)
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), done)

    row, all_ = PartitionSpec("seed"), PartitionSpec()
    sharded = jax.shard_map(
        chunk,
        mesh=mesh,
        in_specs=(row, row, row, row, all_, all_, all_),
        out_specs=row,
        # Nothing communicates, so there is nothing to check; and with the check every
        # loop inside a system would have to declare which of its carries vary.
        check_vma=False,
    )
    return jax.jit(sharded, donate_argnums=0)


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
    start: tuple[int, StackedRows] | None = None,
) -> Result:
    """Trains one row per key in one compiled program.

    Step i of a row uses `fold_in(key, i)`, so a row's numbers depend neither on the
    other rows, nor on the chunk length, nor on interruptions.

    Args:
      system: the method.
      sample: `key -> batch`. Give data as a `jax.tree_util.Partial(draw, data)`: its
        arrays become arguments of the program instead of constants inside it. Of a
        `Stream` a block at a time is on the devices.
      keys: one key per row.
      hyper: the system's hyper-parameters; each field a scalar or one value per row
        (`grid` makes both keys and hyper of a sweep).
      steps: steps to take in all.
      chunk: steps between two visits of the host.
      world: for rows that differ in their data, which of the data's worlds each sees;
        the sampler is then called as `sample(key, world)`.
      mesh: devices with the axis "seed"; default all of them. Rows are padded to a
        multiple of the mesh, and the padding is dropped from all that is returned.
      on_chunk: called in order with a `Chunk`; a true return value stops the run.
      start: steps already taken and their rows, to go on from.

    Returns:
      The final rows and the timing.

    Raises:
      ValueError: untyped or no keys, steps or chunk below 1, a hyper field of another
        length than keys, or a block smaller than what a step draws.
    """
    _check_run(keys, hyper, steps, chunk)
    if world is not None and isinstance(sample, Stream):
        raise ValueError("world: rows that stay on the host are the same for all seeds")
    n = keys.shape[0]
    hyper = jax.tree.map(lambda h: jnp.broadcast_to(jnp.asarray(h, float), (n,)), hyper)
    mesh = seed_mesh(n) if mesh is None else mesh
    world = None if world is None else jnp.asarray(world, jnp.int32)
    first = 0 if start is None else start[0]
    with streaming.feeding(sample, keys, (first, steps), mesh) as feed:
        keys, hyper, world = place((keys, hyper, world), mesh)
        began = time.perf_counter()
        if start is None:
            rows = init_rows(system, keys, hyper, mesh)
        else:
            rows = place(start[1], mesh)
        at = partial(jnp.asarray, dtype=jnp.int32)
        placed = keys, hyper, world
        lowered = make_chunk(system, mesh).lower(
            rows, *placed, feed.sample, at(first), at(chunk)
        )
        compiled = lowered.compile()
        compile_s = time.perf_counter() - began

        def program(rows: StackedRows, sample: Sampler, start: int, length: int) -> Any:
            span = jax.device_put((at(start), at(length)), shardings(mesh)[1])
            return compiled(rows, *placed, sample, *span)

        step, step_s = first, []
        while step < steps:
            length = min(chunk, steps - step)
            began = time.perf_counter()
            rows, metrics = feed.advance(program, rows, step, length)
            seconds = time.perf_counter() - began
            step_s.append(seconds / length)
            step += length
            seen = Chunk(step, take(rows, n), take(metrics, n), length, seconds)
            wishes = [callback(seen) for callback in on_chunk]  # every one is called
            if any(wishes):
                break
    middle = float(np.median(step_s)) if step_s else 0.0
    return Result(take(rows, n), step, compile_s, middle, mesh.size)


def evaluator(
    system: System,
    batch: Batch,
    keys: Key[Array, "n"],
    mesh: Mesh | None = None,
    world: World = None,
) -> Callable[[TrainState], dict[str, np.ndarray]]:
    """Compiles `system.report` for all rows on one batch.

    Args:
      system: the method.
      batch: held-out rows, the same for every row of the run.
      keys: one key per row, for what the report draws at random.
      mesh: as in `run`.
      world: as in `run`; the arrays of the batch then have an axis of worlds in front.

    Returns:
      `state -> figures`, on the host, with one row per key.
    """
    n = keys.shape[0]
    mesh = seed_mesh(n) if mesh is None else mesh
    world = None if world is None else jnp.asarray(world, jnp.int32)
    keys, world = place((keys, world), mesh)
    batch = jax.device_put(batch, shardings(mesh)[1])
    row = PartitionSpec("seed")

    def one(
        state: TrainState, batch: Batch, key: PRNGKey, world: Array | None
    ) -> Metrics:
        if world is not None:
            batch = jax.tree.map(lambda a: a[world], batch)
        return system.report(state, batch, key)

    report = jax.jit(
        jax.shard_map(
            jax.vmap(one, in_axes=(0, None, 0, 0)),
            mesh=mesh,
            in_specs=(row, PartitionSpec(), row, row),
            out_specs=row,
            check_vma=False,
        )
    )

    def evaluate(state: TrainState) -> dict[str, np.ndarray]:
        figures = report(place(state, mesh), batch, keys, world)
        return {k: np.asarray(a)[:n] for k, a in figures.items()}

    return evaluate
