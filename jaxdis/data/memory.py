"""Whether rows fit on the device, or stay on the host."""

from pathlib import Path

import jax

from jaxdis import check, log
from jaxdis.data.files import free_memory
from jaxdis.types import Rows

__all__ = ["block_size", "room"]


def room() -> int:
    """Bytes that training rows may take on each local device: half of what is there.

    Devices of a CPU share the memory that the host has left.
    """
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return _left_on_host() // (2 * jax.local_device_count())
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


def _left_on_host() -> int:
    """Bytes that this process may still take: of the machine, or of its container."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / f"memory.{n}").read_text() for n in ("max", "current"))
        return min(free_memory(), max(0, int(limit) - int(used)))
    except (OSError, ValueError):  # there is no container, or "max": no limit
        return free_memory()
