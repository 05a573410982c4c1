"""What a run starts from, where that is the state of another run."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxdis import checkpoint, log, program, sweep
from jaxdis.experiment.identity import read_settings
from jaxdis.experiment.model import seeds_of
from jaxdis.experiment.plan import Plan
from jaxdis.experiment.prepared import Experiment, first_rows
from jaxdis.experiment.trained import Run, load
from jaxdis.types import TrainState

__all__ = ["OWN", "Source", "source_of", "write"]

KEPT = ("params", "extra")
"""What is taken over. The optimiser starts anew: its schedules count its steps."""


class Source(NamedTuple):
    """What a run starts from.

    Attributes:
      state: the parameters and `extra` of every row of the run that starts; None where
        it starts from its own.
      record: what config.json tells of it.
    """

    state: TrainState | None
    record: dict[str, Any]


OWN = Source(None, {})
"""The method's own initial state."""


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """The shape of every array of one row, by its name."""
    name = partial(jax.tree_util.keystr, simple=True, separator=".")
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {name(path): tuple(leaf.shape[1:]) for path, leaf in leaves}


def _check_fits(run: Run, wanted: TrainState) -> None:
    """Whether the model of a run is the one that is started."""
    for part in KEPT:
        here = _shapes(getattr(wanted, part))
        there = _shapes(getattr(run.model.state, part))
        for name in here | there:
            if here.get(name) != there.get(name):
                raise ValueError(
                    f"from: the model of {run.directory} does not fit: {part}.{name} "
                    f"has shape {there.get(name)} there and {here.get(name)} here"
                )


def _point(run: Run, point: dict[str, float]) -> tuple[int, str]:
    """The point of a run that one starts from, and why, in words."""
    points = run.model.points
    if len(points) == 1:
        return 0, ""
    varied = [name for name in point if len({p[name] for p in points}) > 1]
    for at, there in enumerate(points):
        if all(there[name] == point[name] for name in varied):
            return at, f", the one of equal {' and '.join(varied)}"
    chosen = run.choose()
    return chosen.point, f", the one that is recommended ({chosen.criterion})"


def _check_settings(plan: Plan, directory: Path) -> None:
    """Whether a run is of the same method and has all seeds."""
    settings = read_settings(directory)
    method = settings.get("method")
    if method != plan.method.name:
        raise ValueError(
            f"from: the run in {directory} is of {method}, and this one of "
            f"{plan.method.name}"
        )
    there = seeds_of(settings)
    if missing := sorted(set(plan.seeds) - set(there)):
        raise ValueError(
            f"from: the run in {directory} has seeds {there[0]} to {there[-1]}, and "
            f"lacks {', '.join(map(str, missing))}"
        )


def source_of(
    plan: Plan, directory: Path | str | None, step: int | str = "last"
) -> Source:
    """The state of another run for each row of a plan: of the same seed, at a point.

    The point is the other run's only one, or the one with equal values of what differs
    between its points, or the one that its report recommends.

    Args:
      plan: the setting of the run that starts.
      directory: the directory of the other run; None where the run starts by itself.
      step: which of its checkpoints.

    Raises:
      ValueError: there is no run, its model does not fit, or it lacks seeds.
    """
    if directory is None:
        return OWN
    path = Path(directory).absolute()
    _check_settings(plan, path)
    names = ("encoder", "decoder")
    networks = {n: plan.parts[n] for n in names if n in plan.parts}
    run = load(path, checkpoint=step, method=plan.method, **networks)
    keys, hyper = sweep.lay_out(
        sweep.seed_keys(1, plan.seeds[0]), plan.method.hyper, plan.points[:1]
    )
    system = plan.make(plan.data.spec())
    like = program.row_shapes(system, keys, hyper)
    _check_fits(run, like.state)
    model, rows, points = run.model, [], []
    for number, point in enumerate(plan.points):
        at, why = _point(run, point)
        points.append(at)
        rows += [at * len(model.seeds) + model.seeds.index(s) for s in plan.seeds]
        log.say(
            f"point {number} starts from point {at} of {path} after {model.step:,} "
            f"steps{why}"
        )
    taken = jax.tree.map(lambda a: np.asarray(a)[rows], model.state)
    told = {"run": str(path), "step": model.step, "points": points}
    return Source(taken, {"from": told})


def write(source: Source, experiment: Experiment, directory: Path) -> None:
    """Keeps what a run starts from as its checkpoint before the first step.

    Args:
      source: what it starts from.
      experiment: what is trained.
      directory: the directory of the run.
    """
    assert source.state is not None
    rows = first_rows(experiment)
    kept = {
        part: jax.tree.unflatten(
            jax.tree.structure(getattr(rows.state, part)),
            jax.tree.leaves(getattr(source.state, part)),
        )
        for part in KEPT
    }
    rows = rows._replace(state=rows.state._replace(**kept))
    checkpoint.save(directory / "checkpoints", 0, {"rows": rows})
