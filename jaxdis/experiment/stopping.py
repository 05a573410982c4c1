"""Interruptions: a run saves its state and stops, within seconds.

A signal wakes a thread at once, also while the main thread compiles or computes inside
XLA, where Python's own handlers would wait. While the run trains, the thread notes the
wish, and the run honours it the next time that the host looks; so it does while it
measures, unless that is slow. While it compiles, measures for the first time, or writes
results, a program that may end, as the command line may, ends at once, with the last
checkpoint as it is.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from jaxdis import log

__all__ = ["Stopped", "Stopping", "exit_code", "leave_at_once", "stop_signals"]

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""Ctrl-C; whatever ends a job; a closed terminal; a scheduler before its limit."""


def exit_code(number: int) -> int:
    """143 after SIGTERM, as whoever sent it expects; 130 after all others.

    Args:
      number: the number of the signal.
    """
    return 143 if number == signal.SIGTERM else 130


class Stopped(Exception):
    """A run that was interrupted; its state is saved.

    Attributes:
      directory: the directory of the run.
      step: the number of steps taken.
      signal: the number of the signal that interrupted it.
    """

    def __init__(self, directory: Path, step: int, signal: int = signal.SIGINT):
        super().__init__(f"stopped after step {step}; saved in {directory}")
        self.directory, self.step, self.signal = directory, step, signal


class Stopping:
    """What was wished by now, and whether the program may end at once.

    Attributes:
      received: the numbers of the signals so far, as the thread has heard them.
      first: the number of the first one, also if only the main thread knows it.
      training: whether the run is at its steps; a wish is then honoured at the host's
        next look, and otherwise at once.
      leave: ends the program at once, with the last checkpoint as it is; None where a
        program must not end, as a notebook.
    """

    def __init__(self, leave: Callable[[int], None] | None) -> None:
        self.received: list[int] = []
        self.first: int | None = None
        self.training = False
        self.leave = leave

    def __bool__(self) -> bool:
        return self.first is not None

    def wish(self, number: int) -> None:
        """Takes note of a signal, or ends the program.

        Args:
          number: the number of the signal.
        """
        self.received.append(number)
        self.first = self.received[0]
        if self.leave and (not self.training or len(self.received) > 1):
            self.leave(number)
        elif len(self.received) == 1:
            log.say("stopping within seconds (again: at once, unsaved)")


def _listen(stopping: Stopping, numbers: tuple[int, ...]) -> Callable[[], None]:
    """Lets a thread hear signals; returns what ends it."""
    there, here = socket.socketpair()
    here.setblocking(False)
    before = signal.set_wakeup_fd(here.fileno(), warn_on_full_buffer=False)

    def hear() -> None:
        ended = False
        while not ended:
            data = there.recv(64)
            ended = 0 in data  # no signal has that number
            for number in data:
                if number in numbers:
                    stopping.wish(number)

    thread = threading.Thread(target=hear, name="jaxdis-signals", daemon=True)
    thread.start()

    def end() -> None:
        signal.set_wakeup_fd(before)
        here.send(b"\0")
        thread.join()
        there.close()
        here.close()

    return end


def _heard() -> tuple[int, ...]:
    """The signals that there are, but for a closed terminal under `nohup`."""
    numbers = [int(getattr(signal, name)) for name in NAMES if hasattr(signal, name)]
    closed = getattr(signal, "SIGHUP", None)
    ignored = closed and signal.getsignal(closed) is signal.SIG_IGN
    return tuple(n for n in numbers if n != closed or not ignored)


@contextmanager
def stop_signals(leave: Callable[[int], None] | None = None) -> Iterator[Stopping]:
    """Turns Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 into a wish that a run can honour.

    Args:
      leave: ends the program at once when that loses nothing, and at the second signal;
        None where the program must go on. A second signal then raises
        KeyboardInterrupt.
    """
    stopping = Stopping(leave)
    if threading.current_thread() is not threading.main_thread():
        yield stopping  # other threads may not ask for signals
        return

    def handle(number: int, frame: FrameType | None) -> None:
        """The thread hears it as well; Python only gets here when XLA is done."""
        stopping.first = stopping.first or number
        if leave is None and len(stopping.received) > 1:
            raise KeyboardInterrupt

    numbers = _heard()
    end = _listen(stopping, numbers)
    previous = [signal.signal(number, handle) for number in numbers]
    try:
        yield stopping
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
        end()


def leave_at_once(say: Callable[[], str], number: int) -> None:
    """Ends the program as a killed one ends, after a sentence.

    Args:
      say: the sentence.
      number: the number of the signal.
    """
    if log.console.is_terminal:
        os.write(1, b"\x1b[?25h\n")  # the progress bar has hidden the cursor
    os.write(1, f"{say()}\n".encode(errors="surrogateescape"))
    os._exit(exit_code(number))
