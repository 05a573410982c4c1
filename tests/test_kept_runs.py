"""What is kept of finished runs for the pages, against plain numpy."""

import json
import sys

import numpy as np
import pytest

from benchmarks import runs
from jaxdis.report.read import load
from tests.report.runs import make_run


def test_commands_are_kept_without_their_places():
    command = "jaxdis train a/b --out '/x y' --seeds 2 --chunk 5 --hyper.c 1 2"
    assert runs.called(command) == "jaxdis train a/b --seeds 2 --hyper.c 1 2"


def test_rows_hold_means_gains_and_floors(tmp_path):
    truth = make_run(tmp_path / "run", seeds=5, points=2, failed=(0,))
    rows = list(runs.rows_of(load(tmp_path / "run"), "jaxdis train own/small"))
    assert {row["preset"] for row in rows} == {"own/small"}
    first, second, *_ = (row for row in rows if row["score"] == "mcc")
    low, high = truth["mcc"][:, 1:]
    for row, values in ((first, low), (second, high)):
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-4)
        assert row["deviation"] == pytest.approx(values.std(ddof=1), rel=1e-4)
        assert row["seeds"][0] is None
        np.testing.assert_allclose(row["seeds"][1:], values, rtol=1e-4)
    gain = high - low
    assert "gain" not in first
    assert second["gain"] == pytest.approx(gain.mean(), rel=1e-3)
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    assert second["gain_error"] == pytest.approx(error, rel=1e-3)
    assert second["gain_positive"] == (gain > 0).sum()


def test_a_run_takes_the_place_of_the_one_before(tmp_path, monkeypatch, capsys):
    file = tmp_path / "runs.json"
    for seeds in (3, 4):
        run = tmp_path / str(seeds)
        make_run(run, seeds=seeds)
        words = ["runs", str(run), "--to", str(file), "--scores", "mcc"]
        monkeypatch.setattr(sys, "argv", words)
        assert runs.main() == 0
    (row,) = (row for row in runs.kept(file) if row["point"] == "")
    assert len(row["seeds"]) == 4
    assert json.loads(file.read_text())["rows"] == runs.kept(file)
    assert "jaxdis train" in capsys.readouterr().out


def test_a_run_that_has_not_finished_is_named(tmp_path, monkeypatch, capsys):
    for folder, told in [
        (tmp_path / "none", "there is no folder"),
        (tmp_path, "config.json is missing"),
    ]:
        monkeypatch.setattr(sys, "argv", ["runs", str(folder)])
        assert runs.main() == 2
        assert told in capsys.readouterr().err
