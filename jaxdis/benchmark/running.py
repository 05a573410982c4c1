"""A benchmark is trained cell by cell; what is finished stays, what failed is named."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from jaxdis import devices, lock, log, program_cache
from jaxdis.benchmark.cells import Cell, cells, part
from jaxdis.benchmark.results import Results, gathered
from jaxdis.benchmark.settings import Benchmark, checked
from jaxdis.benchmark.text import plain
from jaxdis.experiment import Execution, Stopped, carry_out, identity
from jaxdis.experiment.directory import check_path
from jaxdis.experiment.results import is_finished
from jaxdis.experiment.shards import Shard

__all__ = ["FILE", "benchmark_in", "run"]

FILE = "benchmark.json"
SAME = ("name", "steps", "times", "score", "config")
"""What all that is trained in one directory has in common; seeds may become more."""
KEPT = ("config", "data", "hyper")
"""What a run in it has in common with the cell that it is of."""


def benchmark_in(out: Path) -> dict[str, Any]:
    """The benchmark of a directory, as tables; none where it holds none.

    Args:
      out: the directory.

    Raises:
      ValueError: its file is damaged.
    """
    try:
        return dict(json.loads((out / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise ValueError(f"out must be a directory, got {out}: a file") from error
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{out / FILE} is damaged ({error}); remove it to write it anew"
        ) from error


def _check_runs(every: Sequence[Cell], out: Path) -> None:
    """Whether the runs that are there are those of the cells.

    Raises:
      ValueError: one is of other data, a preset that has changed, and so on.
    """
    for cell in every:
        directory = cell.directory(out)
        try:
            found = identity.read_settings(directory)
        except ValueError:  # none, or a damaged one, which fails alone
            continue
        if cell.plan is not None:
            advice = "give another directory, or the data another name"
            identity.check_same(
                cell.plan, found, directory, KEPT, asked="out", advice=advice
            )


def _claim(benchmark: Benchmark, out: Path, train: bool) -> None:
    """Sees to it that a directory holds one benchmark.

    Raises:
      ValueError: it holds another one, or something else; or nothing, where nothing is
        to be trained.
    """
    wanted, there = plain(benchmark), benchmark_in(out)
    former = {"times": {}} | there  # versions before 0.2 did not know it
    for name in SAME:
        found = former.get(name)
        if there and found != wanted[name]:
            raise ValueError(
                f"out: the benchmark in {out} has {name} {found!r}, and this one has "
                f"{wanted[name]!r}; give another directory"
            )
    if there and int(there.get("seeds", 0)) > benchmark.seeds:
        raise ValueError(
            f"seeds: the benchmark in {out} has {there['seeds']} seeds already, which "
            f"cannot become {benchmark.seeds}; give {there['seeds']} or more"
        )
    if not there and not train:
        raise ValueError(f"out: there is no benchmark in {out} to make a table of")
    if not there and out.is_dir() and any(out.iterdir()):
        raise ValueError(f"out: {out} holds something else, and is never overwritten")
    out.mkdir(parents=True, exist_ok=True)
    log.write_json(out / FILE, wanted)


def _left_out(cell: Cell, directory: Path) -> bool:
    """Whether nothing is to be trained: it is done, or another process is at it."""
    assert cell.plan is not None
    if not directory.is_dir():
        return False
    if is_finished(cell.plan, directory):
        return True
    other = lock.holder(directory)
    if other is not None:
        log.say(f"{cell.name}: {other} trains it")
    return other is not None


def _train(cell: Cell, out: Path, execution: Execution) -> str:
    """Trains a cell; returns why it failed, in a clause.

    Raises:
      Stopped: by a signal.
    """
    assert cell.plan is not None
    directory, failed = cell.directory(out), cell.failure(out)
    try:
        carry_out(cell.plan, execution._replace(out=directory))
    except Stopped:
        raise
    # Whatever one cell runs into, the others are trained.
    except Exception as error:
        why = log.reason(error)
        directory.parent.mkdir(parents=True, exist_ok=True)
        log.write_json(failed, {"error": why, "kind": type(error).__name__})
        return why
    finally:
        jax.clear_caches()  # programs of many cells are more than memory holds
    failed.unlink(missing_ok=True)
    return ""


def run(
    benchmark: Benchmark,
    out: Path | str,
    *,
    shard: Shard | None = None,
    command: str = "",
    exits: bool = False,
    train: bool = True,
) -> Results:
    """Trains what a benchmark lacks in a directory, and gathers what is there.

    Each cell is a run directory, OUT/DATA/METHOD-PRESET, that `jaxdis report` and
    `jaxdis resume` take as any other. A finished one is left as it is, one that was
    interrupted or shall have more seeds goes on, and one that failed is tried again and
    fails alone.

    Args:
      benchmark: the benchmark.
      out: its directory.
      shard: which part of the cells this process trains; None for all. Processes that
        share the directory leave each other's cells alone in any case.
      command: what the runs name as the command that made them.
      exits: whether the program may be ended at once by a signal.
      train: whether anything is trained; else what is there is gathered.

    Returns:
      The results of all cells, those of other processes as far as they are there.

    Raises:
      ValueError: as `checked` and `cells`, or the directory is that of another one.
      Stopped: by a signal; the same call goes on.
    """
    devices.use_all_cores()
    program_cache.keep_programs()
    every = cells(checked(benchmark))
    where = check_path(out)
    _check_runs(every, where)
    _claim(benchmark, where, train)
    mine = [cell for cell in part(every, shard) if cell.plan is not None]
    execution = Execution(start_or_resume=True, command=command, exits=exits)
    for number, cell in enumerate(mine if train else (), 1):
        if _left_out(cell, cell.directory(where)):
            continue
        log.say(f"[{number}/{len(mine)}] {cell.name}")
        if why := _train(cell, where, execution):
            log.say(f"{cell.name} failed: {why}")
    return gathered(benchmark, every, where)
