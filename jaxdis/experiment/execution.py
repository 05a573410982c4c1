"""How a plan is carried out: nothing here changes what is trained."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jaxlib
import numpy as np

import jaxdis
from jaxdis import check, runner, tracking
from jaxdis.clock import Clock
from jaxdis.experiment.shards import Shard
from jaxdis.tracking import Tracker

__all__ = ["Callbacks", "Execution", "Part", "Timing", "versions"]

Callbacks = Sequence[Callable[[runner.Chunk], bool | None]]


class Execution(NamedTuple):
    """How a plan is carried out.

    Attributes:
      out: a new directory of the run; by default runs/NAME-TIME.
      resume: whether to go on with the run in `out`.
      start_or_resume: whether to go on with the run in `out` if there is one.
      shard: which part of the rows is trained, in a directory below `out`.
      alone: whether all rows of the plan are this process's, whatever other processes
        there are.
      start_from: the directory of a run whose last state this one starts from.
      other_versions: whether to go on with a run that was trained with other versions.
      checkpoint_seconds: the least time between two checkpoints.
      chunk_seconds: the longest time in which an interruption is not noticed.
      command: what the directory names as the command that made it.
      callbacks: called with a `runner.Chunk` after every chunk; a true return value
        ends the training.
      rows_at_once: how many rows are on the devices at a time; the others wait on the
        host. None for all.
      exits: whether the program may be ended at once by a signal, as that of the
        command line may.
      track: what shows the run elsewhere: names of `tracking.TRACKERS`, or trackers. A
        run that is resumed goes on with those that it had, where none is named.
      tracked_in: the run whose trackers are told; None for the run itself.
      imported_s: the seconds that the program took before this was asked of it, with
        all that it imports.
    """

    out: Path | None = None
    resume: bool = False
    start_or_resume: bool = False
    shard: Shard | None = None
    alone: bool = False
    start_from: Path | None = None
    other_versions: bool = False
    checkpoint_seconds: float = 30.0
    chunk_seconds: float = 10.0
    command: str = ""
    callbacks: Callbacks = ()
    rows_at_once: int | None = None
    exits: bool = False
    track: Sequence[str | Tracker] = ()
    tracked_in: Path | None = None
    imported_s: float = 0.0

    @property
    def pace(self) -> dict[str, float | None]:
        """How often the host saves and looks, in seconds, and at how many rows."""
        return {
            "checkpoint_seconds": self.checkpoint_seconds,
            "chunk_seconds": self.chunk_seconds,
            "rows_at_once": self.rows_at_once,
        }

    def check(self) -> None:
        """Raises ValueError, naming it, for what cannot be."""
        check.at_least("checkpoint_seconds", self.checkpoint_seconds, 0)
        check.float32("chunk_seconds", self.chunk_seconds)
        check.positive("chunk_seconds", self.chunk_seconds)
        _check_callbacks(self.callbacks)
        tracking.find(self.track)
        if self.rows_at_once is not None:
            check.count("rows_at_once", self.rows_at_once)
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
            raise ValueError(
                "JAX_DISABLE_JIT must not be set: training is one compiled program. A "
                "step by itself, `system.step`, can be looked into without compilation"
            )


def _check_callbacks(callbacks: Any) -> None:
    """Whether there is something to call after each chunk: it is late to find out."""
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise ValueError(f"callbacks must be a list of functions, got {callbacks!r}")


def versions() -> dict[str, str]:
    """The versions of what numbers depend on."""
    modules = (jaxdis, jax, jaxlib, np)
    return {module.__name__: str(module.__version__) for module in modules}


@dataclass(frozen=True)
class Part:
    """A stretch of a run between its start, or a resume, and an end or interruption.

    Attributes:
      first, last: the steps that were taken before it, and at its end.
      wall_s: the seconds that it took, with all that is not training.
      compile_s: of these, on tracing and compiling.
      step_s: the seconds per step of all rows together.
      devices: the number of devices.
      platform: their platform, as "cpu" or "gpu".
      device_kind: their kind, as "NVIDIA H100".
      versions: what it ran with.
      seconds: what they were spent on, by `clock.PARTS`; none in records of earlier
        versions.
    """

    first: int
    last: int
    wall_s: float
    compile_s: float
    step_s: float
    devices: int
    platform: str
    device_kind: str
    versions: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)


class Timing:
    """The parts of a run up to now: those before an interruption, and this one."""

    def __init__(
        self,
        before: Sequence[dict[str, Any]],
        first: int,
        rows: int,
        clock: Clock | None = None,
    ) -> None:
        self.clock = Clock() if clock is None else clock
        self.before = tuple(Part(**part) for part in before)
        self.began = time.perf_counter()
        self.steps, self.seconds = 0, 0.0
        devices = jax.local_devices()
        self.part = Part(
            first=first,
            last=first,
            wall_s=0.0,
            compile_s=0.0,
            step_s=0.0,
            devices=min(rows, len(devices)),
            platform=devices[0].platform,
            device_kind=devices[0].device_kind,
            versions=versions(),
        )

    def compiled(self) -> None:
        """Takes note that the program is compiled."""
        self.part = replace(self.part, compile_s=time.perf_counter() - self.began)

    def trained(self, steps: int, seconds: float) -> None:
        """Takes note of some steps.

        Args:
          steps: their number.
          seconds: the time that they took.
        """
        self.steps, self.seconds = self.steps + steps, self.seconds + seconds
        self.part = replace(self.part, step_s=self.seconds / self.steps)

    def parts(self, step: int) -> tuple[Part, ...]:
        """All parts, this one up to now.

        Args:
          step: the number of steps taken.
        """
        wall_s = time.perf_counter() - self.began
        spent = self.clock.seconds
        part = replace(self.part, last=step, wall_s=wall_s, seconds=spent)
        return (*self.before, part)
