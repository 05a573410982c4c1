"""Checkpoints of a run: whole or not there, of no device, and back to exact state.

A checkpoint is a directory named by its step with one file, state.npz, as `archive`
writes it. It appears under its name only when it is complete.
"""

import itertools
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdis import archive, log
from jaxdis.archive import Manifest, OtherVersion

__all__ = [
    "Manifest",
    "Restored",
    "choose",
    "everything",
    "last",
    "read",
    "restore",
    "save",
    "steps",
]

FILE = "state.npz"
LATEST = 2  # are kept, so that a damaged one has a predecessor


class Restored(NamedTuple):
    """What a run goes on from.

    Attributes:
      step: the number of steps taken.
      tree: what was asked for, on the host.
      rest: every other array, by its name.
      record: what else was kept with it.
    """

    step: int
    tree: Any
    rest: dict[str, np.ndarray]
    record: dict[str, Any]


def save(
    directory: Path,
    step: int,
    tree: Any,
    *,
    score: float = math.nan,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Saves a pytree of arrays as the state after `step` steps.

    The last two checkpoints are kept and the one with the best score; others go when
    the new one is in its place.

    Args:
      directory: where the checkpoints of the run are.
      step: the number of steps taken.
      tree: the state.
      score: how good it is, more is better. One that is NaN is never the best.
      record: what else to keep with it, of what JSON holds.

    Raises:
      OSError: the disk is full, or cannot be written; all that was there still is.
    """
    for left in directory.glob(".*.tmp"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    temporary = directory / f".{step}.tmp"
    try:
        temporary.mkdir(parents=True)
        archive.write(
            temporary / FILE, tree, step=step, score=score, record=record or {}
        )
        final = directory / str(step)
        if final.exists():
            _aside(final)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _forget(directory)


def _aside(path: Path) -> Path:
    """Moves what is no good checkpoint out of the way; what is empty goes."""
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
        return path
    for number in itertools.count(1):
        other = path.with_name(f"{path.name}.damaged" + (f"-{number}" * (number > 1)))
        if not other.exists():
            return path.rename(other)
    raise AssertionError("there is always a free number")


def _forget(directory: Path) -> None:
    """Removes all checkpoints but the last two and the best."""
    there = steps(directory)
    known = {step: m.score for step, m in there.items() if math.isfinite(m.score)}
    best = max(known, key=lambda step: (known[step], step), default=None)
    for step in list(there)[:-LATEST]:
        if step != best:
            shutil.rmtree(directory / str(step), ignore_errors=True)


def _there(directory: Path) -> Iterator[int]:
    """The steps after which something was saved, whole or damaged."""
    if directory.is_dir():
        for path in directory.iterdir():
            if path.name.isdecimal() and (path / FILE).exists():
                yield int(path.name)


def steps(directory: Path) -> dict[int, Manifest]:
    """The checkpoints that there are, by their steps, the last one at the end.

    What is no checkpoint, or cannot be opened, is not among them.

    Args:
      directory: where the checkpoints of the run are.
    """
    found = {}
    for step in sorted(_there(directory)):
        try:
            with archive.opened(directory / str(step) / FILE) as file:
                found[step] = archive.manifest_of(file)
        except Exception:  # damaged files raise many kinds; whoever reads them is told
            continue
    return found


def last(directory: Path) -> int:
    """The step of the last checkpoint; 0 where there is none.

    Args:
      directory: where the checkpoints of the run are.
    """
    return max(steps(directory), default=0)


def choose(directory: Path, which: int | str, worth: Mapping[int, float]) -> int:
    """The step of a checkpoint.

    Args:
      directory: where the checkpoints of the run are.
      which: "last", "best" or a step.
      worth: how good the run was after some steps, more is better.

    Raises:
      ValueError: there is none, with those that there are.
    """
    # Damaged ones too: an older state is not taken for them unless it is asked for.
    there = sorted(_there(directory))
    if not there:
        raise _nothing(directory)
    known = {s: worth[s] for s in there if np.isfinite(worth.get(s, np.nan))}
    best = max(known, key=lambda step: (known[step], step), default=there[-1])
    named = {"last": there[-1], "best": best}
    if which in named:
        return named[str(which)]
    if which in there:
        return int(which)
    raise ValueError(
        f"checkpoint must be 'last', 'best' or one of the steps that are kept, "
        f"{', '.join(map(str, there))}; got {which!r}"
    )


def _nothing(directory: Path) -> ValueError:
    """What to say where no checkpoint can be used."""
    if any(directory.glob("*/default")):
        return ValueError(
            f"the checkpoints in {directory} are those of jaxdis 0.1 before "
            f"{FILE}; load them with the version that wrote them"
        )
    damaged = sorted({*map(str, _there(directory)), *_moved(directory)})
    if damaged:
        return ValueError(
            f"no checkpoint in {directory} can be read: {', '.join(damaged)} are "
            "damaged"
        )
    return ValueError(f"there is no checkpoint in {directory}")


def _moved(directory: Path) -> list[str]:
    return [path.name for path in directory.glob("*.damaged*")]


def _loaded(
    directory: Path, step: int, like: Any, depth: int, others: bool
) -> Restored:
    """The arrays of a checkpoint that `like` names, and all others where asked for."""
    wanted = archive.named(like)
    with archive.opened(directory / str(step) / FILE) as file:
        manifest = archive.manifest_of(file)
        _check_fits(directory, manifest, wanted, depth)
        names = [name for name, *_ in manifest.arrays] if others else wanted
        found = archive.arrays_of(file, manifest, names)
    leaves = [found.pop(name) for name in wanted]
    tree = jax.tree.unflatten(jax.tree.structure(like), leaves)
    return Restored(step, tree, found, manifest.record)


class _Misfit(ValueError):
    """A good checkpoint of another model."""


def _check_fits(
    directory: Path, manifest: Manifest, wanted: Mapping[str, Any], depth: int
) -> None:
    """Whether all that was saved of the wanted parts is what is wanted."""

    def part(name: str) -> tuple[str, ...]:
        return tuple(name.split("/")[:depth])

    parts = {part(name) for name in wanted}
    there = {n: (s, t) for n, t, s in manifest.arrays if part(n) in parts}
    here = {name: (tuple(a.shape), str(a.dtype)) for name, a in wanted.items()}
    for name in here | there:
        if name in there and archive.is_key(wanted.get(name)):
            continue  # they are kept as numbers
        if there.get(name) != here.get(name):
            raise _Misfit(
                f"the parameters in {directory} do not fit this model: "
                f"{name.replace('/', '.')} has {_kind(there.get(name))} there and "
                f"{_kind(here.get(name))} here"
            )


def _kind(found: tuple[tuple[int, ...], str] | None) -> str:
    return "shape None" if found is None else f"shape {found[0]} and type {found[1]}"


def _reason(error: Exception) -> str:
    return log.reason(error)[:200]


def read(directory: Path, step: int, like: Any) -> Any:
    """A part of a checkpoint, on one device, wherever it was trained.

    Args:
      directory: where the checkpoints of the run are.
      step: the step of the checkpoint.
      like: a dictionary of dictionaries of dictionaries of pytrees, with the shapes and
        dtypes that are wanted; it may lack some of the keys that were saved.

    Raises:
      ValueError: the checkpoint is damaged, or does not fit.
    """
    try:
        found = _loaded(directory, step, like, 3, others=False).tree
    except (_Misfit, OtherVersion):
        raise
    except Exception as error:  # damaged files raise many kinds
        others = ", ".join(str(s) for s in steps(directory) if s != step)
        remedy = f"choose another one of {others}" if others else "train the run again"
        raise ValueError(
            f"checkpoint {step} in {directory} cannot be read ({_reason(error)}); "
            f"{remedy}"
        ) from error
    return jax.device_put(found, jax.local_devices()[0])


def everything(directory: Path, step: int) -> Restored:
    """All arrays of a checkpoint by their names, as they were saved.

    Args:
      directory: where the checkpoints of the run are.
      step: the step of the checkpoint.

    Raises:
      ValueError: the checkpoint is damaged.
    """
    try:
        return _loaded(directory, step, {}, 1, others=True)
    except OtherVersion:
        raise
    except Exception as error:  # damaged files raise many kinds
        raise ValueError(
            f"checkpoint {step} in {directory} cannot be read ({_reason(error)})"
        ) from error


def restore(directory: Path, like: Any, warn: Callable[[str], None]) -> Restored | None:
    """Restores the latest readable checkpoint; damaged ones after it are moved aside.

    The run will come to their steps again and must be able to save there.

    Args:
      directory: where the checkpoints of the run are.
      like: a pytree of the wanted structure, shapes and dtypes.
      warn: what is told of every checkpoint that could not be read.

    Returns:
      What to go on from, on the host, or None if there is no checkpoint at all.

    Raises:
      ValueError: there are checkpoints, but none can be read; or they are of another
        model or version.
      MemoryError, OSError: a checkpoint is good, but cannot be read here and now.
    """
    there = sorted(_there(directory), reverse=True)
    for step in there:
        try:
            return _loaded(directory, step, like, 1, others=True)
        except (_Misfit, OtherVersion) as error:
            raise ValueError(f"checkpoint {step}: {error}") from error
        except Exception as error:  # damaged files raise many kinds
            unread = isinstance(error, MemoryError | OSError)
            if unread and not archive.is_damaged(directory / str(step) / FILE):
                raise  # it is as good as it was
            moved = _aside(directory / str(step))
            warn(
                f"checkpoint {step} is damaged ({_reason(error)}) and now called "
                f"{moved.name}; trying the one before"
            )
    if there or any(directory.glob("*/default")):
        raise _nothing(directory)
    return None
