"""The training of a run to its end: chunks, metrics, checkpoints and results."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdis import checkpoint, log, program, runner, tracking
from jaxdis.clock import Clock
from jaxdis.experiment import identity, origin, results, stored
from jaxdis.experiment.execution import Execution, Timing
from jaxdis.experiment.fitting import prepare_fitting, shortage_told
from jaxdis.experiment.plan import Plan
from jaxdis.experiment.prepared import Experiment, evaluator, own_devices
from jaxdis.experiment.shards import shard_named
from jaxdis.experiment.stopping import Stopped, Stopping
from jaxdis.experiment.watched import Watched, by_step, watched
from jaxdis.progress import progress

__all__ = ["complete", "fit"]


class _Record:
    """What is measured after every chunk, and all that is told of it.

    Attributes:
      value: how good its state is, more is better; NaN where that is not known.
      headline: the number that is watched, in words.
    """

    def __init__(
        self, experiment: Experiment, out: Path, first: int, execution: Execution
    ) -> None:
        plan, self.lines = experiment.plan, out / "metrics.jsonl"
        self.experiment, self.value, self.headline = experiment, np.nan, ""
        self.rows = tuple(
            tracking.Row(point, seed, hyper)
            for point, hyper in enumerate(plan.points)
            for seed in plan.seeds
        )
        logged = by_step(self.lines)
        self.watched: Watched | None = (
            watched(experiment.scores, logged[min(logged)]) if logged else None
        )
        self.evaluate = evaluator(experiment, experiment.batches.valid)
        self.tracker = tracking.Tracker(lambda step, values: None)
        if first < plan.steps:
            self.tracker = _tracker(out, self.rows, first, execution)

    def add(self, chunk: runner.Chunk, found: dict[str, np.ndarray]) -> runner.Chunk:
        """Checks and logs what was measured; returns the chunk with its scores."""
        results.check_declared(self.experiment, found)
        scores = {n: found[n] for n in self.experiment.scores if n in found}
        chunk = chunk._replace(scores=scores)
        log.append_lines(self.lines, self._lines(chunk))
        self.tracker.log(chunk.step, chunk.values)
        self.watched = self.watched or watched(self.experiment.scores, chunk.values)
        mean = self.watched.value(chunk.values)
        self.value = self.watched.sign * mean
        known = np.isfinite(mean)
        self.headline = f"{self.watched.name} {mean:.3f}" if known else ""
        return chunk

    def _lines(self, chunk: runner.Chunk) -> Iterator[dict[str, Any]]:
        """A line of metrics.jsonl a row: training means and held-out scores."""
        for i, row in enumerate(self.rows):
            head = {"step": chunk.step, "point": row.point, "seed": row.seed}
            yield head | {name: value[i] for name, value in chunk.values.items()}


def _tracker(
    out: Path, rows: tuple[tracking.Row, ...], first: int, execution: Execution
) -> tracking.Tracker:
    """The trackers that are asked for, or those that the run has had so far."""
    directory = (execution.tracked_in or out).absolute()
    track = execution.track or tracking.used(directory / "tracking")
    # The shards of a run are in one group; each counts its points by itself.
    is_shard = shard_named(directory.name) is not None
    tracked = tracking.Tracked(
        directory=directory / "tracking",
        rows=rows,
        group=directory.parent.name if is_shard else directory.name,
        part=directory.name if is_shard else "",
        step=first,
        config=identity.read_settings(out),
    )
    return tracking.together(tracking.find(track), tracked)


class _Start(NamedTuple):
    """Where a run goes on."""

    step: int
    progress: program.Progress | program.StackedRows
    parts: list[dict[str, Any]]


def _resume_point(experiment: Experiment, out: Path) -> _Start | None:
    like = program.row_shapes(experiment.system, experiment.keys, experiment.hyper)
    found = checkpoint.restore(out / "checkpoints", {"rows": like}, log.note)
    step = found.step if found else 0
    log.truncate_lines(out / "metrics.jsonl", step)
    log.say(f"resuming after step {step:,}")
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


def _run(
    experiment: Experiment,
    execution: Execution,
    start: _Start | None,
    on_chunk: Callable[[runner.Chunk], bool],
    on_visit: Callable[[runner.Visit], bool],
) -> runner.Result:
    """Trains, from the start or from where a run goes on."""
    return runner.run(
        experiment.system,
        experiment.batches.sample,
        experiment.keys,
        experiment.hyper,
        steps=experiment.plan.steps,
        chunk=experiment.plan.chunk,
        world=experiment.world,
        mesh=own_devices(experiment),
        on_chunk=[on_chunk],
        on_visit=[on_visit],
        visit_seconds=execution.chunk_seconds,
        start=(start.step, start.progress) if start else None,
        rows_at_once=experiment.rows_at_once,
    )


def fit(
    experiment: Experiment,
    out: Path,
    execution: Execution,
    stopping: Stopping,
    clock: Clock,
) -> tuple[runner.Result, Timing]:
    """Trains with progress, lines of metrics, trackers and checkpoints.

    Args:
      experiment: what to train.
      out: the directory of the run.
      execution: how to train it.
      stopping: whether the run was asked to stop.
      clock: takes note of what its time is spent on.

    Raises:
      Stopped: by a signal; the run can be resumed.
    """
    plan = experiment.plan
    start = _resume_point(experiment, out) if execution.resume else None
    first = start.step if start else 0
    before = start.parts if start else ()
    timing = Timing(before, first, len(experiment.keys), clock)
    keeper = _Keeper(out / "checkpoints", execution.checkpoint_seconds, timing)
    keeper.step = start.step if start else None
    record = _Record(experiment, out, first, execution)
    value: float | None = None  # of a state at a chunk's end
    ended = False
    measuring = math.inf  # seconds; the first time compiles

    with closing(record.tracker), progress(plan.steps, first) as advance:

        def on_chunk(chunk: runner.Chunk) -> bool:
            nonlocal value, ended, measuring
            timing.trained(chunk.length, chunk.seconds)
            # What was trained since the last checkpoint is only given up where
            # measuring would keep a signal waiting.
            stopping.training = measuring <= execution.chunk_seconds
            began = time.monotonic()
            with clock.on("evaluation"):
                found = record.evaluate(chunk.rows.state)
            measuring = time.monotonic() - began
            stopping.training = True
            with clock.on("saving"):
                chunk = record.add(chunk, found)
            value = record.value
            with clock.on("other"):
                wishes = [callback(chunk) for callback in execution.callbacks]
            ended = any(wishes)  # every one is called
            return ended

        def on_visit(visit: runner.Visit) -> bool:
            nonlocal value
            stopping.training = True
            if visit.step == first:
                timing.compiled()
            advance(visit.step, record.headline)
            stop = bool(stopping)  # a wish that comes from here on is for the next look
            last = ended or stop or visit.step == plan.steps
            if last or keeper.due(value is not None):
                with clock.on("saving"):
                    keeper.keep(visit, value)
            value = None
            return stop

        with clock.on("training"):
            result = _run(experiment, execution, start, on_chunk, on_visit)
        stopping.training = False
    if stopping.first:  # also after the last step: measuring may take long
        raise Stopped(out, result.step, stopping.first)
    return result, timing


def complete(
    plan: Plan,
    directory: Path,
    execution: Execution,
    stopping: Stopping,
    *,
    source: origin.Source = origin.OWN,
    resumed: bool = False,
    measured: bool = True,
    drawn: Experiment | None = None,
) -> Experiment:
    """Trains a run to its end, and measures it.

    Args:
      plan: its setting.
      directory: its directory, of which this process has the lock.
      execution: how to do it.
      stopping: whether it was asked to stop.
      source: what it starts from.
      resumed: whether it goes on from its last checkpoint.
      measured: whether results are written.
      drawn: the same data, where they were drawn before.

    Returns:
      The data and what else was prepared.

    Raises:
      ValueError: the data are not what they should be.
      Stopped: by a signal; the run can be resumed.
    """
    clock = Clock(execution.imported_s)
    with clock.running():
        with clock.on("data"):
            experiment, needed = prepare_fitting(plan, execution.rows_at_once, drawn)
        spec, preparation = experiment.spec, experiment.splits.preparation
        stored.keep_data(directory, spec, preparation, experiment.scores)
        log.say(f"{plan.name}: {len(plan.seeds)} seeds into {directory}")
        begun = _begun(experiment, directory, source, resumed)
        execution = execution._replace(resume=begun)
        with shortage_told(experiment, needed, directory):
            result, timing = fit(experiment, directory, execution, stopping, clock)
            if measured:
                with clock.on("evaluation"):
                    results.write(experiment, result, directory, timing.parts)
    return experiment


def _begun(
    experiment: Experiment, directory: Path, source: origin.Source, resumed: bool
) -> bool:
    """Whether a run goes on from a checkpoint: its own, or what it starts from."""
    if resumed and not _saved(directory):
        told = identity.read_settings(directory).get("from")
        if told:
            source = origin.source_of(experiment.plan, told["run"], told["step"])
    if source.state is not None:
        origin.write(source, experiment, directory)
    return resumed or source.state is not None


def _saved(directory: Path) -> bool:
    """Whether there is a checkpoint, whole or damaged."""
    checkpoints = directory / "checkpoints"
    return checkpoints.is_dir() and any(
        path.name[0].isdigit() for path in checkpoints.iterdir()
    )
