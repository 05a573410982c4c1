"""The command line, run in this process on a problem of a few milliseconds a step."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from jaxdis import __version__ as version
from jaxdis import cli, experiment, log, systems
from jaxdis.cli import train as train_module
from tests import own_method

pytestmark = pytest.mark.usefixtures("sketches")

TINY = [
    "--seeds", "2", "--steps", "6", "--chunk", "2", "--checkpoint-seconds", "0",
    "--config.batch", "16", "--data.known",
]  # fmt: skip
NAME = "mechanism_sparsity/quickstart"
FLOW = "flow_factorized/quickstart"
MNIST = "flow_factorized/MNIST"
OWN = own_method.__file__
TABLE = f"{OWN}:METHOD/table"
TASKS = "shared_features/quickstart"  # with three points of its own
SWEPT = f"{OWN}:SWEPT/points"  # and of milliseconds


def jaxdis(monkeypatch, *args):
    """Runs a command; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["jaxdis", *map(str, args)])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    return exit.value.code


def train(monkeypatch, out, *args):
    return jaxdis(monkeypatch, "train", TABLE, *TINY, "--out", out, *args)


def results(out: Path) -> dict:
    return json.loads((out / "results.json").read_text())


def lines(out: Path) -> list[dict]:
    return [json.loads(x) for x in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One uninterrupted run, for all tests that only read it."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert train(monkeypatch, out) == 0
    return out


def test_directory_holds_the_whole_run(finished):
    names = {p.name for p in finished.iterdir()}
    assert {
        "config.json", "metrics.jsonl", "results.json", "report.html", "checkpoints",
    } <= names  # fmt: skip
    assert any(name.endswith(".png") for name in names)
    assert not any(name.endswith(".tmp") for name in names)
    found = results(finished)
    assert {
        "method", "preset", "seeds", "steps", "devices", "wall_s", "compile_s",
        "step_s", "points", "scores", "metrics", "mean", "std", "failed_seeds",
    } <= set(found)  # fmt: skip
    (spent,) = (part["seconds"] for part in found["parts"])
    assert min(spent[n] for n in ("import", "data", "compile", "report")) > 0
    page = finished / "report.html"
    assert "spent on" in page.read_text()
    # The results name its time, and it is not drawn again for that.
    assert page.stat().st_mtime_ns >= (finished / "results.json").stat().st_mtime_ns
    assert found["format"] == 2
    assert (found["method"], found["preset"]) == ("own_method", "table")
    assert (found["seeds"], found["steps"], found["failed_seeds"]) == ([0, 1], 6, [[]])
    for name in ("mcc", "error", "distance"):
        (seeds,) = found["metrics"][name]
        assert len(seeds) == 2
        np.testing.assert_allclose(found["mean"][name], [np.mean(seeds)], rtol=1e-6)
        np.testing.assert_allclose(found["std"][name], [np.std(seeds, ddof=1)])
        assert found["scores"][name]["title"]
    assert 0 < found["metrics"]["mcc"][0][0] < 1
    assert found["points"][0]["learning_rate"] == 0.05
    steps = [(line["step"], line["point"], line["seed"]) for line in lines(finished)]
    assert steps == [(s, 0, i) for s in (2, 4, 6) for i in (0, 1)]
    assert (
        "jaxdis train" in json.loads((finished / "config.json").read_text())["command"]
    )


def same_numbers(a: Path, b: Path) -> None:
    for name, values in results(a)["metrics"].items():
        np.testing.assert_allclose(values, results(b)["metrics"][name], rtol=1e-5)
    assert len(lines(a)) == len(lines(b))
    for x, y in zip(lines(a), lines(b), strict=True):
        assert x.keys() == y.keys()
        np.testing.assert_allclose(list(x.values()), list(y.values()), rtol=1e-5)


@pytest.mark.parametrize("chunks", [1, 3])  # the last one, before it is measured
def test_ctrl_c_saves_and_says_how_to_resume(
    finished, tmp_path, monkeypatch, capsys, chunks
):
    write, calls = log.append_lines, []

    def interrupted(path, records):
        write(path, records)
        calls.append(path)
        if len(calls) == chunks:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(log, "append_lines", interrupted)
        assert train(patch, tmp_path / "run") == 130
    assert len(calls) == chunks
    said = capsys.readouterr().out.replace("\n", " ")
    assert f"stopped after step {2 * chunks}" in said
    assert "jaxdis resume" in said
    assert not (tmp_path / "run" / "results.json").exists()
    assert train(monkeypatch, tmp_path / "run", "--resume") == 0
    same_numbers(finished, tmp_path / "run")


def test_killed_run_resumes_to_the_same_numbers(finished, tmp_path, monkeypatch):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "jaxdis", "train", TABLE, *TINY, "--out", str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any((out / "checkpoints").glob("[0-9]*")):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # A line that the kill cut off must not disturb.
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "poi')
    assert train(monkeypatch, out, "--resume") == 0
    same_numbers(finished, out)


def damage(checkpoint: Path) -> None:
    for path in checkpoint.rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")


def test_damaged_checkpoint_falls_back_to_the_one_before(
    finished, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    damage(out / "checkpoints" / "6")
    assert train(monkeypatch, out, "--resume") == 0
    said = capsys.readouterr().out.replace("\n", " ")
    assert "checkpoint 6 is damaged" in said
    assert "resuming after step 4" in said
    same_numbers(finished, out)


def test_only_damaged_checkpoints_are_an_error(finished, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    for checkpoint in (out / "checkpoints").glob("[0-9]*"):
        damage(checkpoint)
    assert train(monkeypatch, out, "--resume") == 2
    assert "can be read" in capsys.readouterr().err


def test_grid_has_one_list_of_seeds_per_point(tmp_path, monkeypatch, capsys):
    out, codes = tmp_path / "grid", []
    grid = ["--hyper.penalty", "0", "1"]
    monkeypatch.setattr(log.console, "width", 200)
    # In a thread, as notebooks and services start it: no signals can be handled there.
    thread = threading.Thread(
        target=lambda: codes.append(train(monkeypatch, out, *grid))
    )
    thread.start()
    thread.join()
    assert codes == [0]
    found = results(out)
    assert [point["penalty"] for point in found["points"]] == [0, 1]
    assert np.shape(found["metrics"]["mcc"]) == (2, 2)
    assert np.shape(found["failed_seeds"]) == (2, 0)
    assert len(lines(out)) == 3 * 2 * 2
    # One line for each point; the seeds are in the report.
    rows = [x.split("│") for x in capsys.readouterr().out.splitlines() if "│" in x]
    assert [row[1].strip() for row in rows] == ["penalty=0", "penalty=1"]
    assert [row[2].strip() for row in rows] == ["2", "2"]
    assert all("±" in row[3] for row in rows)


@pytest.mark.parametrize(
    ("asked", "alpha", "beta", "rates"),
    [
        ([], [0, 0.05, 0.05], [0, 0, 0.05], [1e-3] * 3),
        # What the points do not change is crossed with them.
        (
            ["--hyper.learning-rate", "0.1", "0.2"],
            [0, 0, 0.05, 0.05, 0.05, 0.05], [0, 0, 0, 0, 0.05, 0.05], [0.1, 0.2] * 3,
        ),
        # They give way to one of their fields; the other has its default.
        (["--hyper.alpha", "0.1", "0.2"], [0.1, 0.2], [0.05, 0.05], [1e-3] * 2),
        (["--hyper.beta", "0"], [0.05], [0], [1e-3]),
        (
            ["--hyper.alpha", "0", "1", "--hyper.beta", "2", "3"],
            [0, 0, 1, 1], [2, 3, 2, 3], [1e-3] * 4,
        ),
    ],
)  # fmt: skip
def test_points_of_a_preset_give_way_to_what_is_asked_for(asked, alpha, beta, rates):
    points = cli.parse_train([TASKS, *asked])[0].points
    assert [point["alpha"] for point in points] == pytest.approx(alpha)
    assert [point["beta"] for point in points] == pytest.approx(beta)
    assert [point["learning_rate"] for point in points] == pytest.approx(rates)


def test_a_signal_during_the_report_says_that_the_results_are_there(
    finished, tmp_path, monkeypatch
):
    out, left = tmp_path / "run", []
    shutil.copytree(finished, out)
    (out / "report.html").unlink()

    def drawing(self):
        signal.raise_signal(signal.SIGTERM)
        while not left:  # a thread hears it
            time.sleep(0.01)
        return self.directory / "report.html"

    def leave(say, number):
        left.append((say(), number))

    monkeypatch.setattr(experiment.Run, "report", drawing)
    monkeypatch.setattr(train_module, "leave_at_once", leave)
    before = signal.getsignal(signal.SIGTERM)
    assert jaxdis(monkeypatch, "resume", out) == 0
    ((words, number),) = left
    assert number == signal.SIGTERM
    assert words == (
        f"interrupted; the results are written, and drawn by:\n  jaxdis report {out}"
    )
    assert signal.getsignal(signal.SIGTERM) == before


def test_points_of_a_preset_are_trained_and_resumed(tmp_path, monkeypatch, capsys):
    out, again = tmp_path / "whole", tmp_path / "again"
    command = ["train", SWEPT, *TINY, "--out"]
    assert jaxdis(monkeypatch, *command, out) == 0
    found = results(out)
    assert [(p["penalty"], p["learning_rate"]) for p in found["points"]] == [
        (0.0, 0.05), (0.1, 0.05), (0.1, 0.1),
    ]  # fmt: skip
    assert np.shape(found["metrics"]["mcc"]) == (3, 2)
    assert len(lines(out)) == 3 * 3 * 2
    distances = np.array(found["metrics"]["distance"])
    assert distances.shape == (3, 2)
    assert len(np.unique(distances)) == 6  # each point trains with what it changes
    shutil.copytree(out, again)
    (again / "results.json").unlink()
    damage(again / "checkpoints" / "6")
    assert jaxdis(monkeypatch, *command, again, "--resume") == 0
    assert "resuming after step 4" in capsys.readouterr().out.replace("\n", " ")
    same_numbers(out, again)
    other = [*command, again, "--resume", "--hyper.penalty", "0.05"]
    assert jaxdis(monkeypatch, *other) == 2
    assert "has other hyper" in " ".join(capsys.readouterr().err.split())


def test_report_compares_runs(finished, tmp_path, monkeypatch):
    out, other = tmp_path / "both.html", tmp_path / "other"
    shutil.copytree(finished, other)
    assert jaxdis(monkeypatch, "report", finished, other, "--out", out) == 0
    assert out.stat().st_size > 1_000


def test_list_names_every_preset_in_a_line_with_quickstarts_first(monkeypatch, capsys):
    monkeypatch.setattr(log.console, "width", 80)
    assert jaxdis(monkeypatch, "list") == 0
    *said, more = capsys.readouterr().out.splitlines()
    methods = {name: systems.find(name) for name in systems.names()}
    every = {f"{m}/{p}" for m, method in methods.items() for p in method.presets}
    names = [line.split()[0] for line in said]
    assert len(names) == len(every)
    assert set(names) == every
    assert "--long" in more
    assert max(map(len, said)) <= 80
    small = ["/quickstart" in name for name in names]
    assert small == sorted(small, reverse=True)
    for name in names:
        method, _, preset = name.partition("/")
        expects = [e for e in methods[method].presets[preset].expects if not e.of]
        line = said[names.index(name)]
        assert all(line.endswith(f"{e.score} {e.mean:g}") for e in expects[:1])
        assert "..." not in line or not expects  # no digit is cut


def test_list_names_the_presets_of_a_method_with_their_sources(monkeypatch, capsys):
    monkeypatch.setattr(log.console, "width", 80)
    assert jaxdis(monkeypatch, "list", "flow_factorized", "--long") == 0
    said = capsys.readouterr().out.splitlines()
    assert all(x.startswith(("flow_factorized/", "    ")) for x in said)
    assert max(map(len, said)) <= 80
    at = said.index(FLOW)
    assert "; this library; expected: equi" in " ".join(said[at + 1 : at + 3])
    assert jaxdis(monkeypatch, "list", "flow_factorised") == 2
    assert "'flow_factorized'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "usage: jaxdis list"),
        (["--help"], "METHOD/own --data.file FILE"),
        (["train", "--help"], "usage: jaxdis train METHOD/PRESET"),
        (["report", "--help"], "usage: jaxdis report"),
        (["export"], "usage: jaxdis export"),
        (["encode", "--help"], "usage: jaxdis encode"),
        (["train", NAME, "--help"], "`--data NAME` takes another data set"),
        (["--version"], f"jaxdis {version}"),
    ],
)
def test_help_is_no_mistake(args, words, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert jaxdis(monkeypatch, *args) == 0
    captured = capsys.readouterr()
    assert words in " ".join(captured.out.split())
    assert not captured.err


@pytest.mark.filterwarnings("default")
def test_warnings_are_notes(monkeypatch, capsys):
    def warned(args):
        warnings.warn("column 3\n  is constant", stacklevel=1)
        return 0

    before = warnings.showwarning
    monkeypatch.setitem(cli.COMMANDS, "list", warned)
    assert jaxdis(monkeypatch, "list") == 0
    assert capsys.readouterr() == ("note: column 3 is constant\n", "")
    assert warnings.showwarning is before


def test_who_stops_reading_is_no_mistake(monkeypatch):
    """As `jaxdis train NAME --help | head` does."""
    command = [sys.executable, "-m", "jaxdis", "train", NAME, "--help"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.parametrize(
    ("args", "stream", "code"),
    [
        (["--version"], "stdout", 2),
        (["list", OWN], "stdout", 2),
        (["train", NAME, "--help"], "stdout", 2),
        (["--version"], "stderr", 0),
        (["trian"], "stderr", 2),
    ],
)
def test_a_full_disk_for_the_output_is_no_traceback(
    args, stream, code, monkeypatch, capsys
):
    """As with `> /dev/full` and `2> /dev/full`."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, stream, full)
        assert jaxdis(monkeypatch, *args) == code
    said = capsys.readouterr().err
    assert said.count("\n") == (stream == "stdout")
    assert ("No space left on device" in said) == (stream == "stdout")


def test_streams_that_are_closed_leave_their_numbers_to_no_file(tmp_path):
    """Else a file that is opened after `2>&-` would get what XLA logs."""
    code = (
        "import os, sys\n"
        "from jaxdis import cli\n"
        "def command(args):\n"
        "    print('to nobody'); print('neither', file=sys.stderr)\n"
        "    return os.open('new', os.O_CREAT)\n"
        "cli.COMMANDS['list'] = command\n"
        "sys.argv[1:] = ['list']\n"
        "cli.main()\n"
    )
    (tmp_path / "command.py").write_text(code)
    closed = ["sh", "-c", f"{sys.executable} command.py >&- 2>&-"]
    found = subprocess.run(closed, cwd=tmp_path, check=False, capture_output=True)
    assert (found.stdout, found.stderr) == (b"", b"")
    assert found.returncode >= 3


def test_sizes_by_the_data_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(log.console, "width", 200)
    plan = cli.parse_train([f"{OWN}:METHOD/own"])[0]
    assert (plan.steps, plan.chunk, plan.config.z_dim) == (38_000, 1_000, 3)
    out = tmp_path / "run"
    command = ["train", f"{OWN}:METHOD/own", "--data.rows", "40", "--chunk", "2000"]
    assert jaxdis(monkeypatch, *command, "--steps", "2", "--out", out) == 0
    assert "own: 24 training rows, batch 8 -> z_dim 3" in capsys.readouterr().out
    assert plan.rule == (
        "own: 3,000 training rows, batch 8 -> 38,000 steps in chunks of 1,000; z_dim 3"
    )


def test_a_method_of_ones_own_is_resumed_and_reported(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    command = ["train", f"{OWN}:METHOD", "--seeds", "1", "--out", out]
    assert jaxdis(monkeypatch, *command) == 0
    found = json.loads((out / "config.json").read_text())
    assert found["reference"] == f"{OWN}:METHOD"
    assert (found["method"], found["preset"]) == ("own_method", "table")
    (out / "results.json").unlink()
    (out / "report.html").unlink()
    assert jaxdis(monkeypatch, *command, "--resume") == 0
    assert jaxdis(monkeypatch, "report", out) == 0
    assert (out / "report.html").exists()
    assert jaxdis(monkeypatch, "list", OWN) == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["trian"], "nearest name is 'train'"),
        (["train"], "name what to train"),
        (["train", "mechanism_sparsty/quickstart"], f"nearest name is '{NAME}'"),
        (["train", "mechanism_sparsity/quikstart"], f"nearest name is '{NAME}'"),
        (["train", "mechanism_sparsity"], "name a preset, as mechanism_sparsity/quick"),
        (["train", NAME, "--data", "toyy"], "there is no data set 'toyy'; the nearest"),
        (["train", NAME, "--data"], "--data needs a name, one of"),
        (
            ["train", NAME, "--data", "digits"],
            "mechanism_sparsity needs actions `a` or sequences; this data set has x, y",
        ),
        (["train", NAME, "--seeds", "0"], "seeds must be at least 1"),
        (["train", NAME, "--steps", "-5"], "steps must be at least 1"),
        (["train", NAME, "--seeds", "two"], "two"),
        (["train", NAME, "--hyper.sparsity", "1"], "--hyper.sparsity"),
        (["train", NAME, "--hyper.learning-rate", "-1"], "hyper.learning_rate must be"),
        (
            ["train", NAME, "--hyper.learning-rate", "nan"],
            "hyper.learning_rate must be",
        ),
        (["train", NAME, "--config.z-dim", "20"], "config.z_dim must lie between"),
        (
            ["train", NAME, "--data.z-dim", "20"],
            "data.z_dim must not exceed data.x_dim",
        ),
        (
            ["train", NAME, "--data.process", "ActionBlockEasy", "--config.z-dim", "5"],
            "z_dim must be even",
        ),
        (["train", NAME, "--data.process", "ActionNonDig"], "'ActionNonDiag'"),
        (["train", NAME, "--resume"], "--start-or-resume need --out"),
        (["train", NAME, "--resume", "--out", "no/run"], "holds no run"),
        (["report", "no/run"], "no/run"),
        (["train", FLOW, "--config.z-dim", "7"], "latent size must be even"),
        (["train", FLOW, "--data.steps", "18"], "data.steps must be below 18"),
        (["train", FLOW, "--data.colour", "none"], "set data.colour to 'red'"),
        (["train", FLOW, "--data.held-out-classes", "11"], "data.held_out_classes"),
        (
            ["train", MNIST, "--seeds", "1", "--data.directory", "nowhere"],
            "nowhere",
        ),
        (["train", "flow_factorized/Isaac3D"], "data.directory must name the folder"),
        (["train", "shared_features/linear_probe"], "data.file must name an npz"),
        (["train", TASKS, "--config.z-dim", "4"], "config.z_dim must be at"),
        (["list", "everything"], "there is no method 'everything'"),
        (["train", "none.py:METHOD"], "there is no file none.py"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(
    args, message, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert jaxdis(monkeypatch, *args) == 2
    captured = capsys.readouterr()
    said = " ".join((captured.err + captured.out).split())
    assert message in said
    assert "Traceback" not in said
    assert not any(tmp_path.iterdir())  # nothing was begun


def test_a_directory_with_a_run_is_never_overwritten(finished, monkeypatch, capsys):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    assert train(monkeypatch, finished) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert before == {p: p.stat().st_mtime_ns for p in finished.rglob("*")}


def test_resuming_another_config_names_the_difference(finished, monkeypatch, capsys):
    code = train(monkeypatch, finished, "--resume", "--config.batch", "17")
    assert code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "config.batch is 16 there and 17 here" in said
