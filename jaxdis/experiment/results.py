"""What is measured at the end of a run, and where it is written."""

from pathlib import Path

import jax
import numpy as np

from jaxdis import log, metrics, runner, statistics
from jaxdis.experiment.prepared import Experiment
from jaxdis.report.read import FORMAT

__all__ = ["check_declared", "write"]

UDR_ROWS = 2_000


def check_declared(experiment: Experiment, found: dict[str, np.ndarray]) -> None:
    """Raises where a report returns what nobody declared: it would be lost.

    Args:
      experiment: what is trained.
      found: what its report returned.

    Raises:
      ValueError: names what was not declared.
    """
    known = {*experiment.scores, *experiment.plan.method.arrays}
    if lost := sorted(set(found) - known):
        raise ValueError(
            f"the report of {experiment.plan.method.name} returns {', '.join(lost)}, "
            "which its scores and arrays do not declare"
        )


def _udr(experiment: Experiment, rows: runner.StackedRows) -> list[float | None]:
    """Agreement of the seeds of each grid point.

    Undefined for one seed, and where seeds do not see the same observations or do not
    encode them.
    """
    plan, encode = experiment.plan, experiment.system.encode
    seeds, points = len(plan.seeds), len(plan.points)
    if seeds < 2 or encode is None or experiment.world is not None:
        return [None] * points
    x = experiment.splits.test.x[:UDR_ROWS]
    codes = jax.jit(jax.vmap(encode, in_axes=(0, None)))(rows.state.params, x)
    codes = codes.reshape(points, seeds, -1, codes.shape[-1])
    return [float(metrics.udr(z)) for z in codes]


def write(
    experiment: Experiment, result: runner.Result, out: Path, wall_s: float
) -> None:
    """Scores and arrays on the test split, into results.json and figures.npz.

    Args:
      experiment: what was trained.
      result: the end of its training.
      out: the directory of the run.
      wall_s: the seconds that it took.
    """
    plan, shape = experiment.plan, (len(experiment.plan.points), -1)
    evaluate = runner.evaluator(
        experiment.system,
        experiment.batches.test,
        experiment.keys,
        world=experiment.world,
    )
    found = evaluate(result.rows.state)
    check_declared(experiment, found)
    failed = np.asarray(result.rows.failed).reshape(shape)
    scores = {n: s for n, s in experiment.scores.items() if n in found}
    values = {n: found[n].astype(float).reshape(shape) for n in scores}
    alive = {n: np.where(failed, np.nan, v) for n, v in values.items()}
    axes = {n: axes for n, axes in plan.method.arrays.items() if n in found}
    arrays = {
        n: found[n].reshape(*shape, *found[n].shape[1:])
        if names.startswith("seed")
        else found[n][0]
        for n, names in axes.items()
    }
    results = {
        "format": FORMAT,
        "method": plan.method.name,
        "preset": plan.preset_name,
        "seeds": plan.seeds,
        "points": plan.points,
        "steps": result.step,
        "devices": result.devices,
        "wall_s": wall_s,
        "compile_s": result.compile_s,
        "step_s": result.step_s,
        "spec": experiment.spec,
        "scores": scores,
        "metrics": values,
        "mean": {n: statistics.mean(v) for n, v in alive.items()},
        "std": {n: statistics.deviation(v) for n, v in alive.items()},
        "udr": _udr(experiment, result.rows),
        "skipped_updates": np.asarray(result.rows.skipped).reshape(shape),
        "failed_seeds": [np.array(plan.seeds)[row].tolist() for row in failed],
        "arrays": axes,
    }
    log.save_arrays(out / "figures.npz", arrays)
    log.write_json(out / "results.json", results)
