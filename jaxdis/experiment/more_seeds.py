"""More seeds for a run: they are trained beside it, and join it when they are as far.

They have a directory of their own below that of the run. When they join, all that
changes is laid ready in `joined`, which appears in one move, and then put in the place
of the old; `recover` ends what a kill interrupted there.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxdis import log
from jaxdis.experiment import directory as directories
from jaxdis.experiment import identity, lock, merging, starting
from jaxdis.experiment.execution import Execution
from jaxdis.experiment.plan import Plan
from jaxdis.experiment.prepared import Experiment
from jaxdis.experiment.results import last_step
from jaxdis.experiment.run import complete
from jaxdis.experiment.stopping import Stopping

__all__ = ["forget_joined", "join_seeds", "pending", "recover"]

CONFIG = "config.json"
JOINED = "joined"
MOVED = ("checkpoints", "metrics.jsonl", CONFIG)
"""What is replaced when seeds join, the one that tells of it last."""


def pending(directory: Path) -> list[range]:
    """The seeds that are trained to join a run, as their directories tell.

    Args:
      directory: the directory of the run.
    """
    return [seeds for _, seeds in _parts(directory)]


def _parts(directory: Path) -> Iterator[tuple[Path, range]]:
    """The directories of seeds that are trained to join a run, in their order."""
    found = []
    for path in directory.glob("seeds-*-*"):
        if name := re.fullmatch(r"seeds-(\d+)-(\d+)", path.name):
            found.append((range(int(name[1]), int(name[2]) + 1), path))
    for seeds, path in sorted(found, key=lambda pair: pair[0].start):
        yield path, seeds


def recover(directory: Path) -> None:
    """Ends the joining of seeds that a kill interrupted.

    Args:
      directory: the directory of a run, of which this process has the lock.
    """
    ready, old = directory / JOINED, directory / ".checkpoints.tmp"
    if not ready.is_dir():
        return
    for name in MOVED:
        if not (ready / name).exists():
            continue
        if (directory / name).is_dir():
            shutil.rmtree(old, ignore_errors=True)
            (directory / name).rename(old)
        os.replace(ready / name, directory / name)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(ready)


def forget_joined(directory: Path, plan: Plan) -> None:
    """Removes the directories of seeds that a run has by now.

    Args:
      directory: the directory of the run.
      plan: its setting.
    """
    for path, seeds in _parts(directory):
        if set(seeds) <= set(plan.seeds):
            shutil.rmtree(path)


def join_seeds(
    plan: Plan,
    whole: Plan,
    directory: Path,
    execution: Execution,
    stopping: Stopping,
) -> Experiment:
    """Trains the seeds that a run lacks as far as it is, and joins them to it.

    Args:
      plan: the setting of the run.
      whole: the same with all seeds that it shall have.
      directory: its directory, of which this process has the lock.
      execution: how to do it.
      stopping: whether it was asked to stop.

    Returns:
      The data and what else was prepared.
    """
    drawn = None
    if last_step(directory) < plan.steps:
        drawn = complete(
            plan, directory, execution, stopping, resumed=True, measured=False
        )
    settings = identity.read_settings(directory)
    there = pending(directory)
    begun = max([plan.seeds[-1], *(seeds[-1] for seeds in there)]) + 1
    if begun <= whole.seeds[-1]:
        there.append(range(begun, whole.seeds[-1] + 1))
    parts = []
    for seeds in there:
        part = plan._replace(seeds=tuple(seeds))
        out = directory / f"seeds-{seeds[0]}-{seeds[-1]}"
        drawn = _part(part, out, settings, execution, stopping, drawn)
        parts.append(out)
    assert drawn is not None
    ready = directory / f".{JOINED}.tmp"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir()
    merging.join([directory, *parts], ready, whole)
    log.write_json(ready / CONFIG, settings | {"seeds": len(whole.seeds)})
    ready.rename(directory / JOINED)
    recover(directory)
    forget_joined(directory, whole)
    return drawn


def _part(
    plan: Plan,
    out: Path,
    settings: Mapping[str, Any],
    execution: Execution,
    stopping: Stopping,
    drawn: Experiment | None,
) -> Experiment:
    """Trains further seeds of a run in a directory of their own."""
    # Their trackers are those of the run: the directory goes when they join it.
    execution = execution._replace(tracked_in=out.parent)
    if directories.holds_run(out):
        with lock.held(out):
            return complete(
                plan, out, execution, stopping,
                resumed=True, measured=False, drawn=drawn,
            )  # fmt: skip
    told = settings.get("from", {})
    source = starting.source_of(plan, told.get("run"), told.get("step", "last"))
    own = {"seeds": len(plan.seeds), "first_seed": plan.seeds[0]}
    with directories.new(out, plan.name, {**settings, **own}):
        return complete(
            plan, out, execution, stopping,
            source=source, measured=False, drawn=drawn,
        )  # fmt: skip
