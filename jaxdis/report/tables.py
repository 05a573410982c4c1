"""Tables of a page: seeds, points, hyper-parameters and settings."""

import html
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxdis.report import markup, read, text
from jaxdis.report.averages import in_words, interval, lacking
from jaxdis.report.read import Group, Record, failed_seeds, finite, moments
from jaxdis.types import Score

__all__ = ["NAMED", "NOTE", "group_table", "hyper_table", "results", "setting_table"]

NAMED = ("name", "value")
NOTE = (
    '<p class="note">Mean ± sample standard deviation, over the seeds that did not '
    "fail; “3 of 4” where some of these lack the score. Intervals: 95 %, of the mean, "
    "by Student's t, within the range of the score.</p>"
)
FLOORS = (
    '<p class="note">"untrained": the same seeds before the first step; '
    '"observations": the observations in the place of codes.</p>'
)


def _floors(group: Group, shown: Sequence[Score]) -> Iterator[str]:
    """A row per floor: its mean over the seeds that did not fail."""
    for name, floor in group.floors.items():
        there = [floor.get(s.name, np.full(len(group.failed), np.nan)) for s in shown]
        means = [read.mean_std(finite([v[~group.failed]]))[0] for v in there]
        cells = [name, *(markup.cell(m, text.fixed(m)) for m in means)]
        yield markup.row(cells, "total")


def _between(ends: tuple[float, float]) -> str:
    """An interval, each end with all its digits when pointed at."""
    low, high = (markup.cell(end, text.fixed(end)) for end in ends)
    return "–" if low == high == "–" else f"{low} to {high}"


def _cell(group: Group, score: Score) -> str:
    """Mean, deviation and interval of a score."""
    mean, ends = moments(group, score.name)[0], interval(group, score)
    shown = markup.cell(mean, in_words(group, score.name))
    low, high = map(text.fixed, ends)
    return shown if low == high == "–" else f"{shown}<small>{low} to {high}</small>"


def _seed_table(group: Group, scores: Sequence[Score]) -> str:
    """A row per seed, and their mean, deviation, interval and floors.

    Scores that no seed has are left out.
    """
    shown = [s for s in scores if finite([group.final.get(s.name, np.empty(0))]).size]
    rows = []
    for i, (seed, failed) in enumerate(zip(group.seeds, group.failed, strict=True)):
        values = [float(group.final[s.name][i]) for s in shown]
        name = f"{seed} failed" if failed else str(seed)
        cells = [name, *(markup.cell(v, text.number(v)) for v in values)]
        rows.append(markup.row(cells, "failed" if failed else ""))
    for i, name in enumerate(("mean", "std")):
        values = [moments(group, s.name)[i] for s in shown]
        cells = [name, *(markup.cell(v, text.fixed(v)) for v in values)]
        rows.append(markup.row(cells, "total"))
    ends = [interval(group, s) for s in shown]
    if np.isfinite(ends).any():
        rows.append(markup.row(["95 % interval", *map(_between, ends)], "total"))
    if any(short := [lacking(group, s.name) for s in shown]):
        rows.append(markup.row(["seeds", *short], "total"))
    rows += _floors(group, shown)
    return markup.table("numbers", ["seed", *map(text.title, shown)], rows)


def group_table(groups: list[Group], scores: Sequence[Score], first: str) -> str:
    """A row per group: mean, deviation and interval of every score, and who failed.

    Args:
      groups: grid points, or runs.
      scores: the columns; those that no group has are left out.
      first: what a row is.
    """
    none = np.empty(0)
    shown = [
        s for s in scores if finite([g.final.get(s.name, none) for g in groups]).size
    ]
    rows = []
    for group in groups:
        lost, seeds = failed_seeds(group), len(group.seeds)
        cells = [_cell(group, score) for score in shown]
        who = [f"{seeds - len(lost)} of {seeds}", ", ".join(map(str, lost)) or "–"]
        kind = "failed" if len(lost) == seeds else ""
        rows.append(markup.row([html.escape(group.label), *cells, *who], kind))
    head = [first, *map(text.title, shown), "seeds", "failed seeds"]
    return markup.table("numbers", head, rows)


def results(record: Record) -> str:
    """Seeds of the only group; or a row per group and their seeds folded away."""
    groups, scores = record.groups, list(record.scores.values())
    note = NOTE + FLOORS * any(group.floors for group in groups)
    if len(groups) == 1:
        return _seed_table(groups[0], scores) + note
    folded = (
        f"<details><summary>{html.escape(g.label)}</summary>{_seed_table(g, scores)}"
        "</details>"
        for g in groups
    )
    return "\n".join([group_table(groups, scores, "point"), *folded]) + note


def _flat(settings: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names and words."""
    if not isinstance(settings, dict):
        return [(name[1:], json.dumps(settings, ensure_ascii=False).strip('"'))]
    return [row for k, v in settings.items() for row in _flat(v, f"{name}.{k}")]


def setting_table(settings: Any) -> str:
    """Nested settings, a row each."""
    return markup.words(NAMED, _flat(settings))


def hyper_table(groups: list[Group]) -> str:
    """Swept hyper-parameters first."""
    hypers = [g.hyper for g in groups]
    names = read.swept(hypers)
    rows = []
    for name in dict.fromkeys([*names, *hypers[0]]):
        values = dict.fromkeys(text.setting(h.get(name)) for h in hypers)
        rows.append([name, ", ".join(values), "swept" if name in names else ""])
    return markup.words([*NAMED, ""], rows)
