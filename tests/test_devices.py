"""As many CPU devices as there are cores that this process may use."""

import os
import warnings

import jax
import pytest

from jaxdis import devices


@pytest.fixture
def sixteen(monkeypatch):
    """A host with sixteen cores, as the process sees it."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)


def groups(tmp_path, own, files):
    """Control groups in a folder, and the file that names those of this process."""
    for path, text in files.items():
        file = tmp_path / "groups" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    (tmp_path / "own").write_text(own + "\n")
    return tmp_path / "groups", tmp_path / "own"


V1 = "cpu.cfs_quota_us", "cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        # A container with its own view of the groups, as docker and Kubernetes have it.
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "150000 100000"}, 2),  # rounded up
        ("0::/", {"cpu.max": "10000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, 16),
        ("0::/", {"cpu.max": "6400000 100000"}, 16),  # more than there is
        # The strictest of the groups around the process.
        ("0::/a/b", {"cpu.max": "max 1", "a/cpu.max": "3 1", "a/b/cpu.max": "5 1"}, 3),
        # The group is named as it is outside of the container.
        ("0::/docker/abc", {"cpu.max": "400000 100000"}, 4),
        # The first version, with other controllers beside it.
        ("5:memory:/\n4:cpu,cpuacct:/", {f"cpu/{n}": v for n, v in zip(
            V1, ("250000", "100000"), strict=True)}, 3),
        ("4:cpu:/slurm/job", {f"cpu/slurm/job/{n}": v for n, v in zip(
            V1, ("700000", "100000"), strict=True)}, 7),
        ("4:cpu:/", {f"cpu/{n}": v for n, v in zip(
            V1, ("-1", "100000"), strict=True)}, 16),
        ("4:cpu:/", {f"cpu/{n}": v for n, v in zip(
            V1, ("100000", "0"), strict=True)}, 16),
        ("5:memory:/x", {"cpu.max": "1 1"}, 16),  # a group without CPUs
        ("garbage", {"cpu.max": "1 1"}, 16),
        ("0::/", {"cpu.max": "garbage"}, 16),
    ],
)  # fmt: skip
def test_a_quota_of_time_counts_as_cores(own, files, expected, tmp_path, sixteen):
    assert devices.cores(*groups(tmp_path, own, files)) == expected


def test_without_control_groups_the_affinity_counts(tmp_path, sixteen, monkeypatch):
    nowhere = tmp_path / "nowhere"
    assert devices.cores(nowhere, nowhere) == 16
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert devices.cores(nowhere, nowhere) == 3


def test_a_number_by_hand_stays():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        devices.use_all_cores()  # XLA_FLAGS of the tests names one
    assert jax.local_device_count() == 8


def test_a_late_call_warns_and_goes_on(monkeypatch):
    jax.devices()
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setattr(devices, "cores", lambda: 16)
    with pytest.warns(UserWarning, match="JAX was used before"):
        devices.use_all_cores()
    # There is nothing to lose where all cores are devices already.
    monkeypatch.setattr(devices, "cores", lambda: 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        devices.use_all_cores()


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("no plugin")])
def test_a_platform_that_is_not_there_is_one_sentence(error, monkeypatch):
    def missing():
        raise error

    devices.check_platform()
    monkeypatch.setattr(jax, "devices", missing)
    with pytest.raises(ValueError, match="JAX_PLATFORMS: there is no device of 'cpu'"):
        devices.check_platform()
