"""A disk that fails and a clock that jumps cost nothing that was saved."""

import errno
import json
import os
import time

import numpy as np
import pytest

from jaxdis import checkpoint, experiment
from tests import own_method

OPTIONS = {"steps": 6, "chunk": 2, "checkpoint_seconds": 0}


def train(out):
    return experiment.train(own_method.METHOD, out=out, **OPTIONS)


def go_on(out):
    return experiment.resume(out, method=own_method.METHOD, checkpoint_seconds=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "whole")


def same(run, whole):
    for name, values in whole.scores.items():
        np.testing.assert_array_equal(run.scores[name], values)
    lines = [(r.directory / "metrics.jsonl").read_text() for r in (run, whole)]
    assert lines[0] == lines[1]
    kept = [checkpoint.steps(r.directory / "checkpoints") for r in (run, whole)]
    assert list(kept[0]) == list(kept[1])


def fails_at(monkeypatch, module, name, call, number):
    """The call that writes into a file, and finds no room for all of it."""
    write, calls = getattr(module, name), []

    def failing(file, *args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            raise OSError(number, os.strerror(number))
        return write(file, *args, **kwargs)

    monkeypatch.setattr(module, name, failing)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_checkpoint_that_finds_no_room_leaves_those_before(
    number, whole, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        fails_at(patch, np, "savez", 3, number)
        with pytest.raises(OSError, match=r"go on with: jaxdis resume .*run$") as said:
            train(out)
    assert os.strerror(number) in str(said.value)
    assert list(checkpoint.steps(out / "checkpoints"))
    assert not list((out / "checkpoints").glob(".*"))
    assert not (out / "results.json").exists()
    same(go_on(out), whole)


def test_results_that_find_no_room_are_written_later(whole, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        fails_at(patch, os, "replace", 4, errno.ENOSPC)
        with pytest.raises(OSError, match="go on with: jaxdis resume"):
            train(out)
    assert not list(out.rglob("*.tmp"))
    same(go_on(out), whole)


def test_a_clock_that_jumps_changes_nothing(whole, tmp_path, monkeypatch):
    now, jumps = time.time, iter([0, 1e9, -1e9, 5e8] * 10_000)
    monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        fails_at(patch, np, "savez", 3, errno.ENOSPC)
        with pytest.raises(OSError, match="go on"):
            train(out)
    run = go_on(out)
    same(run, whole)
    found = json.loads((out / "results.json").read_text())
    assert all(0 <= part["wall_s"] < 1e4 for part in found["parts"])
