"""Checkpoints of a run: atomic, the last two and the best, and back to exact state."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

__all__ = ["open_manager", "restore", "save"]


def open_manager(directory: Path) -> ocp.CheckpointManager:
    """Opens or creates the checkpoints of a run.

    A checkpoint appears under its final name only when it is complete. The last two are
    kept, so that a damaged one has a predecessor, and the one with the best score.
    """
    keep = policies.AnyPreservationPolicy(
        [
            policies.LatestN(2),
            policies.BestN(get_metric_fn=lambda m: m["score"], n=1),
        ]
    )
    options = ocp.CheckpointManagerOptions(
        preservation_policy=keep,
        enable_async_checkpointing=False,
        cleanup_tmp_directories=True,
    )
    return ocp.CheckpointManager(directory.absolute(), options=options)


def save(manager: ocp.CheckpointManager, step: int, tree: Any, score: float) -> None:
    """Saves a pytree of arrays as the state after `step` steps.

    Args:
      manager: the manager of the run.
      step: the number of steps taken.
      tree: the state.
      score: how good it is, more is better; the best one is kept.
    """
    manager.save(
        step, args=ocp.args.StandardSave(tree), metrics={"score": score}, force=True
    )


def restore(
    manager: ocp.CheckpointManager, like: Any, warn: Callable[[str], None]
) -> tuple[int, Any] | None:
    """Restores the latest readable checkpoint and deletes damaged ones after it.

    The run will come to their steps again and must be able to save there.

    Args:
      manager: the manager of the run.
      like: a pytree of the wanted structure, shapes and dtypes.
      warn: what is told of every checkpoint that could not be read.

    Returns:
      Its step and its tree, or None if there is no checkpoint at all.

    Raises:
      ValueError: there are checkpoints, but none can be read.
    """
    steps = sorted(manager.all_steps(), reverse=True)
    for index, step in enumerate(steps):
        try:
            tree = manager.restore(step, args=ocp.args.StandardRestore(like))
        except Exception as error:  # orbax raises many kinds for damaged files
            reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
            warn(f"checkpoint {step} cannot be read ({reason}); trying the one before")
        else:
            for damaged in steps[:index]:
                manager.delete(damaged)
            return step, tree
    if steps:
        raise ValueError(
            f"none of the checkpoints {steps} in {manager.directory} can be read; "
            "start again with another --out"
        )
    return None
