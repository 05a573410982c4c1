"""What a trained run is used for from the shell: codes, scores, a table of numbers."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import jaxdis
from tests import own_method
from tests.shell import command

pytestmark = pytest.mark.usefixtures("sketches")

FILE = Path(own_method.__file__)
ROWS = own_method.draw(60)
NEW = own_method.draw(9, 7)
COLUMNS = (*own_method.NAMES.x, "price")


def write_csv(path: Path, columns: dict) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def columns_of(rows) -> dict:
    values = np.concatenate([rows.x, rows.y], 1).T
    return dict(zip(COLUMNS, values.tolist(), strict=True))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A run that was trained on a csv, which is gone."""
    folder = tmp_path_factory.mktemp("runs")
    file = write_csv(folder / "rows.csv", columns_of(ROWS))
    code = command(
        "train", f"{FILE}:METHOD/table", "--data", "own_file", "--data.file", file,
        "--data.x", "length", "width", "mass", "--data.y", "price",
        "--seeds", "2", "--hyper.penalty", "0", "0.5", "--out", folder / "run",
    )  # fmt: skip
    assert code == 0
    file.unlink()
    return folder / "run"


@pytest.fixture
def new(tmp_path):
    """New rows, whose columns come in another order."""
    found = columns_of(NEW)
    return write_csv(tmp_path / "new.csv", {n: found[n] for n in reversed(found)})


def test_codes_in_every_kind_of_file(directory, new, tmp_path):
    run = jaxdis.load(directory)
    expected = run.encode(NEW.x.astype(np.float32))
    assert command("encode", directory, new, "--out", tmp_path / "z.npz") == 0
    with np.load(tmp_path / "z.npz") as found:
        np.testing.assert_allclose(found["codes"], expected, rtol=1e-5, atol=1e-6)
        assert found["seeds"].tolist() == [0, 1]
    words = ["encode", directory, new, "--point", 1, "--seed", 1, "--out"]
    assert command(*words, tmp_path / "z.csv") == 0
    with (tmp_path / "z.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["seed", "row", "z_0", "z_1"]
    assert [(r["seed"], r["row"]) for r in rows] == [("1", str(i)) for i in range(9)]
    one = run.encode(NEW.x.astype(np.float32), seed=1, point=1)
    codes = [[float(r["z_0"]), float(r["z_1"])] for r in rows]
    np.testing.assert_allclose(codes, one, rtol=1e-5, atol=1e-6)
    parquet = pytest.importorskip("pyarrow.parquet")
    assert command("encode", directory, new, "--out", tmp_path / "z.parquet") == 0
    table = parquet.read_table(tmp_path / "z.parquet").to_pydict()
    assert table["seed"] == [0] * 9 + [1] * 9
    np.testing.assert_allclose(table["z_1"], expected[..., 1].ravel(), 1e-5, 1e-6)


def test_codes_of_other_files(directory, tmp_path):
    np.savez(tmp_path / "new.npz", seen=NEW.x)
    np.save(tmp_path / "new.npy", NEW.x)
    out = tmp_path / "z.npz"
    words = ["encode", directory, tmp_path / "new.npz", "--out", out]
    assert command(*words, "--data.x", "seen", "--seed", "best") == 0
    with np.load(out) as found:
        assert found["codes"].shape == (1, 9, 2)
    assert command("encode", directory, tmp_path / "new.npy", "--out", out) == 0
    with np.load(out) as found:
        assert found["codes"].shape == (2, 9, 2)


def test_rows_of_a_series_have_a_code_each(directory, new, tmp_path):
    rows = new.read_text().splitlines()
    table = [
        "episode," + rows[0],
        *(f"{i // 5},{row}" for i, row in enumerate(rows[1:])),
    ]
    series, out = tmp_path / "series.csv", tmp_path / "z.npz"
    series.write_text("\n".join(table) + "\n")
    assert command("encode", directory, series, "--out", out) == 0
    run = jaxdis.load(directory)
    with np.load(out) as found:
        expected = run.encode(NEW.x.astype(np.float32))
        np.testing.assert_allclose(found["codes"], expected, rtol=1e-5, atol=1e-6)
    assert command("encode", directory, series, "--data.window", 3, "--out", out) == 0
    with np.load(out) as found:
        assert found["codes"].shape == (2, 3, 3, 2)


def test_scores_on_other_data(directory, new, tmp_path, capsys):
    out = tmp_path / "scores.json"
    assert command("evaluate", directory, new, "--out", out) == 0
    found = json.loads(out.read_text())
    assert found["seeds"] == [0, 1]
    assert found["scores"]["mcc"] == [[None, None], [None, None]]
    run = jaxdis.load(directory)
    x = NEW.x.astype(np.float32)
    scale = run.model.preparation.x
    error = ((run.decode(run.encode(x)) - x) / scale.std) ** 2
    np.testing.assert_allclose(
        found["scores"]["distance"][0], error.mean((1, 2)), rtol=1e-4
    )
    assert "penalty=0.5" in capsys.readouterr().out


def test_all_numbers_in_one_long_table(directory, tmp_path):
    out = tmp_path / "long.csv"
    assert command("export", directory, "--out", out) == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "run", "method", "preset", "point", "learning_rate", "penalty", "seed", "step",
        "split", "metric", "value",
    ]  # fmt: skip
    run = jaxdis.load(directory)
    assert {r["split"] for r in rows} == {"train", "valid", "test"}
    # 2 points, 2 seeds; 5 steps of loss, error and three scores; at last also those
    # that every run has, agreement and dead codes.
    assert len(rows) == 4 * (5 * 5 + 5)

    def value(**wanted):
        (found,) = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
        return float(found["value"] or "nan")

    where = {"point": "1", "seed": "1", "penalty": "0.5"}
    final = value(**where, split="test", metric="distance", step="5")
    assert final == pytest.approx(run.scores["distance"][1, 1])
    curve = value(**where, split="train", metric="error", step="3")
    assert curve == pytest.approx(run.history["train_error"][1, 1, 2])
    assert np.isnan(value(**where, split="test", metric="mcc"))


def test_runs_with_other_hyper_parameters_share_a_table(directory, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "long.parquet"
    assert command("export", directory, directory, "--out", out) == 0
    assert parquet.read_table(out).num_rows == 2 * 4 * (5 * 5 + 5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encode", "RUN", "NEW", "--out", "codes.txt"], "out must end in .npz or"),
        (["encode", "RUN", "NEW", "--out", "no/codes.npz"], "directory that exists"),
        (["encode", "RUN", "NEW", "--seed", "7"], "seed must be one of 0, 1, got 7"),
        (["encode", "RUN", "NEW", "--seed", "x"], "seed must be a number or 'best'"),
        (["encode", "RUN", "NEW", "--point", "2"], "point must be below 2"),
        (["encode", "RUN", "NEW", "--checkpoint", "3"], "steps that are kept"),
        (["encode", "RUN", "none.csv"], "none.csv"),
        (["encode", "none", "NEW"], "none holds no run"),
        (["encode", "RUN", "NEW", "--data.x", "length"], "lacks the columns width"),
        (["evaluate", "RUN", "NEW", "--data.x", "depth"], "depth"),
        (["evaluate", "RUN", "NEW", "--out", "scores.csv"], "out must end in .json"),
        (["export", "none", "--out", "long.csv"], "none holds no run"),
        (["export", "RUN", "--out", "long.xlsx"], "out must end in .csv or .parquet"),
    ],
)
def test_mistakes_are_one_message_and_leave_nothing(
    words, message, directory, new, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    places = {"RUN": directory, "NEW": new}
    assert command(*(places.get(word, word) for word in words)) == 2
    captured = capsys.readouterr()
    assert message in " ".join((captured.err + captured.out).split())
    assert captured.err.count("jaxdis: error:") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["new.csv"]
