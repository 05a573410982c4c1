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


def _points(part: Path, plan: Plan) -> list[int]:
    """The numbers in the plan of the points of a part."""
    return [plan.points.index(point) for point in hyper_of(read_settings(part))]


def _places(part: Path, plan: Plan) -> Int[np.ndarray, "n"]:
    """The numbers in the plan of the rows of a part."""
    seeds = [plan.seeds.index(seed) for seed in seeds_of(read_settings(part))]
    points = np.array(_points(part, plan))
    return (points[:, None] * len(plan.seeds) + np.array(seeds)).ravel()


def _put_together(arrays: Sequence[Any], order: Int[np.ndarray, "n"]) -> Any:
    """Arrays of rows after one another, in another order."""
    if jnp.issubdtype(arrays[0].dtype, jax.dtypes.prng_key):
        return jnp.concatenate(arrays)[order]
    return np.concatenate(arrays)[order]


def _lines(parts: Sequence[Path], plan: Plan, step: int) -> Iterator[dict[str, Any]]:
    """The lines of metrics.jsonl of all parts up to a step."""
    for part in parts:
        points = _points(part, plan)
        path = part / "metrics.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                record = json.loads(line)
                record["point"] = points[record["point"]]
                if record["step"] <= step:
                    yield record
            except (TypeError, LookupError, ValueError):  # cut off, or damaged
                continue


def join(parts: Sequence[Path], out: Path, plan: Plan) -> None:
    """Writes the checkpoints and metrics.jsonl of a run from those of its parts.

    Args:
      parts: directories of runs, each of some seeds and points of the plan, with the
        same last step.
      out: the directory that is written, in which nothing of both is yet.
      plan: the setting of the whole.

    Raises:
      ValueError: rows are missing or there twice, or no checkpoint is common to all
        parts.
    """
    places = np.concatenate([_places(part, plan) for part in parts])
    order = np.argsort(places, kind="stable")
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
    sizes = [len(_places(part, plan)) for part in parts]
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
