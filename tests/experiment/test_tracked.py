"""Runs that are watched while they train, and what is said of them at the end."""

import csv
import io
import json
import shutil
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest

import jaxdis
from jaxdis import cli, experiment, log, report, tracking
from jaxdis.tracking import Tracker
from tests import own_method
from tests.report.runs import METHOD, make_run

pytestmark = pytest.mark.usefixtures("sketches")

NAME = "mechanism_sparsity/quickstart"
TINY = {"seeds": 2, "steps": 4, "chunk": 2, "checkpoint_seconds": 0.0}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """A run with a good and a bad tracker, what was said, and what a callback saw."""
    out = tmp_path_factory.mktemp("runs") / "run"
    seen, asked = [], []

    def fail(step, values):
        asked.append(step)
        raise ConnectionError("nobody there")

    with redirect_stdout(io.StringIO()) as said:
        jaxdis.train(
            own_method.METHOD,
            out=out,
            track=["csv", Tracker(fail)],
            callbacks=[lambda chunk: seen.append((chunk.step, chunk.values))],
            **TINY,
        )
    assert asked == [2]
    return out, said.getvalue(), seen


def table(out, seed):
    with (out / f"tracking/csv/point0-seed{seed}.csv").open(newline="") as file:
        return [
            {name: float(value) if value else None for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def logged(out, seed):
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["seed"] == seed]


def test_trackers_see_what_is_logged(tracked):
    out, _, seen = tracked
    assert [step for step, _ in seen] == [2, 4]
    for seed in (0, 1):
        assert table(out, seed) == logged(out, seed)
        for (_, values), record in zip(seen, logged(out, seed), strict=True):
            for name, value in values.items():
                assert record[name] == log.jsonable(value[seed])
    assert set(seen[0][1]) == {"loss", "train_error", "mcc", "error", "distance"}


def test_a_tracker_that_fails_is_named_and_the_training_goes_on(tracked):
    _, said, _ = tracked
    assert said.count("track[1] failed (nobody there)") == 1
    assert "training from step 0 of 4" in said


def test_a_resumed_run_keeps_its_trackers(tracked, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(tracked[0], out)
    before = table(out, 1)
    shutil.rmtree(out / "checkpoints" / "4")
    with redirect_stdout(io.StringIO()) as said:
        jaxdis.train(own_method.METHOD, out=out, resume=True, **TINY)
    assert "compiling; 4 steps, 2 of them taken" in said.getvalue()
    assert table(out, 1) == before == logged(out, 1)


def test_more_seeds_are_tracked_with_those_that_were_there(tracked, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(tracked[0], out)
    before = table(out, 0)
    with redirect_stdout(io.StringIO()):
        jaxdis.resume(out, seeds=3, method=own_method.METHOD, checkpoint_seconds=0.0)
    assert table(out, 0) == before
    assert [row["step"] for row in table(out, 2)] == [2, 4]
    assert table(out, 2) == logged(out, 2)
    assert {path.name for path in (out / "tracking").iterdir()} == {"csv"}


def test_results_say_what_was_trained_on(tracked):
    results = json.loads((tracked[0] / "results.json").read_text())
    assert results["platform"] == results["device_kind"] == "cpu"
    assert results["x64"] is False
    python = ".".join(map(str, sys.version_info[:3]))
    assert results["versions"]["python"] == python
    assert results["versions"]["numpy"] == np.__version__
    assert [(p["first"], p["last"]) for p in results["parts"]] == [(0, 4)]


def test_unknown_trackers_leave_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="no tracker 'tensorbord'"):
        jaxdis.train(
            own_method.METHOD, out=tmp_path / "run", track=["tensorbord"], **TINY
        )
    assert not (tmp_path / "run").exists()
    _, options = cli.parse_train([NAME, "--track", "csv", "wandb", "--steps", "5"])
    assert options.track == ("csv", "wandb")


def test_seeds_that_never_learned_have_failed_however_short_the_run(tmp_path):
    run = jaxdis.train(
        own_method.METHOD,
        out=tmp_path / "run",
        loss=lambda x, y: np.nan * own_method.distance(x, y),
        **TINY,
    )
    assert run.record.results["skipped_updates"] == [[4, 4]]
    assert run.record.results["failed_seeds"] == [[0, 1]]
    assert run.record.results["mean"]["distance"] == [None]
    assert report.findings(run.record)[0] == (
        "All 2 seeds diverged: nothing was learned, and no score means anything."
    )


@pytest.mark.parametrize(("failed", "code"), [((), 0), ((1,), 0), ((0, 1), 3)])
def test_the_exit_code_says_whether_all_seeds_diverged(
    tmp_path, monkeypatch, capsys, failed, code
):
    make_run(tmp_path / "run", seeds=2, failed=failed)
    presets = {"small": own_method.METHOD.presets["table"]}
    run = experiment.Run(tmp_path / "run", METHOD._replace(presets=presets))
    monkeypatch.setattr(experiment, "carry_out", lambda plan, execution: run)
    monkeypatch.setattr(sys, "argv", ["jaxdis", "train", NAME])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == code
    said = capsys.readouterr().out
    assert ("All 2 seeds diverged: nothing was learned" in said) == (code == 3)
    assert f"report: {tmp_path / 'run' / 'report.html'}" in said


def test_shards_are_one_group(tmp_path):
    seen = []

    def opened(tracked):
        seen.append((tracked.group, tracked.part, tracked.directory))
        return tracking.open_csv(tracked)

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()):
        patch.setitem(
            tracking.TRACKERS, "csv", tracking.TRACKERS["csv"]._replace(open=opened)
        )
        jaxdis.train(
            own_method.METHOD, out=tmp_path / "run", shard="2/2", track=["csv"], **TINY
        )
    part = "shard-0002-of-0002"
    assert seen == [("run", part, tmp_path / "run" / part / "tracking" / "csv")]
    assert [row["step"] for row in table(tmp_path / "run" / part, 1)] == [2, 4]
