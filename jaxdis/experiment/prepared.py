"""What a plan is with its data drawn."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxdis import runner, streaming, sweep
from jaxdis.data import draws
from jaxdis.devices import default_mesh, take
from jaxdis.experiment.plan import Plan, declared
from jaxdis.program import StackedRows, initialiser
from jaxdis.turns import Home, home, in_turns, size_of_turns
from jaxdis.types import (
    Batch,
    Batches,
    Hyper,
    Score,
    Spec,
    Splits,
    System,
    TrainState,
)

__all__ = [
    "Experiment",
    "evaluator",
    "first_rows",
    "own_devices",
    "prepare",
    "where_rows_are",
]


class Experiment(NamedTuple):
    """Everything that a run needs: data drawn, nothing compiled.

    Attributes:
      plan: the setting.
      system: the method, for these data.
      spec: what it knows of its data.
      splits: the data.
      batches: what the method makes of them.
      keys, hyper: one row per grid point and seed.
      world: which world of the data each row sees; None where all see the same.
      scores: the declared scores, those of the preset first.
      rows_at_once: how many rows are on the devices at a time; None for all.
    """

    plan: Plan
    system: System
    spec: Spec
    splits: Splits
    batches: Batches
    keys: jax.Array
    hyper: Hyper
    world: jax.Array | None
    scores: dict[str, Score]
    rows_at_once: int | None = None


def prepare(
    plan: Plan, drawn: Experiment | None = None, rows_at_once: int | None = None
) -> Experiment:
    """Draws or reads the data and lays out the rows.

    Args:
      plan: the setting.
      drawn: another plan's, of the same data and config, whose data are taken.
      rows_at_once: how many rows are on the devices at a time; None for all.

    Raises:
      ValueError: the data are not where the plan says, or damaged, or go to the
        devices in blocks that are too small.
    """
    spec = plan.data.spec()
    found = _loaded(plan, spec, drawn)
    splits = found.splits
    seeds = sweep.keys_of(plan.seeds)
    keys, hyper = sweep.lay_out(seeds, plan.method.hyper, plan.points)
    world = None
    if found.world is not None:
        world = jnp.tile(found.world, len(plan.points))
    batches = plan.method.batches(plan.config, spec, splits)
    streaming.check_block(batches.sample, keys)
    return Experiment(
        plan=plan,
        system=plan.make(spec),
        spec=spec,
        splits=splits,
        batches=batches,
        keys=keys,
        hyper=hyper,
        world=world,
        scores=declared(plan.method, plan.preset_name, plan.config, spec),
        rows_at_once=rows_at_once,
    )


def _loaded(plan: Plan, spec: Spec, drawn: Experiment | None) -> draws.Drawn:
    """The rows that the seeds see: those of another plan, if they are the same."""
    if drawn is not None:
        own, other = (
            draws.needed(plan.data, spec, p.seeds) for p in (plan, drawn.plan)
        )
        if own is None or other is None or np.array_equal(own, other):
            return draws.Drawn(drawn.splits, draws.places(plan.data, spec, plan.seeds))
    return draws.load(plan.data, spec, plan.seeds)


def own_devices(experiment: Experiment) -> Mesh:
    """The devices of this process that rows lie on, whatever other processes have."""
    return default_mesh(size_of_turns(len(experiment.keys), experiment.rows_at_once))


def where_rows_are(experiment: Experiment) -> Home:
    """The devices, or the host, where not all rows are on the devices at a time."""
    rows = len(experiment.keys)
    size = size_of_turns(rows, experiment.rows_at_once)
    return home(rows, size, own_devices(experiment))


def first_rows(experiment: Experiment) -> StackedRows:
    """All rows before the first step, where they are trained."""
    where, n = where_rows_are(experiment), len(experiment.keys)
    given = where.put((experiment.keys, experiment.hyper))
    placed = [where.load(given, turn) for turn in where.turns]
    init = initialiser(experiment.system, where.mesh)
    rows: StackedRows = take(in_turns(lambda i: init(*placed[i]), where), n)
    return rows


def evaluator(
    experiment: Experiment, rows: Batch
) -> Callable[[TrainState], dict[str, np.ndarray]]:
    """What the method reports of held-out rows, of the states of all rows of the run.

    Args:
      experiment: what is trained.
      rows: what the method made of the held-out rows.
    """
    return runner.evaluator(
        experiment.system,
        rows,
        experiment.keys,
        world=experiment.world,
        rows_at_once=experiment.rows_at_once,
    )
