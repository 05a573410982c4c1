"""Processes that `jax.distributed` made one job: each trains a shard, one merges.

They hear of each other by the file system alone, so that none waits for one that died.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from jaxdis import log
from jaxdis.experiment import lock
from jaxdis.experiment.execution import Execution
from jaxdis.experiment.gathering import Stand, gather, stand
from jaxdis.experiment.plan import Plan
from jaxdis.experiment.shards import Shard, part
from jaxdis.experiment.trained import Run

__all__ = ["train_together", "wait_for"]

PAUSE = 1.0
"""Seconds between two looks."""
GONE = 5.0
"""Seconds after which one that holds no lock any more counts as dead."""
SILENT = 600.0
"""Seconds after which one that never held one, or cannot, counts as dead, if nothing
of it has changed."""


def _moved(directory: Path) -> float:
    """When something in a directory changed for the last time; 0 if it is not there."""
    places = [directory, directory / "checkpoints", directory / "metrics.jsonl"]
    return max((p.stat().st_mtime for p in places if p.exists()), default=0.0)


class _Watch:
    """Whether a process that trains a shard is alive, as far as files tell."""

    def __init__(self, directory: Path, silent: float) -> None:
        self.directory, self.silent = directory, silent
        self.moved, self.seen = _moved(directory), time.monotonic()
        self.held = False

    def alive(self) -> bool:
        """Whether it may still finish."""
        now, moved = time.monotonic(), _moved(self.directory)
        if lock.holder(self.directory) is not None:
            self.held, self.seen = True, now
        elif moved != self.moved and not self.held:
            self.seen = now
        self.moved = moved
        # A file with a name in it and without a lock is what a killed process leaves.
        left = lock.named(self.directory) is not None
        return now - self.seen < (GONE if self.held or left else self.silent)


def wait_for(
    shards: Sequence[tuple[Path, Plan]], *, silent: float = SILENT
) -> list[Stand]:
    """Waits until all shards are finished, or their processes gone.

    Args:
      shards: the directory and the setting of each.
      silent: how many seconds one that cannot be seen to live may be silent.

    Returns:
      Those that are not finished.
    """
    watches = {directory: _Watch(directory, silent) for directory, _ in shards}
    open_ = list(shards)
    lost: list[Stand] = []
    while open_:
        still = []
        for directory, plan in open_:
            alive = watches[directory].alive()
            found = stand(directory, plan)
            if not found.finished and alive:
                still.append((directory, plan))
            elif not found.finished:
                lost.append(found)
        open_ = still
        time.sleep(PAUSE * bool(open_))
    return lost


def train_together(
    plan: Plan, execution: Execution, carry_out: Callable[[Plan, Execution], Run]
) -> Run:
    """Trains the shard of this process; that of number 0 merges all of them.

    Args:
      plan: the whole run.
      execution: how it is carried out, in a directory that all processes see.
      carry_out: trains a shard.

    Returns:
      Of process 0, the merged run, whose results name the shards that are missing; of
      every other the run of its shard.

    Raises:
      ValueError: as `carry_out`.
      Stopped: by a signal; the shard can be resumed.
    """
    if execution.out is None:
        raise ValueError("distributed needs out, a directory that all processes see")
    shard = Shard(jax.process_index() + 1, jax.process_count())
    run = carry_out(plan, execution._replace(shard=shard))
    if jax.process_index():
        return run
    parent = execution.out
    every = [Shard(i, shard.total) for i in range(1, shard.total + 1)]
    log.say("waiting for the shards of the other processes")
    lost = wait_for([(parent / s.directory, part(plan, s)) for s in every])
    for one in lost:
        log.note(f"{one.told}; the others are merged without it")
    return gather(
        [parent],
        None,
        lambda _: plan,
        partial=bool(lost),
        other_versions=execution.other_versions,
        rows_at_once=execution.rows_at_once,
    )
