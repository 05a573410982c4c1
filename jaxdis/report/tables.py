"""Tables of a page: seeds, points, hyper-parameters and settings."""

import html
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxdis.report import markup, read, text
from jaxdis.report.read import (
    Group,
    Record,
    alive,
    counted,
    failed_seeds,
    finite,
    moments,
)
from jaxdis.types import Score

__all__ = ["NAMED", "NOTE", "group_table", "hyper_table", "results", "setting_table"]

NAMED = ("name", "value")
NOTE = (
    '<p class="note">Mean and sample standard deviation are over the seeds that did '
    "not fail; (3 of 4): over those of them that have the score.</p>"
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


def _seed_table(group: Group, scores: Sequence[Score]) -> str:
    """A row per seed, and their mean, deviation and floors.

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
    if any(counted(group, s.name) for s in shown):
        there = int((~group.failed).sum())
        counts = [f"{len(alive(group, s.name))} of {there}" for s in shown]
        rows.append(markup.row(["seeds that have it", *counts], "total"))
    rows += _floors(group, shown)
    return markup.table("numbers", ["seed", *map(text.title, shown)], rows)


def group_table(groups: list[Group], scores: Sequence[Score], first: str) -> str:
    """A row per group: mean and deviation of every score, and who failed.

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
        pairs = [moments(group, s.name) for s in shown]
        words = [text.plus_minus(p) for p in pairs]
        words = [w + counted(group, s.name) for w, s in zip(words, shown, strict=True)]
        means = [mean for mean, _ in pairs]
        cells = [markup.cell(m, w) for m, w in zip(means, words, strict=True)]
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
