"""What a paper takes of a run: vector pictures at one font size, tables of its scores.

A line of the table is a grid point.
"""

import csv
import io
import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.text import Text

from jaxdis import log, statistics, systems
from jaxdis.report import kit, page, read, text
from jaxdis.report.averages import interval
from jaxdis.report.read import Group, Record, alive, finite
from jaxdis.types import Method, Score

__all__ = ["VECTORS", "as_csv", "as_latex", "publish"]

FOLDER = "publish"
SMALLEST = 9  # of the sizes of words that may become that of all
COLUMNS = 6  # scores of the LaTeX table, the first ones
ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", None: ""}
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "²": r"\textsuperscript{2}",
    "±": r"$\pm$",
    "−": r"$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
}
"""Signs that LaTeX reads otherwise, or not without more packages."""


def _vector(figure: Figure, ending: str, date: str) -> bytes:
    """A figure for a paper, the same bytes whenever it is drawn.

    All words have one size but those that must fit into a cell.
    """
    for words in figure.findobj(Text):
        if float(words.get_fontsize()) >= SMALLEST:
            words.set_fontsize(kit.STYLE["font.size"])
    # Letters stay letters in a PDF, and names in an SVG do not change.
    with rc_context({"pdf.fonttype": 42, "svg.hashsalt": "jaxdis"}):
        return kit.save(figure, ending, {date: None})


VECTORS = {
    "pdf": kit.Form("pdf", partial(_vector, ending="pdf", date="CreationDate")),
    "svg": kit.Form("svg", partial(_vector, ending="svg", date="Date")),
}
"""What can be scaled without loss."""


def publish(directory: Path, kind: str, method: Method | None = None) -> Path:
    """Writes a folder `publish` into the directory of a run that has finished.

    Every picture of its page is there as a vector graphic, all words in one size, so
    that pictures fit together which are included at one scale; animations are left
    out. scores.csv has every mean in full digits, scores.tex the first scores as a
    table for the LaTeX package booktabs.

    Args:
      directory: the directory of the run.
      kind: "pdf" or "svg".
      method: the method of the run; by default the built-in one of that name.

    Returns:
      The folder.

    Raises:
      ValueError: the run has not finished, or one of its files is missing or damaged.
    """
    record = read.load(directory)
    method = method or systems.find(page.reference(record))
    out = Path(directory) / FOLDER
    out.mkdir(exist_ok=True)
    pictures = page.draw_all(record, method, VECTORS[kind])
    for drawn in pictures.drawn:
        if drawn.file.endswith(f".{kind}"):
            log.write_atomically(out / drawn.file, drawn.content)
    for sentence in pictures.failed:
        log.note(sentence)
    log.write_atomically(out / "scores.csv", as_csv(record))
    log.write_atomically(out / "scores.tex", as_latex(record))
    return out


def _shown(record: Record) -> list[Score]:
    """The scores that some seed of some point has."""
    every = record.scores.values()
    return [s for s in every if finite([alive(g, s.name) for g in record.groups]).size]


def _label(record: Record, group: Group) -> str:
    return group.label or record.name


def as_csv(record: Record) -> str:
    """A line for each point and score: over how many seeds, mean, deviation, interval.

    Args:
      record: the run. What does not exist, as the deviation of one seed, is left empty.
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    names = list(record.groups[0].hyper)
    writer.writerow([*names, "score", "seeds", "mean", "std", "low", "high"])
    for group in record.groups:
        for score in _shown(record):
            values = alive(group, score.name)
            moments = (statistics.mean(values), statistics.deviation(values))
            numbers = [*map(float, moments), *interval(group, score)]
            cells = [x if math.isfinite(x) else "" for x in numbers]
            hyper = [group.hyper[name] for name in names]
            writer.writerow([*hyper, score.name, len(values), *cells])
    return lines.getvalue()


def _escaped(words: str) -> str:
    return "".join(SPECIAL.get(sign, sign) for sign in words)


def _number(value: float) -> str:
    """As in the tables of the page, within a formula."""
    return re.sub(",", "{,}", text.fixed(value).replace("−", "-"))


def _cell(group: Group, score: Score) -> str:
    values = alive(group, score.name)
    mean, std = read.mean_std(values)
    if not math.isfinite(mean):
        return "--"
    spread = rf" \pm {_number(std)}" if math.isfinite(std) else ""
    return f"${_number(mean)}{spread}$"


def as_latex(record: Record) -> str:
    """The first scores of every point, mean ± sample deviation, for booktabs.

    Args:
      record: the run; a lone point is called as the preset is.
    """
    scores, groups = _shown(record)[:COLUMNS], record.groups
    head = [_escaped(s.title) + ARROWS[s.better] for s in scores]
    first = "" if len(groups) == 1 else "Point"
    rows = [
        [_escaped(_label(record, g)), *(_cell(g, s) for s in scores)] for g in groups
    ]
    lost = sum(int(group.failed.sum()) for group in groups)
    seeds = len(groups[0].seeds)
    failed = f", {lost} of {seeds * len(groups)} runs failed and left out" * (lost > 0)
    return "\n".join(
        [
            f"% {record.name}: mean and sample standard deviation over {seeds} seeds"
            f"{failed}. Needs \\usepackage{{booktabs}}.",
            rf"\begin{{tabular}}{{l{'r' * len(scores)}}}",
            r"\toprule",
            _row([first, *head]),
            r"\midrule",
            *map(_row, rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
