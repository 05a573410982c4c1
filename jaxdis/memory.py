"""How much memory there is, and one sentence for too little of it."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax

__all__ = ["OutOfMemory", "Room", "exhausted", "named", "room", "shown", "size"]

UNLIMITED = 2**60  # what control groups say where they set no limit is above


class OutOfMemory(ValueError):
    """What was asked for does not fit; the message says what would."""


class Room(NamedTuple):
    """The memory that is free for a run.

    Attributes:
      free: the bytes that each device may still take; where they share the memory of
        the machine, all of them together. None where nobody knows.
      devices: the number of devices.
      where: what they are, in words.
      host: the bytes that are free on the machine itself; None where nobody knows.
      shared: whether the devices are parts of the machine.
    """

    free: int | None
    devices: int
    where: str
    host: int | None
    shared: bool


def size(tree: Any) -> int:
    """The bytes of all arrays, or shapes of arrays, in a tree; each array once."""
    leaves = {id(a): a for a in jax.tree.leaves(tree) if hasattr(a, "dtype")}
    return sum(a.size * a.dtype.itemsize for a in leaves.values())


def shown(count: float) -> str:
    """Bytes for a reader, as "23.1 GB"."""
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if count < 1000 or unit == "PB":
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError("the last unit takes all")


def _number(path: Path) -> int | None:
    """The number in a file of the kernel; None where there is none."""
    try:
        text = path.read_text().split()[0]
    except (OSError, IndexError):
        return None
    return int(text) if text.isdecimal() and int(text) < UNLIMITED else None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _machine() -> Iterator[int]:
    """What the system says is available without swapping."""
    for line in _lines("/proc/meminfo"):
        if found := re.match(r"MemAvailable:\s+(\d+) kB", line):
            yield int(found[1]) * 1024
            return
    names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    if {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(names):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class _Kind(NamedTuple):
    """Where a version of control groups keeps its numbers."""

    root: str
    limit: str
    used: str
    cache: str  # files that are kept as long as nobody needs the memory


_SECOND = _Kind("", "memory.max", "memory.current", "inactive_file")
_FIRST = _Kind(
    "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
)


def _control_groups(top: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """What the limits of a container or a job leave, of both versions of them."""
    for line in _lines("/proc/self/cgroup"):
        _, names, below = line.split(":", 2)
        if names and "memory" not in names.split(","):
            continue
        kind = _FIRST if names else _SECOND
        root = top / kind.root
        inside = root / below.strip("/")
        for folder in (inside, *inside.parents):
            if not folder.is_relative_to(root):
                break
            limit = _number(folder / kind.limit)
            if limit is not None:
                used = _number(folder / kind.used) or 0
                yield max(0, limit - used + _cache(folder, kind))


def _cache(folder: Path, kind: _Kind) -> int:
    found = [line.split() for line in _lines(str(folder / "memory.stat"))]
    return sum(int(words[1]) for words in found if words[0] == kind.cache)


def _process() -> Iterator[int]:
    """What the limit of the address space leaves, as `ulimit -v` sets it."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = (_lines("/proc/self/statm") or ["0"])[0].split()[0]
    if limit != resource.RLIM_INFINITY:
        yield max(0, limit - int(pages) * resource.getpagesize())


def _host() -> int | None:
    found = [*_machine(), *_control_groups(), *_process()]
    return min(found, default=None)


def room(devices: Sequence[jax.Device]) -> Room:
    """The memory that devices have left.

    Args:
      devices: those that are used.
    """
    first, n, host = devices[0], len(devices), _host()
    shared = first.platform == "cpu"
    if shared:
        return Room(host, n, "this machine", host, shared)
    known: list[int] = []
    for device in devices:
        stats = device.memory_stats() or {}
        if "bytes_limit" in stats:
            known.append(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    where = f"each {first.device_kind}" if n > 1 else f"the {first.device_kind}"
    return Room(min(known, default=None), n, where, host, shared)


def exhausted(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the host or on a device."""
    if isinstance(error, MemoryError):
        return True
    words = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")
    return isinstance(error, jax.errors.JaxRuntimeError) and any(
        word in str(error) for word in words
    )


@contextmanager
def named(sentence: Callable[[], str]) -> Iterator[None]:
    """Turns the many ways in which memory runs out into one sentence.

    Args:
      sentence: what to say.

    Raises:
      OutOfMemory: the sentence.
    """
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not exhausted(error):
            raise
        raise OutOfMemory(sentence()) from error
