"""How a plan becomes a run: a new directory, or one that is gone on with."""

import errno
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxdis import devices, lock, log, processes
from jaxdis.experiment import directory as directories
from jaxdis.experiment import going_on, identity, origin
from jaxdis.experiment.execution import Execution
from jaxdis.experiment.going_on import Wishes
from jaxdis.experiment.machines import parents
from jaxdis.experiment.machines.together import train_together
from jaxdis.experiment.more_seeds import recover
from jaxdis.experiment.plan import Plan
from jaxdis.experiment.results import last_step
from jaxdis.experiment.run import complete
from jaxdis.experiment.shards import Shard
from jaxdis.experiment.stopping import (
    Stopped,
    Stopping,
    leave_at_once,
    stop_signals,
)
from jaxdis.experiment.trained import Run

__all__ = ["carry_out", "go_on"]

UNWRITABLE = {errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EROFS}


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
    devices.check_platform()
    if execution.shard is not None:
        return _shard(plan, execution.shard, execution)
    if processes.many() and not execution.alone:
        return train_together(plan, execution, carry_out)
    out = None if execution.out is None else directories.check_path(execution.out)
    there = out is not None and directories.holds_run(out)
    if execution.resume or (execution.start_or_resume and there):
        return _gone_on(
            _needed(out),
            partial(going_on.same, plan),
            partial(_wishes, plan, not execution.resume),
            execution,
        )
    return _new(plan, execution, out)


def _wishes(plan: Plan, or_more: bool, stored: Plan) -> Wishes:
    """What the run in a directory shall be, which may have more already."""
    steps, seeds = plan.steps, len(plan.seeds)
    if or_more:
        steps, seeds = max(steps, stored.steps), max(seeds, len(stored.seeds))
    return Wishes(steps, seeds)


def _shard(plan: Plan, shard: Shard, execution: Execution) -> Run:
    """Trains a part of the rows in a directory below that of the run."""
    some, own = parents.claim(plan, shard, execution)
    assert own.out is not None
    try:
        return carry_out(some, own._replace(shard=None, alone=True))
    except BaseException:
        parents.leave(own.out.parent)
        raise


def _needed(out: Path | None) -> Path:
    if out is None:
        raise ValueError("resume needs out, the directory of the run to go on with")
    identity.read_settings(out)  # nothing is locked where there is no run
    if (count := parents.shards_there(out)) and not last_step(out):
        named = shlex.quote(str(out))
        raise ValueError(
            f"resume: the run in {out} is trained in {count} shards; go on with each "
            f"of them, jaxdis resume {named}/shard-..., and then jaxdis merge {named}"
        )
    return out


def go_on(
    directory: Path,
    again: Callable[[Path], Plan],
    wishes: Wishes,
    execution: Execution,
    pace: Mapping[str, float | None],
) -> Run:
    """Goes on with the run in a directory, as `resume` does.

    Args:
      directory: the directory of the run.
      again: gives the setting of the run in a directory.
      wishes: what it shall have more.
      execution: how to do it.
      pace: what of `Execution.pace` is another than up to now; None where it is not.

    Raises:
      ValueError: there is no run, or it cannot go on like that.
      Stopped: by a signal; the run can be resumed.
    """
    devices.check_platform()
    directory = _needed(directories.check_path(directory))
    settings = identity.read_settings(directory)
    kept: dict[str, Any] = {n: settings[n] for n in execution.pace if n in settings}
    asked = {name: value for name, value in pace.items() if value is not None}
    execution = execution._replace(**{**kept, **asked})
    return _gone_on(directory, again, lambda _: wishes, execution)


def _gone_on(
    directory: Path,
    again: Callable[[Path], Plan],
    wishes: Callable[[Plan], Wishes],
    execution: Execution,
) -> Run:
    """Goes on with the run in a directory, whose setting `again` gives."""
    with _stopped_by_signals(execution) as (stopping, where), lock.held(directory):
        where.append(directory)
        recover(directory)
        plan = again(directory)
        going_on.fulfil(wishes(plan), plan, directory, execution, stopping)
    return Run(directory.absolute(), plan.method, parts=plan.parts)


@contextmanager
def _stopped_by_signals(
    execution: Execution,
) -> Iterator[tuple[Stopping, list[Path]]]:
    """Hears signals; to the list goes the directory once there is something in it."""
    where: list[Path] = []
    say = partial(_left, where, execution)
    leave = partial(leave_at_once, say) if execution.exits else None
    execution.check()
    # Optax counts in integers, which it adds to numbers.
    types = jax.numpy_dtype_promotion("standard")
    with stop_signals(leave) as stopping, types:
        try:
            yield stopping, where
        except Stopped as stop:  # it may be only a part of the run
            raise Stopped(where[0], stop.step, stop.signal) from stop
        except OSError as error:
            if error.errno not in UNWRITABLE or not where:
                raise
            raise OSError(_unwritten(where[0], execution, error)) from error


def _again(directory: Path, execution: Execution) -> str:
    """The command that goes on: the same again where that is what it says."""
    if execution.start_or_resume and execution.out and execution.command:
        return execution.command
    more = " --other-versions" if execution.other_versions else ""
    return f"jaxdis resume {shlex.quote(str(directory))}{more}"


def _unwritten(directory: Path, execution: Execution, error: OSError) -> str:
    """What to say where files of a run cannot be written."""
    words = f"the run in {directory} cannot be written: {error.strerror}"
    if not directories.holds_run(directory):
        return f"{words}; nothing was trained"
    again = _again(directory, execution)
    return f"{words}; what was saved is whole. Make room and go on with: {again}"


def _left(where: list[Path], execution: Execution) -> str:
    """What to say of a run that ends at once."""
    if not where:
        return "interrupted before anything was saved"
    return f"interrupted; go on with:\n  {_again(where[0], execution)}"


def _new(plan: Plan, execution: Execution, out: Path | None) -> Run:
    """Trains in a directory of its own, of which nothing is left if it never begins."""
    command = execution.command or f"jaxdis.train({plan.name!r}, ...)"
    source = origin.source_of(plan, execution.start_from)
    record = identity.settings_of(plan, command, execution.pace) | source.record
    with (
        _stopped_by_signals(execution) as (stopping, where),
        directories.new(out, plan.name, record) as directory,
    ):
        where.append(directory)
        for told in filter(None, (plan.rule, plan.shared)):
            log.say(told)
        complete(plan, directory, execution, stopping, source=source)
    return Run(directory.absolute(), plan.method, parts=plan.parts)
