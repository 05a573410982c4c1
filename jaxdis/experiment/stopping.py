"""Interruptions: a run saves its state and stops after a chunk."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from jaxdis import log

__all__ = ["Stopped", "stop_signals"]


class Stopped(Exception):
    """A run that was interrupted after a chunk; its state is saved.

    Attributes:
      directory: the directory of the run.
      step: the number of steps taken.
    """

    def __init__(self, directory: Path, step: int):
        super().__init__(f"stopped after step {step}; saved in {directory}")
        self.directory, self.step = directory, step


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into a wish that the run can honour."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        log.console.print("stopping after this chunk (again: at once, unsaved)")

    # Other threads may not ask for signals.
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
    previous = [signal.signal(number, handle) for number in numbers]
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
