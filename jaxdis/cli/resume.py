"""`jaxdis resume`: a run goes on, from what its directory tells alone."""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from jaxdis import devices, experiment, program_cache
from jaxdis.cli.options import NOTHING
from jaxdis.cli.train import carried_out
from jaxdis.clock import since_import
from jaxdis.experiment import Execution, Wishes, plan_of

__all__ = ["ResumeOptions", "resume_command"]


@dataclasses.dataclass(frozen=True)
class ResumeOptions:
    """Goes on with a run: to its end, or to more steps and seeds.

    Everything else is as the run was started. A run that is finished and shall have no
    more is left as it is.

    Attributes:
      run: the directory of the run.
      steps: the number of steps in all, at least as many as were trained. All
        hyper-parameters stay as they are.
      seeds: the number of seeds in all; new ones are trained as far as the others.
      stretch: let hyper-parameters that are set by the number of steps, as the length
        of a schedule, take their values for the new number from here on.
      other_versions: go on although versions or the precision of matrix products are
        others than those of the run.
      checkpoint_seconds: the least time between two checkpoints; None, here and for the
        next two, for what it was.
      chunk_seconds: the longest time in which an interruption is not noticed.
      rows_at_once: the number of rows that are on the devices at a time.
      track: what shows the run elsewhere, one or several of jsonl, csv, tensorboard and
        wandb; by default what did so before.
    """

    run: tyro.conf.Positional[Path]
    steps: int | None = None
    seeds: int | None = None
    stretch: bool = False
    other_versions: bool = False
    checkpoint_seconds: float | None = None
    chunk_seconds: float | None = None
    rows_at_once: int | None = None
    track: Annotated[tuple[str, ...], NOTHING] = ()


def resume_command(args: Sequence[str]) -> int:
    """`jaxdis resume RUN`; returns the exit code."""
    devices.use_all_cores()
    program_cache.keep_programs()
    options = tyro.cli(ResumeOptions, prog="jaxdis resume", args=args)
    execution = Execution(
        other_versions=options.other_versions,
        command=shlex.join(["jaxdis", *sys.argv[1:]]),
        exits=True,
        track=options.track,
        imported_s=since_import(),
    )
    pace = {name: getattr(options, name) for name in execution.pace}
    wishes = Wishes(options.steps, options.seeds, options.stretch)
    return carried_out(
        partial(experiment.go_on, options.run, plan_of, wishes, execution, pace)
    )
