"""The training of a run: chunks, metrics and checkpoints."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdis import checkpoint, log, program, runner
from jaxdis.experiment.execution import Execution, Timing
from jaxdis.experiment.prepared import Experiment, evaluator, own_devices
from jaxdis.experiment.results import check_declared
from jaxdis.experiment.stopping import Stopped, Stopping
from jaxdis.experiment.watched import Watched, by_step, watched

__all__ = ["fit"]


def _records(
    experiment: Experiment, chunk: runner.Chunk, found: dict[str, np.ndarray]
) -> Iterator[dict[str, Any]]:
    """The lines of metrics.jsonl for one chunk: training means and held-out scores."""
    scores = {name: found[name] for name in experiment.scores if name in found}
    training = {k if k == "loss" else f"train_{k}": v for k, v in chunk.metrics.items()}
    seeds = experiment.plan.seeds
    for row in range(len(seeds) * len(experiment.plan.points)):
        point, seed = divmod(row, len(seeds))
        values = {k: v[row] for k, v in (training | scores).items()}
        yield {"step": chunk.step, "point": point, "seed": seeds[seed], **values}


def _logged(
    experiment: Experiment,
    chunk: runner.Chunk,
    found: dict[str, np.ndarray],
    lines: Path,
) -> dict[str, np.ndarray]:
    """Checks and appends what was measured after a chunk; the scores and the loss."""
    check_declared(experiment, found)
    log.append_lines(lines, _records(experiment, chunk, found))
    return {"loss": chunk.metrics.get("loss", np.array(np.nan)), **found}


class _Start(NamedTuple):
    """Where a run goes on."""

    step: int
    progress: program.Progress | program.StackedRows
    parts: list[dict[str, Any]]


def _resume_point(experiment: Experiment, out: Path) -> _Start | None:
    like = jax.eval_shape(
        lambda k, h: program.init_rows(experiment.system, k, h),
        experiment.keys,
        experiment.hyper,
    )
    found = checkpoint.restore(out / "checkpoints", {"rows": like}, log.note)
    step = found.step if found else 0
    log.truncate_lines(out / "metrics.jsonl", step)
    log.console.print(f"resuming after step {step:,}")
    if found is None:
        return None
    sums = {
        name.removeprefix("sums/"): array
        for name, array in found.rest.items()
        if name.startswith("sums/")
    }
    rows = found.tree["rows"]
    within = "applied" in found.rest  # not in what another run gave it to start from
    progress = program.Progress(rows, sums, found.rest["applied"]) if within else rows
    return _Start(step, progress, found.record.get("parts", []))


class _Keeper:
    """When checkpoints are written, and with which score."""

    def __init__(self, directory: Path, seconds: float, timing: Timing) -> None:
        self.directory, self.seconds, self.timing = directory, seconds, timing
        self.saved = self.scored = -np.inf
        self.step: int | None = None

    def due(self, at_end: bool) -> bool:
        """Whether it is time for one.

        Args:
          at_end: whether a chunk has ended, so that the state has a score.
        """
        last = self.scored if at_end else self.saved
        return time.perf_counter() - last >= self.seconds

    def keep(self, visit: runner.Visit, score: float | None) -> None:
        """Writes one, unless it is there.

        Args:
          visit: what the host sees.
          score: how good the state is; None within a chunk.
        """
        if self.step == visit.step:
            return
        tree = visit.progress()._asdict()
        checkpoint.save(
            self.directory,
            visit.step,
            jax.tree.map(np.asarray, tree),
            score=np.nan if score is None else score,
            record={"parts": [asdict(p) for p in self.timing.parts(visit.step)]},
        )
        self.saved, self.step = time.perf_counter(), visit.step
        if score is not None:
            self.scored = self.saved


def fit(
    experiment: Experiment, out: Path, execution: Execution, stopping: Stopping
) -> tuple[runner.Result, Timing]:
    """Trains with progress bar, metrics lines and checkpoints.

    Args:
      experiment: what to train.
      out: the directory of the run.
      execution: how to train it.
      stopping: whether the run was asked to stop.

    Raises:
      Stopped: by a signal; the run can be resumed.
    """
    plan, lines = experiment.plan, out / "metrics.jsonl"
    start = _resume_point(experiment, out) if execution.resume else None
    first = start.step if start else 0
    timing = Timing(start.parts if start else (), first, len(experiment.keys))
    keeper = _Keeper(out / "checkpoints", execution.checkpoint_seconds, timing)
    keeper.step = start.step if start else None
    logged = by_step(lines)
    shown: Watched | None = (
        watched(experiment.scores, logged[min(logged)]) if logged else None
    )
    evaluate = evaluator(experiment, experiment.batches.valid)
    value: float | None = None  # of a state at a chunk's end
    ended = False

    with log.progress_bar() as bar:
        task = bar.add_task(
            "compiling", total=plan.steps, completed=first,
            headline="", speed=None,
        )  # fmt: skip

        def on_chunk(chunk: runner.Chunk) -> bool:
            nonlocal shown, value, ended
            timing.trained(chunk.length, chunk.seconds)
            stopping.training = False
            found = evaluate(chunk.rows.state)
            stopping.training = True
            values = _logged(experiment, chunk, found, lines)
            shown = shown or watched(experiment.scores, values)
            mean = shown.value(values)
            value = shown.sign * mean
            bar.update(
                task,
                description="training",
                completed=chunk.step,
                speed=chunk.length / chunk.seconds,
                headline=f"{shown.name} {mean:.3f}" if np.isfinite(mean) else "",
            )
            wishes = [callback(chunk) for callback in execution.callbacks]
            ended = any(wishes)  # every one is called
            return ended

        def on_visit(visit: runner.Visit) -> bool:
            nonlocal value
            stopping.training = True
            if visit.step == first:
                timing.compiled()
            bar.update(task, description="training", completed=visit.step)
            last = ended or bool(stopping) or visit.step == plan.steps
            if last or keeper.due(value is not None):
                keeper.keep(visit, value)
            value = None
            return bool(stopping)

        result = runner.run(
            experiment.system,
            experiment.batches.sample,
            experiment.keys,
            experiment.hyper,
            steps=plan.steps,
            chunk=plan.chunk,
            world=experiment.world,
            mesh=own_devices(experiment),
            on_chunk=[on_chunk],
            on_visit=[on_visit],
            visit_seconds=execution.chunk_seconds,
            start=(start.step, start.progress) if start else None,
            rows_at_once=experiment.rows_at_once,
        )
    stopping.training = False
    if stopping.first and result.step < plan.steps:
        raise Stopped(out, result.step, stopping.first)
    return result, timing
