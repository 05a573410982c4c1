"""The command line: one module a family of commands, argv in, table or file out."""

import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

import jaxdis.clock
from jaxdis import check, log
from jaxdis.cli.benchmark import benchmark_command
from jaxdis.cli.compare import compare_command
from jaxdis.cli.completion import completion_command
from jaxdis.cli.evaluate import evaluate_command
from jaxdis.cli.explain import explain_command
from jaxdis.cli.merge import merge_command
from jaxdis.cli.resume import resume_command
from jaxdis.cli.select import select_command
from jaxdis.cli.show import list_command, report_command
from jaxdis.cli.train import parse_train, train_command
from jaxdis.cli.use import encode_command, export_command

__all__ = ["main", "parse_train"]

COMMANDS = {
    "list": list_command,
    "train": train_command,
    "resume": resume_command,
    "merge": merge_command,
    "report": report_command,
    "compare": compare_command,
    "select": select_command,
    "benchmark": benchmark_command,
    "explain": explain_command,
    "encode": encode_command,
    "evaluate": evaluate_command,
    "export": export_command,
    "completion": completion_command,
}
USAGE = """usage: jaxdis list [METHOD ...] [--long]
       jaxdis train METHOD/PRESET [--seeds N] [--steps N] [--hyper.X V [V ...]]
                    [--config.X V] [--data NAME] [--data.X V] [--out DIR]
                    [--start-or-resume] [--from RUN] [--shard I/N]
       jaxdis resume RUN [--steps N] [--seeds N]
       jaxdis merge RUN [RUN ...] [--out DIR] [--partial]
       jaxdis report [RUN ...]
       jaxdis compare RUN [RUN ...] [--scores NAME ...] [--baseline N] [--anyway]
       jaxdis select RUN [--kind mcc|lasso|spearman]
       jaxdis benchmark [FILE] [--out DIR] [--seeds N] [--steps N] [--methods M ...]
                        [--data D ...] [--scale X] [--shard I/N] [--table] [--dry-run]
       jaxdis explain FILE|RUN [--kind K] [--threshold T] [--domains N] [--out PNG]
       jaxdis encode RUN FILE --out codes.npz|.csv|.parquet [--seed N|best]
       jaxdis evaluate RUN [FILE] [--metrics NAME ...] [--out scores.csv|.json]
       jaxdis evaluate --codes codes.npz [--metrics NAME ...]
       jaxdis export RUN [RUN ...] --out long.csv|.parquet
       jaxdis completion bash|zsh
       jaxdis --version

METHOD is one of those that `jaxdis list` names, or a file of yours,
my_method.py:METHOD; RUN is a directory that `jaxdis train` wrote.
`jaxdis COMMAND --help` says more, and `jaxdis train METHOD/PRESET --help` names every
option of that method. `jaxdis train METHOD/own --data.file FILE` takes your data.
`jaxdis completion --help` says how the shell completes all of these words."""


def _carried_out(words: Sequence[str]) -> int:
    """The exit code of a command.

    Raises:
      OSError: the help cannot be written.
    """
    name, *args = words or ["--help"]
    if name in ("-h", "--help"):
        print(USAGE)
        return 0
    if name == "--version":
        print(f"jaxdis {jaxdis.__version__}")
        return 0
    try:
        if name not in COMMANDS:
            raise check.unknown("command", name, COMMANDS)
        return COMMANDS[name](args)
    except ValueError as error:
        _complain(str(error))
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:  # a file or a disk that cannot be written
        where = f"{error.filename}: " if error.filename else ""
        _complain(where + (error.strerror or str(error)))
        return 2
    except KeyboardInterrupt:
        print("jaxdis: interrupted", file=sys.stderr)
        return 130
    except SystemExit as done:  # help, or options that do not exist
        return done.code if isinstance(done.code, int) else int(done.code is not None)


def main() -> None:
    """Entry point of the command `jaxdis`."""
    _open_streams()
    code = 0
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _note
            code = _carried_out(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough
        code = 0
        _mute(sys.stdout)
    except OSError as error:  # the output goes to a full disk
        _mute(sys.stdout)
        if code == 0:  # else this was said
            _complain(f"the standard output cannot be written: {error}")
        code = code or 2
    sys.exit(code)


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as a line for the user, whom no line of the source helps."""
    log.note(" ".join(str(message).split()))


def _open_streams() -> None:
    """What the shell has closed goes nowhere, and not into a file that is opened next.

    A new file takes the lowest number that is free, and XLA writes its log to 2.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _mute(stream: TextIO) -> None:
    """What is still to be written to it, at the exit, goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _complain(message: str) -> None:
    """One line on the standard error, if anybody can read it."""
    try:
        print(f"jaxdis: error: {message}", file=sys.stderr, flush=True)
    except OSError:
        _mute(sys.stderr)
