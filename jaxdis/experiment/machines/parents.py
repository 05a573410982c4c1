"""The directory of a run whose rows are trained in shards, each below it.

It holds the config.json of the whole, and a directory for each shard, which is that of
a run like any other.
"""

import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jaxdis import log
from jaxdis.experiment import directory as directories
from jaxdis.experiment import identity
from jaxdis.experiment.execution import Execution
from jaxdis.experiment.plan import Plan
from jaxdis.experiment.shards import Shard, part, shard_named

__all__ = ["claim", "default_path", "leave", "shards_there"]

CONFIG = "config.json"
COUNT = "shards"
"""What config.json calls the number of shards."""


def default_path(plan: Plan, environment: Mapping[str, str] = os.environ) -> Path:
    """runs/NAME-JOB, which all tasks of a job array have in common.

    Args:
      plan: the setting.
      environment: where the number of the job is.

    Raises:
      ValueError: there is none, so that every shard would have a directory of its own.
    """
    job = environment.get("SLURM_ARRAY_JOB_ID")
    if not job:
        raise ValueError(
            "shard needs out, the directory of the run that all shards have in common"
        )
    return Path("runs") / f"{plan.name.replace('/', '-')}-{job}"


def shards_there(parent: Path) -> int:
    """How many shards a run is divided into; 0 where it is in one piece.

    Args:
      parent: the directory of the run.
    """
    try:
        return int(identity.read_settings(parent).get(COUNT, 0))
    except ValueError:
        return 0


def claim(plan: Plan, shard: Shard, execution: Execution) -> tuple[Plan, Execution]:
    """Sees to it that all shards are of one setting, and says what this one trains.

    Whichever comes first writes down the setting of the whole.

    Args:
      plan: the whole run.
      shard: which part of it is trained.
      execution: how; its `out` is the directory of the whole.

    Returns:
      The part of the plan, and its execution in the directory of the shard.

    Raises:
      ValueError: there are no such shards, or the directory is that of another run.
    """
    some = part(plan, shard)
    parent = execution.out or default_path(plan)
    parent = directories.check_path(parent)
    command = execution.command or f"jaxdis.train({plan.name!r}, ...)"
    record = identity.settings_of(plan, command, execution.pace)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _written(parent, record | {COUNT: shard.total})
    except OSError as error:
        raise ValueError(
            f"out must be a directory that can be written: {error.strerror}, "
            f"{error.filename}"
        ) from error
    _check(plan, shard, parent)
    return some, execution._replace(out=parent / shard.directory)


def _written(parent: Path, record: Mapping[str, Any]) -> None:
    """Writes the setting of the whole, unless there is one that is made use of."""
    path = parent / CONFIG
    others = [p.name for p in parent.iterdir() if not p.name.startswith(".")]
    if any(shard_named(name) for name in others) and path.exists():
        return
    strange = [name for name in others if name != CONFIG and not shard_named(name)]
    if strange or (path.exists() and not shards_there(parent)):
        raise ValueError(
            f"out: {parent} holds something other than shards, and is never "
            "overwritten; choose another directory"
        )
    temporary = parent / f".{uuid.uuid4().hex}"
    log.write_json(temporary, dict(record))
    temporary.replace(path)


def _check(plan: Plan, shard: Shard, parent: Path) -> None:
    """Whether the run in a directory is the one that a shard is of."""
    found = identity.read_settings(parent)
    if found.get(COUNT) != shard.total:
        raise ValueError(
            f"shard: the run in {parent} is divided into {found.get(COUNT, 'no')} "
            f"shards, and this is {shard}; give I/{found.get(COUNT)}, or another out"
        )
    names = identity.identity(plan)
    identity.check_same(plan, found, parent, names, asked="shard")


def leave(parent: Path) -> None:
    """Removes the directory of a run of which no shard has begun.

    Args:
      parent: the directory of the run.
    """
    with suppress(OSError):
        if any(shard_named(path.name) for path in parent.iterdir()):
            return
        (parent / CONFIG).unlink(missing_ok=True)
        parent.rmdir()
