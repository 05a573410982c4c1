"""The one number of a run that is shown while it trains and tells the best checkpoint.

It is the first declared score that has a better side and is known at the first visit of
the host; the loss where there is none. Both can be told from metrics.jsonl.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdis import log, statistics
from jaxdis.types import Score

__all__ = ["Watched", "by_step", "watched"]


class Watched(NamedTuple):
    """What is watched.

    Attributes:
      name: a score, or "loss".
      sign: 1 where more is better, -1 where less is.
    """

    name: str
    sign: float

    def value(self, values: Mapping[str, Any]) -> float:
        """Its mean over the rows that have it; NaN where none has."""
        return float(np.mean(statistics.mean(values.get(self.name, np.nan))))


def watched(scores: Mapping[str, Score], first: Mapping[str, Any]) -> Watched:
    """What is watched in a run.

    Args:
      scores: the declared scores, those of the preset first.
      first: the values of all rows at the first visit of the host.
    """
    signs = {"higher": 1.0, "lower": -1.0}
    choices = [Watched(s.name, signs[s.better]) for s in scores.values() if s.better]
    choices.append(Watched("loss", -1.0))
    return next((c for c in choices if np.isfinite(c.value(first))), choices[-1])


def by_step(path: Path) -> dict[int, dict[str, list[float]]]:
    """The numbers of all rows after each step, from metrics.jsonl; NaN for null.

    Args:
      path: the file; one that is not there holds no steps. Damaged lines are named and
        left out.
    """
    found: dict[int, dict[str, list[float]]] = {}
    records, damaged = log.read_lines(path) if path.exists() else ([], [])
    if damaged:
        log.note(log.damage(path, damaged))
    for record in records:
        values = found.setdefault(record["step"], {})
        for name, value in record.items():
            values.setdefault(name, []).append(np.nan if value is None else value)
    return found
