"""`python -m docs.numbers`: each measured number, where it is stored, its command.

A number is one with a fraction or a ±, outside of code. Its source is the preset that
its line names, if that is known to reach it, or a file of benchmarks/results that its
section names, if that holds it to as many digits. Others are by hand: their command
gives them, and nothing that is stored does.
"""

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from docs import links, made
from jaxdis import cli, systems

__all__ = ["BY_HAND", "Found", "found_in", "lacking", "stored"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = "benchmarks/results"
BY_HAND = "by hand"
_NUMBER = re.compile(
    r"(?<![\w.,/])(?<!Python )(?<!arXiv )(?<!Apache-)"
    r"([−+-]?\d*\.\d+|\d+(?= ±))(?: ± (\d*\.?\d+))?"
)
_CODE = re.compile(r"`[^`\n]+`")
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
                files = _files(root, command, part.text)
                named += _presets(page, part.text)
                source = _of_preset(named, match) or _of(files, match)
                where = str(page.relative_to(root))
                yield Found(where, line, match[0], source or BY_HAND, command)


def lacking(root: Path) -> list[str]:
    """A sentence for each number without a command, and each source that is gone.

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
            elif one.source == BY_HAND and _files(root, one.command, ""):
                wrong.append(f"{at} is not what `{one.command}` has stored")
    return wrong


class _Part(NamedTuple):
    """A paragraph, a table, a heading or a block of code: its lines from `line` on."""

    line: int
    lines: tuple[str, ...]
    code: bool

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def _parts(text: str) -> Iterator[_Part]:
    kept: list[str] = []
    fenced, start = False, 1
    for i, line in enumerate([*text.splitlines(), ""], 1):
        fence = line.startswith("```")
        if kept and (fence or not (fenced or line)):
            yield _Part(start, tuple(kept), fenced)
            kept = []
        fenced ^= fence
        if not fence and (line or fenced):
            start = start if kept else i
            kept.append(line)


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
        if not part.code and part.text.startswith("#"):
            break
    for part in parts[i + 1 :]:
        if not part.code and part.text.startswith("#"):
            break
        if found := _commands(part):
            return found[0][2]
    return ""


def _files(root: Path, command: str, text: str) -> list[Path]:
    """The stored results that a paragraph names, and those of its command."""
    named = [root / RESULTS / name for name in _FILE.findall(text)]
    for benchmark in _BENCHMARK.findall(command):
        named += sorted((root / RESULTS).glob(f"{benchmark}*.json"))
    if command.strip() == "python -m benchmarks":
        named.append(root / RESULTS / "seeds-cpu.json")
    return [path for path in dict.fromkeys(named) if path.exists()]


def _of(files: list[Path], match: re.Match[str]) -> str:
    found = (f"{RESULTS}/{path.name}" for path in files if stored(path, match[1]))
    return next(found, "")


def stored(path: Path, text: str) -> bool:
    """Whether a file of results holds a number, to the digits that it is given with.

    Args:
      path: a JSON file.
      text: the number.
    """
    return any(_rounded(value, text) for value in _numbers(path))


@cache
def _numbers(path: Path) -> tuple[float, ...]:
    text = json.dumps(json.loads(path.read_text()))
    numbers = map(float, re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text))
    return tuple(sorted(set(numbers)))


def _presets(page: Path, text: str) -> list[str]:
    """The presets that a text names: METHOD/PRESET, or PRESET on a method's page."""
    own = page.stem if page.parent.name == "methods" else ""
    words = (
        name.rpartition("/")
        for code in _CODE.findall(text)
        for name in re.findall(r"[\w/]+", code)
    )
    pairs = ((method or own, preset) for method, _, preset in words)
    return [f"{m}/{preset}" for m, preset in pairs if preset in _expected(m)]


def _of_preset(names: list[str], match: re.Match[str]) -> str:
    """The first of some presets that is known to reach a number, and its spread."""
    for name in names:
        method, _, preset = name.partition("/")
        for mean, spread in _expected(method)[preset]:
            known = match[2] is None or spread is None or _rounded(spread, match[2])
            if known and _rounded(mean, match[1]):
                return f"preset {name}"
    return ""


def _rounded(value: float, text: str) -> bool:
    """Whether a value is what a text says, to the digits of the coarser of them."""
    digits = (part.partition(".")[2] for part in (text, f"{value:.15g}"))
    step = 10.0 ** -min(map(len, digits))
    return abs(value - float(text.replace("−", "-"))) <= 0.5001 * step


@cache
def _expected(method: str) -> dict[str, tuple[tuple[float, float | None], ...]]:
    """Means and spreads that the presets of a method are known to reach."""
    if method not in made.method_names():
        return {}
    presets = systems.find(method).presets
    return {n: tuple((e.mean, e.spread) for e in p.expects) for n, p in presets.items()}


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
    wrong = lacking(ROOT)
    for sentence in wrong:
        print(f"docs: {sentence}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(_main())
