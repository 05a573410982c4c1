"""Files of a run: strict JSON, atomic, cut back to a checkpoint."""

import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from jaxdis import log
from jaxdis.metrics import MCC


def test_json_is_strict(tmp_path):
    value = {
        "a": np.float32(1.5),
        "b": [math.nan, math.inf, (1, None)],
        "c": np.arange(2),
    }
    log.write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text()
    assert "NaN" not in text
    assert json.loads(text) == {"a": 1.5, "b": [None, None, [1, None]], "c": [0, 1]}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    log.write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        log.write_json(path, {"new": object()})
    assert json.loads(path.read_text()) == {"old": 1}


def test_names_that_are_no_text_can_be_written(tmp_path):
    log.write_atomically(tmp_path / "page.html", "runs/\udcff é")
    assert (tmp_path / "page.html").read_bytes() == "runs/? é".encode()


def record(step, seed=0, **values):
    return {"step": step, "point": 0, "seed": seed, **values}


def test_lines_are_cut_back_to_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log.append_lines(path, (record(step) for step in (1, 2, 3)))
    with path.open("a") as file:
        file.write('{"step": 4, "x"')
    log.truncate_lines(path, 2)
    assert [json.loads(x)["step"] for x in path.read_text().splitlines()] == [1, 2]
    log.truncate_lines(tmp_path / "none.jsonl", 2)
    assert not (tmp_path / "none.jsonl").exists()


def test_a_damaged_line_is_named_and_the_others_are_kept(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    log.append_lines(path, (record(s, seed) for s in (1, 2, 3) for seed in (0, 1)))
    lines = path.read_bytes().split(b"\n")
    lines[1] = b'{"step": 1, "point'  # cut off, and written after
    lines[3] = b"\x00\xff\x00"
    lines[4] = b'{"step": 3, "seed": 0}'
    path.write_bytes(b"\n".join(lines))
    records, damaged = log.read_lines(path)
    assert damaged == [2, 4, 5]
    assert records == [record(1), record(2), record(3, 1)]
    said = log.damage(path, damaged)
    assert said == (
        f"{path}: lines 2, 4, 5 are damaged and left out; 3 records are lost, the "
        "others are kept"
    )
    assert log.damage(path, []) == ""
    log.truncate_lines(path, 2)
    assert capsys.readouterr().out == f"note: {said}\n"
    assert log.read_lines(path) == ([record(1), record(2)], [])
    log.truncate_lines(path, 2)
    assert capsys.readouterr().out == ""


def test_a_row_and_step_that_was_logged_twice_counts_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    twice = [record(1, x=1), record(2, x=2), record(1, x=3), record(1, seed=1)]
    log.append_lines(path, twice)
    log.truncate_lines(path, 2)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert kept == twice[1:]


@pytest.mark.parametrize("path", ["runs/lr[0.01]", "[/x]", ":smile:", "\udcff"])
def test_what_is_said_is_neither_style_nor_wrapped(path, capsys):
    said = f"{path} {'x' * 200}"
    log.say(said)
    assert capsys.readouterr().out == said.replace("\udcff", "?") + "\n"
    log.show(log.seed_table(path, [MCC], [0], {"mcc": np.array([0.5])}, failed=[]))
    assert path.replace("\udcff", "?") in capsys.readouterr().out


def test_terminals_without_signs_get_others(monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", output)
    log.note("0.5 ± 0.1, –, é")
    log.show(log.seed_table("é", [MCC], [0], {"mcc": np.array([np.nan])}, failed=[0]))
    text = output.buffer.getvalue().decode("ascii")
    assert text.startswith("note: 0.5 +- 0.1, -, ?\n")
    assert "0 (diverged) |   - |" in text


def test_who_does_not_listen_does_no_harm(monkeypatch):
    class Gone(io.StringIO):
        def flush(self):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    log.say("heard by nobody")


def test_table_leaves_failed_seeds_out_of_the_mean():
    values = {"mcc": np.array([0.5, 0.7, np.nan])}
    table = log.seed_table("title", [MCC], [0, 1, 2], values, failed=[2])
    console = Console(width=60, file=io.StringIO())
    console.print(table)
    text = console.file.getvalue()
    # The mean (.5 + .7) / 2 and the sample deviation .1 sqrt(2).
    assert "0.6" in text
    assert "0.141" in text
    assert "2 (diverged)" in text
    assert "–" in text


def test_table_of_many_scores_is_cut_where_the_console_ends(monkeypatch):
    console = Console(width=40, file=io.StringIO())
    monkeypatch.setattr(log, "console", console)
    scores = [MCC._replace(name=f"score_number_{i}") for i in range(5)]
    values = {score.name: np.array([i + 0.25]) for i, score in enumerate(scores)}
    console.print(log.seed_table("title", scores, [0], values, failed=[]))
    text = console.file.getvalue()
    assert "…" not in text
    assert text.count("title") == 1
    for i, score in enumerate(scores):
        assert text.count(score.name) == 1
        assert f"{i}.25" in text


DIGITS = ["0.0003512", "123456.789", "-1.25e-07", "2147483647"]


@pytest.mark.parametrize("width", [12, 30, 60, 80, 100, None])
def test_tables_drop_no_digit_at_any_width(width, monkeypatch, capsys):
    # None is no terminal, as a file or a pipe.
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("COLUMNS", raising=False)
    console = Console(markup=False, emoji=False, highlight=False, width=width)
    monkeypatch.setattr(log, "console", console)
    label = "a setting, with, many, words, that, tell, rows, apart, 1024 x 64 x 64"
    columns = [["what is measured", label, "b"]]
    columns += [[f"figure_{i}", digits, "1"] for i, digits in enumerate(DIGITS * 2)]
    log.show(log.table("a title", columns, caption="a caption"))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= (width or 80)
    for digits in DIGITS:
        assert text.count(digits) == 2
    assert "…" not in text
    # Words may be folded, and none of their letters is lost.
    letters = "".join(x for x in text if x.isalnum())
    assert all("".join(filter(str.isalnum, word)) in letters for word in label.split())


def test_words_are_folded_and_rows_too_wide_for_a_table_become_lines(
    monkeypatch, capsys
):
    monkeypatch.setattr(log, "console", Console(width=40))
    how = "a sentence of words that is longer than a column may be"
    log.show(log.table("", [["a", "x"], ["n", "0.125"], ["how", how]], words=[2]))
    text = capsys.readouterr().out
    assert "0.125" in text
    assert set(how.split()) <= set(text.replace("│", " ").split())
    log.show(log.table("wide", [["run", "x", "y"], ["n", "1" * 34, "5"]]))
    said = capsys.readouterr().out.splitlines()
    assert said == ["wide", "run x", f"  n {'1' * 34}", "", "run y", "  n 5"]
