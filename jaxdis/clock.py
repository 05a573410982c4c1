"""Where the wall time of a run goes: seconds by what they were spent on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

# Nothing above imports JAX, so that this is the time before it is imported.
BEGAN = time.perf_counter()

__all__ = ["PARTS", "Clock", "Compiling", "Part", "since_import"]

Part: TypeAlias = Literal[
    "import", "data", "compile", "training", "evaluation", "saving", "report", "other"
]
PARTS: tuple[Part, ...] = (
    "import", "data", "compile", "training", "evaluation", "saving", "report", "other",
)  # fmt: skip
"""What the seconds of a run are spent on, in order: until it begins; its data; tracing
and compiling, whatever for; steps; scores of held-out rows; files; its page."""

COMPILING = "/jax/core/compile/"  # how the events of JAX begin that say so


def since_import() -> float:
    """The seconds since this process began to import the library."""
    return time.perf_counter() - BEGAN


class Compiling:
    """The seconds that JAX traces and compiles, of which nested ones count once."""

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []

    def hear(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        """Takes note of an event that ends now.

        Args:
          event: its name.
          duration_secs: how long it took.
          kwargs: what else is told of it.
        """
        if not event.startswith(COMPILING):
            return
        end = time.perf_counter()
        while self._spans and self._spans[-1][0] >= end - duration_secs:
            self._spans.pop()  # it was within this one
        self._spans.append((end - duration_secs, end))

    @property
    def seconds(self) -> float:
        """All of them up to now."""
        return sum(end - start for start, end in self._spans)


class Clock:
    """Seconds by what they are spent on; those of compilation go to no other part."""

    def __init__(self, imported: float = 0.0) -> None:
        self._compiling = Compiling()
        self._now: list[Part] = ["other"]
        self._seconds = dict.fromkeys(PARTS, 0.0) | {"import": imported}
        self._since, self._compiled = time.perf_counter(), 0.0

    @contextmanager
    def running(self) -> Iterator["Clock"]:
        """Hears what is compiled meanwhile."""
        import jax.monitoring as events

        events.register_event_duration_secs_listener(self._compiling.hear)
        try:
            yield self
        finally:
            events.unregister_event_duration_listener(self._compiling.hear)

    @contextmanager
    def on(self, part: Part) -> Iterator[None]:
        """What is done meanwhile belongs to a part, and to none around it.

        Args:
          part: which one.
        """
        self._settle()
        self._now.append(part)
        try:
            yield
        finally:
            self._settle()
            self._now.pop()

    def _settle(self) -> None:
        now, compiled = time.perf_counter(), self._compiling.seconds
        more = compiled - self._compiled
        self._seconds["compile"] += more
        self._seconds[self._now[-1]] += now - self._since - more
        self._since, self._compiled = now, compiled

    @property
    def seconds(self) -> dict[str, float]:
        """What was spent on each part up to now, in milliseconds' precision."""
        self._settle()
        return {part: round(max(0.0, s), 3) for part, s in self._seconds.items()}
