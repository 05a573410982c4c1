"""The page of one run, and the page that compares several."""

import base64
import html
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np

from jaxdis import log, systems
from jaxdis.report import kit, read, text
from jaxdis.report.curves import CURVES
from jaxdis.report.read import Group, Record, failed_seeds, moments
from jaxdis.types import Figure, Method, Score

__all__ = ["build", "compare"]

PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #222; --faint: #666; --rule: #ddd;
  --page: #fff; --box: #f6f7f9; --wrong: #b84a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --faint: #a0a0a0;
  --rule: #3a3a3a; --page: #16181c; --box: #20242a; --wrong: #ff9a4d; } }
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1, dd, dl, figure { margin: 0; }
h2 { margin: 44px 0 10px; font-size: 19px; }
.headline { margin: 6px 0 24px; font-size: 20px; }
.facts { display: flex; flex-wrap: wrap; gap: 10px 36px; }
dt, figcaption, .note { color: var(--faint); font-size: 14px; }
figure, .scroll { overflow-x: auto; }
figure + figure { margin-top: 20px; }
img { max-width: 100%; background: #fff; border-radius: 6px; cursor: zoom-in; }
input:checked + img { max-width: none; cursor: zoom-out; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 14px 4px 0; text-align: right; white-space: nowrap; }
th:first-child, td:first-child, .words td, .words th { text-align: left; }
.words td { white-space: normal; overflow-wrap: anywhere; }
th { border-bottom: 1px solid var(--rule); }
.total { font-weight: 600; }
.failed { color: var(--wrong); }
pre { padding: 12px 16px; background: var(--box); border-radius: 6px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
</style>
<h1>$title</h1>
<p class="headline">$headline</p>
$body
</html>
""")
NAMED = ("name", "value")
NOTE = (
    '<p class="note">Mean and sample standard deviation are over the seeds that did '
    "not fail.</p>"
)


def _section(name: str, content: str) -> str:
    return f"<section>\n<h2>{html.escape(name)}</h2>\n{content}\n</section>"


def _row(cells: Iterable[str], kind: str = "", tag: str = "td") -> str:
    """A table row of cells that are HTML already; of a "total" or "failed" kind."""
    inside = "".join(f"<{tag}>{cell}</{tag}>" for cell in cells)
    return f'<tr class="{kind}">{inside}</tr>'


def _table(kind: str, head: Sequence[str], rows: Iterable[str]) -> str:
    """A table of "numbers" or "words"."""
    top, body = _row(map(html.escape, head), tag="th"), "\n".join(rows)
    inside = f"<thead>{top}</thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="scroll"><table class="{kind}">\n{inside}\n</table></div>'


def _words(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _table("words", head, (_row(map(html.escape, cells)) for cells in rows))


def _cell(value: float, shown: str) -> str:
    """A number that shows all its digits when pointed at."""
    return f'<span title="{value!r}">{shown}</span>' if math.isfinite(value) else shown


def _facts(facts: Mapping[str, str]) -> str:
    pairs = (map(html.escape, pair) for pair in facts.items())
    inside = "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in pairs)
    return f'<dl class="facts">{inside}</dl>'


class _Picture(NamedTuple):
    """A drawn picture: its file, and what is written below it."""

    file: str
    content: bytes
    caption: str


def _drawn(pictures: Iterable[Figure], record: Record) -> list[_Picture]:
    """All pictures that the run has something for."""
    made = []
    for picture in pictures:
        if (drawn := kit.render(picture, record)) is not None:
            made.append(_Picture(*drawn, picture.caption))
    return made


def _figure(picture: _Picture) -> str:
    data = base64.b64encode(picture.content).decode()
    name, kind = picture.file.split(".")
    return (
        '<figure><label><input type="checkbox" hidden>'
        f'<img alt="{name}" src="data:image/{kind};base64,{data}"></label>'
        f"<figcaption>{html.escape(picture.caption)}</figcaption></figure>"
    )


def _pictures(pictures: Iterable[_Picture]) -> Iterator[str]:
    """A section per name: a picture and its animation stand together."""
    for name, some in itertools.groupby(pictures, lambda p: p.file.split(".")[0]):
        inside = "\n".join(map(_figure, some))
        yield _section(name.replace("_", " ").capitalize(), inside)


def _seed_table(group: Group, scores: Sequence[Score]) -> str:
    shown = [s for s in scores if s.name in group.final]
    rows = []
    for i, (seed, failed) in enumerate(zip(group.seeds, group.failed, strict=True)):
        values = [float(group.final[s.name][i]) for s in shown]
        name = f"{seed} failed" if failed else str(seed)
        cells = [name, *(_cell(v, text.number(v)) for v in values)]
        rows.append(_row(cells, "failed" if failed else ""))
    for i, name in enumerate(("mean", "std")):
        values = [moments(group, s.name)[i] for s in shown]
        rows.append(_row([name, *(_cell(v, text.fixed(v)) for v in values)], "total"))
    return _table("numbers", ["seed", *map(text.title, shown)], rows)


def _group_table(groups: list[Group], scores: Sequence[Score], first: str) -> str:
    """A row per group: mean and deviation of every score, and who failed."""
    rows = []
    for group in groups:
        lost, seeds = failed_seeds(group), len(group.seeds)
        pairs = [moments(group, s.name) for s in scores]
        cells = [_cell(pair[0], text.plus_minus(pair)) for pair in pairs]
        who = [f"{seeds - len(lost)} of {seeds}", ", ".join(map(str, lost)) or "–"]
        kind = "failed" if len(lost) == seeds else ""
        rows.append(_row([html.escape(group.label), *cells, *who], kind))
    head = [first, *map(text.title, scores), "seeds", "failed seeds"]
    return _table("numbers", head, rows)


def _tables(record: Record) -> str:
    """Seeds of the only group; or a row per group and their seeds folded away."""
    groups, scores = record.groups, list(record.scores.values())
    if len(groups) == 1:
        return _seed_table(groups[0], scores)
    folded = (
        f"<details><summary>{html.escape(g.label)}</summary>{_seed_table(g, scores)}"
        "</details>"
        for g in groups
    )
    return "\n".join([_group_table(groups, scores, "point"), *folded])


def _flat(settings: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names and words."""
    if not isinstance(settings, dict):
        return [(name[1:], json.dumps(settings, ensure_ascii=False).strip('"'))]
    return [row for k, v in settings.items() for row in _flat(v, f"{name}.{k}")]


def _hyper_table(groups: list[Group]) -> str:
    """Swept hyper-parameters first."""
    hypers = [g.hyper for g in groups]
    names = read.swept(hypers)
    rows = []
    for name in dict.fromkeys([*names, *hypers[0]]):
        values = dict.fromkeys(text.setting(h.get(name)) for h in hypers)
        rows.append([name, ", ".join(values), "swept" if name in names else ""])
    return _words([*NAMED, ""], rows)


def _score(group: Group, scores: Sequence[Score]) -> str:
    """The first three scores in words."""
    shown = [s for s in scores if s.name in group.final][:3]
    means = (f"{s.title} {text.plus_minus(moments(group, s.name))}" for s in shown)
    return ", ".join(means)


def _best(groups: list[Group], scores: Sequence[Score]) -> str:
    """Names the point with the best mean, if there is anything to judge it by."""
    for score in scores[:1]:
        means = np.array([moments(g, score.name)[0] for g in groups])
        if score.better and np.isfinite(means).any():
            worse = -means if score.better == "higher" else means
            best = groups[int(np.nanargmin(worse))]
            count = f"Best of {len(groups)} by mean {text.phrase(score)}"
            return f"{count}: {best.label} with {_score(best, scores)}"
    return f"{len(groups)} points, {sum(len(g.seeds) for g in groups)} runs"


def _headline(groups: list[Group], scores: Sequence[Score]) -> str:
    runs = sum(len(g.seeds) for g in groups)
    lost = [seed for g in groups for seed in failed_seeds(g)]
    if len(groups) == 1:
        of = f"{runs - len(lost)} of " if lost else ""
        line = f"{_score(groups[0], scores)} over {of}{runs} seed{'s' * (runs > 1)}"
        return f"{line}; {text.failure(lost)}" if lost else line
    line = _best(groups, scores)
    return f"{line}; {len(lost)} of {runs} runs failed" if lost else line


def _run_facts(run: Record) -> dict[str, str]:
    r, seeds = run.results, run.groups[0].seeds
    facts = {
        "seeds": f"{len(seeds)} ({seeds[0]}–{seeds[-1]})" if len(seeds) > 1 else "1",
        "steps": f"{r['steps']:,}" if "steps" in r else "–",
        "devices": str(r.get("devices", "–")),
        "wall time": text.duration(r.get("wall_s")),
        "compilation": text.duration(r.get("compile_s")),
        "a step of all rows": text.duration(r.get("step_s")),
    }
    udr = np.ravel(np.array(r.get("udr"), float))
    if np.isfinite(udr).any():
        facts["agreement of seeds (UDR)"] = ", ".join(
            map(text.number, udr[np.isfinite(udr)])
        )
    if skipped := np.sum(r.get("skipped_updates", 0)):
        facts["skipped updates"] = text.number(float(skipped))
    return facts | {k: str(v) for k, v in run.settings.get("versions", {}).items()}


def _save(path: Path, name: str, headline: str, sections: list[str]) -> Path:
    body = "\n".join(sections)
    page = PAGE.substitute(title=html.escape(name), headline=headline, body=body)
    log.write_atomically(path, page)
    return path


def build(directory: Path, method: Method | None = None) -> Path:
    """Draws a finished run and writes its page.

    Args:
      directory: the directory of the run; report.html is written into it, and curves,
        seeds and the pictures that the method declares, each as a file of its own.
      method: the method of the run; by default the built-in one of that name.

    Returns:
      The path of report.html, which needs no other file.

    Raises:
      ValueError: config.json, metrics.jsonl, results.json or figures.npz is missing or
        corrupt.
    """
    directory = Path(directory)
    record = read.load(directory)
    method = method or systems.find(_reference(record))
    settings, scores = record.settings, list(record.scores.values())
    try:
        pictures = _drawn((*CURVES, *method.figures), record)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{directory / 'figures.npz'} does not fit results.json ({error}); train "
            "the run again"
        ) from error
    sections = [
        _facts(_run_facts(record)),
        *_pictures(pictures),
        _section("Results", _tables(record) + NOTE),
        _section("Hyper-parameters", _hyper_table(record.groups)),
        _section("Configuration", _words(NAMED, _flat(settings.get("config", {})))),
        _section("Data", _words(NAMED, _flat(settings.get("data", {})))),
        _section("Command", f"<pre>{html.escape(str(settings['command']))}</pre>"),
    ]
    for picture in pictures:
        log.write_atomically(directory / picture.file, picture.content)
    headline = html.escape(_headline(record.groups, scores))
    return _save(directory / "report.html", record.name, headline, sections)


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


def compare(directories: Sequence[Path], out: Path) -> Path:
    """Draws several runs side by side, each of their grid points as a row.

    Args:
      directories: the directories of finished runs.
      out: the page to write, NAME.html; its pictures are written beside it, as
        NAME-curves.png, and those that the method of the runs declares.

    Returns:
      out; the page needs no other file.

    Raises:
      ValueError: no directory or one of them twice, out is a directory, or a file of a
        run is missing or corrupt.
    """
    directories, out = [Path(d) for d in directories], Path(out)
    if not directories:
        raise ValueError("directories must name at least one run, got none")
    if out.is_dir():
        raise ValueError(f"{out} is a directory; out must be a file, as compared.html")
    loaded = [read.load(directory) for directory in directories]
    runs = dict(zip(_names(directories), loaded, strict=True))
    groups = [
        group._replace(label=", ".join(filter(None, (name, group.label))))
        for name, run in runs.items()
        for group in run.groups
    ]
    shared = {name: score for run in loaded for name, score in run.scores.items()}
    scores, whole = list(shared.values()), loaded[0]._replace(groups=groups)
    pictures = _drawn(CURVES, whole._replace(scores=shared)) + _compared(runs)
    facts = [{"run": n, "preset": r.name} | _run_facts(r) for n, r in runs.items()]
    head = list(dict.fromkeys(name for row in facts for name in row))
    commands = "\n".join(str(run.settings["command"]) for run in runs.values())
    sections = [
        _section("Results", _group_table(groups, scores, "run") + NOTE),
        *_pictures(pictures),
        _section("Runs", _words(head, ([f.get(h, "–") for h in head] for f in facts))),
        _section("Commands", f"<pre>{html.escape(commands)}</pre>"),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    name = f"{len(runs)} run{'s' * (len(runs) > 1)} compared"
    for picture in pictures:
        file = out.with_name(f"{out.stem}-{picture.file}")
        log.write_atomically(file, picture.content)
    return _save(out, name, html.escape(_headline(groups, scores)), sections)


def _reference(run: Record) -> str:
    """What the method of a run is found by."""
    return str(run.settings.get("reference") or run.name.split("/")[0])


def _compared(runs: Mapping[str, Record]) -> list[_Picture]:
    """Pictures of several runs of one method, if it declares any."""
    methods = set(map(_reference, runs.values()))
    if len(methods) != 1:
        return []
    try:
        method = systems.find(methods.pop())
    except ValueError:  # it is gone; what it has in common with others can be shown
        return []
    made = []
    for comparison in method.comparisons:
        if (drawn := kit.render_comparison(comparison, runs)) is not None:
            made.append(_Picture(*drawn, comparison.caption))
    return made
