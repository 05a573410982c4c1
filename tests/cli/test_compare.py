"""Settings side by side over the same seeds, from the shell and from Python."""

import csv
import json
import math

import numpy as np
import pytest
from scipy import stats

import jaxdis
from jaxdis import log, report, statistics
from tests.report.runs import kill, make_run
from tests.shell import command


def change(run, file, **changes):
    path = run / file
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | changes))


def scores_of(run, **values):
    """Sets scores of a run of one point, a number a seed."""
    change(run, "results.json", metrics={n: [list(v)] for n, v in values.items()})


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two runs of one method on the same data; seeds 0 to 5 and 1 to 6."""
    monkeypatch.setattr(log.console, "width", 200)
    runs = tmp_path / "one", tmp_path / "two"
    for first, run in enumerate(runs):
        make_run(run, seeds=6, first=first)
    scores_of(runs[0], mcc=[0.0, 0.5, 0.6, 0.7, 0.8, 0.6], shd=[9, 1, 2, 3, 4, 5])
    scores_of(runs[1], mcc=[0.7, 0.7, 0.9, 0.7, 0.9, 0.0], shd=[1, 1, 1, 2, 9, 9])
    return runs


def words(said):
    return " ".join(said.split())


def test_gains_are_paired_by_the_numbers_of_seeds(two):
    found = jaxdis.compare(two)
    assert found.seeds == (1, 2, 3, 4, 5)
    assert found.baseline == "one"
    assert [(n.setting, n.score.name) for n in found.lines] == [
        ("one", "mcc"), ("two", "mcc"), ("one", "shd"), ("two", "shd"),
    ]  # fmt: skip
    old, new, *_ = found.lines
    assert old.gain is None
    assert math.isnan(old.p)
    before, after = [0.5, 0.6, 0.7, 0.8, 0.6], [0.7, 0.7, 0.9, 0.7, 0.9]
    test = stats.ttest_rel(after, before)
    assert old.summary.mean == pytest.approx(np.mean(before))
    assert new.summary.deviation == pytest.approx(np.std(after, ddof=1))
    assert new.gain.mean == pytest.approx(0.14)
    assert new.gain.mean / new.gain.standard_error == pytest.approx(test.statistic)
    ends = test.confidence_interval()
    assert (new.gain.low, new.gain.high) == pytest.approx((ends.low, ends.high))
    assert (new.gain.positive, new.gain.seeds) == (4, 5)
    # Of the sizes .2 .1 .2 .1 .3 the signs whose sum is at least .7 are all +, and
    # those with one .1 turned; and all of these turned around.
    assert new.p == pytest.approx(3 * 2 / 32)


def test_a_gain_in_a_score_of_which_less_is_better_is_above_0(two):
    found = jaxdis.compare(two, ["shd"])
    # 1 2 3 4 5 became 1 1 1 2 9
    gain = found.lines[1].gain
    assert gain.mean == pytest.approx((0 + 1 + 2 + 2 - 4) / 5)
    assert (gain.positive, gain.seeds) == (3, 5)
    back = jaxdis.compare(two, ["shd"], baseline=1)
    assert back.lines[0].gain.mean == pytest.approx(-gain.mean)
    assert back.lines[1].gain is None


def test_what_is_printed_says_what_it_is(two, capsys):
    change(two[1], "config.json", config={"z_dim": 8, "encoder": [64, 64]})
    assert command("compare", *two) == 0
    said = words(capsys.readouterr().out)
    for cell in (
        "MCC ↑",
        "0.640 ± 0.114",
        "0.780 ± 0.110",
        "+0.140 ± 0.068",
        "−0.048 to +0.328",
        "4 of 5",
        "p, holm",
        "5 seeds in common. ±: sample standard deviation over seeds, and of gains the "
        "standard error.",
        "Gain: over one, paired over the seeds; above 0 is better.",
        "two-sided, for 2 comparisons.",
        "5 seeds cannot give a p below 0.0625.",
        "What was varied: config.z_dim: 4 and 8.",
    ):
        assert cell in said


def test_p_values_are_corrected_for_all_comparisons(tmp_path):
    make_run(tmp_path / "grid", seeds=8, points=4)
    found = jaxdis.compare([tmp_path / "grid"], ["mcc", "nll"])
    assert [line.setting for line in found.lines[:2]] == ["bound_a 10", "bound_a 25"]
    p = [line.p for line in found.lines]
    assert np.isfinite(p).sum() == 6
    corrected = [line.corrected for line in found.lines]
    np.testing.assert_allclose(corrected, statistics.holm(p))
    plain = jaxdis.compare([tmp_path / "grid"], ["mcc", "nll"], correction="none")
    np.testing.assert_array_equal([line.corrected for line in plain.lines], p)


def test_failed_seeds_and_those_without_the_score_are_told_apart(two, capsys):
    change(two[0], "results.json", failed_seeds=[[2]])
    scores_of(two[1], mcc=[0.7, 0.7, None, 0.7, 0.9, 0.0])
    found = jaxdis.compare(two, ["mcc"])
    old, new = found.lines
    assert (old.summary.seeds, old.lived) == (4, 4)
    assert (new.summary.seeds, new.lived) == (4, 5)
    assert (new.gain.positive, new.gain.seeds) == (2, 3)
    assert command("compare", *two, "--scores", "mcc") == 0
    said = words(capsys.readouterr().out)
    assert "4 of 5" in said
    assert "one: left out as failed: seeds 2" in said


@pytest.mark.parametrize(
    ("file", "changes", "told"),
    [
        ("config.json", {"data": {"x_dim": 25}}, "data.x_dim: 20 and 25"),
        ("config.json", {"data": {"set": "B", "x_dim": 2}}, "data.set: none and B"),
        ("results.json", {"steps": 100}, "steps: 2000 and 100"),
        ("data.json", {"spec": {"rows": 800}}, "rows: 700 and 800"),
        (
            "data.json",
            {"preparation": {"x": {"mean": [1.0], "std": [1.5]}}},
            "rows: the numbers of x have other means and deviations",
        ),
    ],
)
def test_runs_of_other_data_rows_or_steps_are_not_ranked(
    two, capsys, tmp_path, file, changes, told
):
    kept = {
        "spec": {"rows": 700},
        "preparation": {"x": {"mean": [1.0], "std": [1.0]}, "a": None},
    }
    for run in two:
        (run / "data.json").write_text(json.dumps(kept))
    assert jaxdis.compare(two).apart == ()
    old = json.loads((two[1] / file).read_text())
    merged = {n: {**dict(old.get(n) or {}), **v} if isinstance(v, dict) else v
              for n, v in changes.items()}  # fmt: skip
    change(two[1], file, **merged)
    found = jaxdis.compare(two)
    assert found.apart == (told,)
    assert all(line.gain is None for line in found.lines)
    assert found.lines[0].summary.mean == pytest.approx(0.64)
    assert command("compare", *two) == 2
    said = capsys.readouterr()
    assert "0.640 ± 0.114" in said.out
    assert "positive" not in said.out
    assert f"not ranked: they differ in {told}. Give --anyway" in words(said.err)
    assert command("compare", *two, "--anyway") == 0
    said = words(capsys.readouterr().out)
    assert "4 of 5" in said
    assert f"These runs differ in {told}." in said
    assert len(jaxdis.compare(two, anyway=True).apart) == 1


def test_rounding_of_what_was_kept_is_no_difference(two):
    for run, mean in zip(two, (1.0, 1.0000001), strict=True):
        kept = {"spec": {}, "preparation": {"x": {"mean": [mean], "std": [1.0]}}}
        (run / "data.json").write_text(json.dumps(kept))
    assert jaxdis.compare(two).apart == ()


def test_runs_of_other_methods_are_compared_by_the_scores_that_both_have(two, capsys):
    change(two[1], "config.json", method="another", config={"depth": 3})
    declared = {"mcc": {"title": "MCC", "better": "higher"}, "own": {"title": "Own"}}
    change(two[1], "results.json", scores=declared)
    assert command("compare", *two) == 0
    said = words(capsys.readouterr().out)
    assert "What was varied: method: invented and another." in said
    assert "SHD" not in said
    change(two[1], "results.json", scores={"own": {"title": "Own", "better": "lower"}})
    with pytest.raises(ValueError, match=r"no score in common .* one: mcc, shd"):
        jaxdis.compare(two)
    unlike = {"mcc": {"title": "MCC", "better": "lower"}}
    change(two[1], "results.json", scores=unlike)
    with pytest.raises(ValueError, match="mcc is not the same score in all"):
        jaxdis.compare(two, ["mcc"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scores", "mc"], "there is no score 'mc'; the nearest name is 'mcc'"),
        (["--baseline", "2"], "baseline must be the number of a setting, of 0 one, 1"),
        (["--baseline", "-1"], "baseline must be the number of a setting"),
        (["--correction", "tukey"], "correction must be one of 'holm', 'bonferroni'"),
        (["--out", "table.tex"], "out must end in .csv or .parquet"),
    ],
)
def test_what_cannot_be_compared_is_said(two, capsys, arguments, told):
    assert command("compare", *two, *arguments) == 2
    said = capsys.readouterr()
    assert told in words(said.err)
    assert said.out == ""


def test_what_is_no_run_or_no_pair_is_said(two, tmp_path, capsys):
    def complaint(*runs):
        assert command("compare", *runs) == 2
        return words(capsys.readouterr().err)

    assert f"there is no folder {tmp_path / 'none'};" in complaint(
        two[0], tmp_path / "none"
    )
    (tmp_path / "empty").mkdir()
    assert "config.json is missing" in complaint(two[0], tmp_path / "empty")
    assert "one is given twice" in complaint(two[0], two[0])
    assert "there is one setting, one, and a comparison needs two" in complaint(two[0])
    make_run(tmp_path / "far", seeds=2, first=40)
    said = complaint(two[0], tmp_path / "far")
    assert "no seed in common, of which gains are: one 0 to 5, far 40 to 41." in said
    assert "`jaxdis merge` makes one run" in said  # they are parts of one setting
    kill(two[1])
    said = complaint(*two)
    assert "two has not finished: step 2,000 of 2,000; there are no scores" in said
    assert "Go on with: jaxdis resume" in said
    change(two[1], "config.json", shards=2)
    assert "trained in shards and has no scores yet" in complaint(*two)
    with pytest.raises(ValueError, match="at least one run, got none"):
        jaxdis.compare([])


def test_one_run_and_one_score_need_no_list(tmp_path):
    make_run(tmp_path / "grid", points=2)
    found = jaxdis.compare(str(tmp_path / "grid"), "mcc")
    assert {line.score.name for line in found.lines} == {"mcc"}
    assert str(found) == str(jaxdis.compare([tmp_path / "grid"], ["mcc"]))
    page = report.side_by_side(tmp_path / "grid", tmp_path / "page.html")
    assert page.is_file()


def test_agreement_is_compared_when_it_is_asked_for(two):
    declared = {"agreement": {"title": "Agreement", "better": "higher"}}
    declared |= {"mcc": {"title": "MCC", "better": "higher"}}
    values = {name: [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]] for name in declared}
    for run in two:
        change(run, "results.json", scores=declared, metrics=values)
    assert {line.score.name for line in jaxdis.compare(two).lines} == {"mcc"}
    found = jaxdis.compare(two, ["agreement"])
    assert found.lines[1].gain.mean == pytest.approx(-0.1)


def test_one_seed_and_a_merged_run_that_lacks_some(tmp_path, capsys):
    for name in ("one", "two"):
        make_run(tmp_path / name, seeds=1)
    change(tmp_path / "two", "results.json", missing=["shard 2 of 2 (seeds 1)"])
    scores_of(tmp_path / "two", mcc=[1.0], shd=[1.0], nll=[0.0])
    assert command("compare", tmp_path / "one", tmp_path / "two") == 0
    said = words(capsys.readouterr().out)
    assert "1 of 1" in said
    assert "1 seed in common." in said
    assert "two: not in this table: shard 2 of 2 (seeds 1)" in said
    line = jaxdis.compare([tmp_path / "one", tmp_path / "two"], ["mcc"]).lines[1]
    assert line.p == 1
    assert math.isnan(line.gain.standard_error)


def test_the_table_in_a_file(two, tmp_path):
    out = tmp_path / "table.csv"
    assert command("compare", *two, "--out", out) == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["setting"], r["score"]) for r in rows[:2]] == [
        ("one", "mcc"), ("two", "mcc"),
    ]  # fmt: skip
    assert rows[0]["gain_mean"] == ""
    line = jaxdis.compare(two).lines[1]
    assert float(rows[1]["gain_mean"]) == line.gain.mean
    assert float(rows[1]["deviation"]) == line.summary.deviation
    assert float(rows[1]["p_corrected"]) == line.corrected
