"""What a paper takes of a run: vector pictures and tables."""

import csv
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from scipy import stats

from jaxdis import report
from jaxdis.report import paper
from jaxdis.report import read as reading
from tests.report.runs import BOUNDS, METHOD, kill, make_run


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A run of two points, of whose seeds the third failed, and its scores."""
    run = tmp_path_factory.mktemp("grid") / "run_1"
    return run, make_run(run, points=2, failed=(2,), size=4)


def test_pictures_are_vectors_with_words_of_one_size(grid):
    run, _ = grid
    out = report.publish(run, "svg", METHOD)
    assert out == run / "publish"
    names = {path.name for path in out.iterdir()}
    assert {"curves.svg", "seeds.svg", "matrix.svg"} <= names
    assert {"scores.csv", "scores.tex"} <= names
    assert not any(name.endswith(".png") for name in names)
    before = (out / "curves.svg").read_bytes()
    root = ElementTree.fromstring(before)
    scales = re.findall(r"scale\((\S+) -", ElementTree.tostring(root).decode())
    # A letter is drawn at a hundredth of the size of its words.
    assert set(scales) == {"0.11"}
    report.publish(run, "svg", METHOD)
    assert (out / "curves.svg").read_bytes() == before


def test_a_pdf_keeps_letters_as_letters(grid):
    run, _ = grid
    out = report.publish(run, "pdf", METHOD)
    content = (out / "seeds.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/TrueType" in content or b"/Type0" in content
    assert b"CreationDate" not in content


def test_the_csv_has_every_mean_in_full(grid):
    run, scores = grid
    rows = list(csv.DictReader(paper.as_csv(reading.load(run)).splitlines()))
    assert len(rows) == 2 * len(scores)
    for row in rows:
        point = BOUNDS.index(float(row["bound_a"]))
        values = np.delete(scores[row["score"]][point], 2)
        assert row["seeds"] == "3"
        assert float(row["mean"]) == pytest.approx(values.mean(), rel=1e-6)
        assert float(row["std"]) == pytest.approx(values.std(ddof=1), rel=1e-6)
        if row["score"] == "nll":  # the others have a range, which cuts their intervals
            ends = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
            found = float(row["low"]), float(row["high"])
            np.testing.assert_allclose(found, ends, rtol=1e-5)


def test_the_latex_table_has_a_line_for_each_point(grid):
    run, scores = grid
    lines = paper.as_latex(reading.load(run)).splitlines()
    assert "2 of 8 runs failed" in lines[0]
    assert lines[1] == r"\begin{tabular}{lrrr}"
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert len(body) == 2
    for line, values in zip(body, scores["mcc"], strict=True):
        label, cell, *_ = line.removesuffix(r" \\").split(" & ")
        assert r"bound\_a" in label
        alive = np.delete(values, 2)
        assert cell == rf"${alive.mean():.3f} \pm {alive.std(ddof=1):.3f}$"
    assert lines[3].startswith(r"Point & ")
    assert r"$\uparrow$" in lines[3]


def test_one_seed_has_no_spread(tmp_path):
    make_run(tmp_path / "run", seeds=1)
    record = reading.load(tmp_path / "run")
    assert r"\pm" not in paper.as_latex(record).split(r"\midrule")[1]
    (row, *_) = csv.DictReader(paper.as_csv(record).splitlines())
    assert (row["std"], row["low"]) == ("", "")


def test_a_run_that_has_not_finished_is_refused(tmp_path):
    make_run(tmp_path / "run")
    kill(tmp_path / "run")
    with pytest.raises(ValueError, match=r"results\.json is missing"):
        report.publish(tmp_path / "run", "pdf", METHOD)
    assert not (tmp_path / "run" / "publish").exists()
