"""What finished runs have reached, kept for README, pages and presets.

python -m benchmarks.runs RUN [RUN ...]        # under the command that trained it
python -m benchmarks.runs RUN --as COMMAND     # under one that trains the same

writes the rows of each run to benchmarks/results/runs.json, in place of those that are
there under its command: a row for each point and score, and for what scores are without
learning. Gains are over the first point, paired over the seeds, above 0 where better.
"""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import RESULTS
from jaxdis import log, statistics
from jaxdis.report.choice import side
from jaxdis.report.read import Group, Record, lived, load, udr
from jaxdis.types import Score

__all__ = ["FILE", "called", "kept", "rows_of"]

FILE = RESULTS / "runs.json"
DIGITS = 5
PRIVATE = ("--out", "--chunk")  # options on which no number depends


def called(command: str) -> str:
    """A command without where it wrote to, which is another place for everybody."""
    words = shlex.split(command)
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if before not in PRIVATE and word not in PRIVATE
    ]
    return shlex.join(kept)


def _short(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def _row(values: np.ndarray) -> dict[str, Any]:
    found = statistics.summary(values)
    shown = {"mean": found.mean, "deviation": found.deviation}
    return {name: _short(float(value)) for name, value in shown.items()}


def _gain(group: Group, first: Group, score: Score) -> dict[str, Any]:
    a, b = (side(score) * lived(g, score.name) for g in (group, first))
    gain = statistics.paired_gain(a, b)
    shown = {"gain": gain.mean, "gain_error": gain.standard_error}
    row: dict[str, Any] = {name: _short(float(v)) for name, v in shown.items()}
    return row | {"gain_positive": int(gain.positive)}


def rows_of(record: Record, command: str) -> Iterator[dict[str, Any]]:
    """The rows of a run.

    Args:
      record: the run, which has finished.
      command: what it is kept under.
    """
    trained = re.search(r"jaxdis train (\w+/\w+)", command)
    about = {"command": command, "preset": trained[1] if trained else record.name}
    first, *_ = record.groups
    front = next(iter(record.scores), "")
    for group, agreement in zip(record.groups, udr(record), strict=True):
        at = about | {"point": group.label}
        for name, score in record.scores.items():
            values = lived(group, name)
            if np.isfinite(values).any():
                row = at | {"score": name} | _row(values)
                row |= {} if group is first else _gain(group, first, score)
                each = [_short(float(v)) for v in values]
                yield row | ({"seeds": each} if name == front else {})
        if np.isfinite(agreement):
            yield at | {"score": "udr", "mean": _short(float(agreement))}
    for floor, scores in first.floors.items():
        for name, values in scores.items():
            if np.isfinite(values).any():
                yield about | {"point": floor, "score": name} | _row(values)
    took = record.results.get("wall_s")
    if took is not None:
        yield about | {"score": "seconds", "mean": _short(float(took))}


def kept(file: Path = FILE) -> list[dict[str, Any]]:
    """The rows of all runs that are kept."""
    return list(json.loads(file.read_text())["rows"]) if file.exists() else []


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    """One line a row, so that a change of one run is seen as such."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    log.write_atomically(file, f'{{"rows": [\n{lines}\n]}}\n'.encode())


def main() -> int:
    """Keeps runs; the exit code is 2 where one cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runs")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--as", dest="command", help="the command that trains the same")
    parser.add_argument("--to", type=Path, default=FILE, help="the file to write")
    parser.add_argument("--scores", nargs="*", help="the scores to keep; default all")
    asked = parser.parse_args()
    for run in asked.runs:
        try:
            record = load(run)
        except ValueError as error:
            print(f"runs: {error}", file=sys.stderr)
            return 2
        command = asked.command or called(str(record.settings["command"]))
        if not re.match(r"(jaxdis|python) ", command):
            print(f"runs: {run} was trained by a program: say --as which command")
            return 2
        rows = [row for row in kept(asked.to) if row["command"] != command]
        scores = asked.scores or [*record.scores, "udr", "seconds"]
        rows += (r for r in rows_of(record, command) if r["score"] in scores)
        _write(asked.to, sorted(rows, key=lambda row: str(row["command"])))
        print(f"{run}: {command}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
