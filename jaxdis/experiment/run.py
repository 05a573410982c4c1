"""From a plan to a finished run."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdis import checkpoint, devices, log, runner, statistics, sweep
from jaxdis.data.rows import world_of
from jaxdis.experiment.directory import check_resumed, create
from jaxdis.experiment.plan import Plan, Values, plan
from jaxdis.experiment.prepared import Experiment
from jaxdis.experiment.results import check_declared, headline, write
from jaxdis.experiment.stopping import Stopped, stop_signals
from jaxdis.report import build
from jaxdis.report.read import Record, load
from jaxdis.types import DataSet, Method

__all__ = ["Run", "carry_out", "prepare", "train"]


class Run(NamedTuple):
    """A finished run.

    Attributes:
      directory: where it was written.
      method: its method.
      record: what the directory holds.
    """

    directory: Path
    method: Method
    record: Record

    @property
    def scores(self) -> dict[str, Float[np.ndarray, "point seed"]]:
        """Every score on the test split; NaN where a seed has none."""
        groups = self.record.groups
        return {n: np.stack([g.final[n] for g in groups]) for n in self.record.scores}

    def table(self) -> list[dict[str, float]]:
        """One row per grid point and seed: hyper-parameters, seed, scores.

        `pandas.DataFrame(run.table())` is a frame of it.
        """
        return [
            {**group.hyper, "seed": seed, "failed": bool(group.failed[i])}
            | {name: float(values[i]) for name, values in group.final.items()}
            for group in self.record.groups
            for i, seed in enumerate(group.seeds)
        ]

    def report(self) -> Path:
        """Draws the run and writes its page; returns the page's path."""
        return build(self.directory, self.method)


def prepare(plan: Plan) -> Experiment:
    """Draws or reads the data and lays out the rows.

    Raises:
      ValueError: the data are not where the plan says, or damaged.
    """
    spec, splits = plan.data.spec(), plan.data.load()
    seeds = sweep.seed_keys(len(plan.seeds), plan.seeds[0])
    keys, hyper = sweep.lay_out(seeds, plan.method.hyper, plan.points)
    world = None
    if spec.worlds is not None:
        worlds = world_of(np.array(plan.seeds), spec.worlds)
        world = jnp.tile(worlds, len(plan.points))
    declared = {s.name: s for s in plan.method.scores(plan.config, spec)}
    first = {n: declared[n] for n in plan.preset.scores if n in declared}
    return Experiment(
        plan=plan,
        system=plan.make(spec),
        spec=spec,
        splits=splits,
        batches=plan.method.batches(plan.config, spec, splits),
        keys=keys,
        hyper=hyper,
        world=world,
        scores=first | declared,
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


def _run(
    experiment: Experiment, out: Path, *, resume: bool, checkpoint_seconds: float
) -> runner.Result:
    """Trains with progress bar, metrics lines and checkpoints."""
    plan, lines = experiment.plan, out / "metrics.jsonl"
    manager = checkpoint.open_manager(out / "checkpoints")
    start = _resume_point(experiment, manager, lines) if resume else None
    evaluate = runner.evaluator(
        experiment.system,
        experiment.batches.valid,
        experiment.keys,
        world=experiment.world,
    )
    first = next(iter(experiment.scores.values()))
    saved = time.perf_counter()

    with stop_signals() as stopping, log.progress_bar() as bar:
        task = bar.add_task(
            "compiling", total=plan.steps, completed=start[0] if start else 0,
            headline="", speed=None,
        )  # fmt: skip

        def on_chunk(chunk: runner.Chunk) -> bool:
            nonlocal saved
            found = evaluate(chunk.rows.state)
            check_declared(experiment, found)
            log.append_lines(lines, _records(experiment, chunk, found))
            score = float(np.mean(statistics.mean(found.get(first.name, np.nan))))
            bar.update(
                task,
                description="training",
                completed=chunk.step,
                speed=chunk.length / chunk.seconds,
                headline=headline(experiment, found, chunk.metrics),
            )
            last = stopping() or chunk.step == plan.steps
            if last or time.perf_counter() - saved >= checkpoint_seconds:
                worth = -score if first.better == "lower" else score
                checkpoint.save(manager, chunk.step, chunk.rows, worth)
                saved = time.perf_counter()
            return stopping()

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
    return result


def train(
    name: str,
    *,
    seeds: int | None = None,
    first_seed: int = 0,
    steps: int | None = None,
    chunk: int | None = None,
    config: Any | Mapping[str, Any] | None = None,
    data: DataSet | Mapping[str, Any] | None = None,
    hyper: Mapping[str, Values] | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
) -> Run:
    """Trains many seeds of a preset in one compiled program.

    `jaxdis.train(name, seeds=8, hyper={"bound_a": [10, 25]})` does what `jaxdis train
    NAME --seeds 8 --hyper.bound-a 10 25` does: it writes config.json, metrics.jsonl,
    checkpoints, results.json and figures.npz into a directory.

    Args:
      name: METHOD/PRESET.
      seeds, first_seed, steps, chunk, config, data, hyper: what differs from the
        preset; see `plan`.
      out: a new directory of the run; by default runs/NAME-TIME.
      resume: whether to go on with the run in `out`.
      checkpoint_seconds: the least time between two checkpoints.

    Returns:
      The finished run.

    Raises:
      ValueError: what is wrong and what would be right; nothing is left behind.
      Stopped: by Ctrl-C or SIGTERM; the run can be resumed.
    """
    devices.use_all_cores()
    checked = plan(
        name,
        seeds=seeds,
        first_seed=first_seed,
        steps=steps,
        chunk=chunk,
        config=config,
        data=data,
        hyper=hyper,
    )
    return carry_out(
        checked, out=out, resume=resume, checkpoint_seconds=checkpoint_seconds
    )


def carry_out(
    plan: Plan,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
    command: str = "",
) -> Run:
    """Trains what was planned, as `train` does.

    Args:
      plan: the setting.
      out: a new directory of the run; by default runs/NAME-TIME.
      resume: whether to go on with the run in `out`.
      checkpoint_seconds: the least time between two checkpoints.
      command: what the directory names as the command that made it.

    Returns:
      The finished run.

    Raises:
      ValueError: the data or the directory are not what they should be.
      Stopped: by Ctrl-C or SIGTERM; the run can be resumed.
    """
    began = time.perf_counter()
    path = None if out is None else Path(out)
    if resume:
        path = check_resumed(plan, path)
    # Data that cannot be read must not leave a directory behind.
    experiment = prepare(plan)
    command = command or f"jaxdis.train({plan.name!r}, ...)"
    directory = path if resume and path else create(plan, path, command)
    log.console.print(
        f"[bold]{plan.name}[/bold]: {len(plan.seeds)} seeds into {directory}"
    )
    result = _run(
        experiment, directory, resume=resume, checkpoint_seconds=checkpoint_seconds
    )
    if result.step < plan.steps:
        raise Stopped(directory, result.step)
    write(experiment, result, directory, time.perf_counter() - began)
    return Run(directory, plan.method, load(directory))
