"""What fits into the memory of the host, and of the devices."""

import os
from pathlib import Path

import jax

from jaxdis import check, log
from jaxdis.types import Rows

__all__ = ["block_size", "check_memory", "free_memory", "room"]


GROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """The bytes of memory that this process may still take, as far as is known.

    Those of the machine, or of the container that it is in.
    """
    try:
        limit, used, of = (
            (GROUP / f"memory.{name}").read_text()
            for name in ("max", "current", "stat")
        )
        kinds = dict(line.split() for line in of.splitlines())
        # What is kept of files makes room when it is needed.
        files = int(kinds["inactive_file"]) + int(kinds["active_file"])
        return min(_of_machine(), max(0, int(limit) - int(used) + files))
    except (OSError, KeyError, ValueError):  # no container, or "max": no limit
        return _of_machine()


def _of_machine() -> int:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return pages * size
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else pages * size


def check_memory(what: str, size: int) -> None:
    """Raises ValueError for more bytes than are free.

    Args:
      what: what takes them, as messages call it.
      size: how many bytes it takes.
    """
    free = free_memory()
    if size > free:
        raise ValueError(
            f"{what} takes {size / 1e9:.3g} GB, and {free / 1e9:.3g} GB of memory are "
            "free"
        )


def room() -> int:
    """Bytes that training rows may take on each local device: half of what is there.

    Devices of a CPU share the memory that the host has left.
    """
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return free_memory() // (2 * jax.local_device_count())
    return int((device.memory_stats() or {}).get("bytes_limit", 2**34)) // 2


def block_size(train: Rows, block: int | None) -> int | None:
    """How many training rows are on the device at a time; None for all of them.

    Args:
      train: the training rows, on the host.
      block: the number that is asked for; None for one by the estimate, which is said
        in a note.
    """
    n = len(train.x)
    if block is not None:
        check.at_least("data.block", block, 1)
        return None if block >= n else block
    arrays = [array for array in train[:6] if array is not None]
    size, space = sum(array.nbytes for array in arrays), room()
    what = f"training rows: {_words(size)}, of {_words(space)} for them on each device"
    if size <= space:
        log.note(what)
        return None
    # One block is trained on while the next one is on its way.
    block = max(1, int(n * space / (2 * size)))
    log.note(f"{what}; they stay on the host, and {block:,} go there at a time")
    return block


def _words(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"
