"""From Python what the command line does; most tests share one run."""

import math
import re
import threading

import numpy as np
import pytest

import jaxdis
from jaxdis import experiment
from tests import own_method

pytestmark = pytest.mark.usefixtures("sketches")

NAME = "mechanism_sparsity/quickstart"
TINY = {
    "config": {"encoder": (8,), "decoder": (8,), "transition": (8,), "batch": 16},
    "data": {"samples": 500, "worlds": 1},
    "steps": 6,
    "chunk": 2,
}


_TABLE = own_method.METHOD.presets["table"]
SCORED = own_method.METHOD._replace(
    presets={"scored": _TABLE._replace(scores=("distance",))}
)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Two points and two seeds, trained in a thread that is not the main one."""
    out = tmp_path_factory.mktemp("runs") / "grid [/1]"
    runs = []

    def work():
        options = {"hyper": {"penalty": [0, 0.1]}, "data": {"known": True}}
        runs.append(jaxdis.train(SCORED, seeds=2, out=out, **options))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return runs[0]


def test_scores_are_by_point_and_seed(grid):
    assert grid.scores["mcc"].shape == (2, 2)
    assert next(iter(grid.scores)) == "distance"  # that of the preset, declared last
    assert (grid.directory / "results.json").exists()


def test_table_has_a_row_per_point_and_seed(grid):
    table = grid.table().to_dict("records")
    for row, same in zip(table, grid.rows(), strict=True):
        assert list(row) == list(same)
        np.testing.assert_equal(list(row.values()), list(same.values()))
    assert [(row["penalty"], row["seed"]) for row in table] == [
        (0.0, 0), (0.0, 1), (0.1, 0), (0.1, 1),
    ]  # fmt: skip
    assert [row["mcc"] for row in table] == grid.scores["mcc"].ravel().tolist()


def test_report_is_written_beside_the_results(grid):
    page = grid.report()
    assert page == grid.directory / "report.html"
    assert "Of 2 points, penalty " in page.read_text()


def test_one_seed_has_no_deviation(tmp_path):
    known = {"known": True}
    run = jaxdis.train(own_method.METHOD, seeds=1, data=known, out=tmp_path / "run")
    assert run.record.results["std"]["mcc"] == [None]
    assert run.record.results["udr"] == [None]
    assert math.isfinite(run.record.results["mean"]["mcc"][0])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mechanism_sparsity", {}, "name a preset, as mechanism_sparsity/quickstart"),
        ("mechanism/quickstart", {}, "nearest name is 'mechanism_sparsity/quickstart'"),
        (
            NAME,
            {"hyper": {"bound": 3}},
            "there is no hyper-parameter 'bound'",
        ),
        (NAME, {"hyper": {"bound_a": -1}}, "hyper.bound_a must be finite and not neg"),
        (NAME, {"hyper": {"beta": 1e39}}, "hyper.beta must be at most 3.4e+38"),
        (NAME, {"hyper": {"beta": [1, 1e-39]}}, "hyper.beta must be 0 or at least"),
        (NAME, {"hyper": {"temperature": 0}}, "hyper.temperature must be positive"),
        (NAME, {"hyper": {"bound_a": [3, 101]}}, "hyper.bound_a must be at most 25,"),
        ("shared_features/quickstart", {"hyper": {"usage_decay": 2}}, "in [0, 1]"),
        (NAME, {"config": {"hidden": 3}}, "there is no field config 'hidden'"),
        (NAME, {"data": {"sample": 3}}, "there is no field data 'sample'; the nearest"),
        (NAME, {"seeds": 0}, "seeds must be at least 1, got 0"),
        (NAME, {"seeds": 2**31}, "seeds must be at most 10000000"),
        (NAME, {"steps": 2**31}, "steps must be at most 2147483647"),
        (NAME, {"chunk": 10**10}, "chunk must be at most 2147483647"),
        (NAME, {"first_seed": -1}, "first_seed must be at least 0"),
        (NAME, {"first_seed": 2**32, "seeds": 1}, "number of the last seed at most"),
        (NAME, {"config": {"z_dim": 20}}, "config.z_dim must lie between 1 and"),
    ],
)
def test_mistakes_are_value_errors_before_any_data(name, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        experiment.plan(name, **options)


def test_resume_needs_a_run(tmp_path):
    with pytest.raises(ValueError, match="resume needs out"):
        jaxdis.train(NAME, resume=True, **TINY)
    with pytest.raises(ValueError, match="holds no run"):
        jaxdis.train(NAME, out=tmp_path / "none", resume=True, **TINY)
    assert not (tmp_path / "none").exists()


def test_what_no_one_declared_is_refused(tmp_path, monkeypatch):
    plan = experiment.plan(own_method.METHOD, seeds=1)

    def make(config, spec):
        system = plan.method.make(config, spec)

        def report(state, batch, key):
            return {**system.report(state, batch, key), "surprise": np.float32(1)}

        return system._replace(report=report)

    method = plan.method._replace(make=make)
    with pytest.raises(ValueError, match="returns surprise, which its scores"):
        experiment.carry_out(
            plan._replace(method=method), experiment.Execution(out=tmp_path / "run")
        )


@pytest.mark.parametrize("below", ["file", "n" * 300, "gs://bucket/run"])
def test_directories_that_cannot_be_written(tmp_path, monkeypatch, below):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="out must be a directory"):
        jaxdis.train(NAME, out=below, **TINY)
    with pytest.raises(ValueError, match="out must be a directory"):
        jaxdis.train(NAME, out=f"{below}/run", **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_few_rows_of_ones_own_are_a_batch():
    few = {"x": np.random.default_rng(0).normal(size=(40, 6))}
    planned = experiment.plan("beta_vae/own", data=few)
    assert planned.config.batch == planned.data.spec().rows == 32
    assert "32 training rows, batch 32" in planned.rule
    with pytest.raises(ValueError, match="training rows, 32; got 33"):
        experiment.plan("beta_vae/own", data=few, config={"batch": 33})
