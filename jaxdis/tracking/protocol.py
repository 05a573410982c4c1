"""What a tracker is, and what it is told of a run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Shaped

__all__ = ["Row", "Tracked", "Tracker", "Values", "nothing"]

Values: TypeAlias = Mapping[str, Shaped[np.ndarray, "n"]]
"""Numbers of all rows of a run by name, as `{"loss": [value per row]}`."""


def nothing() -> None:
    """Nothing is to be closed."""


class Tracker(NamedTuple):
    """What shows a run while it trains.

    Attributes:
      log: `(step, {name: [value per row]})`; rows are all seeds of the first point,
        then those of the second. NaN where a row has no number.
      close: called once, when the training has ended.
    """

    log: Callable[[int, Values], None]
    close: Callable[[], None] = nothing


class Row(NamedTuple):
    """One seed of one grid point: a run of its own where runs are tracked.

    Attributes:
      point: the grid point.
      seed: the number of the seed.
      hyper: the hyper-parameters.
    """

    point: int
    seed: int
    hyper: Mapping[str, float] = {}

    @property
    def name(self) -> str:
        """What it is called."""
        return f"point{self.point}-seed{self.seed}"


class Tracked(NamedTuple):
    """What a tracker is opened for.

    Attributes:
      directory: where its files are; it need not be there yet.
      rows: the rows, in the order in which they are logged.
      group: what they have in common: the name of the run's directory.
      part: which shard of the run they are, where it has several; "" where not.
      step: the number of steps taken; what was logged after it is logged again.
      config: the settings of the run.
    """

    directory: Path
    rows: tuple[Row, ...]
    group: str = "run"
    part: str = ""
    step: int = 0
    config: Mapping[str, Any] = {}
