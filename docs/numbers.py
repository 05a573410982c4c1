"""`python -m docs.numbers`: each measured number, where it is stored, its command.

A number is one with a fraction or a ±, outside of code. It is looked for in what is
stored of the presets that its line names, of its command, of the presets and files
that its paragraph names, and last in the settings of these presets. The build fails
where it is nowhere (`BY_HAND`).
"""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docs import links, sources
from docs.sources import RESULTS, Source
from jaxdis import cli

__all__ = ["BY_HAND", "Found", "found_in", "lacking"]

ROOT = Path(__file__).resolve().parent.parent
BY_HAND = "by hand"
_NUMBER = re.compile(
    r"(?<![\w.,/])(?<!Python )(?<!arXiv )(?<!Apache-)(?<!jax )"
    r"([−+-]?\d*\.\d+|\d+(?= ±))(?: ± (\d*\.?\d+))?"
)
_CODE = re.compile(r"`[^`\n]+`|\]\([^)\s]+\)")
_COMMAND = re.compile(
    rf"(?:jaxdis (?:{'|'.join(cli.COMMANDS)})\b|python -m benchmarks"
    r"|(?:python )?examples/\w+\.py)[^`#\n]*"
)
_BENCHMARK = re.compile(r"python -m benchmarks\.(\w+)")
_FILE = re.compile(r"benchmarks/results/([\w-]+\.json)")


class Found(NamedTuple):
    """A number of a page.

    Attributes:
      page: the page, from the root.
      line: its line, from 1.
      text: the number as it stands there.
      source: what holds it, or `BY_HAND`.
      command: what gives it; "" for none.
    """

    page: str
    line: int
    text: str
    source: str
    command: str


def found_in(root: Path, page: Path) -> Iterator[Found]:
    """The measured numbers of a page, in order.

    The command of a number is the next one in its paragraph or table, else the one
    before it there, else that of a paragraph nearby in its section.

    Args:
      root: the folder of the repository.
      page: a page of it.
    """
    parts = list(_parts(page.read_text()))
    for i, part in enumerate(parts):
        near = _near(parts, i)
        for line, text in enumerate(part.lines if not part.code else (), part.line):
            for match in _NUMBER.finditer(_CODE.sub(lambda m: "`" * len(m[0]), text)):
                named = _presets(page, text)
                trained = [f"jaxdis train {name}" for name in named]
                command = _next(part, line, match.start()) or (*trained, near)[0]
                files = _files(root, command, _section(parts, i))
                where = _sources(root, page, text, part.text, command, files)
                there = (s.name for s in where if sources.holds(s, match[1], match[2]))
                at = str(page.relative_to(root))
                yield Found(at, line, match[0], next(there, BY_HAND), command)


def lacking(root: Path) -> list[str]:
    """A sentence for each number that is nowhere stored, and each source that is gone.

    Args:
      root: the folder of the repository.
    """
    wrong = []
    for page in links.pages(root):
        if page.name == "CHANGELOG.md":
            continue
        where = page.relative_to(root)
        for name in _FILE.findall(page.read_text()):
            if not (root / RESULTS / name).exists():
                wrong.append(f"{where}: {RESULTS}/{name}, a source, is gone")
        for one in found_in(root, page):
            at = f"{where}:{one.line}: {one.text}"
            if not one.command:
                wrong.append(f"{at} has no command")
            elif one.source == BY_HAND:
                wrong.append(f"{at} is not what `{one.command}` has stored")
    return wrong


def _sources(
    root: Path, page: Path, line: str, part: str, command: str, files: list[Path]
) -> Iterator[Source]:
    """Where a number may be stored, what is said nearest to it first."""
    near, far = _presets(page, line), _presets(page, part)
    said = line if line.startswith("|") else part
    words = re.findall(r"\w+", " ".join(_CODE.findall(said)))
    commands = [_whole(command), *re.findall(r"\w+/\w+", command)]
    yield from sources.of_commands(root, near)
    for path in files:
        yield sources.of_file(path).named(words)
    yield from sources.of_commands(root, commands)
    yield from sources.of_commands(root, far)
    named = [n for n in commands if _is_preset(n)]
    for name in dict.fromkeys((*near, *named, *far)):
        yield from sources.of_preset(name)


def _whole(command: str) -> str:
    """A command as runs are kept under."""
    command = f"python {command}" if command.startswith("examples/") else command
    try:
        return shlex.join(shlex.split(command))
    except ValueError:  # a quote that is open within a sentence
        return command


class _Part(NamedTuple):
    """A paragraph, an item of a list, a table, a heading or code, from `line` on."""

    line: int
    lines: tuple[str, ...]
    code: bool

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def is_heading(self) -> bool:
        return not self.code and self.lines[0].startswith("#")


def _parts(text: str) -> Iterator[_Part]:
    kept: list[str] = []
    fenced, start = False, 1
    for i, line in enumerate([*text.splitlines(), ""], 1):
        fence, item = line.startswith("```"), not fenced and line.startswith("- ")
        if kept and (fence or item or not (fenced or line)):
            yield _Part(start, tuple(kept), fenced)
            kept = []
        fenced ^= fence
        if not fence and (line or fenced):
            start = start if kept else i
            kept.append(line)


def _section(parts: list[_Part], i: int) -> str:
    """The text from the heading before a part to the one after it."""
    heads = [j for j, part in enumerate(parts) if part.is_heading]
    first = max((j for j in heads if j <= i), default=0)
    last = min((j for j in heads if j > i), default=len(parts))
    return "\n".join(part.text for part in parts[first:last])


def _commands(part: _Part) -> list[tuple[int, int, str]]:
    return [
        (i, match.start(), match[0].strip())
        for i, line in enumerate(part.lines, part.line)
        for match in _COMMAND.finditer(line)
    ]


def _next(part: _Part, line: int, at: int) -> str:
    commands = _commands(part)
    after = [c for i, j, c in commands if (i, j) > (line, at)]
    return after[0] if after else commands[-1][2] if commands else ""


def _near(parts: list[_Part], i: int) -> str:
    """The last command of the parts before in the section, else the first after."""
    for part in reversed(parts[:i]):
        if found := _commands(part):
            return found[-1][2]
        if part.is_heading:
            break
    for part in parts[i + 1 :]:
        if part.is_heading:
            break
        if found := _commands(part):
            return found[0][2]
    return ""


def _files(root: Path, command: str, text: str) -> list[Path]:
    """The stored results that a paragraph names, and those of its command."""
    named = [root / RESULTS / name for name in _FILE.findall(text)]
    for benchmark in _BENCHMARK.findall(command):
        named += sources.of_benchmark(root, benchmark)
    if command.strip() == "python -m benchmarks":
        named.append(root / RESULTS / "seeds-cpu.json")
    return [path for path in dict.fromkeys(named) if path.exists()]


def _is_preset(name: str) -> bool:
    method, _, preset = name.partition("/")
    return preset in sources.known_presets(method)


def _presets(page: Path, text: str) -> list[str]:
    """The presets that a text names: METHOD/PRESET, or PRESET on a method's page."""
    own = page.stem if page.parent.name == "methods" else ""
    words = (
        name if "/" in name else f"{own}/{name}"
        for code in _CODE.findall(text)
        for name in re.findall(r"[\w/]+", code)
    )
    return [name for name in dict.fromkeys(words) if _is_preset(name)]


def _main() -> int:
    every = [
        one
        for page in links.pages(ROOT)
        if page.name != "CHANGELOG.md"
        for one in found_in(ROOT, page)
    ]
    for one in every:
        where = f"{one.page}:{one.line}"
        print(f"{where:42} {one.text:16} {one.source:44} {one.command}")
    by_hand = sum(one.source == BY_HAND for one in every)
    print(f"{len(every)} numbers, {by_hand} of them by hand")
    wrong = [*lacking(ROOT), *sources.outdated(ROOT)]
    for sentence in wrong:
        print(f"docs: {sentence}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(_main())
