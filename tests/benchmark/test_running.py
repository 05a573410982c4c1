"""A benchmark from the shell: trained, gone on with, shared, and with failures."""

import csv
import json
from pathlib import Path

import pytest

from jaxdis import checkpoint, lock, log
from jaxdis.benchmark import of_table, run
from jaxdis.benchmark.running import FILE
from jaxdis.benchmark.text import plain
from jaxdis.experiment import Stopped
from tests.shell import command

pytestmark = pytest.mark.usefixtures("sketches")

HERE = Path(__file__).parent
OWN = f"{HERE.parent / 'own_method.py'}:METHOD"
FAILING = f"{HERE / 'failing.py'}:METHOD"
BROKEN = f"{HERE / 'failing.py'}:BROKEN"
SIZES = {"z_dim": 2, "x_dim": 3, "test_rows": 40}


def table(**changes):
    """Two methods of milliseconds on two data sets."""
    data = [
        {"name": "one", "dataset": "mixed_factors", "settings": SIZES},
        {"name": "two", "dataset": "mixed_factors", "settings": SIZES | {"seed": 1}},
    ]
    start = {"name": "tiny", "seeds": 2, "steps": 4, "data": data}
    return start | {"methods": [OWN, "baselines/own_observations"]} | changes


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(table()))
    return path


def rows(out):
    with (out / "table.csv").open() as found:
        return {(row["data"], row["method"]): row for row in csv.DictReader(found)}


def written(out):
    """When each finished cell was measured."""
    return {p: p.stat().st_mtime_ns for p in out.glob("*/*/results.json")}


def test_from_nothing_to_a_page(file, tmp_path, capsys):
    out = tmp_path / "out"
    assert command("benchmark", file, "--out", out, "--shard", "1/2") == 0
    first = written(out)
    assert len(first) == 2
    states = [row["state"] for row in rows(out).values()]
    assert sorted(states) == ["finished", "finished", "unfinished", "unfinished"]
    assert command("benchmark", file, "--out", out, "--shard", "2/2") == 0
    every = written(out)
    assert len(every) == 4
    assert all(every[path] == when for path, when in first.items())
    assert command("benchmark", file, "--out", out) == 0
    assert written(out) == every
    said = capsys.readouterr().out
    assert "tiny: MCC" in said
    found = rows(out)
    assert {row["state"] for row in found.values()} == {"finished"}
    own = found["one", f"{OWN}/table"]
    assert (own["mean"], own["seeds"]) == ("0.5", "2")
    raw = found["one", "baselines/own_observations"]
    assert float(raw["gain_raw"]) == pytest.approx(0, abs=1e-6)
    assert "<h2>one</h2>" in (out / "benchmark.html").read_text()
    assert command("benchmark", file, "--out", out, "--steps", "3") == 2
    assert "has steps 4, and this one has 3" in capsys.readouterr().err
    other = table()
    other["data"][1]["settings"]["test_rows"] = 41
    file.write_text(json.dumps(other))
    assert command("benchmark", file, "--out", out) == 2
    said = capsys.readouterr().err
    assert "has other data (data.settings.test_rows is 40 there and 41 here)" in said
    assert "give another directory, or the data another name" in said
    assert command("benchmark", file, "--out", out, "--data", "one") == 0
    assert written(out) == every


def test_a_cell_that_fails_is_named_and_the_others_finish(file, tmp_path, capsys):
    out, one = tmp_path / "out", ("--data", "one", "--methods")
    assert command("benchmark", file, "--out", out, *one, FAILING, BROKEN, OWN) == 1
    found = rows(out)
    failed = found["one", f"{BROKEN}/table"]
    assert (failed["state"], failed["note"]) == ("failed", "no network")
    failed = found["one", f"{FAILING}/table"]
    assert (failed["state"], failed["note"]) == ("failed", "no rows")
    assert found["one", f"{OWN}/table"]["state"] == "finished"
    assert "failing.py:METHOD/table: no rows" in capsys.readouterr().out
    assert command("benchmark", file, "--out", out, *one, FAILING, "--table") == 1


def test_an_interrupted_cell_goes_on(tmp_path, monkeypatch):
    benchmark, out = of_table(table(methods=[OWN])), tmp_path / "out"

    def stopped(plan, execution):
        """Trains the first cell for two steps of four."""
        keep = execution._replace(checkpoint_seconds=0, callbacks=[lambda c: False])
        carry_out(plan._replace(steps=2), keep)
        raise Stopped(execution.out, 2)

    from jaxdis.benchmark import running

    carry_out = running.carry_out
    monkeypatch.setattr(running, "carry_out", stopped)
    with pytest.raises(Stopped):
        run(benchmark, out)
    monkeypatch.undo()
    cell = out / "one" / "own_method-table"
    assert checkpoint.last(cell / "checkpoints") == 2
    first = run(benchmark, out, train=False)
    assert [o.state for o in first.outcomes] == ["unfinished", "unfinished"]
    results = run(benchmark, out)
    assert [o.state for o in results.outcomes] == ["finished", "finished"]
    config = json.loads((cell / "config.json").read_text())
    assert config["extended"] == [2]  # it went on, and did not start again
    assert checkpoint.last(cell / "checkpoints") == 4


def test_cells_get_more_seeds_and_keep_those_they_had(tmp_path):
    own = table(methods=[OWN], data=table()["data"][:1], score="distance")
    out = tmp_path / "out"
    two = run(of_table(own), out).outcomes[0].values
    three = run(of_table(own | {"seeds": 3}), out).outcomes[0].values
    assert three.shape == (3,)
    assert three[:2] == pytest.approx(two)
    assert len(set(three.tolist())) == 3
    with pytest.raises(ValueError, match="has 3 seeds already, which cannot become 1"):
        run(of_table(own | {"seeds": 1}), out)


def test_a_cell_that_another_process_trains_is_left_alone(tmp_path, capsys):
    benchmark, out = of_table(table(methods=[OWN])), tmp_path / "out"
    cell = out / "one" / "own_method-table"
    cell.mkdir(parents=True)
    log.write_json(out / FILE, plain(benchmark))
    with lock.held(cell):
        results = run(benchmark, out)
    assert [o.state for o in results.outcomes] == ["unfinished", "finished"]
    assert "one: " in capsys.readouterr().out
    assert run(benchmark, out).outcomes[0].state == "finished"


def test_dry_run_names_the_cells_and_writes_nothing(file, tmp_path, capsys):
    out = tmp_path / "out"
    asked = ("--dry-run", "--methods", "pcl", "baselines/own_observations")
    assert command("benchmark", file, "--out", out, *asked) == 0
    said = capsys.readouterr().out
    assert "one: baselines/own_observations: 2 rows, 1 steps" in said
    assert "one: pcl/own: does not fit: pcl needs sequences" in said
    assert "2 cells of 2 seeds" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--methods", "beta_vea"], "the nearest name is 'beta_vae"),
        (["--data", "tow"], "the nearest name is 'two'"),
        (["--scale", "-1"], "scale must be positive"),
        (["--shard", "3/2"], "shard must be I/N with I from 1 to N"),
        (["--score", "mmc"], "there is no score 'mmc'; the nearest name is 'mcc'"),
    ],
)
def test_what_cannot_be_ends_before_anything_is_written(
    file, tmp_path, capsys, args, message
):
    out = tmp_path / "out"
    assert command("benchmark", file, "--out", out, *args) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_directory_of_something_else(file, tmp_path, capsys):
    assert command("benchmark", file, "--out", file) == 2
    assert "out must be a directory, got" in capsys.readouterr().err
    assert command("benchmark", file, "--out", tmp_path / "none", "--table") == 2
    assert "there is no benchmark in" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert command("benchmark", file, "--out", tmp_path) == 2
    assert "holds something else, and is never" in capsys.readouterr().err
