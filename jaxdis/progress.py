"""How far a training is: a bar in a terminal, elsewhere a line a minute."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from jaxdis import log
from jaxdis.report.text import duration

__all__ = ["Advance", "counting", "progress"]

EVERY = 60.0  # seconds between two lines
REMEMBERED = 600.0  # seconds that the speed of the bar is a mean of


class Advance(Protocol):
    """What is told of a training."""

    def __call__(self, step: int, headline: str = "") -> None:
        """The step that it has come to.

        The first call says that everything is compiled.

        Args:
          step: the number of steps taken.
          headline: a number that is watched, in words; "" for the one before.
        """


def _speed(steps_per_second: float | None) -> str:
    if steps_per_second is None:
        return ""
    form = ",.0f" if steps_per_second >= 100 else ".3g"
    return f"{steps_per_second:{form}} steps/s"


class _Speed(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        """The speed, once it is known."""
        return Text(_speed(task.finished_speed or task.speed), style="cyan")


@contextmanager
def _bar(steps: int, first: int) -> Iterator[Advance]:
    """A bar with steps, speed, time left and headline."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[headline]}", style="bold", markup=False),
    )
    with Progress(
        *columns, console=log.console, speed_estimate_period=REMEMBERED
    ) as bar:
        task = bar.add_task("compiling", total=steps, completed=first, headline="")

        def advance(step: int, headline: str = "") -> None:
            bar.update(task, description="training", completed=step)
            if headline:
                bar.update(task, headline=headline)

        yield advance


@dataclass
class _Lines:
    """Lines of a training; `advance` is told of every step that it has come to."""

    steps: int
    step: int  # that it has come to
    headline: str = ""
    started: float = field(default_factory=lambda: time.monotonic())
    trained: tuple[float, int] | None = None  # when and where training began
    said: tuple[float, int] = (0.0, 0)  # when and where the last line was written

    def _say(self, words: str) -> None:
        log.say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {words}")

    def advance(self, step: int, headline: str = "") -> None:
        now = time.monotonic()
        self.step, self.headline = step, headline or self.headline
        if self.trained is None:
            self.trained = self.said = now, step
            where = f"step {step:,} of {self.steps:,}"
            took = duration(now - self.started)
            self._say(f"training from {where}, compiled in {took}")
        elif now - self.said[0] >= EVERY:
            began, first = self.trained
            left = (self.steps - step) * (now - began) / max(step - first, 1)
            tail = f", {duration(left)} left" if first < step < self.steps else ""
            self._say(self._where(now, self.said) + tail)
            self.said = now, step

    def _where(self, now: float, since: tuple[float, int]) -> str:
        seconds, taken = now - since[0], self.step - since[1]
        speed = _speed(taken / seconds) if seconds > 0 else ""
        where = f"step {self.step:,} of {self.steps:,}"
        return ", ".join(filter(None, (where, speed, self.headline)))

    def begin(self) -> None:
        taken = f", {self.step:,} of them taken" if self.step else ""
        if self.step < self.steps:
            self._say(f"compiling; {self.steps:,} steps{taken}")

    def end(self) -> None:
        if self.trained is not None:
            now = time.monotonic()
            took = duration(now - self.trained[0])
            self._say(f"{self._where(now, self.trained)}, trained for {took}")


@contextmanager
def _lines(steps: int, first: int) -> Iterator[Advance]:
    """A line when compiling and when training begins, one a minute, and a last one."""
    lines = _Lines(steps, first)
    lines.begin()
    try:
        yield lines.advance
    finally:
        lines.end()


def _is_animated() -> bool:
    """Whether there is something that shows a bar and not all its states."""
    console = log.console
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None
    # FORCE_COLOR asks for colours, also in a file.
    return console.is_interactive and console.file.isatty()


def progress(steps: int, first: int = 0) -> AbstractContextManager[Advance]:
    """Shows how far a training is, while it lasts.

    Args:
      steps: the number of steps to take in all.
      first: how many of them are taken already.

    Returns:
      A context, in which one function is told of every step that is come to.
    """
    return (_bar if _is_animated() else _lines)(steps, first)


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar of things that are done one by one, in a terminal only, until all are.

    Args:
      what: what is done, in words.
      total: how many there are.

    Returns:
      A context with a function that says that one more is done.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(
        *columns, console=log.console, transient=True, disable=not _is_animated()
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
