"""The page of one run."""

import html
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxdis import log, systems
from jaxdis.report import kit, markup, tables, unfinished
from jaxdis.report.headline import headline, run_facts, so_far, taken
from jaxdis.report.markup import Drawn
from jaxdis.report.pictures import AFTER, BEFORE, SO_FAR
from jaxdis.report.promised import promised
from jaxdis.report.read import Record
from jaxdis.report.sentences import findings
from jaxdis.types import Comparison, Figure, Method

__all__ = ["Pictures", "build", "draw", "draw_all", "reference"]


class Pictures(NamedTuple):
    """What could be drawn of a run, and what could not.

    Attributes:
      drawn: the pictures.
      failed: a sentence for each picture that could not be drawn.
    """

    drawn: list[Drawn]
    failed: list[str]


def draw(
    pictures: Iterable[Figure | Comparison], shown: Any, form: kit.Form = kit.PNG
) -> Pictures:
    """All pictures that there is something for.

    Args:
      pictures: what is drawn.
      shown: the run; or runs by their names, of comparisons.
      form: what they become.
    """
    made = Pictures([], [])
    for picture in pictures:
        try:
            drawn = kit.render(picture, shown, form)
        # Whatever a picture runs into, a run of hours is not lost for it.
        except Exception as error:
            kind = type(error).__name__
            made.failed.append(f"{picture.name} could not be drawn: {kind}: {error}")
            continue
        if drawn is not None:
            made.drawn.append(Drawn(*drawn, picture.caption))
    return made


def reference(record: Record) -> str:
    """What the method of a run is found by."""
    return str(record.settings.get("reference") or record.name.split("/")[0])


def draw_all(record: Record, method: Method, form: kit.Form = kit.PNG) -> Pictures:
    """The pictures of every run around those of the method.

    Args:
      record: a run that has finished.
      method: its method, whose picture is taken where both are of one name.
      form: what they become.
    """
    before, own = draw(BEFORE, record, form), draw(method.figures, record, form)
    taken = {picture.file.split(".")[0] for picture in own.drawn}
    after = draw([p for p in AFTER if p.name not in taken], record, form)
    return Pictures(
        before.drawn + own.drawn + after.drawn,
        before.failed + own.failed + after.failed,
    )


def build(directory: Path, method: Method | None = None) -> Path:
    """Draws a run and writes its page.

    Args:
      directory: the directory of the run; report.html is written into it, and curves,
        seeds and the pictures that the method declares, each as a file of its own. Of a
        run that has not finished there are curves so far, and where it stands.
      method: the method of the run; by default the built-in one of that name.

    Returns:
      The path of report.html, which needs no other file. A picture that cannot be drawn
      is named in it, with the error.

    Raises:
      ValueError: config.json, metrics.jsonl, results.json or figures.npz is corrupt, or
        missing where it must be.
    """
    directory = Path(directory)
    record = unfinished.load(directory)
    standing, said = record.standing, findings(record)
    before, after = [], []
    if standing is None:
        method = method or systems.find(reference(record))
        pictures, line = draw_all(record, method), _headline(record)
        said = [*said, *filter(None, [method.loss])]
        after = [markup.section("Results", tables.results(record))]
    else:
        pictures, line = draw(SO_FAR, record), so_far(record, standing)
        where = markup.bullets(unfinished.said(standing))
        before = [markup.section("Where it stands", where)]
    sections = [
        markup.facts(run_facts(record)),
        *before,
        *([markup.section("What to know", markup.bullets(said))] if said else []),
        markup.section("What theory promises", markup.bullets(promised(record))),
        *markup.pictures(pictures.drawn),
        *(f'<p class="failed">{html.escape(s)}</p>' for s in pictures.failed),
        *after,
        *_settings(record),
    ]
    for picture in pictures.drawn:
        log.write_atomically(directory / picture.file, picture.content)
    return markup.save(directory / "report.html", record.name, line, sections)


def _headline(record: Record) -> str:
    return headline(record.groups, list(record.scores.values()), taken(record))


def _settings(record: Record) -> Iterator[str]:
    """Sections of what a run was trained with."""
    settings = record.settings
    config, data = settings.get("config", {}), settings.get("data", {})
    yield markup.section("Hyper-parameters", tables.hyper_table(record.groups))
    yield markup.section("Configuration", tables.setting_table(config))
    yield markup.section("Data", tables.setting_table(data))
    command = html.escape(str(settings["command"]))
    yield markup.section("Command", f"<pre>{command}</pre>")
