"""The page that compares several runs."""

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdis import log, systems
from jaxdis.report import markup, tables, text, unfinished
from jaxdis.report.curves import CURVES
from jaxdis.report.headline import headline, run_facts
from jaxdis.report.page import Pictures, draw, reference
from jaxdis.report.read import Record

__all__ = ["compare"]


def _names(directories: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    parts = [path.resolve().parts for path in directories]
    if len(set(parts)) < len(parts):
        given = ", ".join(map(str, directories))
        raise ValueError(f"directories must differ, one is given twice: {given}")
    depth = 1
    while len({p[-depth:] for p in parts}) < len(parts):
        depth += 1
    return ["/".join(p[-depth:]) for p in parts]


def _labels(directories: Sequence[Path], runs: Sequence[Record]) -> list[str]:
    """What runs are called; those that have not finished are marked."""
    return [
        name if run.standing is None else f"{name} ({unfinished.short(run.standing)})"
        for name, run in zip(_names(directories), runs, strict=True)
    ]


def _differing(settings: Sequence[Any], name: str) -> Iterator[str]:
    """What is not the same everywhere, as "data.samples: 500 and 1000"."""
    if all(isinstance(value, dict) for value in settings):
        for key in dict.fromkeys(k for value in settings for k in value):
            yield from _differing([v.get(key) for v in settings], f"{name}.{key}")
    elif len(values := dict.fromkeys(map(_word, settings))) > 1:
        yield f"{name}: {' and '.join(values)}"


def _word(value: Any) -> str:
    return "none" if value is None else text.setting(value)


def _apart(runs: Sequence[Record]) -> str:
    """Why runs cannot be ranked, in words; "" where they can."""
    differ = [
        *_differing([run.settings.get("data") for run in runs], "data"),
        *_differing(
            [run.results.get("steps") for run in runs if run.standing is None], "steps"
        ),
    ]
    if differ:
        return f"{len(runs)} runs that cannot be ranked: they differ in " + "; ".join(
            differ
        )
    seeds = [set(run.groups[0].seeds) for run in runs]
    same = {str(_setting(run)) for run in runs}
    if len(runs) > 1 and len(same) == 1 and not set.intersection(*seeds):
        every = ", ".join(f"{min(s)}–{max(s)}" for s in seeds)
        return (
            f"{len(runs)} parts of one setting, with the seeds {every}; `jaxdis merge` "
            "makes one run of them"
        )
    return ""


def _setting(run: Record) -> list[Any]:
    """What makes a setting, but for its seeds."""
    return [run.name, run.settings.get("config"), [g.hyper for g in run.groups]]


def _open(runs: Sequence[Record]) -> str:
    """How many runs have not finished, if any."""
    count = sum(run.standing is not None for run in runs)
    verb = "has" if count == 1 else "have"
    return f"; {count} of {len(runs)} runs {verb} not finished" if count else ""


def compare(directories: Sequence[Path], out: Path) -> Path:
    """Draws several runs side by side, each of their grid points as a row.

    Args:
      directories: the directories of runs; those that have not finished are marked, and
        drawn as far as they have come.
      out: the page to write, NAME.html; its pictures are written beside it, as
        NAME-curves.png, and those that the method of the runs declares.

    Returns:
      out; the page needs no other file. Runs on other data or of other length are not
      ranked, and what differs is said.

    Raises:
      ValueError: no directory or one of them twice, out is a directory, or a file of a
        run is missing or corrupt.
    """
    directories, out = [Path(d) for d in directories], Path(out)
    if not directories:
        raise ValueError("directories must name at least one run, got none")
    if out.is_dir():
        raise ValueError(f"{out} is a directory; out must be a file, as compared.html")
    loaded = [unfinished.load(directory) for directory in directories]
    runs = dict(zip(_labels(directories, loaded), loaded, strict=True))
    groups = [
        group._replace(label=", ".join(filter(None, (name, group.label))))
        for name, run in runs.items()
        for group in run.groups
    ]
    shared = {name: score for run in loaded for name, score in run.scores.items()}
    scores, whole = list(shared.values()), loaded[0]._replace(groups=groups)
    general, own = draw(CURVES, whole._replace(scores=shared)), _compared(runs)
    drawn, failed = general.drawn + own.drawn, general.failed + own.failed
    facts = [{"run": n, "preset": r.name} | run_facts(r) for n, r in runs.items()]
    head = list(dict.fromkeys(name for row in facts for name in row))
    rows = ([f.get(h, "–") for h in head] for f in facts)
    commands = "\n".join(str(run.settings["command"]) for run in runs.values())
    table = tables.group_table(groups, scores, "run")
    sections = [
        markup.section("Results", table + tables.NOTE),
        *markup.pictures(drawn),
        *(f'<p class="failed">{html.escape(s)}</p>' for s in failed),
        markup.section("Runs", markup.words(head, rows)),
        markup.section("Commands", f"<pre>{html.escape(commands)}</pre>"),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    name = f"{len(runs)} run{'s' * (len(runs) > 1)} compared"
    for picture in drawn:
        file = out.with_name(f"{out.stem}-{picture.file}")
        log.write_atomically(file, picture.content)
    line = headline(groups, scores, _apart(loaded)) + _open(loaded)
    return markup.save(out, name, line, sections)


def _compared(runs: Mapping[str, Record]) -> Pictures:
    """Pictures of several runs of one method, if it declares any."""
    nothing, methods = Pictures([], []), set(map(reference, runs.values()))
    if len(methods) != 1:
        return nothing
    try:
        method = systems.find(methods.pop())
    except ValueError:  # it is gone; what it has in common with others can be shown
        return nothing
    return draw(method.comparisons, runs)
