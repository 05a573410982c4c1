"""`jaxdis evaluate`: codes from anywhere, and a run's beside its true latents."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import jaxdis
from jaxdis import metrics
from jaxdis.types import Rows
from tests import own_method
from tests.shell import command

pytestmark = pytest.mark.usefixtures("sketches")

FILE = Path(own_method.__file__)
RNG = np.random.default_rng(0)
Z = RNG.integers(0, 4, (60, 2))
CODES = Z[:, ::-1] + RNG.normal(size=(2, 60, 2))
FAST = ("--metrics", "mcc", "r", "--bootstrap", "20")


def saved(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A run on data of which the true latents are known."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    code = command(
        "train", f"{FILE}:METHOD/table", "--data.known", "--seeds", "2",
        "--hyper.penalty", "0", "0.5", "--out", folder,
    )  # fmt: skip
    assert code == 0
    return folder


def test_codes_from_anywhere(tmp_path, capsys):
    file = saved(tmp_path / "codes.npz", z=Z, codes=CODES, seeds=[3, 8])
    out = tmp_path / "scores.csv"
    assert command("evaluate", "--codes", file, *FAST, "--out", out) == 0
    rows = table(out)
    assert [(r["score"], r["seed"]) for r in rows] == [
        ("mcc", "3"), ("mcc", "8"), ("r", "3"), ("r", "8"),
    ]  # fmt: skip
    for row, value in zip(rows[:2], np.asarray(metrics.mcc(Z, CODES)), strict=True):
        assert float(row["value"]) == pytest.approx(value, abs=1e-6)
        assert float(row["low"]) < value < float(row["high"])
        assert 0 < float(row["null"]) < 0.4
    shown = capsys.readouterr().out
    assert "codes.npz" in shown
    assert "factors: 2 of 4 classes" in shown
    assert "useless code" in shown


def test_nulls_and_intervals_can_be_left_out(tmp_path):
    file = saved(tmp_path / "codes.npz", z=Z, codes=CODES[0])
    out = tmp_path / "scores.json"
    words = ("--metrics", "mcc", "--bootstrap", 0, "--no-null", "--out", out)
    assert command("evaluate", "--codes", file, *words) == 0
    found = json.loads(out.read_text())
    (score,) = found["points"][0]["scores"]
    assert score["low"] is score["null"] is None
    assert score["value"] == pytest.approx(float(metrics.mcc(Z, CODES[0])), abs=1e-6)


def test_a_file_says_what_its_factors_are(tmp_path, capsys):
    mask = np.ones(Z.shape, bool)
    mask[:9, 0] = False
    file = saved(
        tmp_path / "codes.npz", z=np.where(mask, Z, np.nan), codes=CODES[0],
        discrete=[1, 0], mask=mask, pattern=np.eye(2, dtype=int),
    )  # fmt: skip
    words = ("--metrics", "mcc", "r_con", "--bootstrap", 0, "--no-null")
    out = tmp_path / "scores.csv"
    assert command("evaluate", "--codes", file, *words, "--out", out) == 0
    assert "factors: 1 of 4 classes, 1 of numbers" in capsys.readouterr().out
    rows = table(out)
    assert {row["rows"] for row in rows} == {"51"}
    # A pattern of nothing that may stay mixed leaves one code for each factor.
    assert float(rows[0]["value"]) == pytest.approx(float(rows[1]["value"]), abs=1e-5)


def test_a_run_beside_its_true_latents(directory, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    assert command("evaluate", directory, *FAST, "--out", out) == 0
    rows = table(out)
    assert len(rows) == 2 * 2 * 2  # points, scores, seeds
    test = own_method.Table(known=True).load().test
    run = jaxdis.load(directory)
    z, codes, steps = run.truth_and_codes()
    assert steps == 1
    np.testing.assert_array_equal(z, test.z)
    for point in (0, 1):
        expected = np.asarray(metrics.mcc(z, codes[point]))
        found = [
            float(r["value"])
            for r in rows
            if r["score"] == "mcc" and r["point"] == str(point)
        ]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert {row["penalty"] for row in rows} == {"0.0", "0.5"}
    assert "held-out rows (penalty=0.5)" in capsys.readouterr().out
    # The codes are those of the same observations as a user has them.
    raw = own_method.draw(40, known=True)
    own = run.truth_and_codes(Rows(raw.x[8:16], z=raw.z[8:16], names=raw.names))
    np.testing.assert_allclose(own.codes, codes, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(own.z, z, rtol=1e-6)


def test_a_run_on_other_rows(directory, tmp_path):
    new = own_method.draw(30, 5, known=True)
    file = saved(tmp_path / "new.npz", x=new.x, y=new.y, z=new.z)
    out = tmp_path / "scores.csv"
    assert command("evaluate", directory, file, *FAST, "--out", out) == 0
    codes = jaxdis.load(directory).encode(new.x.astype(np.float32))
    expected = np.asarray(metrics.mcc(new.z, codes))
    found = [float(r["value"]) for r in table(out)[:2]]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Without names of metrics it is what the run's report would show.
    file = saved(tmp_path / "new.npz", x=new.x, price=new.y[:, 0], z=new.z)
    words = ("--data.y", "price", "--out", tmp_path / "own.json")
    assert command("evaluate", directory, file, *words) == 0
    found = json.loads((tmp_path / "own.json").read_text())
    assert found["scores"]["mcc"] == [[0.5, 0.5], [0.5, 0.5]]


def test_rows_without_true_latents_are_told_of(directory, tmp_path, capsys):
    file = saved(tmp_path / "new.npz", x=own_method.draw(9).x)
    assert command("evaluate", directory, file, "--metrics", "mcc") == 2
    assert "these rows have no true latents z" in capsys.readouterr().err


def test_bad_files_are_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    gap = Z.astype(float)
    gap[3, 1] = np.nan
    whole = saved(tmp_path / "whole.npz", z=Z, codes=CODES).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    saved(tmp_path / "no_z.npz", codes=CODES)
    saved(tmp_path / "rows.npz", z=Z[1:], codes=CODES)
    saved(tmp_path / "gap.npz", z=gap, codes=CODES)
    broken = np.where(Z[:, :1] == 1, np.nan, CODES[0])  # of one run, not of seeds
    saved(tmp_path / "broken.npz", z=Z, codes=broken)
    saved(tmp_path / "words.npz", z=Z.astype(str), codes=CODES)
    saved(tmp_path / "objects.npz", z=Z, codes=np.array([{}] * 60, object))
    saved(tmp_path / "seeds.npz", z=Z, codes=CODES, seeds=[1])
    saved(tmp_path / "kinds.npz", z=Z, codes=CODES, discrete=[True])
    messages = {
        "cut": "codes must be a readable npz of z and codes; cut.npz:",
        "no_z": "codes must hold z and codes; no_z.npz lacks z and has codes",
        "rows": "codes has 60 rows and z has 59; both must hold the same samples",
        "gap": "z is NaN or infinite at row 3, column 1; pass mask=",
        "broken": "codes is NaN or infinite at codes[",
        "words": "z holds strings; it must hold integers or real numbers",
        "objects": "Python objects",
        "seeds": "seeds has shape (1,)",
        "kinds": "discrete must be 'auto', or true, false or the number of classes",
        "none": "none.npz",
    }
    for name, message in messages.items():
        assert command("evaluate", "--codes", f"{name}.npz") == 2
        said = capsys.readouterr()
        assert message in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metrics", "mcc"], "name a run, or codes from anywhere"),
        (["run", "--codes", "whole.npz"], "name one of both"),
        (["--codes", "whole.npz", "--metrics", "mmc"], "the nearest name is 'mcc'"),
        (["--codes", "whole.npz", "--out", "x.txt"], "out must end in .csv or .json"),
        (
            ["--codes", "whole.npz", "--confidence", "2"],
            "confidence must be above 0 and below 1",
        ),
        (["--codes", "whole.npz", "--bootstrap", "-1"], "bootstrap must be at least 0"),
    ],
)
def test_mistakes_are_one_message(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "whole.npz", z=Z, codes=CODES)
    assert command("evaluate", *words) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["whole.npz"]
