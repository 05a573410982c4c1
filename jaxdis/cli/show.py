"""`jaxdis list` and `jaxdis report`: what there is to train, and what was trained."""

import dataclasses
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.text import Text

from jaxdis import devices, experiment, log, program_cache, report, systems
from jaxdis.cli.options import NOTHING
from jaxdis.experiment.directory import holds_run
from jaxdis.types import Expectation, Preset

__all__ = [
    "ListOptions",
    "ReportOptions",
    "list_command",
    "report_command",
    "say_presets",
]

INDENT = "    "
BEYOND = re.compile(r"[;,]| (?:for |on |\()")
"""What a cost goes on with: seeds, machines and remarks."""


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """Names the presets of all methods, or of some, one line each: score and cost.

    Attributes:
      methods: the methods, by name or as FILE.py:NAME.
      long: every expected score, the whole cost and the source, in as many lines as
        they need.
    """

    methods: Annotated[tuple[str, ...], tyro.conf.Positional, NOTHING] = ()
    long: bool = False


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """Rebuilds the report of a run; compares several runs side by side.

    Attributes:
      runs: directories that `jaxdis train` wrote; by default the newest in runs/.
      out: the HTML file of the comparison of several runs; pictures go beside it.
      publish: write what a paper takes into a folder `publish` of each run: pictures as
        pdf or svg, with words of one size where all are included at one scale, and
        scores as csv and LaTeX.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, NOTHING] = ()
    out: Path = Path("comparison.html")
    publish: Literal["pdf", "svg"] | None = None


def _newest() -> Path:
    """The run that was last trained of those below runs/.

    Raises:
      ValueError: there is none.
    """
    settings = Path("runs").glob("*/config.json")
    found = [path.parent for path in settings if holds_run(path.parent)]
    if not found:
        raise ValueError(
            f"name a run, as in `jaxdis report RUN`: there is none in {Path.cwd()}/runs"
        )
    run = max(found, key=_trained_at)
    log.note(f"of {len(found)} in runs/, the run that was trained last: {run}")
    return run


def _trained_at(run: Path) -> float:
    """When it last wrote what it learned; a report does not count."""
    written = (run / "metrics.jsonl", run / "config.json")
    return max(path.stat().st_mtime for path in written if path.exists())


def report_command(args: Sequence[str]) -> int:
    """`jaxdis report [RUN ...]`; returns the exit code."""
    devices.use_all_cores()
    program_cache.keep_programs()
    options = tyro.cli(ReportOptions, prog="jaxdis report", args=args)
    if not options.runs:
        options = dataclasses.replace(options, runs=(_newest(),))
    for run in options.runs:
        if experiment.shards_there(run) and not experiment.is_measured(run):
            experiment.gather([run], None)
    paths = []
    for run in options.runs:
        paths.append(report.build(run))
        name = f"{run}: " if len(options.runs) > 1 else ""
        for sentence in report.promised_in_run(run):
            log.say(name + sentence)
        if options.publish:
            log.say(f"for a paper: {report.publish(run, options.publish)}")
    if len(paths) > 1:
        paths = [report.side_by_side(options.runs, options.out)]
    log.say(f"report: {paths[-1]}")
    return 0


def _expected(expects: Sequence[Expectation]) -> str:
    """Expectations in words: "mcc 0.98 ± 0.01, shd 1; no penalty: mcc 0.8"."""
    groups: dict[str, list[str]] = {}
    for one in expects:
        spread = "" if one.spread is None else f" ± {one.spread:g}"
        groups.setdefault(one.of, []).append(f"{one.score} {one.mean:g}{spread}")
    return "; ".join(
        (f"{of}: " if of else "") + ", ".join(some) for of, some in groups.items()
    )


def _presets(methods: Sequence[str]) -> Iterator[tuple[str, Preset]]:
    """The presets of methods by their names; of all methods where none is named."""
    for system in methods or systems.names():
        try:
            method = systems.find(system)
        except ValueError as error:
            if methods:
                raise
            log.note(str(error))  # another package's, and no reason to show nothing
            continue
        for name, preset in method.presets.items():
            yield f"{system}/{name}", preset


def _is_small(named: tuple[str, Preset]) -> bool:
    return named[0].rpartition("/")[2].startswith("quickstart")


def _in_short(preset: Preset) -> str:
    """The cost up to what it is for, and the first score: "1 min, mcc 0.98"."""
    cost = BEYOND.split(preset.cost)[0]
    first = next((one for one in preset.expects if not one.of), None)
    return f"{cost}, {first.score} {first.mean:g}" if first else cost


def say_presets(found: Sequence[tuple[str, Preset]]) -> None:
    """A line of each preset, which the console does not break.

    Args:
      found: presets by their names, as "gcl/quickstart".
    """
    wide = max(len(name) for name, _ in found)
    room = max(log.console.width - wide - 2, 20)
    for name, preset in found:
        words = textwrap.shorten(_in_short(preset), room, placeholder=" ...")
        log.say(f"{name.ljust(wide)}  {words}")


def _say_all(name: str, preset: Preset) -> None:
    """What is known of a preset, below its name."""
    log.show(Text(name, style="bold"))
    expected = _expected(preset.expects) or "not measured"
    words = f"{preset.cost}; {preset.source}; expected: {expected}"
    lines = textwrap.wrap(words, log.console.width - len(INDENT))
    log.say(textwrap.indent("\n".join(lines), INDENT))


def list_command(args: Sequence[str]) -> int:
    """`jaxdis list [METHOD ...] [--long]`; returns the exit code."""
    options = tyro.cli(ListOptions, prog="jaxdis list", args=args)
    found = sorted(_presets(options.methods), key=lambda named: not _is_small(named))
    if options.long:
        for named in found:
            _say_all(*named)
    elif found:
        say_presets(found)
        log.say("all scores and sources: jaxdis list METHOD --long")
    return 0
