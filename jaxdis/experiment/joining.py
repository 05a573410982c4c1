"""Rows of one setting that were trained apart, brought together."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxdis import checkpoint, log
from jaxdis.archive import is_key
from jaxdis.experiment.identity import read_settings
from jaxdis.experiment.model import hyper_of, seeds_of
from jaxdis.experiment.plan import Plan

__all__ = ["join"]


GONE = -1
"""The place of a row that the whole does not have."""


class _Whole(NamedTuple):
    """Where points and seeds are in the whole."""

    points: dict[tuple[tuple[str, float], ...], int]
    seeds: dict[int, int]


def _whole(plan: Plan) -> _Whole:
    points = {tuple(point.items()): i for i, point in enumerate(plan.points)}
    return _Whole(points, {seed: i for i, seed in enumerate(plan.seeds)})


def _points(part: Path, whole: _Whole) -> list[int]:
    """The numbers in the whole of the points of a part."""
    points = hyper_of(read_settings(part))
    return [whole.points.get(tuple(point.items()), GONE) for point in points]


def _places(part: Path, whole: _Whole) -> Int[np.ndarray, "n"]:
    """The numbers in the whole of the rows of a part."""
    settings = read_settings(part)
    seeds = np.array([whole.seeds.get(s, GONE) for s in seeds_of(settings)])
    points = np.array(_points(part, whole))[:, None]
    there = (points != GONE) & (seeds != GONE)
    return np.where(there, points * len(whole.seeds) + seeds, GONE).ravel()


def _put_together(arrays: Sequence[Any], order: Int[np.ndarray, "n"]) -> Any:
    """Arrays of rows after one another, in another order."""
    if is_key(arrays[0]):
        return jnp.concatenate(arrays)[order]
    return np.concatenate(arrays)[order]


def _lines(
    parts: Sequence[Path], whole: _Whole, step: int
) -> Iterator[tuple[tuple[int, int, int], str]]:
    """The lines of metrics.jsonl of all parts up to a step: what they are of, and text.

    Text takes less memory than what it says.
    """
    for part in parts:
        points = _points(part, whole)
        path = part / "metrics.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                record = json.loads(line)
                point, seed = points[record["point"]], record["seed"]
                at = (record["step"], point, seed)
                if at[0] > step or point == GONE or seed not in whole.seeds:
                    continue
                if point != record["point"]:
                    line = json.dumps(record | {"point": point})
            except (TypeError, LookupError, ValueError):  # cut off, or damaged
                continue
            yield at, line


def join(parts: Sequence[Path], out: Path, plan: Plan) -> None:
    """Writes the checkpoints and metrics.jsonl of a run from those of its parts.

    Args:
      parts: directories of runs, each of some seeds and points, with the same last
        step. Rows that the plan does not have are left out.
      out: the directory that is written, in which nothing of both is yet.
      plan: the setting of the whole.

    Raises:
      ValueError: rows are missing or there twice, or no checkpoint is common to all
        parts.
    """
    whole = _whole(plan)
    every = [_places(part, whole) for part in parts]
    places = np.concatenate(every)
    order = np.argsort(places, kind="stable")[np.count_nonzero(places == GONE) :]
    if not np.array_equal(places[order], np.arange(len(plan.points) * len(plan.seeds))):
        raise ValueError("the parts of a run must hold each of its rows once")
    saved = [checkpoint.steps(part / "checkpoints") for part in parts]
    common = set.intersection(*map(set, saved))
    last = [max(steps, default=0) for steps in saved]
    if len(set(last)) != 1 or not common:
        told = (f"{part}: {step}" for part, step in zip(parts, last, strict=True))
        raise ValueError(
            "the parts of a run must have been trained for the same number of steps; "
            f"got {', '.join(told)}"
        )
    sizes = [len(some) for some in every]
    for step in sorted(common):
        found = [checkpoint.everything(part / "checkpoints", step) for part in parts]
        tree = {
            name: _put_together([one.rest[name] for one in found], order)
            for name in found[0].rest
        }
        scores = [steps[step].score for steps in saved]
        checkpoint.save(
            out / "checkpoints",
            step,
            tree,
            score=float(np.average(scores, weights=sizes)),
            record={"parts": [p for one in found for p in one.record.get("parts", [])]},
        )
    seen = dict(_lines(parts, whole, max(common)))
    text = "".join(seen[at] + "\n" for at in sorted(seen))
    log.write_atomically(out / "metrics.jsonl", text)
