"""The line below the title of a page, and the facts below that."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxdis.report import text, times
from jaxdis.report.averages import in_words, over_seeds
from jaxdis.report.choice import judged_by
from jaxdis.report.promised import in_short
from jaxdis.report.read import (
    Group,
    Record,
    Standing,
    alive,
    failed_seeds,
    finite,
    moments,
    over,
    udr,
)
from jaxdis.report.selection import recommended
from jaxdis.report.sentences import below_floor
from jaxdis.report.unfinished import short
from jaxdis.types import Score

__all__ = ["headline", "run_facts", "so_far", "taken"]

IN_FRONT = 3  # scores that are named
UNTRAINED = "untrained"


def _floor(group: Group, score: Score) -> str:
    """The floor of a score: in words if it is below it."""
    if (below := below_floor(group, score)) is not None:
        return f" (below its floor: {below[0]} {text.fixed(below[1])})"
    floor = group.floors.get(UNTRAINED, {}).get(score.name, np.empty(0))
    known = finite([floor])
    return f" ({UNTRAINED} {text.fixed(float(known.mean()))})" if known.size else ""


def _score(group: Group, scores: Sequence[Score]) -> str:
    """The first scores that the group has, with their floors."""
    shown = [s for s in scores if alive(group, s.name).size][:IN_FRONT]
    return ", ".join(
        f"{s.title} {in_words(group, s.name)}{_floor(group, s)}" for s in shown
    )


def _best(groups: list[Group], scores: Sequence[Score]) -> str:
    """Names the one with the best mean, if there is anything to judge it by.

    Whether that takes the truth is said: nobody could choose so.
    """
    there = [s for s in scores if any(alive(g, s.name).size for g in groups)]
    for score in there[:1]:
        means = np.array([moments(g, score.name)[0] for g in groups])
        if score.better:
            worse = -means if score.better == "higher" else means
            best = groups[int(np.nanargmin(worse))]
            told = ", which looks at the truth" if score.truth else ""
            count = f"Best of {len(groups)} by mean {text.phrase(score)}{told}"
            return f"{count}: {best.label} with {_score(best, scores)}"
    return f"{len(groups)} points, {sum(len(g.seeds) for g in groups)} runs"


def taken(record: Record) -> str:
    """Of a grid the point to take, chosen without truth; "" where nothing chooses."""
    point = recommended(record) if len(record.groups) > 1 else None
    if point is None:
        return ""
    group, scores = record.groups[point], list(record.scores.values())
    how = ", chosen without the truth" * (judged_by(record) is not None)
    count = len(record.groups)
    return f"Of {count} points, {group.label}{how}: {_score(group, scores)}"


def headline(groups: list[Group], scores: Sequence[Score], instead: str = "") -> str:
    """The first scores, or the best of several points, and who failed.

    Args:
      groups: grid points, or runs.
      scores: the scores, the first one first.
      instead: what is said of several groups in place of the best by the first score;
        "" for that.
    """
    runs = sum(len(g.seeds) for g in groups)
    lost = [seed for g in groups for seed in failed_seeds(g)]
    if len(lost) == runs:
        return f"{_every(runs)} diverged: there is no score"
    if len(groups) == 1:
        of = f"{runs - len(lost)} of " if lost else ""
        over = f"{of}{runs} seed{'s' * (runs > 1)}"
        shown = _score(groups[0], scores)
        line = f"{shown} over {over}" if shown else f"No score of {over}"
        return f"{line}; {text.failure(lost)}" if lost else line
    line = instead or _best(groups, scores)
    return f"{line}; {len(lost)} of {runs} runs failed" if lost else line


def _every(runs: int) -> str:
    return "The only seed" if runs == 1 else f"All {runs} seeds"


def _devices(results: Mapping[str, Any]) -> str:
    """How many devices, and of which kind, where that is known."""
    kind = results.get("device_kind") or results.get("platform")
    return str(results.get("devices", "–")) + (f" ({kind})" if kind else "")


def so_far(record: Record, standing: Standing) -> str:
    """How far a run has come that has not finished, and the last of its first score.

    Args:
      record: the run.
      standing: where it stands.
    """
    line, (group, *others) = short(standing), record.groups
    shown = [s for s in record.scores.values() if s.name in group.curves]
    if others or not shown or group.failed.all():
        return f"{line[0].upper()}{line[1:]}"
    last = over_seeds(group.curves[shown[0].name][~group.failed, -1])
    value = f"{shown[0].title} {last} by now, on validation rows"
    return f"{line[0].upper()}{line[1:]}; {value}"


def _agreements(run: Record) -> Iterator[str]:
    """The UDR of every point that has one, and of how many seeds, if not of all."""
    for group, value in zip(run.groups, udr(run), strict=True):
        if np.isfinite(value):
            yield text.number(float(value)) + over(group)


def run_facts(run: Record) -> dict[str, str]:
    """Seeds, steps, times and versions of a run, by their names."""
    r, seeds = run.results, run.groups[0].seeds
    facts = {
        "seeds": f"{len(seeds)} ({seeds[0]}–{seeds[-1]})" if len(seeds) > 1 else "1",
        "steps": f"{r['steps']:,}" if "steps" in r else "–",
        "devices": _devices(r),
        "wall time": text.duration(r.get("wall_s")),
        "compilation": text.duration(r.get("compile_s")),
        "a step of all rows": text.duration(r.get("step_s")),
    }
    if where := times.in_words(r):
        facts["spent on"] = where
    if promised := in_short(run):
        facts["promised by theory"] = promised
    if finite([udr(run)]).size:
        facts["agreement of seeds (UDR)"] = ", ".join(_agreements(run))
    if skipped := np.sum(r.get("skipped_updates", 0)):
        facts["skipped updates"] = text.number(float(skipped))
    versions = r.get("versions") or run.settings.get("versions", {})
    return facts | {name: str(version) for name, version in versions.items()}
