"""What is measured at the end of a run, and where it is written."""

import json
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from jaxdis import checkpoint, lock, log, metrics, runner, statistics
from jaxdis.experiment import codes
from jaxdis.experiment.execution import Part
from jaxdis.experiment.plan import Plan
from jaxdis.experiment.prepared import Experiment, evaluator, first_rows
from jaxdis.report.read import FORMAT
from jaxdis.types import Score, TrainState

__all__ = [
    "check_declared",
    "is_finished",
    "is_measured",
    "last_step",
    "note_report",
    "read",
    "write",
]

FILE = "results.json"


def read(directory: Path) -> dict[str, Any]:
    """The results of a run; none where it has not been measured, or damaged.

    Args:
      directory: its directory.
    """
    try:
        return dict(json.loads((directory / FILE).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return {}


def last_step(directory: Path) -> int:
    """The number of steps that a run was trained for, as far as it was saved."""
    return checkpoint.last(directory / "checkpoints")


def is_measured(directory: Path) -> bool:
    """Whether there are results of the last step that a run was trained for.

    Args:
      directory: its directory.
    """
    step = last_step(directory)
    return step > 0 and read(directory).get("steps") == step


def is_finished(plan: Plan, directory: Path) -> bool:
    """Whether all steps of all seeds are trained and measured.

    Args:
      plan: the setting of the run.
      directory: its directory.
    """
    found = read(directory)
    seeds = found.get("seeds") == list(plan.seeds)
    measured = seeds and found.get("steps") == plan.steps
    return measured and last_step(directory) >= plan.steps


def check_declared(experiment: Experiment, found: dict[str, np.ndarray]) -> None:
    """Raises where a report returns what nobody declared: it would be lost.

    Args:
      experiment: what is trained.
      found: what its report returned.

    Raises:
      ValueError: names what was not declared, or has the name of what every run has.
    """
    name = experiment.plan.method.name
    known = {*experiment.scores, *experiment.plan.method.arrays}
    if lost := sorted(set(found) - known):
        raise ValueError(
            f"the report of {name} returns {', '.join(lost)}, which its scores and "
            "arrays do not declare"
        )
    taken = {*codes.ARRAYS, metrics.AGREEMENT.name} & set(found)
    if taken:
        raise ValueError(
            f"the report of {name} returns {', '.join(sorted(taken))}, which every run "
            "has by itself; take another name"
        )


class _Ends(NamedTuple):
    """What belongs to every run, whatever its method: by point and seed."""

    scores: dict[str, Score]
    values: dict[str, Float[np.ndarray, "p s"]]
    arrays: dict[str, np.ndarray]
    udr: Float[np.ndarray, "p"]


def _ends(
    experiment: Experiment, state: TrainState, failed: Bool[np.ndarray, "p s"]
) -> _Ends:
    """What the codes say by themselves; see `codes`."""
    none = _Ends({}, {}, {}, np.full(len(failed), np.nan))
    encoded = codes.encode_rows(experiment, state.params)
    if encoded is None:
        return none
    related = codes.relate(encoded, failed)
    arrays = {"agreement": related.pairs, "matched_codes": related.order}
    arrays |= codes.draw_effects(
        experiment, state.params, encoded, failed, related.seeds
    )
    scores = {s.name: s for s in (metrics.AGREEMENT, metrics.DEAD)}
    values = {metrics.AGREEMENT.name: related.seeds, metrics.DEAD.name: related.dead}
    if not np.isfinite(related.seeds).any():
        del scores[metrics.AGREEMENT.name], values[metrics.AGREEMENT.name]
        del arrays["agreement"]
    return _Ends(scores, values, arrays, related.udr)


def _observed(experiment: Experiment) -> Float[np.ndarray, "w"] | None:
    """The MCC of the observations as they are, in each world of the data."""
    test, spec = experiment.splits.test, experiment.spec
    asked = metrics.MCC.name in experiment.scores and len(spec.shape) == 1
    if test.z is None or not asked:
        return None
    worlds = 1 if spec.worlds is None else len(test.x)
    x, z = (
        np.asarray(a).reshape(worlds, -1, a.shape[-1])[:, : codes.ROWS]
        for a in (test.x, test.z)
    )
    if x.shape[:2] != z.shape[:2]:
        return None
    mcc = jax.jit(metrics.mcc)
    return np.array([float(mcc(*pair)) for pair in zip(z, x, strict=True)])


def _floors(
    experiment: Experiment,
    evaluate: Callable[[TrainState], dict[str, np.ndarray]],
    scores: dict[str, Score],
) -> dict[str, dict[str, Float[np.ndarray, "p s"]]]:
    """What the scores that have a floor are without learning, on the same rows.

    "untrained": of the same seeds before the first step; "observations": of the
    observations in the place of codes, where they are vectors.
    """
    names = [name for name, score in scores.items() if score.floor]
    if not names:
        return {}
    shape = (len(experiment.plan.points), len(experiment.plan.seeds))
    found = evaluate(first_rows(experiment).state)
    floors = {"untrained": {n: found[n].astype(float).reshape(shape) for n in names}}
    if (observed := _observed(experiment)) is not None:
        worlds = experiment.world
        rows = np.zeros(shape, int) if worlds is None else np.asarray(worlds)
        floors["observations"] = {metrics.MCC.name: observed[rows.reshape(shape)]}
    return floors


def _named_axes(experiment: Experiment) -> dict[str, Sequence[str]]:
    """The names of the user's columns by the word for them in declared axes."""
    names = experiment.splits.preparation.names
    labels = [label.name for label in names.y]
    return {"observed": names.x, "action": names.a, "column": labels}


def _step_s(parts: Sequence[Part]) -> float:
    """The seconds per step of all rows, over the steps of all parts."""
    steps = [part.last - part.first for part in parts]
    seconds = sum(n * part.step_s for n, part in zip(steps, parts, strict=True))
    return seconds / max(1, sum(steps))


def _described(parts: Sequence[Part]) -> dict[str, Any]:
    """What a run was trained with at its end, and how long it took."""
    last = parts[-1]
    return {
        "devices": last.devices,
        "platform": last.platform,
        "device_kind": last.device_kind,
        "versions": {"python": platform.python_version(), **last.versions},
        "x64": bool(jax.config.read("jax_enable_x64")),
        "wall_s": sum(part.wall_s for part in parts),
        "compile_s": sum(part.compile_s for part in parts),
        "step_s": _step_s(parts),
        "parts": [asdict(part) for part in parts],
    }


def write(
    experiment: Experiment,
    result: runner.Result,
    out: Path,
    parts: Callable[[int], Sequence[Part]],
) -> None:
    """Scores and arrays on the test split, into results.json and figures.npz.

    Args:
      experiment: what was trained.
      result: the end of its training.
      out: the directory of the run.
      parts: gives the stretches in which it was trained up to a step.
    """
    plan, shape = experiment.plan, (len(experiment.plan.points), -1)
    evaluate = evaluator(experiment, experiment.batches.test)
    state: TrainState = result.rows.state
    found = evaluate(state)
    check_declared(experiment, found)
    failed = result.failed.reshape(shape)
    ends = _ends(experiment, state, failed)
    own = {n: s for n, s in experiment.scores.items() if n in found}
    values = ends.values | {n: found[n].astype(float).reshape(shape) for n in own}
    # Those of the method first, and as it declares them.
    scores = own | {n: s for n, s in ends.scores.items() if n not in own}
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
        **_described(parts(result.step)),
        "spec": experiment.spec,
        "scores": scores,
        "metrics": values,
        "mean": {n: statistics.mean(v) for n, v in alive.items()},
        "std": {n: statistics.deviation(v) for n, v in alive.items()},
        "count": {n: statistics.count(v) for n, v in alive.items()},
        "floors": _floors(experiment, evaluate, scores),
        "udr": ends.udr,
        "agreement": values.get(metrics.AGREEMENT.name),
        "skipped_updates": np.asarray(result.rows.skipped).reshape(shape),
        "failed_seeds": [np.array(plan.seeds)[row].tolist() for row in failed],
        "arrays": axes | {n: codes.ARRAYS[n] for n in ends.arrays},
        "columns": experiment.splits.preparation.names.x,
        "named_axes": _named_axes(experiment),
        "graphs": plan.method.graphs,
        "heads": plan.method.heads,
        "codes": plan.method.codes,
        "sparser": plan.method.sparser,
    }
    log.save_arrays(out / "figures.npz", arrays | ends.arrays)
    log.write_json(out / FILE, results)


def note_report(directory: Path, seconds: float) -> None:
    """Adds what its page took to the seconds of the last stretch of a run.

    Args:
      directory: its directory, in which a page was drawn.
      seconds: how long that took.
    """
    found = read(directory)
    if not found.get("parts") or lock.holder(directory) is not None:
        return  # of an earlier version; or another process goes on with it
    found["parts"][-1].setdefault("seconds", {})["report"] = round(seconds, 3)
    with suppress(OSError):  # the run is whole without it
        log.write_json(directory / FILE, found)
