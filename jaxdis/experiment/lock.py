"""One process at a time trains in a directory.

The lock is the kernel's: it is gone with the process that holds it, however that ends.
The file that it is on says who the process is.
"""

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from jaxdis import log

try:
    import fcntl
except ImportError:  # not a system of the Unix kind
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "NAME",
    "Holder",
    "Lock",
    "held",
    "holder",
    "named",
    "refusal",
    "release",
    "take",
]

NAME = "lock"
TRIES, PAUSE = 3, 0.1  # who only asks for the holder has the lock for a moment
HELD = {errno.EACCES, errno.EAGAIN}
UNKNOWN = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class Holder(NamedTuple):
    """Who trains in a directory.

    Attributes:
      pid: the number of the process.
      host: the machine.
      started: when it took the lock, in UTC.
    """

    pid: int
    host: str
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lock(NamedTuple):
    """A lock that is held; None on a file system that knows no locks."""

    file: int | None


def _written(file: int) -> Holder | None:
    """Who is named in the file of a lock; None where nobody is."""
    try:
        found = json.loads(os.pread(file, 4096, 0))
        return Holder(int(found["pid"]), str(found["host"]), str(found["started"]))
    except (LookupError, TypeError, ValueError):  # empty, or cut off
        return None


def _locked(file: int, kind: int) -> bool:
    """Whether the kernel gave the lock.

    Raises:
      OSError: the file system knows no locks.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in HELD:
            return False
        raise
    return True


def _is(path: Path, file: int) -> bool:
    """Whether an open file is still the one of that path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def take(directory: Path) -> Lock:
    """Takes the lock of a directory, which must exist.

    Where locks are not known to the system, that is said and the run goes on without.

    Args:
      directory: the directory that is trained in.

    Raises:
      ValueError: another process, or thread, trains in it.
      OSError: the directory cannot be written.
    """
    path = directory / NAME
    known = None
    for attempt in range(TRIES):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        known = _written(file)
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "no locks")
            if _locked(file, fcntl.LOCK_EX) and _is(path, file):
                break
        except OSError as error:
            os.close(file)
            if error.errno not in UNKNOWN:
                raise
            log.note(
                f"{directory} is on a file system without locks: see to it that no "
                "second process trains in it"
            )
            return Lock(None)
        os.close(file)
        time.sleep(PAUSE * (attempt < TRIES - 1))
    else:
        raise refusal(directory, known)
    if known is not None:
        log.note(
            f"{known}, which trained in {directory} since {known.started}, is gone; "
            "its lock is taken over"
        )
    now = datetime.now(UTC).isoformat(" ", "seconds").removesuffix("+00:00")
    own = Holder(os.getpid(), socket.gethostname(), f"{now} UTC")
    with suppress(OSError):  # on a full disk it is held without a name
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(own._asdict()).encode(), 0)
    return Lock(file)


def refusal(directory: Path, other: Holder | None) -> ValueError:
    """The error for a directory in which another process trains.

    Args:
      directory: the directory.
      other: who it is, if that is known.
    """
    who = "another process" if other is None else str(other)
    since = "" if other is None else f" since {other.started}"
    return ValueError(
        f"out: {who} has been training in {directory}{since}; wait for it, stop it, or "
        "choose another directory"
    )


def release(lock: Lock, directory: Path) -> None:
    """Gives a lock back and removes its file.

    Args:
      lock: the lock.
      directory: where the directory is by now; it may be gone.
    """
    if lock.file is None:
        return
    # Who opens the file before it goes sees that it is no longer the one of the path.
    with suppress(OSError):
        if _is(directory / NAME, lock.file):
            (directory / NAME).unlink()
    os.close(lock.file)


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Holds the lock of a directory.

    Raises:
      ValueError: as `take`; or the directory cannot be written.
    """
    try:
        lock = take(directory)
    except OSError as error:
        raise ValueError(
            f"out: {directory} cannot be written: {error.strerror}"
        ) from error
    try:
        yield
    finally:
        release(lock, directory)


@contextmanager
def _opened(directory: Path) -> Iterator[int | None]:
    """The file of a lock; None where there is none, or it cannot be read."""
    try:
        file = os.open(directory / NAME, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)


def named(directory: Path) -> Holder | None:
    """Who is named in the lock of a directory, alive or not; None where nobody is.

    Args:
      directory: the directory of a run.
    """
    with _opened(directory) as file:
        return None if file is None else _written(file)


def holder(directory: Path) -> Holder | None:
    """The living process that trains in a directory; None where there is none.

    Args:
      directory: the directory of a run.
    """
    with _opened(directory) as file:
        if file is None or fcntl is None:
            return None
        try:
            return None if _locked(file, fcntl.LOCK_SH) else _written(file)
        except OSError:  # no locks
            return None
