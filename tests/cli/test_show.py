"""`jaxdis report` where no run is named."""

import os
from pathlib import Path

import pytest

from jaxdis import log
from jaxdis.cli import show
from tests.shell import command

pytestmark = pytest.mark.usefixtures("sketches")


@pytest.fixture
def built(tmp_path, monkeypatch):
    """The runs whose reports are built, in a directory of their own."""
    runs = []

    def build(run):
        runs.append(run)
        return run / "report.html"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(show.report, "build", build)
    monkeypatch.setattr(show.report, "promised_in_run", lambda run: [])
    return runs


def trained(name: str, at: float) -> Path:
    """A directory as a run that last learned something at a time."""
    run = Path("runs") / name
    (run / "checkpoints" / "1").mkdir(parents=True)
    log.write_json(run / "config.json", {"method": "any", "preset": "any"})
    log.append_lines(run / "metrics.jsonl", [{"step": 1, "point": 0, "seed": 0}])
    os.utime(run / "config.json", (1.0, 1.0))
    os.utime(run / "metrics.jsonl", (at, at))
    return run


def test_the_run_that_was_trained_last_is_reported(built, capsys):
    trained("older", 100.0)
    newest = trained("newest", 200.0)
    (trained("reported", 50.0) / "report.html").touch()  # now, which is no training
    Path("runs/notes").mkdir()
    Path("runs/begun").mkdir()
    log.write_json(Path("runs/begun/config.json"), {"method": "any", "preset": "any"})
    assert command("report") == 0
    assert built == [newest]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"note: of 3 in runs/, the run that was trained last: {newest}"
    assert said[-1] == f"report: {newest / 'report.html'}"


def test_what_a_paper_takes_is_written_where_it_is_asked_for(
    built, capsys, monkeypatch
):
    def publish(run, kind):
        return run / f"publish as {kind}"

    monkeypatch.setattr(show.report, "publish", publish)
    run = trained("any", 100.0)
    assert command("report", run, "--publish", "svg") == 0
    assert f"for a paper: {run / 'publish as svg'}" in capsys.readouterr().out
    assert command("report", run, "--publish", "png") == 2
    assert "pdf" in "".join(capsys.readouterr())


def test_without_any_run_it_says_what_it_wants(built, capsys):
    assert command("report") == 2
    assert "name a run, as in `jaxdis report RUN`" in capsys.readouterr().err
    assert not built
