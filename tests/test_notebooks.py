"""Notebooks: what is stored of them, that it is theirs, and that they run."""

import copy
import io
import json
import re
from base64 import b64decode, b64encode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs import __main__ as build
from docs import notebooks

ROOT = Path(__file__).parent.parent
PATHS = notebooks.paths(ROOT)
HERE = Path("/tmp/some/where")
LARGEST = 300_000  # bytes of a notebook


def png(shape=(60, 90), seed=0):
    """A picture of many colours, with words on what made it."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*shape, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def stream(name, *lines):
    return {"output_type": "stream", "name": name, "text": list(lines)}


def shown(**data):
    kinds = {kind.replace("_", "/", 1): value for kind, value in data.items()}
    return {"output_type": "display_data", "metadata": {}, "data": kinds}


def result(**data):
    return shown(**data) | {"output_type": "execute_result", "execution_count": 7}


def code(source, *outputs, **metadata):
    return {
        "cell_type": "code", "id": "b", "execution_count": 7, "metadata": metadata,
        "source": source, "outputs": list(outputs),
    }  # fmt: skip


def notebook(*cells):
    words = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# A"]}
    about = {
        "kernelspec": {"name": "python3"},
        "language_info": {"name": "python", "version": "3.11.2"},
        "widgets": {},
    }
    return {
        "cells": [words, *cells], "metadata": about, "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip


def outputs_of(*outputs):
    return notebooks.stripped(notebook(code(["x"], *outputs)), HERE)["cells"][1]


def test_what_differs_from_run_to_run_is_not_stored():
    found = outputs_of(
        stream("stdout", "a\n", "2026-11-29 05:06:07 step 3 of 4, 9 steps/s\n"),
        stream("stderr", "UserWarning: noise\n"),
        stream("stdout", "\x1b[1mb\x1b[0m in /tmp/some/where/run\n", " 10%\r100%\n"),
        stream("stdout", "2026-11-29 05:06:08 compiling\n"),
        stream("stdout", "E1129 06:41:23.131863 1 x.cc:73] slow\n", f"{'*' * 32}\n\n"),
        shown(**{notebooks.WIDGET.replace("/", "_", 1): {}, "text_plain": ["bar"]}),
        result(text_plain=["<f at 0x7f00>"], text_html=["<b>1</b>"]),
    )
    assert found["outputs"] == [
        stream("stdout", "a\n", "b in run\n", "100%\n"),
        result(text_plain=["<f>"], text_html=["<b>1</b>"]) | {"execution_count": None},
    ]
    assert found["execution_count"] is None


def test_metadata_of_a_cell_and_of_the_kernel_are_not_stored():
    cell = code(["x"], tags=["hide"], execution={"iopub.execute_input": "now"})
    found = notebooks.stripped(notebook(cell), HERE)
    assert found["cells"][1]["metadata"] == {"tags": ["hide"]}
    assert found["cells"][0] == notebook()["cells"][0]
    about = dict(found["metadata"])
    assert about.pop(notebooks.KEY) == notebooks.digests(found)
    assert about == {
        "kernelspec": {"name": "python3"}, "language_info": {"name": "python"},
    }  # fmt: skip


def test_pictures_become_small_and_stay_pictures():
    was = png()
    held = [b64encode(was).decode() + "\n"]
    (found,) = outputs_of(shown(image_png=held, text_plain=["<Figure>"]))["outputs"]
    assert set(found["data"]) == {"image/png"}
    now = b64decode(found["data"]["image/png"])
    assert len(now) < 0.5 * len(was)
    few, many = (Image.open(io.BytesIO(p)).convert("RGB") for p in (now, was))
    assert few.size == many.size
    assert len(few.getcolors()) <= notebooks.COLOURS
    plain = io.BytesIO()
    Image.fromarray(np.full((9, 9, 3), 255, np.uint8)).save(plain, "png")
    white = Image.open(io.BytesIO(notebooks.small(plain.getvalue()))).convert("RGB")
    assert white.getcolors() == [(81, (255, 255, 255))]


@pytest.fixture
def stored(tmp_path):
    """A repository of one notebook, whose outputs are those of its code."""
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "one.ipynb"
    held = code(["print(1)\n", "2"], stream("stdout", "1\n"), result(text_plain=["2"]))
    path.write_text(json.dumps(notebooks.stripped(notebook(held), HERE)))
    return path


def changed(path, change):
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    return notebooks.stale(path.parent.parent)


def test_words_may_change_and_code_may_not(stored):
    assert changed(stored, lambda n: n["cells"][0].update(source=["# B"])) == []
    assert changed(stored, lambda n: n["cells"][1].update(source=["print(1)\n2"])) == []
    (said,) = changed(stored, lambda n: n["cells"][1].update(source=["print(3)\n2"]))
    assert said == (
        "notebooks/one.ipynb: a stale stored output, as the code was changed since: "
        "python -m docs.notebooks one"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda outputs: outputs.clear(),
        lambda outputs: outputs.pop(),
        lambda outputs: outputs[0].update(text=["3\n"]),
    ],
)
def test_no_output_may_be_missing_or_be_changed(stored, change):
    (said,) = changed(stored, lambda n: change(n["cells"][1]["outputs"]))
    assert "as one is missing or was changed: python -m docs.notebooks one" in said


def test_a_notebook_that_was_never_run_is_stale(stored):
    (said,) = changed(stored, lambda n: n["metadata"].pop(notebooks.KEY))
    assert "as the notebook was never run" in said


def test_a_stale_output_fails_the_build_in_one_line(stored, monkeypatch, capsys):
    changed(stored, lambda n: n["cells"][1].update(source=["3"]))
    for name in ("README.md", "CHANGELOG.md"):
        (stored.parent.parent / name).write_text("")
    monkeypatch.setattr(build, "NEEDED", ())
    monkeypatch.setattr(build, "ROOT", stored.parent.parent)
    assert build.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "notebooks/one.ipynb" in line
    assert "python -m docs.notebooks one" in line


def kinds(cell):
    """What a cell shows: text, or pictures and tables by their kinds."""
    return [sorted(output.get("data", ["text"])) for output in cell["outputs"]]


def means(cell):
    """The means and deviations that a cell prints, `a ± b`."""
    printed = "".join(
        "".join(o["text"]) for o in cell["outputs"] if o["output_type"] == "stream"
    )
    return np.array(re.findall(r"(-?\d*\.?\d+) ± (\d*\.?\d+)", printed), float)


def test_stored_outputs_are_those_of_the_code():
    assert notebooks.stale(ROOT) == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_stored_notebooks_are_small_and_have_pictures(path):
    text = path.read_text()
    found = json.loads(text)
    assert len(text) < LARGEST
    cells = [c for c in found["cells"] if c["cell_type"] == "code"]
    outputs = [o for cell in cells for o in cell["outputs"]]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert "Colab" in text
    # What is stored is what would be stored of it again.
    assert notebooks.stripped(copy.deepcopy(found), HERE)["cells"] == found["cells"]
    assert f"notebooks/{path.stem}" in (ROOT / "docs" / "notebooks.md").read_text()


@pytest.mark.claims
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_notebook_shows_again_what_is_stored(path, tmp_path, monkeypatch):
    """Its own assertions hold, it shows as much, and its means are near."""
    monkeypatch.delenv("XLA_FLAGS")  # it trains for longer than it compiles
    found = notebooks.executed(path, tmp_path)
    stored = json.loads(path.read_text())
    for new, old in zip(found["cells"], stored["cells"], strict=True):
        if new["cell_type"] != "code":
            continue
        assert kinds(new) == kinds(old)
        now, then = means(new), means(old)
        if len(then):
            spread = np.maximum(now[:, 1], then[:, 1])
            assert (np.abs(now[:, 0] - then[:, 0]) <= 0.05 + spread).all()


@pytest.mark.claims  # it starts two kernels
def test_a_notebook_is_run_and_stored(stored, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "ROOT", stored.parent.parent)
    root = stored.parent.parent
    lines = ["import matplotlib.pyplot as plt\n", "print(3)\n", "plt.plot([1])\n"]
    lines += ["plt.show()\n", "open('left', 'w').close()"]
    assert changed(stored, lambda n: n["cells"][1].update(source=lines))
    assert notebooks.main(["one"]) == 0
    assert re.fullmatch(
        r"notebooks/one.ipynb: \d+ s, \d+ s of CPU time, \d+ kB\n",
        capsys.readouterr().out,
    )
    found = json.loads(stored.read_text())
    printed, drawn = found["cells"][1]["outputs"]
    assert printed == stream("stdout", "3\n")
    assert set(drawn["data"]) == {"image/png"}
    assert notebooks.stale(root) == []
    assert [p.name for p in root.rglob("*")] == ["notebooks", "one.ipynb"]
    lines = ["raise ValueError('no\\nmore')"]
    changed(stored, lambda n: n["cells"][1].update(source=lines))
    before = stored.read_bytes()
    assert notebooks.main(["one"]) == 1
    assert capsys.readouterr().err == (
        "docs: notebooks/one.ipynb: ValueError: no, at: raise ValueError('no\\nmore')\n"
    )
    assert stored.read_bytes() == before


def test_a_name_that_is_not_there_is_said_with_those_that_are(
    stored, monkeypatch, capsys
):
    monkeypatch.setattr(notebooks, "ROOT", stored.parent.parent)
    assert notebooks.main(["two"]) == 2
    said = capsys.readouterr().err
    assert said == "docs: there is no notebook two; there are one\n"


def test_without_the_extra_one_line_says_what_runs_notebooks(monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "NEEDED", ("a_module_of_nobody",))
    assert notebooks.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert 'pip install -e ".[docs]"' in line
