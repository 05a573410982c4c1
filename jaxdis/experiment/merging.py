"""Rows of one setting that were trained apart, brought together."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxdis import checkpoint, log
from jaxdis.experiment.identity import read_settings
from jaxdis.experiment.model import hyper_of, seeds_of
from jaxdis.experiment.plan import Plan

__all__ = ["join"]


GONE = -1
"""The place of a row that the whole does not have."""


def _points(part: Path, plan: Plan) -> list[int]:
    """The numbers in the plan of the points of a part."""
    known = {tuple(point.items()): i for i, point in enumerate(plan.points)}
    points = hyper_of(read_settings(part))
    return [known.get(tuple(point.items()), GONE) for point in points]


def _places(part: Path, plan: Plan) -> Int[np.ndarray, "n"]:
    """The numbers in the plan of the rows of a part."""
    known = {seed: i for i, seed in enumerate(plan.seeds)}
    seeds = np.array([known.get(s, GONE) for s in seeds_of(read_settings(part))])
    points = np.array(_points(part, plan))[:, None]
    there = (points != GONE) & (seeds != GONE)
    return np.where(there, points * len(plan.seeds) + seeds, GONE).ravel()


def _put_together(arrays: Sequence[Any], order: Int[np.ndarray, "n"]) -> Any:
    """Arrays of rows after one another, in another order."""
    if jnp.issubdtype(arrays[0].dtype, jax.dtypes.prng_key):
        return jnp.concatenate(arrays)[order]
    return np.concatenate(arrays)[order]


def _lines(parts: Sequence[Path], plan: Plan, step: int) -> Iterator[dict[str, Any]]:
    """The lines of metrics.jsonl of all parts up to a step."""
    seeds = set(plan.seeds)
    for part in parts:
        points = _points(part, plan)
        path = part / "metrics.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                record = json.loads(line)
                record["point"] = points[record["point"]]
                there = record["point"] != GONE and record["seed"] in seeds
                if record["step"] <= step and there:
                    yield record
            except (TypeError, LookupError, ValueError):  # cut off, or damaged
                continue


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
    every = [_places(part, plan) for part in parts]
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
    lines = _lines(parts, plan, max(common))
    seen = {(line["step"], line["point"], line["seed"]): line for line in lines}
    log.append_lines(out / "metrics.jsonl", (seen[at] for at in sorted(seen)))
