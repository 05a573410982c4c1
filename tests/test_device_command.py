"""`python -m benchmarks device`: rows one by one, whatever goes wrong with one."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import device
from benchmarks.questions import Question, conclusions, questions

# As on a machine that has little installed.
BARE = """
import sys
from importlib.machinery import PathFinder

HIDDEN = {"tyro", "distrax", "tensorflow_datasets", "jaxtyping", "chex", "filelock",
          "matplotlib", "PIL", "rich", "beartype", "tensorflow_probability"}

class Some(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in HIDDEN
        return None if hidden else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Some
"""
SIZE = (8, 3, 2, 4)
RIGHT = {"operation": "gumbel_mask", "size": SIZE, "form": "xla", "seeds": 2}


def question(section, name, **given):
    return Question(section, name, "kernel", RIGHT | given)


def test_a_bare_machine_writes_every_row_and_errors_in_their_place(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BARE)
    (tmp_path / "ask.py").write_text(
        "import pathlib\n"
        "from benchmarks import device\n"
        "from tests.test_device_command import ASKED\n"
        "if __name__ == '__main__':\n"
        f"    out = pathlib.Path({str(tmp_path / 'x.json')!r})\n"
        "    device.ask_all(device.Record(out, 300.0), ASKED)\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(device.__file__)))
    path = os.pathsep.join([str(tmp_path), root])
    environment = os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(tmp_path / "ask.py")]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    found = json.loads((tmp_path / "x.json").read_text())
    wrong, right = found["rows"]
    assert wrong["name"] == "wrong"
    assert wrong["error"].startswith("KeyError")
    assert right["within_tolerance"] is True
    assert 0 < right["value_error"] < 1e-6
    assert found["machine"]["device"] == "cpu"
    assert found["left_out"] == []


ASKED = (question("kernels", "wrong", operation="none"), question("kernels", "right"))


def test_what_finds_no_time_is_named(tmp_path, capsys):
    record = device.Record(tmp_path / "x.json", 1e-6)
    device.ask_all(record, questions(tiny=True))
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["rows"] == []
    assert len(found["left_out"]) == len(questions(tiny=True))
    assert found["left_out"][0].startswith("kernels: gumbel_mask 16 x 4 x 2 x 8")


def test_sections_are_asked_in_order_and_names_are_unique():
    for tiny in (False, True):
        every = questions(tiny)
        sections = list(dict.fromkeys(one.section for one in every))
        assert sections == ["kernels", "full size", "quickstart", "flow", "masks"]
        assert [one.section for one in every] == sorted(
            (one.section for one in every), key=sections.index
        )
        assert len({(one.section, one.name) for one in every}) == len(every)


def row(form, ms, operation="gumbel_mask", **other):
    ran = {"kernel": "pallas_gpu"}.get(form, form)
    return {
        "section": "kernels", "operation": operation, "size": "1 x 2", "seeds": 1,
        "form": form, "ran": ran, "platform": "cuda", "refused": None, "ms": ms,
        "within_tolerance": True, **other,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "chosen", "reason"),
    [
        ({}, "pallas_gpu", None),
        ({"ms": 3.0}, "xla", "gumbel_mask: 1.5 times XLA's time"),
        ({"within_tolerance": False}, "xla", "error above 1e-05"),
        ({"error": "XlaRuntimeError: no"}, "xla", "one of the forms has no number"),
        ({"refused": "odd sizes"}, "pallas_gpu", None),
    ],
)
def test_the_default_follows_from_times_and_errors(changed, chosen, reason):
    rows = [row("xla", 2.0), row("kernel", 1.0) | changed]
    rows += [row(f, ms, "potential_flow") for f, ms in (("xla", 2.0), ("kernel", 2.0))]
    found = conclusions(rows)["default_form"]
    assert found["FASTEST"] == {"cuda": chosen}
    against = found["against_the_kernel"]
    assert against == [] if reason is None else reason in against[0]


def test_hours_of_a_published_run_are_on_the_line_between_numbers_of_seeds():
    rows = [
        {"section": "full size", "precision": "default", "seeds": n, "s_per_step": s}
        for n, s in ((1, 0.002), (4, 0.004), (16, 0.016))
    ]
    found = conclusions(rows)["5 seeds x 300,000 steps"]
    # 4 seeds take 4 ms, and each of the next 12 one more.
    assert found["tf32"]["hours"] == pytest.approx(300_000 * 0.005 / 3600)
    assert "not_known" in found["float32"]
    few = conclusions(rows[:1])["5 seeds x 300,000 steps"]["tf32"]
    assert few["hours"] == pytest.approx(300_000 * 0.010 / 3600)


def test_records_are_strict_and_options_are_checked(tmp_path, capsys):
    device.write(tmp_path / "x.json", {"a": [float("nan"), float("inf"), 1.5]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, None, 1.5]}
    for words, told in (
        (["--seconds", "0"], "--seconds must be above 0, got 0"),
        (["--out", str(tmp_path / "no" / "x.json")], "--out must be a file in a"),
    ):
        with pytest.raises(SystemExit) as exit_:
            device.main(words)
        assert exit_.value.code == 2
        assert told in capsys.readouterr().err
