"""Which point and seed of a run to take, from the shell."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import jaxdis
from jaxdis import experiment, metrics
from tests import own_method
from tests.report.runs import kill, make_run
from tests.shell import command

pytestmark = pytest.mark.usefixtures("sketches")

FILE = Path(own_method.__file__)


def train(folder: Path, *words) -> Path:
    """A run of two points that was trained on a csv, which stays."""
    rows, file = own_method.draw(60), folder / "rows.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*own_method.NAMES.x, "price"])
        writer.writerows(np.concatenate([rows.x, rows.y], 1).tolist())
    code = command(
        "train", f"{FILE}:METHOD/table", "--data", "own_file", "--data.file", file,
        "--data.x", "length", "width", "mass", "--data.y", "price",
        "--hyper.penalty", "0", "0.5", "--out", folder / "run", *words,
    )  # fmt: skip
    assert code == 0
    return folder / "run"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"), "--seeds", "3")


def selected(capsys, *words):
    """The exit code, what is printed and what is complained of."""
    code = command("select", *words)
    return code, *capsys.readouterr()


def declare(path: Path, **changes):
    """Says which scores of an invented run need the truth."""
    file = path / "results.json"
    found = json.loads(file.read_text())
    for name, score in found["scores"].items():
        score["truth"] = name != "nll"
    file.write_text(json.dumps(found | changes))


@pytest.fixture
def invented(tmp_path):
    make_run(tmp_path / "run", points=3, seeds=4, failed=(1,))
    declare(tmp_path / "run")
    return tmp_path / "run"


def test_a_trained_run_is_ranked_and_the_choice_is_that_of_python(
    trained, capsys, tmp_path
):
    code, out, _ = selected(capsys, trained, "--out", tmp_path / "found.json")
    assert code == 0
    run = jaxdis.load(trained)
    chosen, found = run.choose(), run.select()
    assert (found.point, found.seed) == chosen[:2]
    label = run.record.groups[chosen.point].label
    assert f"take {label}, seed {chosen.seed}: chosen by " in out
    written = json.loads((tmp_path / "found.json").read_text())
    assert (written["point"], written["seed"]) == chosen[:2]
    np.testing.assert_allclose(
        written["rankings"]["udr"]["points"], run.record.results["udr"]
    )


def test_other_kinds_of_udr_are_of_codes_that_are_made_again(trained, capsys):
    code, out, _ = selected(capsys, trained, "--kind", "spearman")
    assert code == 0
    assert "UDR (spearman)" in out
    run = jaxdis.load(trained)
    found = run.select("spearman").rankings["udr"]
    x = np.asarray(experiment.prepare(experiment.plan_of(trained)).splits.test.x)
    # The encoder is a matrix; rows of the state are those of the points in turn.
    codes = np.einsum("nx,rxz->rnz", x, np.asarray(run.model.state.params["encoder"]))
    for point, own in enumerate(codes.reshape(2, 3, *codes.shape[1:])):
        expected = float(metrics.udr(own, kind="spearman"))
        assert found.points[point] == pytest.approx(expected, abs=1e-5)


def test_points_seeds_and_the_worth_of_the_choice_are_printed(invented, capsys):
    code, out, _ = selected(capsys, invented)
    assert code == 0
    for words in (
        "Grid points", "Seeds of bound_a 10", "1 failed", "3 of 4",
        "How good that was, by MCC", "regret, best seed", "correlation, 3 points",
        "correlation, 9 seeds", "note: 3 of 12 runs failed and are left out",
        "note: there is no UDR",
    ):  # fmt: skip
        assert words in out, words
    assert "chosen by held-out NLL, without truth" in out


def test_without_truth_nothing_is_said_of_it(invented, capsys):
    found = json.loads((invented / "results.json").read_text())
    del found["metrics"]["mcc"], found["metrics"]["shd"]
    del found["scores"]["mcc"], found["scores"]["shd"]
    (invented / "results.json").write_text(json.dumps(found))
    code, out, _ = selected(capsys, invented)
    assert code == 0
    assert "MCC" not in out
    assert "regret" not in out


def test_many_seeds_are_listed_where_they_are_asked_for(tmp_path, capsys):
    make_run(tmp_path / "run", points=2, seeds=30)
    declare(tmp_path / "run")
    _, short, _ = selected(capsys, tmp_path / "run")
    assert short.count("Seeds of bound_a") == 1
    assert "--all lists the seeds of the other points" in short
    _, long, _ = selected(capsys, tmp_path / "run", "--all")
    assert long.count("Seeds of bound_a") == 2


def test_a_run_that_was_killed_is_refused_with_the_way_on(invented, capsys):
    kill(invented, saved=1000)
    code, _, said = selected(capsys, invented)
    assert code == 2
    assert "there are no scores of held-out rows to choose by" in said
    assert "come to step" in said
    assert "jaxdis resume" in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"failed_seeds": [[0, 1, 2, 3]] * 3}, "all 12 seeds of the run failed"),
        ({"metrics": {}}, "there is nothing to choose by"),
    ],
)
def test_where_nothing_can_be_chosen_it_is_said(invented, capsys, changes, words):
    declare(invented, **changes)
    code, _, said = selected(capsys, invented)
    assert code == 2
    assert words in said


def test_codes_that_cannot_be_had_are_said(invented, capsys):
    code, _, said = selected(capsys, invented, "--kind", "lasso")
    assert code == 2
    assert "invented" in said
    code, _, said = selected(capsys, invented / "nowhere")
    assert code == 2
    assert "nowhere" in said


def test_data_that_are_gone_are_named(trained, capsys):
    file = trained.parent / "rows.csv"
    kept = file.read_text()
    file.unlink()
    try:
        code, _, said = selected(capsys, trained, "--kind", "lasso")
    finally:
        file.write_text(kept)
    assert code == 2
    assert "needs the codes of the test rows, which cannot be had again" in said
    assert "rows.csv" in said


def test_a_run_that_was_merged_is_ranked_as_any(trained, tmp_path, capsys):
    words = ("--seeds", "3")
    for i in (1, 2, 3):
        folder = tmp_path / "apart"
        folder.mkdir(exist_ok=True)
        train(folder, *words, "--shard", f"{i}/3")
    assert command("merge", tmp_path / "apart" / "run") == 0
    capsys.readouterr()
    code, out, _ = selected(capsys, tmp_path / "apart" / "run")
    assert code == 0
    assert out.splitlines()[-1].startswith("take ")
    _, whole, _ = selected(capsys, trained)
    assert out.splitlines()[-1] == whole.splitlines()[-1]
