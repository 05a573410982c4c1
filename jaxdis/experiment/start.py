"""From a setting to a finished run: the same from Python as from the shell."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jaxdis import devices, log, tracking
from jaxdis.data.own import Own
from jaxdis.experiment import stored
from jaxdis.experiment.directory import check_resumed, create
from jaxdis.experiment.execution import Callbacks, Execution
from jaxdis.experiment.plan import Plan, Values, plan
from jaxdis.experiment.prepared import prepare
from jaxdis.experiment.results import write
from jaxdis.experiment.run import fit
from jaxdis.experiment.stopping import Stopping, leave_at_once, stop_signals
from jaxdis.experiment.trained import Run
from jaxdis.tracking import Tracker
from jaxdis.types import DataSet, Method

__all__ = ["carry_out", "train"]


def train(
    name: str | Method,
    *,
    seeds: int | None = None,
    first_seed: int = 0,
    steps: int | None = None,
    chunk: int | None = None,
    config: Any | Mapping[str, Any] | None = None,
    data: DataSet | Own | None = None,
    hyper: Mapping[str, Values] | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
    chunk_seconds: float = 10.0,
    encoder: Any = None,
    decoder: Any = None,
    optimiser: Any = None,
    loss: Callable[..., Any] | None = None,
    callbacks: Callbacks = (),
    track: Sequence[str | Tracker] = (),
) -> Run:
    """Trains many seeds of a preset in one compiled program.

    `jaxdis.train(name, seeds=8, hyper={"bound_a": [10, 25]})` does what `jaxdis train
    NAME --seeds 8 --hyper.bound-a 10 25` does: it writes config.json, metrics.jsonl,
    checkpoints, results.json and figures.npz into a directory.

    Args:
      name: METHOD/PRESET, where METHOD is a name or a file, `my_method.py:METHOD`; or a
        method, of which the first preset is taken.
      seeds, first_seed, steps, chunk, config, data, hyper: what differs from the
        preset; see `plan`.
      out: a new directory of the run; by default runs/NAME-TIME.
      resume: whether to go on with the run in `out`.
      checkpoint_seconds: the least time between two checkpoints.
      chunk_seconds: the longest time in which an interruption is not noticed.
      encoder, decoder: networks in the place of the method's own, each a flax module or
        a pair of functions `(init, apply)`; see `nets.network`.
      optimiser: an optax transformation, or a function of the hyper-parameters that
        gives one.
      loss: a function in the place of the method's public loss, with its arguments.
      callbacks: called with a `runner.Chunk` after every chunk; a true return value
        ends the training.
      track: what shows the run elsewhere while it trains: "jsonl", "csv",
        "tensorboard", "wandb", or trackers of your own; see `jaxdis.tracking`.

    Returns:
      The finished run.

    Raises:
      ValueError: what is wrong and what would be right; nothing is left behind.
      Stopped: by Ctrl-C, SIGTERM, SIGHUP or SIGUSR1; the run can be resumed.
    """
    devices.use_all_cores()
    tracking.find(track)  # whether they are there
    checked = plan(
        name,
        seeds=seeds,
        first_seed=first_seed,
        steps=steps,
        chunk=chunk,
        config=config,
        data=data,
        hyper=hyper,
        parts={
            "encoder": encoder,
            "decoder": decoder,
            "optimiser": optimiser,
            "loss": loss,
        },
    )
    return carry_out(
        checked,
        Execution(
            out=None if out is None else Path(out),
            resume=resume,
            checkpoint_seconds=checkpoint_seconds,
            chunk_seconds=chunk_seconds,
            callbacks=callbacks,
            track=track,
        ),
    )


def carry_out(plan: Plan, execution: Execution) -> Run:
    """Trains what was planned, as `train` does.

    Args:
      plan: the setting.
      execution: how to do it.

    Returns:
      The finished run.

    Raises:
      ValueError: the data or the directory are not what they should be.
      Stopped: by a signal; the run can be resumed.
    """
    where: list[Path] = []  # is known when there is something to go on with
    leave = partial(leave_at_once, partial(_left, where)) if execution.exits else None
    with stop_signals(leave) as stopping:
        return _carried_out(plan, execution, stopping, where)


def _left(where: list[Path]) -> str:
    """What to say of a run that ends at once."""
    if not where:
        return "interrupted before anything was saved"
    return f"interrupted; go on with:\n  jaxdis resume {shlex.quote(str(where[0]))}"


def _carried_out(
    plan: Plan, execution: Execution, stopping: Stopping, where: list[Path]
) -> Run:
    path = execution.out
    if execution.resume:
        path = check_resumed(plan, path)
    # Data that cannot be read must not leave a directory behind.
    experiment = prepare(plan)
    command = execution.command or f"jaxdis.train({plan.name!r}, ...)"
    directory = path if execution.resume and path else create(plan, path, command)
    where.append(directory)
    stored.write_data(
        directory,
        experiment.spec,
        experiment.splits.preparation,
        experiment.scores,
    )
    log.say(f"{plan.name}: {len(plan.seeds)} seeds into {directory}")
    if plan.rule:
        log.say(plan.rule)
    result, timing = fit(experiment, directory, execution, stopping)
    write(experiment, result, directory, timing.parts(result.step))
    return Run(directory.absolute(), plan.method, parts=plan.parts)
