"""The training of a run: data, chunks, metrics and checkpoints."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdis import checkpoint, log, runner, streaming, sweep
from jaxdis.data.rows import world_of
from jaxdis.experiment.plan import Plan, declared
from jaxdis.experiment.prepared import Experiment
from jaxdis.experiment.results import check_declared
from jaxdis.experiment.stopping import Stopped, stop_signals
from jaxdis.experiment.watched import by_step, watched

__all__ = ["fit", "prepare"]


def prepare(plan: Plan) -> Experiment:
    """Draws or reads the data and lays out the rows.

    Raises:
      ValueError: the data are not where the plan says, or damaged, or go to the
        devices in blocks that are too small.
    """
    spec, splits = plan.data.spec(), plan.data.load()
    seeds = sweep.seed_keys(len(plan.seeds), plan.seeds[0])
    keys, hyper = sweep.lay_out(seeds, plan.method.hyper, plan.points)
    world = None
    if spec.worlds is not None:
        worlds = world_of(np.array(plan.seeds), spec.worlds)
        world = jnp.tile(worlds, len(plan.points))
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
    )


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
    evaluate = runner.evaluator(
        experiment.system,
        experiment.batches.valid,
        experiment.keys,
        world=experiment.world,
    )
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
