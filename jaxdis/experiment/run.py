"""The training of a run: chunks, metrics and checkpoints."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdis import checkpoint, log, runner
from jaxdis.experiment.prepared import Experiment, evaluator
from jaxdis.experiment.results import check_declared
from jaxdis.experiment.stopping import Stopped, stop_signals
from jaxdis.experiment.watched import by_step, watched

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


def _resume_point(
    experiment: Experiment, manager: Any, lines: Path
) -> tuple[int, runner.StackedRows] | None:
    like = jax.eval_shape(
        lambda k, h: runner.init_rows(experiment.system, k, h),
        experiment.keys,
        experiment.hyper,
    )
    start = checkpoint.restore(manager, like, log.note)
    step = start[0] if start else 0
    log.truncate_lines(lines, step)
    log.console.print(f"resuming after step {step}")
    return start


def fit(
    experiment: Experiment,
    out: Path,
    *,
    resume: bool,
    checkpoint_seconds: float,
    callbacks: Sequence[Callable[[runner.Chunk], bool | None]] = (),
) -> runner.Result:
    """Trains with progress bar, metrics lines and checkpoints.

    Args:
      experiment: what to train.
      out: the directory of the run.
      resume: whether to go on from its last checkpoint.
      checkpoint_seconds: the least time between two checkpoints.
      callbacks: called after every chunk; a true return value ends the training.

    Raises:
      Stopped: by Ctrl-C or SIGTERM; the run can be resumed.
    """
    plan, lines = experiment.plan, out / "metrics.jsonl"
    manager = checkpoint.open_manager(out / "checkpoints")
    start = _resume_point(experiment, manager, lines) if resume else None
    logged = by_step(lines)
    shown = watched(experiment.scores, logged[min(logged)]) if logged else None
    evaluate = evaluator(experiment, experiment.batches.valid)
    saved = time.perf_counter()

    with stop_signals() as stopping, log.progress_bar() as bar:
        task = bar.add_task(
            "compiling", total=plan.steps, completed=start[0] if start else 0,
            headline="", speed=None,
        )  # fmt: skip

        def on_chunk(chunk: runner.Chunk) -> bool:
            nonlocal saved, shown
            values = _logged(experiment, chunk, evaluate(chunk.rows.state), lines)
            shown = shown or watched(experiment.scores, values)
            value = shown.value(values)
            bar.update(
                task,
                description="training",
                completed=chunk.step,
                speed=chunk.length / chunk.seconds,
                headline=f"{shown.name} {value:.3f}" if np.isfinite(value) else "",
            )
            wishes = [callback(chunk) for callback in callbacks]  # every one is called
            last = any(wishes) or stopping() or chunk.step == plan.steps
            if last or time.perf_counter() - saved >= checkpoint_seconds:
                checkpoint.save(manager, chunk.step, chunk.rows, shown.sign * value)
                saved = time.perf_counter()
            return any(wishes) or stopping()

        result = runner.run(
            experiment.system,
            experiment.batches.sample,
            experiment.keys,
            experiment.hyper,
            steps=plan.steps,
            chunk=plan.chunk,
            world=experiment.world,
            on_chunk=[on_chunk],
            start=start,
        )
        manager.close()
        if stopping() and result.step < plan.steps:
            raise Stopped(out, result.step)
    return result
