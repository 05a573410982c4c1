"""HTML: the frame of a page, its sections, tables and pictures."""

import base64
import html
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple

from jaxdis import log

__all__ = [
    "Drawn",
    "bullets",
    "cell",
    "facts",
    "pictures",
    "row",
    "save",
    "section",
    "table",
    "words",
]

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
ul { margin: 18px 0 0; padding-left: 20px; }
h2 { margin: 44px 0 10px; font-size: 19px; }
h1, h2, .headline, dd, summary { overflow-wrap: anywhere; }
.headline { margin: 6px 0 24px; font-size: 20px; }
.facts { display: flex; flex-wrap: wrap; gap: 10px 36px; }
dt, figcaption, .note { color: var(--faint); font-size: 14px; }
figure, .scroll { overflow-x: auto; }
figure + figure { margin-top: 20px; }
img { max-width: 100%; background: #fff; border-radius: 6px; cursor: zoom-in; }
input:checked + img { max-width: none; cursor: zoom-out; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.numbers { font-size: 14px; }
.numbers th, .numbers td { padding-right: 10px; }
th, td { padding: 4px 14px 4px 0; text-align: right; }
th { vertical-align: bottom; font-size: 14px; line-height: 1.3; }
th:first-child, td:first-child, .words td, .words th { text-align: left; }
.words td { overflow-wrap: anywhere; }
th { border-bottom: 1px solid var(--rule); }
.total { font-weight: 600; }
small { display: block; color: var(--faint); font-size: 12px; }
.failed { color: var(--wrong); }
pre { padding: 12px 16px; background: var(--box); border-radius: 6px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 600px) { body { padding: 16px 12px 40px; }
  h1 { font-size: 24px; } .headline { font-size: 17px; }
  h2 { margin-top: 28px; } .facts { gap: 8px 24px; } td, th { padding-right: 10px; }
  img { max-width: none; width: 720px; } }
</style>
<h1>$title</h1>
<p class="headline">$headline</p>
$body
</html>
""")


def section(name: str, content: str) -> str:
    """A part of a page.

    Args:
      name: its heading.
      content: HTML.
    """
    return f"<section>\n<h2>{html.escape(name)}</h2>\n{content}\n</section>"


def row(cells: Iterable[str], kind: str = "", tag: str = "td") -> str:
    """A row of a table.

    Args:
      cells: HTML.
      kind: "total", "failed" or "".
      tag: "th" for a head.
    """
    inside = "".join(f"<{tag}>{cell}</{tag}>" for cell in cells)
    return f'<tr class="{kind}">{inside}</tr>'


def table(kind: str, head: Sequence[str], rows: Iterable[str]) -> str:
    """A table.

    Args:
      kind: "numbers" or "words".
      head: the names of the columns.
      rows: as `row` gives them.
    """
    top, body = row(map(html.escape, head), tag="th"), "\n".join(rows)
    inside = f"<thead>{top}</thead>\n<tbody>\n{body}\n</tbody>"
    if kind == "numbers":  # narrow columns break elsewhere
        for sign in ("± ", "to ", " ↑", " ↓"):
            inside = inside.replace(sign, sign.replace(" ", "&nbsp;"))
    return f'<div class="scroll"><table class="{kind}">\n{inside}\n</table></div>'


def words(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of words.

    Args:
      head: the names of the columns.
      rows: the cells of each row.
    """
    return table("words", head, (row(map(html.escape, cells)) for cells in rows))


def cell(value: float, shown: str) -> str:
    """A number that shows all its digits when pointed at.

    Args:
      value: the number.
      shown: how it is written.
    """
    return f'<span title="{value!r}">{shown}</span>' if math.isfinite(value) else shown


def facts(named: Mapping[str, str]) -> str:
    """Short facts in a line, by their names."""
    pairs = (map(html.escape, pair) for pair in named.items())
    inside = "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in pairs)
    return f'<dl class="facts">{inside}</dl>'


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    inside = "".join(f"<li>{html.escape(s)}</li>" for s in sentences)
    return f"<ul>{inside}</ul>"


class Drawn(NamedTuple):
    """A drawn picture.

    Attributes:
      file: the name of its file.
      content: the file.
      caption: what is written below it.
    """

    file: str
    content: bytes
    caption: str


def _figure(picture: Drawn) -> str:
    data = base64.b64encode(picture.content).decode()
    name, kind = picture.file.split(".")
    return (
        '<figure><label><input type="checkbox" hidden>'
        f'<img alt="{name}" src="data:image/{kind};base64,{data}"></label>'
        f"<figcaption>{html.escape(picture.caption)}</figcaption></figure>"
    )


def pictures(drawn: Iterable[Drawn]) -> Iterator[str]:
    """A section per name: a picture and its animation stand together."""
    for name, some in itertools.groupby(drawn, lambda p: p.file.split(".")[0]):
        inside = "\n".join(map(_figure, some))
        yield section(name.replace("_", " ").capitalize(), inside)


def save(path: Path, name: str, headline: str, sections: Sequence[str]) -> Path:
    """Writes a page.

    Args:
      path: its file.
      name: its title.
      headline: the line below the title.
      sections: HTML.
    """
    title, line = html.escape(name), html.escape(headline)
    page = PAGE.substitute(title=title, headline=line, body="\n".join(sections))
    log.write_atomically(path, page)
    return path
