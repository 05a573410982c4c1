"""Compiled programs are kept in the user's cache directory for the next start."""

import hashlib
import os
import platform
import stat
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import filelock
import jax
import jaxlib

__all__ = ["keep_programs"]

CAPACITY = 2**30  # bytes of all programs; those that were used last are kept
LIFE = 30 * 24 * 3600  # seconds until a program is compiled anew
WORTH = 0.3  # seconds of compiling from which on a program is kept
CPUINFO = Path("/proc/cpuinfo")
# How lines begin that say what a processor is, on x86 and ARM.
KINDS = ("vendor_id", "model", "flags", "features", "cpu family", "cpu implementer",
         "cpu variant", "cpu part")  # fmt: skip


def keep_programs() -> None:
    """JAX keeps what it compiles and finds it again at the next start.

    The place is jaxdis/xla-DIGEST in $XDG_CACHE_HOME or ~/.cache, where the digest is
    that of the processor and of the versions: machines of several kinds that share a
    home never run each other's programs. A directory of the user's choice
    (`JAX_COMPILATION_CACHE_DIR`) stays, as does the wish for none
    (`JAX_ENABLE_COMPILATION_CACHE=0`). Where nothing can be written, or others could
    write what this user would run, JAX compiles as without it.
    """
    named = getattr(jax.config, "jax_compilation_cache_dir", None)
    if named is not None or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    if not getattr(jax.config, "jax_enable_compilation_cache", True):
        return
    try:
        directory = _cache_home() / "jaxdis" / f"xla-{_digest()}"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _ours(directory):
            return
        _tidy(directory)
    except (OSError, RuntimeError):  # read-only, full, no home, no locks
        return
    # What cannot be read or written is compiled, and nobody needs to know.
    warnings.filterwarnings(
        "ignore", message="Error (reading|writing) persistent compilation cache"
    )
    warnings.filterwarnings("ignore", message="Cache value for key .* exceeds")
    jax.config.update("jax_compilation_cache_dir", str(directory))
    for name, value in (
        ("jax_compilation_cache_max_size", CAPACITY),
        ("jax_persistent_cache_min_compile_time_secs", WORTH),
    ):
        if name.upper() not in os.environ:
            jax.config.update(name, value)


def _cache_home() -> Path:
    """Where the user's caches are; the standard ignores a path that is not absolute."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".cache"


def _processor() -> Iterator[str]:
    """What tells processors apart for which XLA would compile other programs."""
    yield platform.machine()
    yield platform.processor()
    try:
        lines = CPUINFO.read_text(errors="replace").splitlines()
    except OSError:  # another system
        return
    yield from sorted({x for x in lines if x.lower().startswith(KINDS)})


def _digest() -> str:
    words = [platform.system(), jax.__version__, jaxlib.__version__, *_processor()]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _ours(directory: Path) -> bool:
    """Whether nobody else can put a program there, which would be run."""
    found = directory.stat()
    owner = getattr(os, "getuid", lambda: found.st_uid)()
    return found.st_uid == owner and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _tidy(directory: Path) -> None:
    """Drops programs that a killed process has left in part, and old ones.

    A program is complete when the time of its use is beside it. JAX never replaces one
    that is there, so that what a disk has damaged would stay without the end of life.

    Raises:
      OSError: nothing can be written.
      NotImplementedError: the file system has no locks.
    """
    try:
        with filelock.FileLock(directory / ".lockfile", timeout=0):
            for program in directory.glob("*-cache"):
                used = program.with_name(program.name.removesuffix("cache") + "atime")
                old = time.time() - program.stat().st_mtime > LIFE
                if old or not used.exists() or used.stat().st_size != 8:
                    program.unlink()
                    used.unlink(missing_ok=True)
    except filelock.Timeout:  # another process is at it
        pass
