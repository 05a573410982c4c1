"""What is compiled once is found again, whole, and only where it may be run."""

import os
import resource
import stat
import time
import warnings
from pathlib import Path

import filelock
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jaxdis import experiment, program_cache, runner
from jaxdis.cli.evaluate import evaluate_command
from jaxdis.cli.resume import resume_command
from jaxdis.cli.train import train_command
from jaxdis.cli.use import encode_command
from tests import own_method

pytestmark = pytest.mark.usefixtures("sketches")

OPTIONS = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_enable_compilation_cache",
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """As in a process of a user who has set nothing, with caches in this folder."""
    before = {name: getattr(jax.config, name) for name in OPTIONS}
    for name in OPTIONS:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    jax.clear_caches()
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def kept() -> Path | None:
    """The directory that JAX keeps its programs in after a start."""
    program_cache.keep_programs()
    # Those of a test compile faster than what is worth keeping.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    found = jax.config.jax_compilation_cache_dir
    return None if found is None else Path(found)


def entries(directory: Path) -> dict[str, bytes]:
    """Of every program, when it was used last."""
    return {
        p.name: p.with_name(p.name.removesuffix("cache") + "atime").read_bytes()
        for p in directory.glob("*-cache")
    }


def trained(tiny: experiment.Experiment) -> list[np.ndarray]:
    """What a short training ends with, with nothing left of earlier compilations."""
    jax.clear_caches()
    end = runner.run(
        tiny.system, tiny.batches.sample, tiny.keys, tiny.hyper, steps=4, chunk=2
    )
    return [np.asarray(a) for a in jax.tree.leaves(end.rows)]


def test_a_program_that_was_kept_gives_the_bits_of_a_new_one(home):
    tiny = experiment.prepare(experiment.plan(own_method.METHOD))
    fresh = trained(tiny)
    directory = kept()
    trained(tiny)
    before = entries(directory)
    found = trained(tiny)
    after = entries(directory)
    assert after.keys() == before.keys()
    (chunk,) = (name for name in after if name.startswith("jit_chunk"))
    assert after[chunk] != before[chunk]  # it was used
    assert len(found) == len(fresh)
    for a, b in zip(fresh, found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "start",
    [
        lambda: experiment.train("nothing/nothing"),
        lambda: experiment.resume("no/run"),
        lambda: train_command(["nothing/nothing"]),
        lambda: resume_command(["no/run"]),
        lambda: encode_command(["no/run", "no/file"]),
        lambda: evaluate_command(["no/run", "no/file"]),
    ],
)
def test_whatever_compiles_keeps_its_programs(home, start):
    with pytest.raises(ValueError, match="no"):
        start()
    directory = Path(jax.config.jax_compilation_cache_dir)
    assert directory.parent == home / "jaxdis"
    assert directory.name.startswith("xla-")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert jax.config.jax_persistent_cache_min_compile_time_secs == program_cache.WORTH
    assert jax.config.jax_compilation_cache_max_size == program_cache.CAPACITY


def function(x):
    return jnp.tanh(x @ x).sum()


def value() -> float:
    jax.clear_caches()
    return float(jax.jit(function)(jnp.eye(8) / 3))


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [flip, lambda data: data[:40], lambda data: b""])
def test_a_damaged_program_is_compiled_again_without_a_word(home, damage, capfd):
    directory = kept()
    right = value()
    (path,) = directory.glob("jit_function*-cache")
    path.write_bytes(damage(path.read_bytes()))
    assert value() == right  # a warning would be an error
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_is_no_word_either(home, capfd):
    directory = kept()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        assert value() == value()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    jax.config.update("jax_compilation_cache_dir", None)
    kept()
    assert not list(directory.glob("jit_function*"))  # it was written in part
    assert value() == value()
    assert list(directory.glob("jit_function*-atime"))
    assert capfd.readouterr() == ("", "")


def test_what_a_killed_process_left_and_what_is_old_is_dropped(home):
    directory = kept()
    value()
    whole = set(entries(directory))
    (directory / "cut-cache").write_bytes(b"half")  # JAX writes the time afterwards
    (directory / "empty-cache").write_bytes(b"half")
    (directory / "empty-atime").write_bytes(b"")
    old = directory / "old-cache"
    old.write_bytes(b"program")
    (directory / "old-atime").write_bytes(bytes(8))
    month = time.time() - program_cache.LIFE - 60
    os.utime(old, (month, month))
    jax.config.update("jax_compilation_cache_dir", None)
    assert kept() == directory
    assert set(entries(directory)) == whole
    assert not list(directory.glob("old*")) + list(directory.glob("empty*"))


def test_a_start_does_not_wait_for_another(home):
    directory = kept()
    (directory / "cut-cache").write_bytes(b"half")
    jax.config.update("jax_compilation_cache_dir", None)
    with filelock.FileLock(directory / ".lockfile"):
        assert kept() == directory
    assert (directory / "cut-cache").exists()


def test_processors_of_two_kinds_share_nothing(home, monkeypatch):
    names = set()
    for flags in ("avx2", "avx2 avx512f"):
        cpuinfo = home / "cpuinfo"
        cpuinfo.write_text(f"model name\t: Fast\ncpu MHz\t: 1\nflags\t\t: {flags}\n")
        monkeypatch.setattr(program_cache, "CPUINFO", cpuinfo)
        jax.config.update("jax_compilation_cache_dir", None)
        names.add(kept())
        # How fast it runs just now makes no other processor.
        cpuinfo.write_text(cpuinfo.read_text().replace(": 1", ": 2"))
        jax.config.update("jax_compilation_cache_dir", None)
        names.add(kept())
    assert len(names) == 2


def by_environment(home, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")


def by_option(home, monkeypatch):
    jax.config.update("jax_compilation_cache_dir", str(home / "mine"))


def disabled(home, monkeypatch):
    jax.config.update("jax_enable_compilation_cache", False)


def below_a_file(home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "file"))


def open_to_others(home, monkeypatch):
    kept().chmod(0o777)
    jax.config.update("jax_compilation_cache_dir", None)


def without_locks(home, monkeypatch):
    def acquire(self, *_, **__):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)


def without_home(home, monkeypatch):
    def lost():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "home", lost)


@pytest.mark.parametrize(
    ("case", "left"),
    [
        (by_environment, None),
        (by_option, "mine"),
        (disabled, None),
        (below_a_file, None),
        (open_to_others, None),
        (without_locks, None),
        (without_home, None),
    ],
)
def test_nothing_is_kept_where_it_may_not_be(home, case, left, monkeypatch, capfd):
    case(home, monkeypatch)
    filters = list(warnings.filters)
    found = kept()
    assert found == (None if left is None else home / left)
    assert warnings.filters == filters
    assert capfd.readouterr() == ("", "")


def test_a_cache_home_that_is_not_absolute_is_ignored(home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "home", lambda: home)
    assert kept().parent == home / ".cache" / "jaxdis"
