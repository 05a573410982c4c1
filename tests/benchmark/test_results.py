"""Tables, pictures and pages of invented results, against independent numbers."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import stats

from jaxdis.benchmark import figures
from jaxdis.benchmark.cells import cells
from jaxdis.benchmark.figures import curves, draw_benchmark, kinds
from jaxdis.benchmark.page import write
from jaxdis.benchmark.promises import Promised
from jaxdis.benchmark.results import Outcome, Results
from jaxdis.benchmark.summary import counted, summed_up
from jaxdis.benchmark.text import (
    RAW,
    cell_words,
    columns,
    gains,
    grid,
    sentences,
    short,
)
from jaxdis.metrics import MCC
from tests.benchmark.test_settings import TWO

BENCHMARK = dataclasses.replace(TWO, methods=("beta_vae/own", "baselines/own", "pcl"))
UNKNOWN, ALL = Promised("unknown", ""), Promised("all", "4 blocks of 1")
HIGH, RAW_SCORES = np.array([0.9, 0.95, 0.97]), np.array([0.7, 0.72, 0.8])
LOST = np.array([0.5, np.nan, 0.6])


@pytest.fixture(scope="module")
def results():
    """Two methods on two data sets; one cell failed, a third method does not fit."""
    found = []
    for cell in cells(BENCHMARK):
        one = Outcome(cell, "finished", "", UNKNOWN, LOST, RAW_SCORES, LOST - 0.1)
        if cell.plan is None:
            one = Outcome(cell, "unfit", cell.why, UNKNOWN)
        elif cell.name == "ring: beta_vae/own":
            one = Outcome(cell, "finished", "", ALL, HIGH, RAW_SCORES, LOST, HIGH)
            one = one._replace(point="a 1", first_point="a 0", points={"a 0": 0.5})
        elif cell.name == "factors: baselines/own":
            one = Outcome(cell, "failed", "no <rows>", UNKNOWN)
        found.append(one)
    return Results(BENCHMARK, tuple(found), MCC)


def test_gains_are_paired(results):
    outcome = results.outcomes[0]
    found = gains(results, outcome)
    test = stats.ttest_rel(HIGH, RAW_SCORES)
    ends = test.confidence_interval()
    assert found["raw"].mean == pytest.approx((HIGH - RAW_SCORES).mean())
    assert (found["raw"].low, found["raw"].high) == pytest.approx((ends.low, ends.high))
    assert found["untrained"].seeds == 2  # of both
    assert found["first"].mean == 0
    lower = results._replace(score=MCC._replace(better="lower"))
    assert gains(lower, outcome)["raw"].mean == pytest.approx(-found["raw"].mean)
    assert gains(results, results.outcomes[1])["first"] is None


def test_intervals_stay_in_the_range(results):
    wild = np.array([0.0, 1.0, 1.0])
    low, high = stats.t.interval(0.95, 2, wild.mean(), stats.sem(wild))
    assert low < 0 < 1 < high
    assert results.summary(wild).low == 0
    assert results.summary(wild).high == 1
    plain = results._replace(score=None).summary(wild)
    assert (plain.low, plain.high) == pytest.approx((low, high))


def test_rows_of_the_table(results):
    table = columns(results)
    assert len({len(column) for column in table.values()}) == 1
    assert table["method"][:3] == ["beta_vae/own", "baselines/own", "pcl/own"]
    assert table["state"][:3] == ["finished", "finished", "unfit"]
    assert table["state"][3:] == ["finished", "failed", "unfit"]
    assert table["seeds"] == [3, 2, 0, 2, 0, 0]
    assert table["mean"][0] == pytest.approx(HIGH.mean())
    assert table["mean"][1] == pytest.approx(0.55)
    assert math.isnan(table["mean"][4])
    assert table["gain_raw_positive"][0] == 3
    assert table["promise"][0] == "all"


def test_cells_in_words(results):
    half = stats.sem(HIGH) * stats.t.ppf(0.975, 2)
    first, _, unfit, _, failed, _ = results.outcomes
    words = f"{HIGH.mean():.3f} ± {half:.3f}*".replace("± 0", "± ")
    assert cell_words(results, first) == words
    assert cell_words(results, failed) == "failed"
    assert cell_words(results, unfit) == ""
    said = list(sentences(results))
    assert "failed: factors: baselines/own: no <rows>" in said
    names = ["beta_vae/own", "linear/own_pca", "/home/me.py:METHOD/table"]
    assert list(map(short, names)) == ["beta vae", "linear pca", "me.py:METHOD table"]


def test_a_line_for_each_method(results):
    vae, base = summed_up(results)
    assert (vae.cells, vae.promised, vae.lost) == (2, 1, 1)
    assert vae.promised_mean == pytest.approx(HIGH.mean())
    assert vae.mean == pytest.approx((HIGH.mean() + 0.55) / 2)
    assert (base.cells, base.lost) == (1, 1)
    interval = stats.ttest_rel(HIGH, RAW_SCORES).confidence_interval()
    assert interval.low > 0
    assert vae.raw.better == 1
    assert vae.raw.cells == 2
    none = counted([None])
    assert (none.better, none.worse, none.cells) == (0, 0, 0)


def test_curves_are_of_methods_that_have_all_data_of_a_kind(results):
    assert kinds(results) == {"domains": ["ring"], "x alone": ["factors"]}
    both = curves(results, ["ring", "factors"])
    assert set(both) == {RAW, "beta_vae/own"}
    assert np.array_equal(both["beta_vae/own"][:3], HIGH)
    assert set(curves(results, ["ring"])) == {RAW, "beta_vae/own", "baselines/own"}


def test_a_picture_without_curves_is_the_table_alone(results, monkeypatch):
    whole = draw_benchmark(results)
    assert [len(part.axes) for part in whole.subfigs] == [1, 2]  # two kinds of data
    some = results._replace(
        outcomes=tuple(
            o._replace(raw=None)
            if o.values is HIGH
            else o._replace(state="unfinished", values=None, raw=None)
            for o in results.outcomes
        )
    )
    monkeypatch.setattr(figures, "kinds", lambda _: {"all": ["ring", "factors"]})
    assert [len(part.axes) for part in draw_benchmark(some).subfigs] == [1]


def test_a_method_whose_codes_are_the_observations_is_not_named_again(results):
    same = tuple(
        o._replace(values=RAW_SCORES + 0.01, untrained=RAW_SCORES + 0.01)
        if o.cell.entry.name == "baselines/own" and o.state == "finished"
        else o
        for o in results.outcomes
    )
    trained = tuple(o._replace(untrained=LOST) for o in same)
    assert grid(results._replace(outcomes=trained))[1] == grid(results)[1]
    assert grid(results)[1] == ["beta_vae/own", "baselines/own"]
    assert grid(results._replace(outcomes=same))[1] == ["beta_vae/own"]


def test_files(results, tmp_path):
    written = write(results, tmp_path, "jaxdis benchmark <two>")
    found = json.loads(written.results.read_text())
    assert found["cells"][0]["of_seeds"]["values"] == HIGH.tolist()
    assert found["cells"][1]["of_seeds"]["values"] == [0.5, None, 0.6]
    assert found["benchmark"]["data"][1]["name"] == "factors"
    assert found["command"] == "jaxdis benchmark <two>"
    page = written.page.read_text()
    assert "no &lt;rows&gt;" in page
    assert "no <rows>" not in page
    assert "4 blocks of 1" in page
    assert written.picture.read_bytes()[:4] == b"\x89PNG"


def test_without_a_score_there_is_no_picture(results, tmp_path):
    none = results._replace(
        outcomes=tuple(
            Outcome(o.cell, "unfinished", "not begun", UNKNOWN)
            for o in results.outcomes
            if o.cell.plan is not None
        ),
        score=None,
    )
    assert draw_benchmark(none) is None
    written = write(none, tmp_path, "")
    assert written.picture is None
    assert "4 unfinished" in written.page.read_text()
    assert any(s.startswith("not finished: ring: ") for s in sentences(none))
