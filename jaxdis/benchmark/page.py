"""The files of a benchmark: a table, a picture and a page."""

import html
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib.style

from jaxdis import log
from jaxdis.benchmark.figures import draw_benchmark
from jaxdis.benchmark.results import Outcome, Results
from jaxdis.benchmark.summary import Line, in_words, summed_up
from jaxdis.benchmark.text import (
    RAW,
    as_tables,
    gains,
    grid,
    plain,
    raw_of,
    sentences,
    short,
    signed,
)
from jaxdis.report import kit, markup
from jaxdis.report.markup import Drawn
from jaxdis.report.tables import setting_table
from jaxdis.report.text import duration, fixed
from jaxdis.statistics import Gain

__all__ = ["Written", "write"]

CAPTION = (
    "Above: the mean score of each method on each data set, and its 95 % interval; "
    "frames say what theory promises that method there. Below: the share of all seeds "
    "on data of one kind whose score is above a number, of the methods that take all "
    "of these data; bands are 95 % intervals."
)
HEAD = ["method", "score", "over raw", "over untrained", "over first point"]


class Written(NamedTuple):
    """The files of a benchmark.

    Attributes:
      results: a table per cell, with a number per seed; json.
      picture: methods by data; None where no cell has a score.
      page: all of it.
    """

    results: Path
    picture: Path | None
    page: Path


def _score(results: Results, outcome: Outcome) -> str:
    """Mean, deviation and interval."""
    own = results.summary(outcome.values)
    mean, low, high = (float(v) for v in (own.mean, own.low, own.high))
    spread = "" if math.isnan(own.deviation) else f" ± {fixed(float(own.deviation))}"
    shown = markup.cell(mean, fixed(mean) + spread)
    ends = "" if math.isnan(low) else f"<small>{fixed(low)} to {fixed(high)}</small>"
    return shown + ends


def _gain(gain: Gain | None) -> str:
    """A paired gain, its interval, and on how many seeds it is above 0."""
    if gain is None or not gain.seeds:
        return "–"
    mean = float(gain.mean)
    shown = markup.cell(mean, signed(mean))
    if math.isnan(gain.low):
        return shown
    ends = f"{signed(float(gain.low))} to {signed(float(gain.high))}"
    return f"{shown}<small>{ends}; {gain.positive} of {gain.seeds}</small>"


def _theory(outcome: Outcome) -> str:
    """What theory promises; – where it is not known here."""
    known = outcome.promise.kind != "unknown"
    return html.escape(outcome.promise.words) if known else "–"


def _row(results: Results, outcome: Outcome) -> str:
    name = html.escape(outcome.cell.entry.name)
    if outcome.state != "finished":
        note = (
            outcome.note if outcome.state == "unfinished" else f"failed: {outcome.note}"
        )
        cells = [name, html.escape(note), "", "", "", _theory(outcome)]
        return markup.row(cells, "failed" if outcome.state == "failed" else "")
    if outcome.point:
        name += f"<small>{html.escape(outcome.point)}</small>"
    paired = map(_gain, gains(results, outcome).values())
    return markup.row([name, _score(results, outcome), *paired, _theory(outcome)])


def _of_data(results: Results, data: str) -> str:
    """A table of all methods that take some data, below the observations."""
    shown = [
        outcome
        for outcome in results.outcomes
        if outcome.cell.case.name == data and outcome.state not in ("skipped", "unfit")
    ]
    rows = []
    if (raw := raw_of(results, data)) is not None:
        floor = shown[0]._replace(values=raw)
        rows = [markup.row([RAW, _score(results, floor), "", "", "", ""], "total")]
    rows += [_row(results, outcome) for outcome in shown]
    unfit = [
        f"{o.cell.entry.name}: {o.note}"
        for o in results.of("unfit")
        if o.cell.case.name == data
    ]
    many = "methods do" if len(unfit) > 1 else "method does"
    listed = f"<details><summary>{len(unfit)} {many} not take these data</summary>"
    folded = listed + markup.bullets(unfit) + "</details>" if unfit else ""
    return markup.table("numbers", [*HEAD, "theory"], rows) + folded


def _summary(lines: list[Line]) -> str:
    head = [
        "method", "data", "mean score", "promised data", "mean there", "over raw",
        "over untrained", "over first point", "diverged seeds",
    ]  # fmt: skip
    rows = [
        [
            short(line.method),
            str(line.cells),
            fixed(line.mean),
            str(line.promised),
            fixed(line.promised_mean),
            in_words(line.raw),
            in_words(line.untrained),
            in_words(line.first),
            str(line.lost),
        ]
        for line in lines
        if line.cells
    ]
    return markup.words(head, rows)


def _sections(results: Results, picture: Drawn | None, command: str) -> Iterator[str]:
    yield markup.section("To know", markup.bullets(sentences(results)))
    if picture is not None:
        yield from markup.pictures([picture])
    yield markup.section(
        "Methods",
        _summary(summed_up(results))
        + '<p class="note">“Better” and “worse”: the 95 % interval of the paired gain '
        "is above or below 0. Methods take different data: means are no ranking.</p>",
    )
    groups = {case.name: case.group for case in results.benchmark.data}
    for name in grid(results)[0]:
        title = f"{name} ({groups[name]})" if groups[name] else name
        yield markup.section(title, _of_data(results, name))
    settings = plain(results.benchmark)
    cases = {case.pop("name"): case for case in settings.pop("data")}
    yield markup.section("Setting", setting_table(settings | {"data": cases}))
    yield markup.section("Command", f"<pre>{html.escape(command)}</pre>")


def _headline(results: Results) -> str:
    counts = {
        state: len(results.of(state)) for state in ("finished", "failed", "unfinished")
    }
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    cells = sum(counts.values())
    took = f"; {duration(results.seconds)} of training" if results.seconds else ""
    return f"{cells} cells of {results.benchmark.seeds} seeds: {told or 'none'}{took}"


def write(results: Results, out: Path, command: str) -> Written:
    """Writes results.json, benchmark.png and benchmark.html.

    Args:
      results: what came of the benchmark.
      out: its directory.
      command: what made it.
    """
    with matplotlib.style.context(["default", kit.STYLE]):
        figure = draw_benchmark(results)
        drawn = None if figure is None else kit.save(figure)
    picture = None
    if drawn is not None:
        picture = out / "benchmark.png"
        log.write_atomically(picture, drawn)
    log.write_json(out / "results.json", as_tables(results, command))
    shown = None if drawn is None else Drawn("results.png", drawn, CAPTION)
    page = markup.save(
        out / "benchmark.html",
        f"Benchmark: {results.benchmark.name}",
        _headline(results),
        list(_sections(results, shown, command)),
    )
    return Written(out / "results.json", picture, page)
