"""From a setting to a finished run: the same from Python as from the shell."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdis import compilation, devices, systems
from jaxdis.data.own import Own
from jaxdis.experiment.again import plan_of
from jaxdis.experiment.carrying import carry_out, go_on
from jaxdis.experiment.directory import check_path
from jaxdis.experiment.execution import Callbacks, Execution
from jaxdis.experiment.gathering import gather
from jaxdis.experiment.going_on import Wishes
from jaxdis.experiment.plan import Plan, Values, plan
from jaxdis.experiment.shards import Asked, asked
from jaxdis.experiment.trained import Run
from jaxdis.tracking import Tracker
from jaxdis.types import DataSet, Method

__all__ = ["merge", "resume", "train"]


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
    start_or_resume: bool = False,
    shard: Asked | None = None,
    start_from: Run | Path | str | None = None,
    other_versions: bool = False,
    checkpoint_seconds: float = 30.0,
    chunk_seconds: float = 10.0,
    rows_at_once: int | None = None,
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
      resume: whether to go on with the run in `out`, which may be given more steps and
        seeds; `jaxdis.resume` needs no other argument again.
      start_or_resume: whether to go on with the run in `out` if there is one.
      shard: (i, n), i from 1: which part of the rows this process trains, in a
        directory of its own below `out`; `merge` makes one table of all of them. Or
        "auto" for what a scheduler's variables say.
      start_from: another run of the method, whose last parameters are the first of this
        one, seed by seed: those of its only point, of the one with equal values of what
        differs between its points, or of the one that its report recommends. The
        optimiser and the count of steps start anew.
      other_versions: whether to go on although versions or the precision of matrix
        products are others than those of the run.
      checkpoint_seconds: the least time between two checkpoints.
      chunk_seconds: the longest time in which an interruption is not noticed.
      rows_at_once: how many rows, of a seed at a point each, are on the devices at a
        time; the others wait on the host, and take turns. By default all are there.
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
    compilation.keep_programs()
    checked = plan(
        name,
        seeds=seeds,
        first_seed=first_seed,
        steps=steps,
        chunk=chunk,
        config=config,
        data=data,
        hyper=hyper,
        parts=_parts(encoder, decoder, optimiser, loss),
    )
    return carry_out(
        checked,
        Execution(
            out=None if out is None else check_path(out),
            resume=resume,
            start_or_resume=start_or_resume,
            shard=None if shard is None else asked(shard),
            start_from=None if start_from is None else _directory(start_from),
            other_versions=other_versions,
            checkpoint_seconds=checkpoint_seconds,
            chunk_seconds=chunk_seconds,
            rows_at_once=rows_at_once,
            callbacks=callbacks,
            track=track,
        ),
    )


def _directory(run: Run | Path | str) -> Path:
    return run.directory if isinstance(run, Run) else check_path(run)


def _parts(
    encoder: Any, decoder: Any, optimiser: Any, loss: Callable[..., Any] | None
) -> dict[str, Any]:
    """What replaces parts of the method, by their names."""
    return {
        "encoder": encoder,
        "decoder": decoder,
        "optimiser": optimiser,
        "loss": loss,
    }


def _again(
    method: Method | str | None, data: DataSet | Own | None, parts: dict[str, Any]
) -> Callable[[Path], Plan]:
    """What gives the setting of a run, with all that its directory cannot hold."""
    found = systems.find(method) if isinstance(method, str) else method
    return functools.partial(plan_of, method=found, data=data, parts=parts)


def resume(
    directory: Path | str,
    *,
    steps: int | None = None,
    seeds: int | None = None,
    stretch: bool = False,
    other_versions: bool = False,
    checkpoint_seconds: float | None = None,
    chunk_seconds: float | None = None,
    rows_at_once: int | None = None,
    method: Method | str | None = None,
    data: DataSet | Own | None = None,
    encoder: Any = None,
    decoder: Any = None,
    optimiser: Any = None,
    loss: Callable[..., Any] | None = None,
    callbacks: Callbacks = (),
    track: Sequence[str | Tracker] = (),
) -> Run:
    """Goes on with a run, as its config.json tells it.

    One that was interrupted is trained to its end; one that is finished is only changed
    where it shall have more. The numbers are those of a run that had all steps and
    seeds from the start.

    Args:
      directory: the directory of the run.
      steps: the number of steps in all, at least as many as were trained. All
        hyper-parameters stay as they are, those that were set by the number of steps
        too.
      seeds: the number of seeds in all; new ones are trained as far as the others.
      stretch: whether hyper-parameters that are set by the number of steps, as the
        length of a schedule, take their values for the new number from here on.
      other_versions: whether to go on although versions or the precision of matrix
        products are others than those of the run.
      checkpoint_seconds: the least time between two checkpoints; this and the next two
        are by default what they were.
      chunk_seconds: the longest time in which an interruption is not noticed.
      rows_at_once: how many rows are on the devices at a time.
      method: the method, where it is not where the run says.
      data: the data, where they were given as arrays.
      encoder, decoder, optimiser, loss: those that the run was trained with, if they
        were not the method's own: a directory cannot hold them.
      callbacks: called with a `runner.Chunk` after every chunk; a true return value
        ends the training.
      track: what shows the run elsewhere, as `train` has it; by default what did so.

    Returns:
      The finished run.

    Raises:
      ValueError: there is no run, it lacks what its directory cannot hold, it has more
        steps or seeds already, or a process trains in it.
      Stopped: by a signal; the run can be resumed.
    """
    devices.use_all_cores()
    compilation.keep_programs()
    pace = {
        "checkpoint_seconds": checkpoint_seconds,
        "chunk_seconds": chunk_seconds,
        "rows_at_once": rows_at_once,
    }
    return go_on(
        Path(directory),
        _again(method, data, _parts(encoder, decoder, optimiser, loss)),
        Wishes(steps, seeds, stretch),
        Execution(other_versions=other_versions, callbacks=callbacks, track=track),
        pace,
    )


def merge(
    directories: Path | str | Sequence[Path | str],
    *,
    out: Path | str | None = None,
    partial: bool = False,
    other_versions: bool = False,
    rows_at_once: int | None = None,
    method: Method | str | None = None,
    data: DataSet | Own | None = None,
    encoder: Any = None,
    decoder: Any = None,
    optimiser: Any = None,
    loss: Callable[..., Any] | None = None,
) -> Run:
    """Makes one run, with one table, of rows that were trained in shards.

    Args:
      directories: the directory of a run that was trained in shards; or those of
        several runs that differ in their seeds or points alone.
      out: where; by default the directory of the run of the shards.
      partial: whether the table may lack shards that are not finished; it is then
        in `partial` below the directory of the run.
      other_versions: whether shards may be of other versions.
      rows_at_once: how many rows are measured at a time; None for all.
      method: the method, where it is not where the runs say.
      data: the data, where they were given as arrays.
      encoder, decoder, optimiser, loss: those that the runs were trained with, if they
        were not the method's own: a directory cannot hold them.

    Returns:
      The merged run.

    Raises:
      ValueError: shards are missing, not finished, of another setting or version, or
        hold the same rows.
    """
    devices.use_all_cores()
    compilation.keep_programs()
    given = [directories] if isinstance(directories, Path | str) else directories
    return gather(
        [Path(directory) for directory in given],
        None if out is None else check_path(out),
        _again(method, data, _parts(encoder, decoder, optimiser, loss)),
        partial=partial,
        other_versions=other_versions,
        rows_at_once=rows_at_once,
    )
