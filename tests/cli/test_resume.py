"""`jaxdis resume`, and the options of `jaxdis train` that go on with a run."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import textwrap

import pytest

from jaxdis import checkpoint, cli, lock
from jaxdis.experiment.stopping import Stopped
from tests import own_method

pytestmark = pytest.mark.usefixtures("sketches")

OWN = f"{own_method.__file__}:METHOD"
TINY = ["--seeds", "2", "--steps", "4", "--chunk", "2", "--checkpoint-seconds", "0"]
PLACE = "it's [/x] é"  # below a folder


def jaxdis(monkeypatch, *args):
    """Runs a command; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["jaxdis", *map(str, args)])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    return exit.value.code


def train(monkeypatch, out, *args):
    return jaxdis(monkeypatch, "train", OWN, *TINY, "--out", out, *args)


def results(out):
    return json.loads((out / "results.json").read_text())


def files(out):
    """The content of all files below a directory."""
    return {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}


def words(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Four steps of two seeds, at a place that is hard to write."""
    out = tmp_path_factory.mktemp("runs") / PLACE
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert train(monkeypatch, out) == 0
    return out


@pytest.fixture
def run(finished, tmp_path):
    out = tmp_path / PLACE
    shutil.copytree(finished, out)
    return out


def test_the_line_that_is_printed_goes_on(finished, tmp_path, monkeypatch, capfd):
    out, save = tmp_path / PLACE, checkpoint.save

    def stopping(directory, step, *args, **options):
        save(directory, step, *args, **options)
        if step == 2:
            raise Stopped(directory.parent, step, 15)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", stopping)
        assert train(patch, out) == 143
    said = capfd.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(said) if "Go on with:" in line)
    line = said[at + 1]
    assert line == f"  jaxdis resume {shlex.quote(str(out))}"
    assert not (out / "results.json").exists()
    assert jaxdis(monkeypatch, *shlex.split(line)[1:]) == 0
    assert results(out)["metrics"] == results(finished)["metrics"]
    assert "resuming after step 2" in capfd.readouterr().out


def test_more_steps_and_more_seeds(run, monkeypatch):
    assert jaxdis(monkeypatch, "resume", run, "--steps", "6", "--seeds", "3") == 0
    assert (results(run)["steps"], results(run)["seeds"]) == (6, [0, 1, 2])


def test_start_or_resume_does_what_there_is_to_do(run, tmp_path, monkeypatch, capsys):
    new = tmp_path / "new"
    assert train(monkeypatch, new, "--start-or-resume") == 0
    assert results(new)["metrics"] == results(run)["metrics"]
    before = files(run / "checkpoints")
    (run / "results.json").unlink()
    assert train(monkeypatch, run, "--start-or-resume") == 0
    assert results(new)["metrics"] == results(run)["metrics"]
    assert files(run / "checkpoints") == before
    capsys.readouterr()
    before = files(run)
    assert train(monkeypatch, run, "--start-or-resume") == 0
    assert "is left as it is" in words(capsys.readouterr().out)
    assert files(run) == before


def test_another_run_to_start_from(finished, tmp_path, monkeypatch, capsys):
    out = tmp_path / "next"
    assert train(monkeypatch, out, "--from", finished, "--steps", "2") == 0
    config = json.loads((out / "config.json").read_text())
    assert config["from"] == {"run": str(finished), "step": 4, "points": [0]}
    assert "starts from point 0 of" in words(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--steps", "3"], "error: steps: the run in"),
        (["--seeds", "1"], "error: seeds: the run in"),
    ],
)
def test_less_is_refused(args, message, run, monkeypatch, capsys):
    before = files(run)
    assert jaxdis(monkeypatch, "resume", run, *args) == 2
    assert message in words(capsys.readouterr().err)
    assert files(run) == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["resume"], "run"),
        (["resume", "none"], "none holds no run"),
        (["resume", "gs://x/y"], "a directory of this machine"),
        (["train", OWN, "--resume"], "need --out DIR"),
        (["train", OWN, "--start-or-resume"], "need --out DIR"),
        (["train", OWN, "--resume", "--out", "d", "--from", "e"], "leave one of them"),
        (["train", OWN, "--from", "none"], "none holds no run"),
        (["train", OWN, "--out", ""], "out must name a directory, got an empty name"),
        (["train", OWN, "--out", "file/x"], "got file/x: Not a directory"),
        (["train", OWN, "--out", "n" * 300], "File name too long"),
        (["train", OWN, "--out", "file", "--start-or-resume"], "got file: Not a dir"),
    ],
)
def test_mistakes_are_one_sentence(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "file").touch()
    assert jaxdis(monkeypatch, *args) == 2
    captured = capsys.readouterr()
    assert message in words(captured.out + captured.err)
    assert os.listdir(tmp_path) == ["file"]


def test_a_run_that_another_process_trains_is_left_alone(run, monkeypatch, capsys):
    program = f"""
        import time
        from pathlib import Path
        from jaxdis import lock
        taken = lock.take(Path({str(run)!r}))
        print("taken", flush=True)
        time.sleep(300)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"taken\n"
        before = files(run)
        again = ["train", OWN, *TINY, "--out", run]
        for args in (
            ["resume", run, "--steps", "9"],
            [*again, "--resume"],
            [*again, "--start-or-resume"],
        ):
            assert jaxdis(monkeypatch, *args) == 2
            said = words(capsys.readouterr().err)
            assert f"error: out: process {process.pid} on" in said
        assert files(run) == before
        process.kill()
    assert jaxdis(monkeypatch, "resume", run) == 0
    assert "its lock is taken over" in words(capsys.readouterr().out)
    assert not (run / lock.NAME).exists()
