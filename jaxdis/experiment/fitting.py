"""Runs that do not fit into memory are refused, before they are compiled or after."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding
from jax.tree_util import Partial

from jaxdis import checkpoint, memory, program
from jaxdis.compiled import Given, lower, make_report
from jaxdis.devices import default_mesh, shardings
from jaxdis.experiment import estimate as estimates
from jaxdis.experiment.estimate import Estimate
from jaxdis.experiment.plan import Plan
from jaxdis.experiment.prepared import Experiment, prepare
from jaxdis.streaming import Block, sample_block
from jaxdis.types import Sampler, Stream

__all__ = ["analysed", "prepare_fitting", "shortage_told"]

CLOSE = 0.5  # of what is free, from where on the program is asked, too


def prepare_fitting(
    plan: Plan, rows_at_once: int | None = None, drawn: Experiment | None = None
) -> tuple[Experiment, Estimate]:
    """Draws the data of a plan that fits, as far as that can be told by shapes.

    Args:
      plan: the setting.
      rows_at_once: how many rows are on the devices at a time; None for all.
      drawn: the same data, where they were drawn before.

    Raises:
      OutOfMemory: it does not fit; with what there is, and what would fit.
    """
    room = memory.room(jax.local_devices())
    first = estimates.of_plan(plan, room, rows_at_once)
    estimates.check_fits(first)
    with memory.named(lambda: f"{estimates.shortage(first)}, or less data"):
        experiment = prepare(plan, drawn, rows_at_once)
    estimate = estimates.of_experiment(experiment, room, rows_at_once)
    estimates.check_fits(estimate)
    if room.free is not None and estimate.total > CLOSE * room.free:
        estimate = analysed(experiment, estimate)
        estimates.check_fits(estimate)
    return experiment, estimate


def _shapes(tree: Any, sharding: Sharding) -> Any:
    """Arrays on devices, without their numbers."""

    def one(a: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(np.shape(a), jnp.result_type(a), sharding=sharding)

    return jax.tree.map(one, tree)


def _sampler(sample: Sampler | Stream) -> Any:
    """What goes to the devices of what makes batches."""
    if not isinstance(sample, Stream):
        return sample if isinstance(sample, Partial) else Partial(sample)
    rows = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((sample.block, *a.shape[1:]), a.dtype),
        sample.rows,
    )
    ids = jax.ShapeDtypeStruct((sample.block,), jnp.int32)
    block: Any = Block(ids, rows)  # type: ignore[arg-type]
    return Partial(sample_block, sample.draw, block)


def _temporaries(lowered: Any) -> int:
    """What a program takes on each device besides what it is given."""
    found = lowered.compile().memory_analysis()
    if found is None:  # not every platform tells
        return 0
    new = found.output_size_in_bytes - found.alias_size_in_bytes
    return int(found.temp_size_in_bytes + max(0, new))


def analysed(experiment: Experiment, estimate: Estimate) -> Estimate:
    """The estimate with what XLA says of a step and of the evaluation.

    Both programs are compiled, for shapes alone: nothing is placed on a device.

    Args:
      experiment: what is to be trained.
      estimate: what is known by shapes.

    Raises:
      OutOfMemory: the compiler ran out of memory.
    """
    mesh = default_mesh(estimate.at_once)
    row, all_ = shardings(mesh)
    rows = -(-estimate.at_once // mesh.size) * mesh.size
    given = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((rows,), a.dtype, sharding=row),
        Given(experiment.keys, experiment.hyper, experiment.world),
    )
    shapes = program.row_shapes(experiment.system, given.keys, given.hyper)
    states = _shapes(shapes, row)
    sample = _shapes(_sampler(experiment.batches.sample), all_)
    held_out = max(experiment.batches.valid, experiment.batches.test, key=memory.size)
    with memory.named(lambda: estimates.shortage(estimate)):
        step, _ = lower(experiment.system, states, given, sample, mesh)
        report = make_report(experiment.system, mesh).lower(
            states.state, _shapes(held_out, all_), given.keys, given.world, 1
        )
        return estimate._replace(
            step=_temporaries(step), evaluation=_temporaries(report)
        )


@contextmanager
def shortage_told(
    experiment: Experiment, estimate: Estimate, directory: Path
) -> Iterator[None]:
    """Turns memory that runs out in spite of the estimate into one sentence.

    Args:
      experiment: what is trained.
      estimate: what was thought to be enough.
      directory: that of the run.

    Raises:
      OutOfMemory: what would fit, and from where the run can go on.
    """

    def sentence() -> str:
        # Of a run that never took a step nothing is kept.
        saved = checkpoint.last(directory / "checkpoints")
        kept = f"; step {saved:,} is saved in {directory}" if saved else ""
        found = estimate
        with suppress(Exception):  # there may not be enough memory for that either
            found = analysed(experiment, estimate)
        return f"{estimates.shortage(found)}{kept}"

    with memory.named(sentence):
        yield
