"""The page that compares several runs."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxdis import log, systems
from jaxdis.report import alike, markup, tables, unfinished
from jaxdis.report.curves import CURVES, LOSS
from jaxdis.report.headline import headline, run_facts
from jaxdis.report.page import Pictures, draw, reference
from jaxdis.report.read import Record
from jaxdis.types import Method, Score

__all__ = ["side_by_side"]

APART = "Training losses are not drawn: those of other methods are other quantities."


def _labels(directories: Sequence[Path], runs: Sequence[Record]) -> list[str]:
    """What runs are called; those that have not finished are marked."""
    return [
        name if run.standing is None else f"{name} ({unfinished.short(run.standing)})"
        for name, run in zip(alike.names_of(directories), runs, strict=True)
    ]


def _apart(directories: Sequence[Path], runs: Sequence[Record]) -> str:
    """Why runs cannot be ranked, in words; "" where they can."""
    differ = alike.unlike(directories, runs)
    if not differ:
        return alike.of_one_setting(runs)
    many = f"{len(runs)} runs that cannot be ranked: they differ in "
    return many + "; ".join(differ)


def _open(runs: Sequence[Record]) -> str:
    """How many runs have not finished, if any."""
    count = sum(run.standing is not None for run in runs)
    verb = "has" if count == 1 else "have"
    return f"; {count} of {len(runs)} runs {verb} not finished" if count else ""


def side_by_side(directories: Path | str | Sequence[Path | str], out: Path) -> Path:
    """Draws several runs side by side, each of their grid points as a row.

    Args:
      directories: the directories of runs, or one; those that have not finished are
        marked, and drawn as far as they have come.
      out: the page to write, NAME.html; its pictures are written beside it, as
        NAME-curves.png, and those that the method of the runs declares.

    Returns:
      out; the page needs no other file. Runs on other data or of other length are not
      ranked, and what differs is said.

    Raises:
      ValueError: no directory or one of them twice, out is a directory, or a file of a
        run is missing or corrupt.
    """
    paths, out = alike.paths_of(directories), Path(out)
    if out.is_dir():
        raise ValueError(f"{out} is a directory; out must be a file, as compared.html")
    loaded = [unfinished.load(path) for path in paths]
    runs = dict(zip(_labels(paths, loaded), loaded, strict=True))
    groups = [
        group._replace(label=", ".join(filter(None, (name, group.label))))
        for name, run in runs.items()
        for group in run.groups
    ]
    methods, shared = _methods(loaded), _scores(loaded)
    one = len(set(map(reference, loaded))) == 1
    if not one:  # losses of other methods are other quantities
        groups = [g._replace(curves=_without_loss(g.curves)) for g in groups]
    scores, whole = list(shared.values()), loaded[0]._replace(groups=groups)
    general = draw(CURVES, whole._replace(scores=shared))
    own = draw(methods[0].comparisons, runs) if one and methods else Pictures([], [])
    drawn, failed = general.drawn + own.drawn, general.failed + own.failed
    said = [*(m.loss for m in methods if m.loss and one), *[APART] * (not one)]
    commands = "\n".join(str(run.settings["command"]) for run in runs.values())
    table = tables.group_table(groups, scores, "run")
    sections = [
        markup.section("Results", table + tables.NOTE),
        *([markup.section("What to know", markup.bullets(said))] if said else []),
        *markup.pictures(drawn),
        *(f'<p class="failed">{html.escape(s)}</p>' for s in failed),
        markup.section("Runs", _facts(runs)),
        markup.section("Commands", f"<pre>{html.escape(commands)}</pre>"),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    name = f"{len(runs)} run{'s' * (len(runs) > 1)} compared"
    for picture in drawn:
        file = out.with_name(f"{out.stem}-{picture.file}")
        log.write_atomically(file, picture.content)
    line = headline(groups, scores, _apart(paths, loaded)) + _open(loaded)
    return markup.save(out, name, line, sections)


def _scores(runs: Sequence[Record]) -> dict[str, Score]:
    """The scores of all runs, in their order, and first those that every run has."""
    known = {name: score for run in runs for name, score in run.scores.items()}
    common = [name for name in known if all(name in run.scores for run in runs)]
    return {name: known[name] for name in dict.fromkeys([*common, *known])}


def _facts(runs: Mapping[str, Record]) -> str:
    """A column a run: names of runs and presets stay whole."""
    facts = [{"preset": run.name} | run_facts(run) for run in runs.values()]
    names = dict.fromkeys(name for fact in facts for name in fact)
    cells = ([name, *(fact.get(name, "–") for fact in facts)] for name in names)
    rows = (markup.row(map(html.escape, row)) for row in cells)
    return markup.table("numbers", ["", *runs], rows)


def _methods(runs: Sequence[Record]) -> list[Method]:
    """The methods of some runs, each once, without those that are gone."""
    found = []
    for name in dict.fromkeys(map(reference, runs)):
        try:
            found.append(systems.find(name))
        except ValueError:  # what it has in common with others can be shown
            continue
    return found


def _without_loss(curves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: curve for name, curve in curves.items() if name != LOSS.name}
