"""What a GPU or TPU is asked first, in at most seven minutes.

Every answer is written as soon as it is there, so that an interruption loses nothing;
an error is written in the place of its row, and the next row is measured. Rows that no
longer fit into the time are named. A machine needs jax, flax, optax, numpy and
scikit-learn, and nothing else has to be installed, this library neither.

    python -m benchmarks device [--out FILE] [--seconds 420] [--tiny]
    python -m benchmarks device --train [--seconds 300]

`--tiny` takes sizes that any CPU answers at once, to try the command. `--train` is a
training instead: full-size ActionNonDiag, four seeds, products in tf32, with
checkpoints beside the file, as far as it comes.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import bare
from benchmarks.questions import Question, conclusions, questions

__all__ = ["Record", "ask_all", "main"]

RESULTS = Path(__file__).parent / "results"
START_S = 120.0  # the most that a process may take until it is asked the first question


def write(path: Path, record: Any) -> None:
    """Writes JSON that is either the old or the new, never a part.

    Args:
      path: the file.
      record: what is written; its numbers may be NaN, which become null.
    """
    text = json.dumps(_strict(record), indent=2) + "\n"
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strict(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(one) for one in value]
    finite = not isinstance(value, float) or value - value == 0
    return value if finite else None


class Record:
    """The file: what was answered up to now.

    Attributes:
      rows: answers, in order.
      left_out: the names of rows for which there was no time.
    """

    def __init__(self, path: Path, budget_s: float) -> None:
        self.path, self.budget_s = path, budget_s
        self.began = time.perf_counter()
        self.machine: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []
        self.left_out: list[str] = []

    @property
    def left_s(self) -> float:
        """The seconds of the budget that are left."""
        return self.budget_s - (time.perf_counter() - self.began)

    def write(self) -> None:
        """Writes all of it."""
        whole = {
            "machine": self.machine,
            "budget_s": self.budget_s,
            "wall_s": self.budget_s - self.left_s,
            "rows": self.rows,
            "left_out": self.left_out,
            "conclusions": conclusions(self.rows),
        }
        write(self.path, whole)

    def add(self, question: Question, seconds: float, answer: dict[str, Any]) -> None:
        """Writes and prints a row.

        Args:
          question: what was asked.
          seconds: how long the answer took.
          answer: what is known now.
        """
        head = {"section": question.section, "name": question.name}
        self.rows.append(head | {"seconds": seconds} | answer)
        self.write()
        print(f"{question.section}: {question.name} ({seconds:.1f} s)")
        for name, value in answer.items():
            shown = f"{value:.4g}" if isinstance(value, float) else value
            print(f"    {name}: {shown}", flush=True)


class _Worker(NamedTuple):
    """A process that answers, and the line to it."""

    process: Any
    line: Connection


def _serve(line: Connection) -> None:
    """Answers one question after the other; runs in a process of its own."""
    bare.stand_in()
    from benchmarks import answers

    line.send(answers.prepare())
    while (question := line.recv()) is not None:
        line.send(answers.answer(question.asks, question.given))


def _hear(worker: _Worker, seconds: float) -> dict[str, Any]:
    """The next message, or the error that there is none."""
    if not worker.line.poll(max(0.0, seconds)):
        return {"error": f"no answer after {seconds:.0f} s; its process was ended"}
    try:
        return dict(worker.line.recv())
    except (EOFError, OSError):
        worker.process.join()
        return {"error": f"its process ended with code {worker.process.exitcode}"}


def _answer(worker: _Worker, question: Question, left_s: float) -> dict[str, Any]:
    with suppress(OSError):  # it has died since, and `_hear` says of what
        worker.line.send(question)
    return _hear(worker, min(question.limit_s, left_s))


def _started(seconds: float) -> tuple[_Worker, dict[str, Any]]:
    """A new process, and what it says of its machine."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()  # or the end of the process would not be the end of the line
    worker = _Worker(process, ours)
    return worker, _hear(worker, seconds)


def _ended(worker: _Worker | None) -> None:
    if worker is not None:
        worker.process.kill()
        worker.process.join()
        worker.line.close()


def ask_all(record: Record, asked: Sequence[Question]) -> None:
    """Asks all questions for which there is time, and writes every answer.

    After an error, which may have broken the device for its process, and for every
    section, whose memory is measured by itself, there is a new process.

    Args:
      record: where answers go.
      asked: the questions, in order.
    """
    worker, section, longest = None, "", 0.0
    for question in asked:
        if question.section != section:
            _ended(worker)
            worker, section, longest = None, question.section, 0.0
        if record.left_s <= longest:
            record.left_out.append(f"{question.section}: {question.name}")
            continue
        began = time.perf_counter()
        found: dict[str, Any] = {}
        if worker is None:
            worker, found = _started(min(START_S, record.left_s))
            if "error" not in found:
                record.machine = found
        if "error" not in found:
            began = time.perf_counter()
            found = _answer(worker, question, record.left_s)
        seconds = time.perf_counter() - began
        longest = max(longest, seconds)
        record.add(question, seconds, found)
        if "error" in found:
            _ended(worker)
            worker = None
    _ended(worker)
    record.write()


def _train(record: Record, tiny: bool) -> None:
    """Trains as long as there is time; see the module."""
    bare.stand_in()
    from benchmarks import long_training

    long_training.train(record, tiny)


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks device")
    parser.add_argument("--out", type=Path, help="the JSON file that is written")
    parser.add_argument("--seconds", type=float, help="all that it may take")
    parser.add_argument("--tiny", action="store_true", help="sizes to try it with")
    parser.add_argument(
        "--train", action="store_true", help="a training of five minutes"
    )
    options = parser.parse_args(words)
    if options.seconds is not None and not options.seconds > 0:
        parser.error(f"--seconds must be above 0, got {options.seconds:g}")
    if options.out is not None and not options.out.absolute().parent.is_dir():
        parser.error(
            f"--out must be a file in a directory that exists, got {options.out}"
        )
    return options


def main(words: Sequence[str]) -> None:
    """Measures, or trains, and says where the record is.

    Args:
      words: the options.
    """
    options = _parsed(words)
    name = "device_training" if options.train else "device"
    folder = Path(tempfile.gettempdir()) if options.tiny else RESULTS
    path = options.out or folder / f"{name}{'-tiny' * options.tiny}.json"
    usual = 300.0 if options.train else 420.0
    record = Record(path, options.seconds or usual)
    record.write()
    if options.train:
        _train(record, options.tiny)
    else:
        ask_all(record, questions(options.tiny))
    for one in record.left_out:
        print(f"left out, as there was no time: {one}")
    print(f"written: {path}")
