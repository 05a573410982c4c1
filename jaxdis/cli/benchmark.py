"""`jaxdis benchmark`: methods on data with the same seeds, and one table of all."""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxdis import experiment, log
from jaxdis.benchmark import SANITY, Benchmark, narrowed, read, run, scaled
from jaxdis.benchmark.cells import cells, part
from jaxdis.benchmark.results import Results
from jaxdis.benchmark.settings import checked
from jaxdis.benchmark.text import columns, sentences, tables
from jaxdis.cli.options import NOTHING
from jaxdis.cli.tables import write as write_table
from jaxdis.experiment import Stopped, exit_code
from jaxdis.experiment.directory import check_path
from jaxdis.experiment.shards import Shard
from jaxdis.report.text import duration

__all__ = ["BenchmarkOptions", "benchmark_command"]

FAILED = 1
"""The exit code where some cells failed."""


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions:
    """Trains every method on all data that it takes, and writes one table of all.

    Without a file it is the sanity benchmark. Each cell is a run below --out: what is
    finished stays, what was interrupted goes on by the same command, and what failed is
    named while the others finish.

    Attributes:
      file: a benchmark of yours, TOML or JSON; see `jaxdis.benchmark.Benchmark`.
      out: its directory; by default runs/benchmark-NAME.
      seeds: the number of seeds, each with data of its own; None for that of the
        benchmark, here and for the next.
      steps: the number of steps.
      methods: METHOD or METHOD/PRESET, in place of those of the benchmark.
      data: some of its data, by name or by group.
      scale: the factor of the widths of networks.
      score: what methods are compared by, a score of the methods.
      shard: I/N, the part of the cells that this process trains, or auto for what a
        scheduler's variables say; all share --out.
      table: train nothing; gather what is there.
      dry_run: name the cells, and what does not fit, and end.
    """

    file: tyro.conf.Positional[Path | None] = None
    out: Path | None = None
    seeds: int | None = None
    steps: int | None = None
    methods: Annotated[tuple[str, ...], NOTHING] = ()
    data: Annotated[tuple[str, ...], NOTHING] = ()
    scale: float = 1.0
    score: str | None = None
    shard: str | None = None
    table: bool = False
    dry_run: bool = False


def _asked(options: BenchmarkOptions) -> Benchmark:
    """The benchmark that the options ask for, checked."""
    whole = SANITY if options.file is None else read(options.file)
    named = {n: getattr(options, n) for n in ("seeds", "steps", "score")}
    given = {name: value for name, value in named.items() if value is not None}
    some = narrowed(whole, options.methods, options.data)
    return checked(scaled(dataclasses.replace(some, **given), options.scale))


def _rehearse(benchmark: Benchmark, shard: Shard | None) -> int:
    """Names what would be trained, and what does not fit."""
    every = cells(benchmark)
    mine = part(every, shard)
    for cell in mine:
        if cell.plan is not None:
            rows = len(cell.plan.seeds) * len(cell.plan.points)
            log.say(f"{cell.name}: {rows} rows, {cell.plan.steps:,} steps")
        elif not cell.skipped:
            word = "fails" if cell.broken else "does not fit"
            log.say(f"{cell.name}: {word}: {cell.why}")
    for name, why in {c.case.name: c.why for c in mine if c.skipped}.items():
        log.say(f"{name}: skipped: {why}")
    there = sum(cell.plan is not None for cell in mine)
    log.say(f"{there} cells of {benchmark.seeds} seeds")
    return 0


def _show(results: Results, out: Path, command: str) -> int:
    """Prints and writes all that is there; returns the exit code."""
    from jaxdis.benchmark.page import write  # to draw costs an import

    log.show(tables(results))
    for sentence in sentences(results):
        log.say(sentence)
    write_table(out / "table.csv", columns(results))
    written = write(results, out, command)
    log.say(f"training took {duration(results.seconds)}")
    log.say(f"table: {out / 'table.csv'}, {written.results}")
    log.say(f"page: {written.page}")
    return FAILED if results.of("failed") else 0


def benchmark_command(args: Sequence[str]) -> int:
    """`jaxdis benchmark [FILE] ...`; returns the exit code.

    Raises:
      ValueError: the benchmark names what there is not, with the nearest name, or is
        another one than that of the directory.
    """
    options = tyro.cli(BenchmarkOptions, prog="jaxdis benchmark", args=args)
    benchmark = _asked(options)
    shard = None if options.shard is None else experiment.asked(options.shard)
    if options.dry_run:
        return _rehearse(benchmark, shard)
    named = options.out or Path("runs") / f"benchmark-{benchmark.name}"
    out, command = check_path(named), shlex.join(["jaxdis", *sys.argv[1:]])
    try:
        results = run(
            benchmark,
            out,
            shard=shard,
            command=command,
            exits=True,
            train=not options.table,
        )
    except Stopped as stop:
        log.say(f"stopped after step {stop.step:,} of {stop.directory}; saved. Go on:")
        log.say(f"  {command}")
        return exit_code(stop.signal)
    return _show(results, out, command)
