"""Reports of runs that were killed or still train."""

import json
import os
import shutil

import numpy as np
import pytest

import jaxdis
from jaxdis import checkpoint, lock, report
from jaxdis.report import read, unfinished
from tests.report.runs import METHOD, STEPS, kill, make_run
from tests.report.test_page import check_picture, words


@pytest.fixture
def killed(tmp_path):
    """A run that was killed after 1,900 of 2,000 steps, and saved after 1,800."""
    make_run(tmp_path / "killed", seeds=3, failed=(1,))
    kill(tmp_path / "killed", saved=1_800, drop=3)
    return tmp_path / "killed"


def test_a_killed_run_has_its_curves_and_says_where_it_stands(killed):
    record = unfinished.load(killed)
    (group,) = record.groups
    np.testing.assert_array_equal(group.steps, STEPS[:-1])
    assert read.failed_seeds(group) == [1]  # nothing of it is logged any more
    assert list(record.scores) == ["mcc"]
    assert record.scores["mcc"].better == "higher"
    text = words(report.build(killed, METHOD))
    # Of the seeds that live, 1 - exp(-1900 / 400).
    assert (
        "Not finished: step 1,900 of 2,000; MCC 0.991 ± 0.000 by now, on validation"
    ) in text
    assert "it has come to step 1,900 of 2,000.</li>" in text
    assert "<li>The last checkpoint is that of step 1,800.</li>" in text
    assert f"<li>Nobody trains it now; go on with: jaxdis resume {killed}</li>" in text
    for fact in ("1,900", "3 (chip)", "7.5 s", "250 ms", "9.8"):
        assert f"<dd>{fact}</dd>" in text
    check_picture(killed / "curves.png")
    for name in ("seeds", "matrix"):
        assert not (killed / f"{name}.png").exists()
    assert "<h2>Results</h2>" not in text
    assert "<h2>Hyper-parameters</h2>" in text


def test_a_row_that_was_not_written_any_more_has_not_failed(tmp_path):
    make_run(tmp_path / "run", seeds=3, failed=(0,))
    kill(tmp_path / "run", drop=1)  # after the last step of seeds 0 and 1
    (group,) = unfinished.load(tmp_path / "run").groups
    assert np.isnan(group.curves["loss"][:, -1]).tolist() == [True, False, True]
    assert read.failed_seeds(group) == [0]
    report.build(tmp_path / "run", METHOD)


def test_a_run_that_never_saved_has_a_page(tmp_path):
    make_run(tmp_path / "run", points=2)
    kill(tmp_path / "run", drop=2 * 4 * len(STEPS))
    text = words(report.build(tmp_path / "run", METHOD))
    assert 'class="headline">Not finished: step 0 of 2,000<' in text
    assert "There is no checkpoint: it starts again from the first step." in text
    (tmp_path / "run" / "metrics.jsonl").unlink()
    (tmp_path / "run" / "data.json").unlink()
    assert words(report.build(tmp_path / "run", METHOD)) == text


def test_a_finished_run_that_is_given_more_has_not_finished(tmp_path):
    run = tmp_path / "run"
    make_run(run, seeds=2)
    assert unfinished.is_finished(run)
    checkpoint.save(run / "checkpoints", 2_000, {"rows": np.zeros(2)})
    assert unfinished.is_finished(run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"steps": 3_000}))
    checkpoint.save(run / "checkpoints", 2_500, {"rows": np.zeros(2)})
    assert not unfinished.is_finished(run)
    assert "Not finished: step 2,500 of 3,000" in words(report.build(run, METHOD))
    shutil.rmtree(run / "checkpoints")
    results = json.loads((run / "results.json").read_text())
    for seeds in ([0], [0, 1]):
        (run / "results.json").write_text(json.dumps(results | {"seeds": seeds}))
        assert unfinished.is_finished(run) == (len(seeds) == 2)


def test_who_trains_is_named(killed):
    taken = lock.take(killed)
    text = words(report.build(killed, METHOD))
    assert f"<li>It trains now: process {os.getpid()} on " in text
    lock.release(taken, killed)
    assert "Nobody trains it now" in words(report.build(killed, METHOD))


def test_a_killed_run_beside_finished_ones_is_marked_and_not_ranked(killed, tmp_path):
    metrics = make_run(tmp_path / "whole", seeds=3)
    page = report.side_by_side([killed, tmp_path / "whole"], tmp_path / "both.html")
    text = words(page)
    assert "killed (not finished: step 1,900 of 2,000)" in text
    assert f"Best of 2 by mean MCC: whole with MCC {metrics['mcc'].mean():.3f}" in text
    assert "; 1 of 6 runs failed; 1 of 2 runs has not finished<" in text
    assert "cannot be ranked" not in text
    check_picture(tmp_path / "both-curves.png")


def test_what_needs_no_results_is_there_from_python(killed):
    run = jaxdis.load(killed, method=METHOD)
    history = run.history
    np.testing.assert_array_equal(history["step"], STEPS[:-1])
    np.testing.assert_allclose(
        history["mcc"][0, 0], 1 - np.exp(-STEPS[:-1] / 400), rtol=1e-6
    )
    assert run.report() == killed / "report.html"
    for ask in (run.table, run.choose, lambda: run.scores, lambda: run.graphs):
        with pytest.raises(ValueError, match=r"results.json is missing: the run has n"):
            ask()


def test_scores_of_an_earlier_version_are_called_by_their_names(killed):
    (killed / "data.json").write_text(json.dumps({"format": 1}))
    (score,) = unfinished.load(killed).scores.values()
    assert (score.name, score.title, score.better) == ("mcc", "mcc", None)
    report.build(killed, METHOD)
