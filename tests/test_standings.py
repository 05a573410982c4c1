"""The table of the benchmark's page, of invented cells."""

import json

import pytest

from docs import standings

CELL = {
    "data": "ring",
    "method": "beta_vae/own",
    "state": "finished",
    "mean": 0.5,
    "low": 0.25,
    "high": 0.75,
    "raw": 0.9,
    "promise": "nothing",
    "points": {},
    "point": "",
}


@pytest.fixture
def written(tmp_path, monkeypatch):
    points = {"alpha 0": 0.25, "alpha 1": 0.75}
    cells = [
        CELL,
        CELL | {"method": "baselines/own_observations"},
        CELL | {"method": "sparse/own", "points": points, "point": "alpha 1"},
        CELL | {"data": "time", "state": "unfinished", "raw": None},
        CELL | {"data": "time", "method": "sparse/own", "state": "unfit", "raw": None},
    ]
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"cells": cells}))
    monkeypatch.setattr(standings, "RESULTS", file)
    return standings.pages()


def test_methods_by_data(written):
    head, rule, ring, time = written["benchmark.md"].splitlines()
    assert head == "| data | observations | beta vae | sparse |"
    assert rule == "|---|---|---|---|"
    assert ring == "| `ring` | .900 | .500 ± .250∅ | .500 ± .250∅ |"
    assert time == "| `time` |  | unfinished |  |"


def test_every_point_of_a_grid_and_the_chosen_one(written):
    *_, row = written["benchmark_points.md"].splitlines()
    assert row == "| `ring` | sparse | alpha 0: .250, **alpha 1: .750** |"


def test_results_that_are_gone_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(standings, "RESULTS", tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        standings.pages()
