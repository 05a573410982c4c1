"""The page of one run, and the page that compares several."""

import base64
import html
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from jaxdis import log
from jaxdis.report import domains, mixing, read, sequences, tasks, text
from jaxdis.report.figures import curve_metrics, draw
from jaxdis.report.read import Group, Run, alive, failed_seeds, mean_std

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
CAPTIONS = {
    "curves.png": "Over training. Dashed: failed seeds, a cross where they were last "
    "seen.",
    "seeds.png": "At the end. Line and band: mean and one standard deviation. Crosses: "
    "failed seeds, moved to the rim where they are out of range.",
    "graphs.png": "Learned edge probabilities, in the order of the true latents. Rows "
    "are children; outlined cells are on the wrong side of 0.5.",
    "correlation.png": "True latents against the codes matched to them, on test rows; "
    "the mean, and the first seeds.",
    "steps.png": "L1 distance between decoded and true frames, by step. Thin: seeds, "
    "band: one standard deviation. Dashed: the latent stays where it was, mean over "
    "seeds. Shaded: longer than trained.",
    "traversals.png": "Held-out images (of a sweep, the first) under every "
    "transformation: true frames above the model's, of the first seed that did not "
    "fail.",
    "traversals.gif": "The same in motion, there and back; of a sweep, the first "
    "point.",
    "superposed.png": "Two transformations at once.",
    "switched.png": "One transformation, then another.",
    "confusion.png": "Fractions of the sequences under a true transformation (row) by "
    "the inferred one (column, matched); mean over seeds.",
    "heads.png": "Absolute weights of the heads of held-out tasks (rows, in the order "
    "of the factors they use where these are known), each divided by its largest. "
    "Left of the line: features matched to the factors, in their order. Of a run with "
    "an MCC the seed with the highest, else the first that did not fail.",
    "usage.png": "Share of every feature in the weights of all heads, largest first in "
    "every seed. Bars: mean over seeds, dots: seeds, dashed: all features alike.",
    "grid.png": "At the end, by the penalties for sparsity (alpha) and sharing (beta): "
    "mean and one standard deviation over seeds. Hatched: not run.",
    "few_shot.png": "Scores on held-out tasks by the samples that fit a head. Bold and "
    "band: mean and one standard deviation over seeds, thin: seeds. Dashed: heads on "
    "raw observations.",
    "jacobian.png": "Mean |dx / dz| std z of the decoder on test rows, latents matched "
    "to the true ones where these are known, each row divided by its largest. Black: "
    "entries of the true mask; orange: entries on the wrong side of 0.1. Of the seeds "
    "that did not fail the one with the fewest wrong entries, then the highest MCC, "
    "and the one in the middle.",
    "latents.png": "Densities of latents by domain, smoothed, each divided by its "
    "highest: true ones, and posterior means of the best seed, matched and with the "
    "sign of the true. Below, one against the other and their correlation. "
    f"At most {mixing.POINTS_DRAWN} points and {mixing.LATENTS_DRAWN} latents.",
    "domains.png": "At the end, by the number of domains: mean and one standard "
    "deviation over seeds; dots are seeds. Dashed: observations as they are in the "
    "place of latents, mean over seeds.",
    "samples.png": "Held-out images beside those of the model, of the first seed that "
    "did not fail; a row a domain.",
    "translation.png": "Every column has the same latents and noise, only the domain "
    "changes, from row to row.",
    "style_traversals.png": "The style latents with the largest weights w, moved over "
    "a range from left to right; all else stays.",
    "importance.png": "Weights of style latents, largest first in every seed. Bold and "
    "band: mean and one standard deviation over seeds, thin: seeds. Below the dashed "
    "line domains do not move a latent; w is then shown as 0.",
}
# What a run is judged by, and whether more of it is better; or by heads of new tasks.
JUDGES = {"mcc": True, "equivariance_error": False, "frechet": False}
# Scores of a headline: the first of these that a run has any of.
HEADLINES = (
    ("mcc", "shd", "dci_d", "wrong_entries"),
    ("equivariance_error", "elbo"),
    ("frechet", "digit_kept", "colour_right"),
)
FEW_SHOT = "few_shot_sparse_"
NAMED = ("name", "value")
NOTE = (
    '<p class="note">Mean and standard deviation (divided by n) are over the seeds '
    "that did not fail.</p>"
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


def _picture(file: str, content: bytes) -> str:
    data, (name, kind) = base64.b64encode(content).decode(), file.split(".")
    return (
        '<figure><label><input type="checkbox" hidden>'
        f'<img alt="{name}" src="data:image/{kind};base64,{data}"></label>'
        f"<figcaption>{html.escape(CAPTIONS[file])}</figcaption></figure>"
    )


def _pictures(pictures: Mapping[str, bytes]) -> Iterator[str]:
    """A section a name: a picture and its animation stand together."""
    for name, files in itertools.groupby(pictures, lambda file: file.split(".")[0]):
        inside = "\n".join(_picture(file, pictures[file]) for file in files)
        yield _section(name.replace("_", " ").capitalize(), inside)


def _seed_table(group: Group) -> str:
    metrics = text.ordered(group.final)
    rows = []
    for i, (seed, failed) in enumerate(zip(group.seeds, group.failed, strict=True)):
        values = [float(group.final[m][i]) for m in metrics]
        name = f"{seed} failed" if failed else str(seed)
        cells = [name, *(_cell(v, text.number(v)) for v in values)]
        rows.append(_row(cells, "failed" if failed else ""))
    for i, name in enumerate(("mean", "std")):
        values = [mean_std(alive(group, m))[i] for m in metrics]
        rows.append(_row([name, *(_cell(v, text.fixed(v)) for v in values)], "total"))
    return _table("numbers", ["seed", *map(text.title, metrics)], rows)


def _group_table(groups: list[Group], first: str) -> str:
    """A row a group: mean and deviation of every metric, and who failed."""
    metrics = text.ordered(m for g in groups for m in g.final)
    rows = []
    for group in groups:
        lost, seeds = failed_seeds(group), len(group.seeds)
        moments = [mean_std(alive(group, m)) for m in metrics]
        cells = [_cell(pair[0], text.plus_minus(pair)) for pair in moments]
        who = [f"{seeds - len(lost)} of {seeds}", ", ".join(map(str, lost)) or "–"]
        kind = "failed" if len(lost) == seeds else ""
        rows.append(_row([html.escape(group.label), *cells, *who], kind))
    head = [first, *map(text.title, metrics), "seeds", "failed seeds"]
    return _table("numbers", head, rows)


def _tables(groups: list[Group]) -> str:
    """Seeds of the only group; or a row a group and their seeds folded away."""
    if len(groups) == 1:
        return _seed_table(groups[0])
    folded = (
        f"<details><summary>{html.escape(g.label)}</summary>{_seed_table(g)}</details>"
        for g in groups
    )
    return "\n".join([_group_table(groups, "point"), *folded])


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


def _few_shot(group: Group) -> list[str]:
    """Scores of sparse heads on new tasks, most samples first."""
    names = [n for n in group.final if n.startswith(FEW_SHOT)]
    shots = {n: n.removeprefix(FEW_SHOT) for n in names}
    return sorted(
        (n for n in names if shots[n].isdecimal()), key=lambda n: -int(shots[n])
    )


def _score(group: Group) -> str:
    """One of `HEADLINES`, or few-shot scores, or the first two scores there are."""
    names = text.ordered(group.final)
    for some in (*HEADLINES, _few_shot(group)[:2], names[:2]):
        if chosen := [n for n in some if n in names]:
            break
    means = [text.plus_minus(mean_std(alive(group, n))) for n in chosen]
    titles = [text.title(n).rstrip(" ↑↓") for n in chosen]
    return ", ".join(map(" ".join, zip(titles, means, strict=True)))


def _best(groups: list[Group]) -> str:
    """Names the point with the best mean, if there is anything to judge it by."""
    judges = JUDGES | dict.fromkeys(_few_shot(groups[0])[:1], True)
    for metric, more in judges.items():
        means = np.array([mean_std(alive(g, metric))[0] for g in groups])
        if np.isfinite(means).any():
            best = groups[int(np.nanargmax(means if more else -means))]
            count = f"Best of {len(groups)} by mean {text.phrase(metric)}"
            return f"{count}: {best.label} with {_score(best)}"
    return f"{len(groups)} points, {sum(len(g.seeds) for g in groups)} runs"


def _headline(groups: list[Group]) -> str:
    runs = sum(len(g.seeds) for g in groups)
    lost = [seed for g in groups for seed in failed_seeds(g)]
    if len(groups) == 1:
        of = f"{runs - len(lost)} of " if lost else ""
        line = f"{_score(groups[0])} over {of}{runs} seed{'s' * (runs > 1)}"
        return f"{line}; {text.failure(lost)}" if lost else line
    line = _best(groups)
    return f"{line}; {len(lost)} of {runs} runs failed" if lost else line


def _run_facts(run: Run) -> dict[str, str]:
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
        facts["agreement of seeds (UDR)"] = ", ".join(map(text.number, udr))
    if skipped := np.sum(r.get("skipped_updates", 0)):
        facts["skipped updates"] = text.number(float(skipped))
    return facts | {k: str(v) for k, v in run.settings.get("versions", {}).items()}


def _save(path: Path, name: str, groups: list[Group], sections: list[str]) -> Path:
    headline, body = html.escape(_headline(groups)), "\n".join(sections)
    page = PAGE.substitute(title=html.escape(name), headline=headline, body=body)
    log.write_atomically(path, page)
    return path


def build(directory: Path) -> Path:
    """Draws a finished run and writes its page.

    Args:
      directory: of the run; curves.png, seeds.png and report.html are written into
        it, and as far as the run has the figures graphs.png, correlation.png, and
        steps.png, traversals.png, traversals.gif, superposed.png, switched.png and
        confusion.png, or heads.png, usage.png, grid.png and few_shot.png, or
        jacobian.png and latents.png, or samples.png, translation.png,
        style_traversals.png and importance.png.

    Returns:
      The path of report.html, which needs no other file.

    Raises:
      ValueError: config.json, metrics.jsonl, results.json or figures.npz is missing or
        corrupt.
    """
    directory = Path(directory)
    run = read.load(directory)
    groups, settings = run.groups, run.settings
    figures = read.load_figures(directory, run)
    pictures = draw(groups, curve_metrics(groups), figures)
    if run.transformations:
        pictures |= sequences.draw(groups, run.transformations, run.horizon, figures)
    if figures.keys() & set(read.TASKS):
        pictures |= tasks.draw(groups, run.results.get("spec") or {}, figures)
    if figures.keys() & set(read.MIXING):
        pictures |= mixing.draw(groups, run.results["spec"], figures)
    if figures.keys() & set(read.DOMAINS):
        pictures |= domains.draw(groups, run.results["spec"]["names"], figures)
    sections = [
        _facts(_run_facts(run)),
        *_pictures(pictures),
        _section("Results", _tables(groups) + NOTE),
        _section("Hyper-parameters", _hyper_table(groups)),
        _section("Configuration", _words(NAMED, _flat(settings.get("config", {})))),
        _section("Data", _words(NAMED, _flat(settings.get("data", {})))),
        _section("Command", f"<pre>{html.escape(str(settings['command']))}</pre>"),
    ]
    for file, content in pictures.items():
        log.write_atomically(directory / file, content)
    return _save(directory / "report.html", run.name, groups, sections)


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
      directories: of finished runs.
      out: the page to write, NAME.html; NAME-curves.png and NAME-seeds.png are written
        beside it, and of sparse mixings with different numbers of domains
        NAME-domains.png.

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
    pictures = draw(groups, curve_metrics(groups)[:1], {}) | mixing.compare(runs)
    facts = [{"run": n, "preset": r.name} | _run_facts(r) for n, r in runs.items()]
    head = list(dict.fromkeys(name for row in facts for name in row))
    commands = "\n".join(str(run.settings["command"]) for run in runs.values())
    sections = [
        _section("Results", _group_table(groups, "run") + NOTE),
        *_pictures(pictures),
        _section("Runs", _words(head, ([f.get(h, "–") for h in head] for f in facts))),
        _section("Commands", f"<pre>{html.escape(commands)}</pre>"),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    name = f"{len(runs)} run{'s' * (len(runs) > 1)} compared"
    for file, content in pictures.items():
        log.write_atomically(out.with_name(f"{out.stem}-{file}"), content)
    return _save(out, name, groups, sections)
