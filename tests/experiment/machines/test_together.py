"""Processes that jax.distributed connects: shares, shards, and the death of one."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

import jaxdis
from jaxdis import experiment, lock, processes
from jaxdis.experiment import shards
from jaxdis.experiment.machines import together
from jaxdis.experiment.shards import Shard
from tests import own_method

NAME = f"{own_method.__file__}:METHOD"
TINY = {"data": {"known": True}, "steps": 6, "chunk": 2}
COMMAND = [
    *(sys.executable, "-m", "jaxdis", "train", NAME, "--seeds", "4", "--steps", "6"),
    *("--chunk", "2", "--data.known", "--distributed"),
]


def device(process):
    return SimpleNamespace(process_index=process)


@pytest.fixture
def of_three(monkeypatch):
    """This process is the second of three, as far as it is asked."""
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(jax, "process_count", lambda: 3)


def test_a_share_is_a_contiguous_part(of_three, monkeypatch):
    found = []
    for index in range(3):
        monkeypatch.setattr(jax, "process_index", lambda i=index: i)
        found += range(8)[processes.share(8, None)]
    assert found == list(range(8))
    with pytest.raises(ValueError, match="at least as many as the processes, 3; got 2"):
        processes.share(2, None)


def test_a_mesh_of_own_devices_has_all_rows(of_three, unchecked):
    own = SimpleNamespace(devices=np.array([device(1), device(1)]))
    all_ = SimpleNamespace(devices=np.array([device(0), device(1), device(2)]))
    assert processes.share(8, own) == slice(0, 8)
    assert processes.share(8, all_) == slice(2, 5)


def test_the_devices_of_this_process_are_a_mesh():
    mesh = Mesh(np.array(jax.devices()), ("seed",))
    assert processes.local_mesh(mesh) is mesh


@pytest.fixture
def plan():
    return experiment.plan(NAME, seeds=3, **TINY)


def pairs(out, plan):
    parts = [Shard(i, 3) for i in (1, 2, 3)]
    return [(out / shard.directory, shards.part(plan, shard)) for shard in parts]


def test_dead_and_absent_processes_are_not_waited_for(tmp_path, plan, monkeypatch):
    monkeypatch.setattr(together, "GONE", 0.2)
    monkeypatch.setattr(together, "PAUSE", 0.05)
    places = pairs(tmp_path, plan)
    # The first one is killed: its lock's file is there, and nobody holds it.
    directory = places[0][0]
    (directory / "checkpoints" / "4.damaged").mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    (directory / lock.NAME).write_text(
        json.dumps({"pid": 1, "host": "gone", "started": "before"})
    )
    lost = together.wait_for(places, silent=0.6)
    assert [one.words for one in lost][1:] == ["never started"] * 2
    assert lost[0].words.startswith("stopped or killed after step 0")


def test_who_holds_its_lock_is_waited_for(tmp_path, plan, monkeypatch):
    monkeypatch.setattr(together, "GONE", 0.1)
    monkeypatch.setattr(together, "PAUSE", 0.05)
    places = pairs(tmp_path, plan)[:1]
    places[0][0].mkdir()
    watch = together._Watch(places[0][0], silent=0.1)
    with lock.held(places[0][0]):
        time.sleep(0.3)
        assert watch.alive()
    time.sleep(0.2)
    assert not watch.alive()


def started(out, index, count, port):
    environment = {
        **os.environ,
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(count),
        "JAX_PROCESS_ID": str(index),
    }
    return subprocess.Popen(
        [*COMMAND, "--out", out],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_two_processes_train_and_merge_what_one_does(tmp_path):
    whole = jaxdis.train(NAME, seeds=4, out=tmp_path / "whole", **TINY)
    port, out = free_port(), tmp_path / "run"
    both = [started(out, index, 2, port) for index in range(2)]
    told = [process.communicate(timeout=400)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    run = jaxdis.load(out)
    assert run.record.results["missing"] == []
    assert run.record.groups[0].seeds == [0, 1, 2, 3]
    for name, wanted in whole.scores.items():
        np.testing.assert_allclose(run.scores[name], wanted, rtol=1e-4, atol=1e-6)
    found, wanted = (
        [json.loads(line) for line in (d / "metrics.jsonl").read_text().splitlines()]
        for d in (out, whole.directory)
    )
    assert [(x["step"], x["seed"]) for x in found] == [
        (x["step"], x["seed"]) for x in wanted
    ]


def test_the_death_of_one_takes_no_other_with_it(tmp_path):
    """Also not that of the process where all of them met."""
    port, out = free_port(), tmp_path / "run"
    first, second = (started(out, index, 2, port) for index in range(2))
    while not (out / "shard-0001-of-0002" / "config.json").exists():
        assert first.poll() is None
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    told = second.communicate(timeout=400)[0]
    first.communicate()
    assert second.returncode == 0, told
    with pytest.raises(ValueError, match="1 of 2 shards are not finished"):
        jaxdis.merge(out)
    run = jaxdis.merge(out, partial=True)
    assert run.record.groups[0].seeds == [2, 3]
