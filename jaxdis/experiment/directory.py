"""The directory of a run: created whole, held by one process, never overwritten.

It is built under a hidden name, with config.json inside, and renamed into place. So
nothing that a kill leaves behind blocks a new start: a directory that holds no more
than what a run writes before it trains counts as empty.
"""

import errno
import itertools
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from jaxdis import lock, log
from jaxdis.experiment.stopping import Stopped

__all__ = ["check_path", "clear", "default_paths", "holds_run", "new", "untouched"]

CONFIG = "config.json"
BEFORE = (CONFIG, "data.json", "metrics.jsonl", "checkpoints", "tracking")
"""What a run writes before its first checkpoint, and what means nothing without."""
HIDDEN = re.compile(
    r"\.jaxdis-[0-9a-f]{32}|\.(config|data|results)\.json\.tmp|"
    r"\.metrics\.jsonl\.tmp|\.merged\.tmp"
)
TAKEN = {errno.EEXIST, errno.ENOTEMPTY}


class _Place(NamedTuple):
    """A directory that was just created or claimed.

    Attributes:
      directory: its path as it is shown.
      lock: its lock.
      made: the directories that did not exist before, the innermost first.
    """

    directory: Path
    lock: lock.Lock
    made: tuple[Path, ...]


def check_path(out: Path | str) -> Path:
    """A path that may be that of a run, if it is one of this machine.

    Raises:
      ValueError: it is empty, of another machine, or no path at all.
    """
    words = os.fspath(out)
    if not words:
        raise ValueError("out must name a directory, got an empty name")
    if "\0" in words:
        raise ValueError(f"out must be a path without null characters, got {words!r}")
    if re.match(r"\w{2,}:/", words):
        raise ValueError(f"out must be a directory of this machine, got {words}")
    return Path(words)


def default_paths(name: str) -> Iterator[Path]:
    """runs/NAME-TIME, and with a number behind it where another run took that.

    Args:
      name: the name of the setting, as METHOD/PRESET.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    path = Path("runs") / f"{name.replace('/', '-')}-{stamp}"
    yield path
    yield from (path.with_name(f"{path.name}-{i}") for i in itertools.count(2))


def _leftover(name: str) -> bool:
    return name == lock.NAME or HIDDEN.fullmatch(name) is not None


def _setting(directory: Path) -> str:
    """METHOD/PRESET of a config.json; "" where there is none that is of a run."""
    try:
        found = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    ours = isinstance(found, dict) and {"method", "preset"} <= set(found)
    return f"{found['method']}/{found['preset']}" if ours else ""


def _trained(directory: Path) -> bool:
    """Whether there is a checkpoint after the first step, damaged or not."""
    checkpoints = directory / "checkpoints"
    names = os.listdir(checkpoints) if checkpoints.is_dir() else []
    steps = (re.match(r"\d+", name) for name in names)
    return any(step is not None and int(step[0]) > 0 for step in steps)


def untouched(directory: Path) -> bool:
    """Whether a directory holds no more than what a run writes before it trains."""
    names = [name for name in os.listdir(directory) if not _leftover(name)]
    if not names:
        return True
    ours = set(names) <= set(BEFORE) and _setting(directory) != ""
    return ours and not _trained(directory)


def holds_run(directory: Path) -> bool:
    """Whether there is a run in a directory that has begun to train."""
    return os.path.isfile(directory / CONFIG) and not untouched(directory)


def clear(directory: Path) -> None:
    """Removes what a run wrote before it trained, but not its lock.

    Args:
      directory: one that is `untouched`.
    """
    names = [name for name in os.listdir(directory) if name != lock.NAME]
    # The one that tells that the others are ours goes last.
    for name in sorted(names, key=lambda name: name == CONFIG):
        path = directory / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_untouched(directory: Path) -> None:
    if not untouched(directory):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(directory))


def _filled(directory: Path, record: Mapping[str, Any]) -> lock.Lock:
    """The lock of a directory that now holds a run which has not begun."""
    _check_untouched(directory)
    taken = lock.take(directory)
    try:
        _check_untouched(directory)
        if before := _setting(directory):
            log.note(
                f"{directory} held a run of {before} that ended before its first "
                "checkpoint; this run takes its place"
            )
        clear(directory)
        log.write_json(directory / CONFIG, dict(record))
    except BaseException:
        lock.release(taken, directory)
        raise
    return taken


def _made(directory: Path) -> tuple[Path, ...]:
    """Creates a directory and those above it; those that are new, innermost first."""
    missing = list(
        itertools.takewhile(
            lambda path: not os.path.lexists(path), [directory, *directory.parents]
        )
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
    except BaseException:
        _unmake(missing)
        raise
    return tuple(missing)


def _unmake(made: Iterable[Path]) -> None:
    """Removes directories that are empty."""
    with suppress(OSError):
        for path in made:
            path.rmdir()


def _renamed(staging: Path, candidates: Iterable[Path]) -> Path:
    """Renames a directory to the first name that is not taken.

    Raises:
      OSError: all of them are.
    """
    taken = OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
    for path in candidates:
        try:
            # It would replace an empty directory of another's.
            if not os.path.lexists(path):
                os.rename(staging, path)
                return path
        except OSError as error:
            if error.errno not in TAKEN:
                raise
    raise taken


def _built(candidates: Iterator[Path], record: Mapping[str, Any]) -> _Place:
    """A new directory, by the first of the names that is not taken."""
    first = next(candidates)
    parent = Path(os.path.realpath(first.parent))
    made = _made(parent)
    staging = parent / f".jaxdis-{uuid.uuid4().hex}"
    try:
        staging.mkdir()
        taken = _filled(staging, record)
        try:
            path = _renamed(staging, itertools.chain([first], candidates))
        except BaseException:
            lock.release(taken, staging)
            raise
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        _unmake(made)
        raise
    return _Place(path, taken, (path, *made))


def _claimed(out: Path | None, name: str, record: Mapping[str, Any]) -> _Place:
    if out is None:
        return _built(default_paths(name), record)
    # A folder that exists may be a mount, or the one that we are in.
    if os.path.isdir(out):
        return _Place(out, _filled(out, record), ())
    if os.path.lexists(out):
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(out))
    return _built(iter([out]), record)


def _place(out: Path | None, name: str, record: Mapping[str, Any]) -> _Place:
    """As `new`."""
    try:
        return _claimed(out, name, record)
    except OSError as error:
        if out is not None and error.errno in TAKEN and os.path.isdir(out):
            if (other := lock.holder(out)) is not None:
                raise lock.refusal(out, other) from error
            raise ValueError(
                f"out: {out} is not empty and is never overwritten; resume the run "
                "that is there, or choose another directory"
            ) from error
        where = "runs" if out is None else out
        raise ValueError(
            f"out must be a directory that can be written, got {where}: "
            f"{error.strerror}"
        ) from error


@contextmanager
def new(out: Path | str | None, name: str, record: Mapping[str, Any]) -> Iterator[Path]:
    """Creates the directory of a run and holds its lock.

    Where the block is left by an error before anything was trained, nothing of the
    run is left either.

    Args:
      out: where; by default runs/NAME-TIME.
      name: the name of the setting, as METHOD/PRESET.
      record: what config.json shall hold.

    Raises:
      ValueError: out holds something, or cannot be written.
    """
    place = _place(None if out is None else check_path(out), name, record)
    directory = place.directory
    try:
        yield directory
    except Stopped:  # there is something to go on with
        lock.release(place.lock, directory)
        raise
    except BaseException:
        with suppress(OSError):
            _check_untouched(directory)
            clear(directory)
        lock.release(place.lock, directory)
        _unmake(place.made)
        raise
    lock.release(place.lock, directory)
