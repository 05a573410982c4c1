"""`jaxdis merge`: one table of rows that were trained in shards."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from jaxdis import devices, experiment, program_cache
from jaxdis.cli.options import NOTHING
from jaxdis.cli.train import PARTLY, carried_out

__all__ = ["MergeOptions", "merge_command"]


@dataclasses.dataclass(frozen=True)
class MergeOptions:
    """Makes one run, with one table, of rows that were trained in shards.

    Attributes:
      runs: the directory of a run that was trained in shards; or those of several runs
        that differ in their seeds or hyper-parameters alone.
      out: the directory of the whole; default that of the run of the shards.
      partial: make the table of what there is, where shards are missing; it is then in
        the directory `partial` below that of the run.
      other_versions: take shards of other versions.
      rows_at_once: the number of rows that are measured at a time; None for all.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, NOTHING]
    out: Path | None = None
    partial: bool = False
    other_versions: bool = False
    rows_at_once: int | None = None


def merge_command(args: Sequence[str]) -> int:
    """`jaxdis merge RUN [RUN ...]`; returns the exit code."""
    devices.use_all_cores()
    program_cache.keep_programs()
    options = tyro.cli(MergeOptions, prog="jaxdis merge", args=args or ["--help"])
    merging = partial(
        experiment.gather,
        options.runs,
        options.out,
        partial=options.partial,
        other_versions=options.other_versions,
        rows_at_once=options.rows_at_once,
    )
    code = carried_out(merging)
    return 0 if code == PARTLY else code  # it was asked for
