"""Checkpoints of a run: atomic, the last two and the best, and back to exact state."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint import checkpoint_managers as policies

__all__ = ["choose", "open_manager", "read", "restore", "save"]


@contextmanager
def _quietly() -> Iterator[None]:
    """Reading alone is nothing to warn of; what is wrong is raised."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def open_manager(directory: Path, *, reading: bool = False) -> ocp.CheckpointManager:
    """Opens or creates the checkpoints of a run.

    A checkpoint appears under its final name only when it is complete. The last two are
    kept, so that a damaged one has a predecessor, and the one with the best score.

    Args:
      directory: where they are.
      reading: whether nothing is written, not even the directory.
    """
    keep = policies.AnyPreservationPolicy(
        [
            policies.LatestN(2),
            policies.BestN(get_metric_fn=lambda m: m["score"], n=1),
        ]
    )
    with _quietly() if reading else nullcontext():
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=not reading,
            read_only=reading,
            create=not reading,
        )
        return ocp.CheckpointManager(directory.absolute(), options=options)


def save(
    manager: ocp.CheckpointManager,
    step: int,
    tree: Any,
    score: float,
) -> None:
    """Saves a pytree of arrays as the state after `step` steps.

    Args:
      manager: the manager of the run.
      step: the number of steps taken.
      tree: the state.
      score: how good it is, more is better; the best one is kept. NaN is worst.
    """
    # Numbers are sorted, and NaN has no place among them.
    metrics = {"score": -math.inf if math.isnan(score) else float(score)}
    manager.save(step, args=ocp.args.StandardSave(tree), metrics=metrics, force=True)


def choose(
    manager: ocp.CheckpointManager, which: int | str, worth: Mapping[int, float]
) -> int:
    """The step of a checkpoint.

    Args:
      manager: the manager of the run.
      which: "last", "best" or a step.
      worth: how good the run was after some steps, more is better.

    Raises:
      ValueError: there is none, with those that there are.
    """
    steps = sorted(manager.all_steps())
    if not steps:
        raise ValueError(f"there is no checkpoint in {manager.directory}")
    known = {s: worth[s] for s in steps if np.isfinite(worth.get(s, np.nan))}
    best = max(known, key=lambda step: (known[step], step), default=steps[-1])
    named = {"last": steps[-1], "best": best}
    if which in named:
        return named[str(which)]
    if which in steps:
        return int(which)
    raise ValueError(
        f"checkpoint must be 'last', 'best' or one of the steps that are kept, "
        f"{', '.join(map(str, steps))}; got {which!r}"
    )


def read(manager: ocp.CheckpointManager, step: int, like: Any) -> Any:
    """A part of a checkpoint, on one device, wherever it was trained.

    Args:
      manager: the manager of the run.
      step: the step of the checkpoint.
      like: a dictionary of dictionaries of pytrees, with the shapes and dtypes that
        are wanted; it may lack some of the keys that were saved.

    Raises:
      ValueError: the checkpoint is damaged, or does not fit.
    """
    path = manager.directory / str(step) / "default"
    device = SingleDeviceSharding(jax.local_devices()[0])
    like = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=device), like
    )
    arguments = ocp.args.PyTreeRestore(
        item=like,
        restore_args=ocp.checkpoint_utils.construct_restore_args(like),
        partial_restore=True,
    )
    with _quietly(), ocp.PyTreeCheckpointer() as checkpointer:
        try:
            saved = checkpointer.metadata(path).item_metadata.tree
        except Exception as error:  # orbax raises many kinds for damaged files
            raise _damaged(manager, step, error) from error
        _check_fits(manager, saved, like)
        try:
            return checkpointer.restore(path, args=arguments)
        except Exception as error:
            raise _damaged(manager, step, error) from error


def _damaged(manager: ocp.CheckpointManager, step: int, error: Exception) -> ValueError:
    reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
    steps = ", ".join(str(s) for s in sorted(manager.all_steps()) if s != step)
    others = f"choose another one of {steps}" if steps else "train the run again"
    return ValueError(
        f"checkpoint {step} in {manager.directory} cannot be read ({reason}); {others}"
    )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    name = partial(jax.tree_util.keystr, simple=True, separator=".")
    return {name(path): tuple(leaf.shape) for path, leaf in leaves}


def _check_fits(manager: ocp.CheckpointManager, saved: Any, like: Any) -> None:
    """Whether all that was saved of the wanted parts is what is wanted."""

    def part(name: str) -> str:
        return ".".join(name.split(".")[:2])

    here = _shapes(like)
    parts = set(map(part, here))
    there = {n: shape for n, shape in _shapes(saved).items() if part(n) in parts}
    for name in here | there:
        if there.get(name) != here.get(name):
            raise ValueError(
                f"the parameters in {manager.directory} do not fit this model: {name} "
                f"has shape {there.get(name)} there and {here.get(name)} here"
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
      Its step and its tree on the host, or None if there is no checkpoint at all.

    Raises:
      ValueError: there are checkpoints, but none can be read.
    """
    # On the host: the devices may be others than those of the training.
    like = jax.tree.map(lambda a: np.empty(a.shape, a.dtype), like)
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
