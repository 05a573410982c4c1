"""Scripts that start a sweep on many machines, as far as one machine can run them."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.sh"))
TRAIN = ["mechanism_sparsity/quickstart", "--seeds", "4"]
OUT = "runs/a sweep [1]"
# What a training does that is told to stop: it saves, and exits with 130.
WAITS = """
import os, signal, sys, time
def stop(number, frame):
    print("told", signal.Signals(number).name, flush=True)
    sys.exit(130 if number == signal.SIGUSR1 else 143)
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, stop)
open("started", "w").close()
time.sleep(60)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that comes first on the path, and whose commands print what they get."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("jaxdis", "scontrol", "gcloud"):
        _command(commands / name, f'printf "%s\\n" {name} "$@"')
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "99")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    return tmp_path


def _command(path, body):
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def _run(script, *args, where):
    command = [EXAMPLES / script, *args]
    return subprocess.run(command, cwd=where, capture_output=True, text=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_good_bash(script):
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)


@pytest.mark.parametrize("script", ["slurm.sh", "tpu_pod.sh"])
def test_scripts_say_how_they_are_called(script, place):
    done = _run(script, where=place)
    assert done.returncode == 2
    assert "METHOD/PRESET" in done.stderr


def test_a_task_of_an_array_trains_its_shard(place):
    done = _run("slurm.sh", OUT, *TRAIN, where=place)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "jaxdis", "train", *TRAIN, "--shard", "auto", "--out", OUT, "--start-or-resume",
    ]  # fmt: skip


def test_the_code_of_a_training_that_fails_is_the_task_s(place):
    _command(place / "bin" / "jaxdis", "exit 3")
    done = _run("slurm.sh", OUT, *TRAIN, where=place)
    assert (done.returncode, done.stdout) == (3, "")


@pytest.mark.parametrize(
    ("number", "code", "lines"),
    [
        (signal.SIGUSR1, 130, ["told SIGUSR1", "scontrol", "requeue", "99_3"]),
        (signal.SIGTERM, 143, ["told SIGTERM"]),
    ],
)
def test_a_task_whose_time_is_up_saves_and_is_queued_again(place, number, code, lines):
    _command(place / "bin" / "jaxdis", f"exec python3 -c {shlex.quote(WAITS)}")
    task = subprocess.Popen(
        [EXAMPLES / "slurm.sh", OUT, *TRAIN],
        cwd=place,
        stdout=subprocess.PIPE,
        text=True,
    )
    while not (place / "started").exists():
        assert task.poll() is None
        time.sleep(0.05)
    task.send_signal(number)
    output, _ = task.communicate(timeout=30)
    assert (task.returncode, output.splitlines()) == (code, lines)


def test_every_host_of_a_pod_trains_with_the_words_that_were_given(place):
    options = [*TRAIN, "--data.file", "my data.csv"]
    done = _run("tpu_pod.sh", "pod", "zone-a", OUT, *options, where=place)
    assert done.returncode == 0
    *words, command = done.stdout.splitlines()
    assert words[:6] == ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "pod"]
    assert words[-2:] == ["--worker=all", "--command"]
    assert shlex.split(command) == [
        "jaxdis", "train", *options, "--distributed", "--out", OUT, "--start-or-resume",
    ]  # fmt: skip


def test_slurm_tells_the_script_in_time_and_lets_it_go_on():
    options = (EXAMPLES / "slurm.sh").read_text()
    for option in ("--signal=B:USR1@120", "--requeue", "--open-mode=append"):
        assert f"#SBATCH {option}\n" in options
