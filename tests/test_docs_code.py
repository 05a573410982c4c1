"""Every block of Python in README and pages runs, in little: few steps, small nets.

Blocks run as they stand. What a reader has is given to them, a file `mine.csv` and the
names of the blocks before, and `train` and `resume` are those of the library with fewer
steps, seeds and units.
"""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import jaxdis
from docs import links
from jaxdis import experiment
from jaxdis.experiment import plan
from tests.shell import command

ROOT = Path(__file__).parent.parent
PAGES = {str(p.relative_to(ROOT)): p.read_text() for p in links.pages(ROOT)}
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = {p: found for p, text in PAGES.items() if (found := BLOCK.findall(text))}
"""The blocks of each page, in order."""
SMALL = {"encoder": (8,), "decoder": (8,), "transition": (4,), "batch": 16}
STEPS = 4


def little(name, **asked):
    """`jaxdis.train` with few steps of small networks; of one's own data in `mine`."""
    own = name.endswith("/own")
    small = {"seeds": 2, "steps": STEPS, "chunk": 2, "config": SMALL}
    point = {"bound_a": 3, "bound_z": 6}
    small |= {"out": "mine", "hyper": point} if own else {"data": {"samples": 300}}
    return experiment.train(name, **(asked | small))


def planned(name, **asked):
    return plan(name, **(asked | {"steps": STEPS, "config": SMALL}))


def go_on(directory, *, steps):
    return experiment.resume(directory, steps=2 * STEPS)


def table(path):
    """Four sensors that two motors move, in three trials."""
    rng = np.random.default_rng(0)
    motors = rng.normal(size=(90, 2))
    sensors = np.tanh(motors @ rng.normal(size=(2, 4))) + 0.1 * rng.normal(size=(90, 4))
    names = "trial,motor_1,motor_2," + ",".join(f"sensor_{i}" for i in range(4))
    columns = np.column_stack([np.repeat([1, 2, 3], 30), motors, sensors])
    np.savetxt(path, columns, delimiter=",", header=names, comments="")


@pytest.fixture(scope="module")
def run_blocks(tmp_path_factory):
    """Runs all blocks of a page in the folder of a reader; returns their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("reader"))
        table("mine.csv")
        patch.setattr(jaxdis, "train", little)
        patch.setattr(jaxdis, "resume", go_on)
        patch.setattr(experiment, "plan", planned)

        def run(page, **known):
            for block in CODE[page]:
                exec(compile(block, page, "exec"), known)
            return known

        yield run


@pytest.fixture(scope="module")
def first(run_blocks):
    """The names of README's blocks, of a run that is in `mine`."""
    return run_blocks("README.md")


def test_readme(first):
    assert first["codes"].shape[0] == len(first["rows"].x)
    assert (first["run"].directory / "report.html").is_file()


def test_your_data_begins_as_readme_does():
    assert CODE["docs/tutorials/your_data.md"] == CODE["README.md"]


def test_using_a_trained_run(first, run_blocks):
    known = run_blocks(
        "docs/tutorials/trained_run.md", jaxdis=jaxdis, x=first["rows"].x
    )
    assert known["codes"].shape[0] == 2
    assert known["x"].shape[1:] == first["rows"].x.shape


def test_rows_of_a_file_are_encoded(first):
    line = next(
        line for line in PAGES["docs/tutorials/your_data.md"].splitlines()
        if line.startswith("jaxdis encode ")
    )  # fmt: skip
    assert command(*shlex.split(line)[1:]) == 0
    assert len(Path("codes.csv").read_text().splitlines()) == 91


def test_from_python(run_blocks, monkeypatch, capsys):
    monkeypatch.setattr(jaxdis.Run, "report", lambda run: "a report, as README's")
    known = run_blocks("docs/python.md")
    assert known["run"].scores["mcc"].shape == (2, 2)
    assert known["measure"](known["result"].rows.state)["mcc"].shape == (2,)
    assert "a report" in capsys.readouterr().out


def test_stopping_going_on_and_trackers(run_blocks, capsys):
    known = run_blocks("docs/command_line.md")
    assert known["run"].record.results["steps"] == 2 * STEPS
    assert re.search(rf"^{STEPS} \d", capsys.readouterr().out, re.MULTILINE)


def test_codes_from_elsewhere(run_blocks, capsys):
    known = run_blocks("docs/tutorials/codes_from_elsewhere.md")
    assert known["found"]["mcc"].value > 0.7
    assert {"z", "codes"} <= set(np.load("codes.npz"))
    assert Path("scores.csv").is_file()


def test_metrics_are_called_as_for_codes_from_elsewhere():
    assert CODE["docs/metrics.md"] == CODE["docs/tutorials/codes_from_elsewhere.md"][1:]


def test_your_own_method(run_blocks):
    known = run_blocks("docs/tutorials/your_method.md")
    assert known["Method"] is jaxdis.Method


def test_no_page_with_code_is_left_out():
    tried = Path(__file__).read_text()
    assert [page for page in CODE if f'"{page}"' not in tried] == []
