"""How much memory there is, by what the system says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import memory


class Device:
    """A device with a memory of its own."""

    platform, device_kind = "gpu", "H100"

    def __init__(self, stats):
        self.stats = stats

    def memory_stats(self):
        return self.stats


def test_devices_with_a_memory_of_their_own_say_what_is_left(unchecked):
    stats = {"bytes_limit": 100, "bytes_in_use": 30}
    found = memory.room([Device(stats), Device({"bytes_limit": 80})])
    assert (found.free, found.devices, found.shared) == (70, 2, False)
    assert found.where == "each H100"


def test_devices_that_do_not_say_are_unknown(unchecked):
    assert memory.room([Device(None)]).free is None


def test_cpu_devices_share_the_machine():
    found = memory.room(jax.local_devices())
    assert found.shared
    assert found.free == found.host
    assert found.devices == len(jax.local_devices())
    assert 2**26 < found.free < 2**50


@pytest.mark.parametrize(
    ("group", "files", "free"),
    [
        ("0::/job", {"job/memory.max": "500", "job/memory.current": "200"}, [300]),
        ("0::/job", {"job/memory.max": "max", "job/memory.current": "200"}, []),
        (
            "0::/",
            {
                "memory.max": "500",
                "memory.current": "200",
                "memory.stat": "anon 100\ninactive_file 50",
            },
            [350],
        ),
        (
            "0::/outer/inner",
            {
                "outer/memory.max": "100",
                "outer/memory.current": "90",
                "outer/inner/memory.max": "50",
                "outer/inner/memory.current": "10",
            },
            [40, 10],
        ),
        (
            "4:cpu,memory:/job\n3:cpuset:/",
            {
                "memory/job/memory.limit_in_bytes": "700",
                "memory/job/memory.usage_in_bytes": "300",
                "memory/memory.limit_in_bytes": str(2**63 - 4096),
            },
            [400],
        ),
    ],
)
def test_limits_of_containers_and_jobs(tmp_path, monkeypatch, group, files, free):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    said = {"/proc/self/cgroup": group.splitlines()}
    read = memory._lines
    monkeypatch.setattr(memory, "_lines", lambda path: said.get(path) or read(path))
    assert list(memory._control_groups(tmp_path)) == free


def test_each_array_is_counted_once():
    a = np.zeros((3, 4), np.float32)
    keys = jax.random.split(jax.random.key(0), 5)
    assert memory.size({"a": a, "b": a, "c": 3.0}) == 48
    assert memory.size((keys, jnp.zeros(2, jnp.int8))) == 42
    assert memory.size(jax.eval_shape(lambda: jnp.zeros((10**5, 10**5)))) == 4 * 10**10


@pytest.mark.parametrize(
    ("count", "words"), [(12, "12 bytes"), (23.14e9, "23.1 GB"), (4.2e15, "4.2 PB")]
)
def test_bytes_in_words(count, words):
    assert memory.shown(count) == words


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 TiB"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 5"),
    ],
)
def test_memory_that_ran_out_is_the_sentence(error):
    with (
        pytest.raises(memory.OutOfMemory, match="too many seeds"),
        memory.named(lambda: "too many seeds"),
    ):
        raise error


def test_other_errors_are_what_they_are():
    with (
        pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"),
        memory.named(lambda: "too many seeds"),
    ):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
