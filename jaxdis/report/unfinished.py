"""A run that was killed or still trains: its curves so far, and where it stands."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from jaxdis import checkpoint, lock
from jaxdis.report import read
from jaxdis.report.files import Logged, read_curves, read_object, read_scores, reading
from jaxdis.report.read import Group, Record, Standing
from jaxdis.types import Score

__all__ = ["is_finished", "load", "said", "short"]


def is_finished(directory: Path) -> bool:
    """Whether a run has written its results, and none of more steps or seeds is due."""
    path = directory / "results.json"
    if not path.exists():
        return False
    results, settings = read_object(path, []), read.read_settings(directory)
    seeds = results.get("seeds")
    if isinstance(seeds, list) and len(seeds) != settings["seeds"]:
        return False
    trained = checkpoint.last(directory / "checkpoints")
    return trained <= int(results.get("steps", trained))


def load(directory: Path) -> Record:
    """Reads a run, finished or not.

    Raises:
      ValueError: a file is missing or corrupt, or belongs to another run.
    """
    directory = Path(directory)
    return read.load(directory) if is_finished(directory) else _so_far(directory)


def _lists(value: Any) -> Any:
    """Values of data.json as results.json has them: arrays as nested lists."""
    if isinstance(value, Mapping):
        if {"dtype", "shape", "values"} == set(value):
            return value["values"]
        return {name: _lists(v) for name, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, list) else value


def _lost(logged: Logged, shape: tuple[int, int]) -> Bool[np.ndarray, "p s"]:
    """The rows of which no update was applied in the last chunk: all means are NaN."""
    means = [
        values
        for name, values in logged.curves.items()
        if name == "loss" or name.startswith("train_")
    ]
    if not means or not logged.whole:
        return np.zeros(shape, bool)
    return np.all([np.isnan(mean[..., logged.whole - 1]) for mean in means], axis=0)


def _scores(
    path: Path, found: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Score]:
    """The scores that were logged, as a file declares them; else by names alone."""
    known = read_scores(path, dict(found.get("scores") or {}))
    plain = [n for n in names if n != "loss" and not n.startswith("train_")]
    return {n: s for n, s in known.items() if n in names} | {
        n: Score(n, n.replace("_", " ")) for n in plain if n not in known
    }


def _so_far(directory: Path) -> Record:
    settings, path = read.read_settings(directory), directory / "config.json"
    with reading(path, "this does not describe a run"):
        seeds = read.seeds_of(settings)
        hypers = read.hypers_of(settings)
        labels, steps = read.labels_of(hypers), int(settings["steps"])
        method = settings.get("method") or settings["system"]
    lines, shape = directory / "metrics.jsonl", (len(hypers), len(seeds))
    nothing: Int[np.ndarray, "t"] = np.zeros(0, int)
    logged = Logged(nothing, {})
    if lines.exists():
        logged = read_curves(lines, len(hypers), seeds)
    lost = _lost(logged, shape)
    groups = []
    for i, hyper in enumerate(hypers):
        curves = {name: values[i] for name, values in logged.curves.items()}
        groups.append(Group(labels[i], hyper, seeds, lost[i], {}, logged.steps, curves))
    saved = checkpoint.steps(directory / "checkpoints")
    last = max(saved, default=None)
    step = max([0, *saved, *logged.steps.tolist()])
    again = f"jaxdis resume {shlex.quote(str(directory))}"
    parts = saved[last].record.get("parts", []) if last is not None else []
    data = directory / "data.json"
    known = read_object(data, []) if data.exists() else {}
    return Record(
        name=f"{method}/{settings['preset']}",
        settings=settings,
        results=_measured(step, parts),
        groups=groups,
        spec=_lists(dict(known.get("spec") or {})),
        scores=_scores(data, known, list(logged.curves)),
        arrays={},
        notes=logged.notes,
        standing=Standing(step, steps, last, _holder(directory), again),
    )


def _measured(step: int, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is known of the times and devices of the parts that were saved."""
    if not parts:
        return {"steps": step}
    sums = {n: sum(part[n] for part in parts) for n in ("wall_s", "compile_s")}
    kept = ("devices", "platform", "device_kind", "step_s", "versions")
    last = {n: parts[-1][n] for n in kept}
    return {"steps": step, **sums, **last, "parts": list(parts)}


def _holder(directory: Path) -> str:
    """Who trains a run now; "" where nobody does."""
    holder = lock.holder(directory)
    return "" if holder is None else f"{holder}, since {holder.started}"


def short(standing: Standing) -> str:
    """How far a run has come, in a few words."""
    return f"not finished: step {standing.step:,} of {standing.steps:,}"


def said(standing: Standing) -> Iterator[str]:
    """Where a run stands, in sentences."""
    yield (
        f"The run has not finished: it has come to step {standing.step:,} of "
        f"{standing.steps:,}."
    )
    yield (
        "There is no checkpoint: it starts again from the first step."
        if standing.saved is None
        else f"The last checkpoint is that of step {standing.saved:,}."
    )
    yield (
        f"It trains now: {standing.holder}."
        if standing.holder
        else f"Nobody trains it now; go on with: {standing.again}"
    )
