"""What is said of a mean over seeds: its deviation, its interval, what it is over."""

import math

import numpy as np
import pytest
from scipy import stats

from jaxdis import log
from jaxdis.cli.points import point_table
from jaxdis.metrics import MCC
from jaxdis.report.averages import in_words, interval, lacking
from tests.report.records import NLL, make_group, make_record

NAN = math.nan


def test_a_seed_that_lives_without_a_score_is_counted():
    group = make_group(failed=[4], mcc=[0.5, NAN, 0.7, np.inf, 0.9], nll=[1.0] * 5)
    assert lacking(group, "mcc") == "2 of 4"
    assert in_words(group, "mcc") == "0.600 ± 0.141 (2 of 4)"
    assert lacking(group, "nll") == ""
    assert in_words(group, "nll") == "1.000 ± 0.000"


@pytest.mark.parametrize("values", [[NAN, NAN], [NAN]])
def test_a_score_that_no_seed_has_is_no_matter_of_counts(values):
    group = make_group(mcc=values)
    assert lacking(group, "mcc") == lacking(group, "none") == ""
    assert in_words(group, "mcc") == "–"


def test_an_interval_is_that_of_the_mean_within_the_range_of_the_score():
    values = np.array([0.9, 0.99, 0.95, 0.93])
    group = make_group(mcc=[*values, 0.1], nll=[*-values, 0.1], failed=[4])
    ends = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert interval(group, NLL) == pytest.approx((-ends[1], -ends[0]))
    wide = make_group(mcc=[0.8, 0.9, 1.0])
    low, high = interval(wide, MCC)
    assert low == pytest.approx(0.9 - stats.t.ppf(0.975, 2) * 0.1 / 3**0.5)
    assert high == 1
    # Values beyond the range that is declared say that it is not theirs.
    assert interval(make_group(mcc=[0.5, 1.5]), MCC)[1] > 1.5
    assert np.isnan(interval(make_group(mcc=[0.5]), MCC)).all()


def printed(table, monkeypatch):
    monkeypatch.setattr(log.console, "width", 100)
    with log.console.capture() as said:
        log.console.print(table)
    return " ".join(said.get().split())


def test_tables_of_the_command_line_count_too(monkeypatch):
    groups = [
        make_group("bound 5", {"bound": 5.0}, mcc=[0.5, NAN, 0.7]),
        make_group("bound 9", {"bound": 9.0}, mcc=[0.5, 0.6, 0.7]),
    ]
    said = printed(point_table(make_record(groups), [MCC]), monkeypatch)
    assert "0.600 ± 0.141 (2 of 3)" in said
    assert "0.600 ± 0.100 │" in said
    assert "mean ± sample standard deviation" in said
    values = {"mcc": np.array([0.5, NAN, 0.7, 0.1])}
    said = printed(log.seed_table("x", [MCC], range(4), values, [3]), monkeypatch)
    assert "seeds │ 2 of 3" in said
    whole = {"mcc": np.array([0.5, 0.6])}
    said = printed(log.seed_table("x", [MCC], range(2), whole, []), monkeypatch)
    assert "seeds" not in said
