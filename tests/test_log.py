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


def test_lines_are_cut_back_to_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log.append_lines(path, ({"step": s, "x": 0.5} for s in (1, 2, 3)))
    with path.open("a") as file:
        file.write('{"step": 4, "x"')
    log.truncate_lines(path, 2)
    assert [json.loads(x)["step"] for x in path.read_text().splitlines()] == [1, 2]
    log.truncate_lines(tmp_path / "none.jsonl", 2)
    assert not (tmp_path / "none.jsonl").exists()


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
