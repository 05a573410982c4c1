"""The compiled unit of training: some steps of all rows of a run."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Key

from jaxdis import guard, streaming
from jaxdis.devices import default_mesh, place, take
from jaxdis.layout import over_rows
from jaxdis.made_once import made_once
from jaxdis.types import Batch, Hyper, Metrics, PRNGKey, Sampler, System, TrainState

__all__ = [
    "PATIENCE",
    "Progress",
    "StackedRows",
    "Step",
    "World",
    "guarded",
    "init_rows",
    "initialiser",
    "make_chunk",
    "means",
    "new_chunk",
    "row_shapes",
]

# A row that had this many non-finite updates in a row is frozen: it has diverged.
PATIENCE = 10
# What runs once on a CPU is compiled in about half of the time. Where it is lower, sums
# of products are rounded otherwise.
ONCE = MappingProxyType({"xla_backend_optimization_level": 1})

World: TypeAlias = Int[Array, "n"] | None
_Given: TypeAlias = tuple[PRNGKey, Hyper, Array | None]
Step: TypeAlias = Callable[..., tuple[Any, Metrics, Array]]
"""`(row, batch, hyper, key) -> (row, metrics, applied)`, of one row."""


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
    def failed(self) -> Bool[Array | np.ndarray, "*n"]:
        """Rows that diverged and are frozen in their last finite state."""
        return self.streak >= PATIENCE


class Progress(NamedTuple):
    """All that a run goes on from, at a chunk's end or within one.

    Attributes:
      rows: the run's state.
      sums: of each row, the sums of the metrics of the chunk's applied updates so far.
      applied: how many updates these are.
    """

    rows: StackedRows
    sums: Mapping[str, Array | np.ndarray]
    applied: Int[Array | np.ndarray, "*n"]


def _guarded_step(
    system: System, row: StackedRows, batch: Batch, hyper: Hyper, key: PRNGKey
) -> tuple[StackedRows, Metrics, Bool[Array, ""]]:
    """One step of one row, applied only if all it would write is finite."""
    frozen = jnp.asarray(row.failed)
    state, metrics, applied = guard.attempted(
        system.step, row.state, batch, hyper, key, ~frozen
    )
    missed = (~applied & ~frozen).astype(jnp.int32)
    streak = jnp.where(applied, 0, row.streak + missed)
    return StackedRows(state, row.skipped + missed, streak), metrics, applied


def guarded(system: System) -> Step:
    """The step of one row, applied only if all that it would write is finite.

    It is traced once, however often it is called with the same shapes.

    Args:
      system: the method.
    """
    step: Step = jax.jit(partial(_guarded_step, system))
    return step


def _first_row(system: System, key: PRNGKey, hyper: Hyper) -> StackedRows:
    """A row before the first step."""
    zero = jnp.zeros((), jnp.int32)
    return StackedRows(system.init(key, hyper), zero, zero)


@made_once
def initialiser(
    system: System, mesh: Mesh
) -> Callable[[Key[Array, "n"], Hyper], StackedRows]:
    """`(keys, hyper) -> rows`, compiled once, however often it is called.

    Args:
      system: the method.
      mesh: the devices that rows are laid out over.
    """

    def init(
        carried: tuple[()], given: tuple[PRNGKey, Hyper], shared: None
    ) -> tuple[tuple[()], StackedRows]:
        return (), _first_row(system, *given)

    on_cpu = mesh.devices.flat[0].platform == "cpu"
    of_all = jax.jit(
        over_rows(init, mesh), compiler_options=dict(ONCE) if on_cpu else None
    )

    def init_all(keys: Key[Array, "n"], hyper: Hyper) -> StackedRows:
        n = len(keys)
        rows: StackedRows = of_all((), place((keys, hyper), mesh), None, n)[1]
        return take(rows, n)

    return init_all


def init_rows(
    system: System, keys: Key[Array, "n"], hyper: Hyper, mesh: Mesh | None = None
) -> StackedRows:
    """Initial state of every row, laid out over the mesh from the start.

    Args:
      system: the method.
      keys: one key per row.
      hyper: one value per row of every hyper-parameter.
      mesh: the devices; None takes few.
    """
    return initialiser(system, mesh or default_mesh(1))(keys, hyper)


def row_shapes(system: System, keys: Any, hyper: Any) -> StackedRows:
    """Shapes and types of the states of all rows; nothing is computed.

    Args:
      system: the method.
      keys: one key per row, or the shape of them.
      hyper: one value per row of every hyper-parameter, or its shape.
    """
    of_all = jax.vmap(partial(_first_row, system))
    shapes: StackedRows = jax.eval_shape(of_all, keys, hyper)
    return shapes


def _draw(sample: Sampler, key: PRNGKey, world: Array | None) -> Batch:
    return sample(key) if world is None else sample(key, world)


def new_chunk(
    step: Step,
    mesh: Mesh,
    rows: StackedRows,
    keys: Key[Array, "n"],
    hyper: Hyper,
    world: World,
    sample: Sampler,
) -> Progress:
    """Rows at the start of a chunk, of whose metrics nothing is summed yet.

    Args:
      step: what `guarded` gives.
      mesh: the devices.
      rows: the run's state.
      keys, hyper, world: as in `runner.run`, one value per row.
      sample: what makes batches.
    """

    def metrics(
        row: StackedRows, given: _Given, sample: Sampler
    ) -> tuple[StackedRows, Metrics]:
        key, hyper, world = given
        return row, step(row, _draw(sample, key, world), hyper, key)[1]

    # As in the program itself, so that the step is traced once for both.
    of_all = over_rows(metrics, mesh)
    given = keys, hyper, world
    shapes = jax.eval_shape(of_all, rows, given, sample, len(keys))[1]
    sums = jax.tree.map(lambda m: np.zeros(m.shape, m.dtype), shapes)
    return Progress(rows, sums, np.zeros(len(keys), np.int32))


def means(
    sums: dict[str, np.ndarray], applied: Int[np.ndarray, "n"]
) -> dict[str, Float[np.ndarray, "n"]]:
    """The means of metrics over the updates that were applied.

    0 / 0 = NaN is the honest mean of a chunk in which no update was applied.

    Args:
      sums: of each row, the sums over these updates.
      applied: how many they are.
    """
    with np.errstate(invalid="ignore"):
        return {
            name: (total / applied.astype(total.dtype))
            if np.issubdtype(total.dtype, np.floating)
            else (total / applied).astype(np.float32)
            for name, total in sums.items()
        }


def _steps(
    step: Step, progress: Progress, given: _Given, shared: tuple[Sampler, Array, Array]
) -> tuple[Progress, Any]:
    """Steps of one row, with its metrics added to the sums of the chunk."""
    key, hyper, world = given
    sample, start, end = shared

    def body(i: Array, progress: Progress) -> Progress:
        row, sums, count = progress
        batch_key, step_key = streaming.step_keys(key, i)
        batch = _draw(sample, batch_key, world)
        row, metrics, applied = step(row, batch, hyper, step_key)
        sums = jax.tree.map(lambda s, m: s + jnp.where(applied, m, 0), sums, metrics)
        return Progress(row, sums, count + applied)

    found: Progress = jax.lax.fori_loop(start, end, body, progress)
    return found, found.applied


def make_chunk(step: Step, mesh: Mesh) -> Any:
    """The compiled unit of training: `length` steps of all rows.

    `chunk(progress, keys, hyper, world, sample, start, length, count)` gives
    `(progress, applied)`, with the first `count` rows trained: the others are padding.
    It loops over steps inside a map over rows inside a shard_map over devices inside
    one jit. Rows never meet, so there is nothing to communicate, and shard_map lets the
    compiler add nothing. `start` and `length` are traced: pieces of any length are one
    program, and since sums go through it, no bit depends on where a chunk is cut.
    `applied` is there when the steps are done, and is not given to the next ones.

    Args:
      step: what `guarded` gives.
      mesh: the devices.
    """
    of_all = over_rows(partial(_steps, step), mesh)

    def chunk(
        progress: Progress,
        keys: Array,
        hyper: Hyper,
        world: World,
        sample: Sampler,
        start: Array,
        length: Array,
        count: Array,
    ) -> tuple[Progress, Any]:
        shared = sample, start, start + length
        found: tuple[Progress, Any] = of_all(
            progress, (keys, hyper, world), shared, count
        )
        return found

    return jax.jit(chunk, donate_argnums=0)
