"""A run whose rows take turns is the run of all rows, in its directory too."""

import json

import numpy as np
import pytest

import jaxdis
from jaxdis import runner
from jaxdis.types import Score
from tests import own_method

pytestmark = pytest.mark.usefixtures("sketches")

METHOD = own_method.METHOD._replace(
    scores=lambda config, spec: (
        Score("mcc", "MCC", "higher", (0, 1), truth=True),
        Score("error", "Error", "lower"),
        Score("distance", "Distance", "lower", floor=True),
    )
)
TINY = {"data": {"known": True}, "chunk": 2, "checkpoint_seconds": 0.0}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three seeds, all at once and two at a time, to step 4."""
    out = tmp_path_factory.mktemp("runs")
    return [
        jaxdis.train(
            METHOD, seeds=3, steps=4, out=out / name, rows_at_once=at_once, **TINY
        )
        for name, at_once in (("whole", None), ("turns", 2))
    ]


def test_tables_and_floors_are_those_of_all_rows(runs):
    whole, turns = (run.record.results for run in runs)
    for part in ("metrics", "floors"):
        assert whole[part].keys() == turns[part].keys()
    for name, values in whole["metrics"].items():
        found = np.array(turns["metrics"][name], float)
        np.testing.assert_allclose(found, np.array(values, float), rtol=1e-4, atol=1e-5)
    floors = whole["floors"]["untrained"], turns["floors"]["untrained"]
    assert set(floors[0]) == {"distance"}
    for name, values in floors[0].items():
        np.testing.assert_allclose(floors[1][name], values, rtol=1e-4, atol=1e-5)


def test_lines_are_of_all_rows(runs):
    lines = (runs[1].directory / "metrics.jsonl").read_text().splitlines()
    found = [(json.loads(line)["step"], json.loads(line)["seed"]) for line in lines]
    assert found == [(step, seed) for step in (2, 4) for seed in range(3)]


def test_a_run_in_turns_is_resumed_in_turns(runs, monkeypatch):
    settings = json.loads((runs[1].directory / "config.json").read_text())
    assert settings["rows_at_once"] == 2
    asked, run = [], runner.run

    def listening(*args, **options):
        asked.append(options["rows_at_once"])
        return run(*args, **options)

    monkeypatch.setattr(runner, "run", listening)
    longer = jaxdis.resume(runs[1].directory, method=METHOD, steps=6)
    assert asked == [2]
    assert longer.history["step"].tolist() == [2, 4, 6]
