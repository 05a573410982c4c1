"""Trackers: what shows a run elsewhere while it trains.

Each seed of each grid point is a run of its own there. What a tracker is takes one
function, so that your own is as good as those that are built in:

    import jaxdis
    from jaxdis.tracking import Tracker

    def show(step, values):  # {name: [value per row]}
        print(step, values["loss"].mean())

    jaxdis.train("mechanism_sparsity/quickstart", track=["csv", Tracker(show)])

As a callback a tracker is of use to any loop over chunks:

    from pathlib import Path
    from jaxdis import tracking

    rows = tuple(tracking.Row(0, seed) for seed in range(8))
    table = tracking.open_csv(tracking.Tracked(Path("tables"), rows))
    jaxdis.train(
        "mechanism_sparsity/quickstart", seeds=8, callbacks=[tracking.callback(table)]
    )
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, TypeAlias

from jaxdis import check, log
from jaxdis.runner import Chunk
from jaxdis.tracking.files import open_csv, open_jsonl
from jaxdis.tracking.protocol import Row, Tracked, Tracker, Values
from jaxdis.tracking.tensorboard import open_tensorboard
from jaxdis.tracking.wandb import open_wandb

__all__ = [
    "TRACKERS",
    "Opener",
    "Row",
    "Tracked",
    "Tracker",
    "Values",
    "callback",
    "find",
    "open_csv",
    "open_jsonl",
    "open_tensorboard",
    "open_wandb",
    "together",
    "used",
]

Opener: TypeAlias = Callable[[Tracked], Tracker]


class _Kind(NamedTuple):
    """A tracker by its name.

    Attributes:
      open: opens it for the rows of a run.
      module: what must be installed; "" for nothing. The extra has the tracker's name.
    """

    open: Opener
    module: str = ""


TRACKERS = {
    "jsonl": _Kind(open_jsonl),
    "csv": _Kind(open_csv),
    "tensorboard": _Kind(open_tensorboard, "tensorboardX"),
    "wandb": _Kind(open_wandb, "wandb"),
}


def _is_installed(module: str) -> bool:
    # A folder of that name, as wandb leaves them, is no package.
    found = find_spec(module) if module else None
    return not module or (found is not None and found.origin is not None)


def _remedy(name: str) -> str:
    return f'pip install "jaxdis[{name}]"'


def _as_it_is(tracker: Tracker, tracked: Tracked) -> Tracker:
    """A tracker that is open already."""
    return tracker


def find(track: Sequence[str | Tracker]) -> dict[str, Opener]:
    """How each of some trackers is opened, by its name.

    Args:
      track: names of `TRACKERS`, or trackers of one's own.

    Raises:
      ValueError: there is no such tracker, with the nearest name; or what it needs is
        not installed.
    """
    if isinstance(track, str | Tracker):
        raise ValueError(f"track must be a list of trackers, got {track!r}")
    found: dict[str, Opener] = {}
    for i, one in enumerate(track):
        if isinstance(one, Tracker):
            found[f"track[{i}]"] = partial(_as_it_is, one)
        elif not isinstance(one, str):
            raise ValueError(
                f"track must hold names, {', '.join(TRACKERS)}, or trackers, "
                f"jaxdis.tracking.Tracker(log); got {one!r}"
            )
        elif one not in TRACKERS:
            raise check.unknown("tracker", one, TRACKERS, f"track is one or several of "
                                f"{', '.join(TRACKERS)}")  # fmt: skip
        elif not _is_installed(TRACKERS[one].module):
            raise ValueError(f"track: {one} is not installed; {_remedy(one)}")
        else:
            found[one] = TRACKERS[one].open
    return found


def used(directory: Path) -> tuple[str, ...]:
    """The trackers that a run was tracked with so far, as far as they are installed.

    Args:
      directory: where the files of its trackers are.
    """
    names = [name for name in TRACKERS if (directory / name).is_dir()]
    there = tuple(name for name in names if _is_installed(TRACKERS[name].module))
    for name in names:
        if name not in there:
            log.note(f"track: {name} is not installed here; {_remedy(name)}")
    return there


def together(openers: Mapping[str, Opener], tracked: Tracked) -> Tracker:
    """Several trackers as one, which never fails.

    A tracker that fails is named, once, and left out from then on: what shows a
    training does not end it.

    Args:
      openers: how each is opened, by its name.
      tracked: what they are opened for; files are in a folder of the tracker's name.
    """
    alive: dict[str, Tracker] = {}

    def tried(name: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # of a package, a network or a user's own
            log.note(
                f"track: {name} failed ({log.reason(error)}); the training goes on "
                "without"
            )
            failed = alive.pop(name, None)
            if failed is not None:
                with suppress(Exception):
                    failed.close()

    def start(name: str) -> None:
        own = tracked._replace(directory=tracked.directory / name)
        alive[name] = openers[name](own)

    for name in openers:
        tried(name, partial(start, name))

    def write(step: int, values: Values) -> None:
        for name, tracker in list(alive.items()):
            tried(name, partial(tracker.log, step, values))

    def close() -> None:
        for name, tracker in list(alive.items()):
            tried(name, tracker.close)

    return Tracker(write, close)


def callback(tracker: Tracker) -> Callable[[Chunk], None]:
    """A tracker as one of the `callbacks` of `jaxdis.train`.

    Args:
      tracker: the tracker; what fails in it fails in the training.
    """

    def call(chunk: Chunk) -> None:
        tracker.log(chunk.step, chunk.values)

    return call
