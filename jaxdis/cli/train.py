"""`jaxdis train`: options of a method out of its config, its data and its hyper."""

import dataclasses
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxdis import (
    data,
    devices,
    experiment,
    log,
    metrics,
    processes,
    program_cache,
    systems,
)
from jaxdis.cli.points import point_table
from jaxdis.cli.rehearsal import rehearse
from jaxdis.experiment import Execution, Plan, Run, Stopped, exit_code
from jaxdis.experiment.directory import check_path
from jaxdis.experiment.shards import part
from jaxdis.experiment.stopping import leave_at_once, stop_signals
from jaxdis.report import findings, promised
from jaxdis.report.promised import in_short
from jaxdis.report.read import failed_seeds
from jaxdis.types import Method, Preset

__all__ = ["PARTLY", "carried_out", "parse_train", "train_command"]

DIVERGED = 3
"""The exit code of a run that is finished and has learned nothing."""
PARTLY = 1
"""The exit code where some shards are missing."""


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Trains many seeds of a preset in one compiled program.

    Attributes:
      seeds: the number of seeds.
      steps: the number of optimisation steps of every seed; None for a number by the
        size of the data.
      chunk: the number of steps between two lines of metrics.
      first_seed: the first seed's number; the others follow.
      out: a new directory of the run; default runs/NAME-TIME.
      resume: go on with the run in --out, to which more steps and seeds may be given;
        `jaxdis resume DIR` needs no other option again.
      start_or_resume: go on with the run in --out if there is one, or start it; leave
        one that is finished as it is.
      shard: I/N, the part of the rows that this process trains, in a directory below
        --out, or auto for what a scheduler's variables say; `jaxdis merge` makes one
        table of all.
      distributed: meet the other processes of the job by jax.distributed; each trains
        its shard, and that of number 0 merges.
      start_from: start from the last parameters of another run of the method, seed by
        seed.
      other_versions: go on although versions or the precision of matrix products are
        others than those of the run.
      checkpoint_seconds: the least time between two checkpoints.
      chunk_seconds: the longest time in which an interruption is not noticed.
      rows_at_once: the number of rows, of a seed at a point each, that are on the
        devices at a time; the others take turns. None for all.
      dry_run: say what would be trained and whether it fits into memory, and end.
      track: what shows the run elsewhere while it trains, one or several of jsonl, csv,
        tensorboard and wandb; a run that is resumed keeps those that it had.
    """

    seeds: int
    steps: int | None
    chunk: int
    first_seed: int = 0
    out: str | None = None
    resume: bool = False
    start_or_resume: bool = False
    shard: str | None = None
    distributed: bool = False
    start_from: Annotated[str | None, tyro.conf.arg(name="from")] = None
    other_versions: bool = False
    checkpoint_seconds: float = 30.0
    chunk_seconds: float = 10.0
    rows_at_once: int | None = None
    dry_run: bool = False
    track: tuple[str, ...] = ()


def _defaults(method: Method, preset: Preset) -> dict[str, str]:
    """The value of every hyper-parameter in words, as far as it is known by now."""
    try:
        spec = preset.data.spec()
        hyper = method.default_hyper(preset.config, spec, preset.steps)
    except ValueError:  # the data are in a file that is not named yet
        return {}
    return {
        n: f" (default {preset.hyper.get(n, v):g})" for n, v in hyper._asdict().items()
    }


def _said(hyper: type) -> dict[str, str]:
    """What the docstring of hyper-parameters says of each."""
    words: dict[str, str] = {}
    names: list[str] = []
    for line in (inspect.getdoc(hyper) or "").splitlines():
        if field := re.fullmatch(r"  (\w+(?:, \w+)*): (.+)", line):
            names = field[1].split(", ")
            words |= dict.fromkeys(names, field[2])
        elif line.startswith("    "):
            words |= {name: f"{words[name]} {line.strip()}" for name in names}
        else:
            names = []
    return words


def _options_type(method: Method, preset: Preset) -> type:
    """`TrainOptions` with the fields of the method's config, data and hyper."""
    words, said = _defaults(method, preset), _said(method.hyper)
    fields = [
        (
            field,
            Annotated[
                tuple[float, ...],
                tyro.conf.arg(help=f"{said.get(field, '')}{words.get(field, '')}"),
            ],
            dataclasses.field(default=()),
        )
        for field in method.hyper._fields  # type: ignore[attr-defined]
    ]
    sweep = dataclasses.make_dataclass("Hyper", fields, frozen=True)
    options = dataclasses.make_dataclass(
        "TrainOptions",
        [
            ("config", type(preset.config), dataclasses.field(default=preset.config)),
            ("data", type(preset.data), dataclasses.field(default=preset.data)),
            ("hyper", sweep, dataclasses.field(default_factory=sweep)),
        ],
        bases=(TrainOptions,),
        frozen=True,
        kw_only=True,
    )
    options.__doc__ = TrainOptions.__doc__
    return options


def _description(name: str) -> str:
    return (
        f"Trains many seeds of {name} in one compiled program. `--data NAME` takes "
        f"another data set, with options of its own; NAME is one of "
        f"{', '.join(data.names())}."
    )


def _other_data(preset: Preset, args: list[str]) -> tuple[Preset, list[str]]:
    """`--data NAME` takes another data set than the preset's, with its defaults."""
    if "--data" not in args:
        return preset, args
    at = args.index("--data")
    if at + 1 == len(args):
        raise ValueError(f"--data needs a name, one of {', '.join(data.names())}")
    chosen = data.find(args[at + 1])()
    return preset._replace(data=chosen), args[:at] + args[at + 2 :]


def parse_train(args: Sequence[str]) -> tuple[Plan, Any]:
    """A plan and the options of the command; checked without compiling.

    Raises:
      ValueError: what is wrong and what would be right.
    """
    if not args or args[0].startswith("-"):
        first = systems.find(systems.names()[0])
        example = f"jaxdis train {first.name}/{next(iter(first.presets))}"
        raise ValueError(f"name what to train first: METHOD/PRESET, as in `{example}`")
    name, *rest = args
    method, preset_name = experiment.find_preset(name)
    preset, rest = _other_data(method.presets[preset_name], rest)
    options_type = _options_type(method, preset)
    default = options_type(preset.seeds, preset.steps or None, preset.chunk)
    options: Any = tyro.cli(
        options_type,
        prog=f"jaxdis train {name}",
        description=_description(name),
        args=rest,
        default=default,
    )
    if options.shard is not None and options.distributed:
        raise ValueError("--distributed says which shard a process has; drop --shard")
    going_on = options.resume or options.start_or_resume
    if going_on and options.out is None and options.shard is None:
        raise ValueError(
            "--resume and --start-or-resume need --out DIR, the directory of the run"
        )
    if options.resume and options.start_from is not None:
        raise ValueError(
            "--from is for a run that starts, and --resume goes on with one: leave one "
            "of them out"
        )
    hyper = dataclasses.asdict(options.hyper)
    plan = experiment.plan(
        name,
        seeds=options.seeds,
        first_seed=options.first_seed,
        steps=options.steps,
        chunk=None if options.chunk == preset.chunk else options.chunk,
        config=options.config,
        data=options.data,
        hyper={n: values for n, values in hyper.items() if values},
    )
    return plan, options


def _print_results(run: Run, preset: Preset) -> None:
    """The seeds of a setting, or the points of a sweep, and what to know of them."""
    groups = run.record.groups
    shown = dict.fromkeys([*preset.scores, metrics.AGREEMENT.name])
    scores = [run.record.scores[n] for n in shown if n in run.record.scores]
    if len(groups) > 1:
        log.show(point_table(run.record, scores))
    for group in groups:
        lost = failed_seeds(group)
        if len(groups) == 1:
            name = run.record.name
            log.show(log.seed_table(name, scores, group.seeds, group.final, lost))
        if lost:
            of = f"{group.label}: " if len(groups) > 1 else ""
            log.say(f"{of}diverged: {len(lost)} of {len(group.seeds)} seeds: {lost}")
    for sentence in findings(run.record):
        log.say(sentence)
    if in_short(run.record):
        log.say(promised(run.record)[0])


def carried_out(work: Callable[[], Run]) -> int:
    """Trains, and prints what came of it; returns the exit code, see `DIVERGED`.

    Args:
      work: what trains. It hears signals for itself; this does before and after it.
    """
    done: list[Run] = []
    with stop_signals(partial(leave_at_once, partial(_left, done))):
        try:
            run = work()
        except Stopped as stop:
            log.say(f"stopped after step {stop.step:,}; saved. Go on with:")
            log.say(f"  jaxdis resume {shlex.quote(str(stop.directory))}")
            return exit_code(stop.signal)
        done.append(run)
        _print_results(run, run.method.presets[run.settings["preset"]])
        log.say(f"report: {_page(run)}")
    if all(group.failed.all() for group in run.record.groups):
        return DIVERGED
    return PARTLY if run.record.results.get("missing") else 0


def _left(done: list[Run]) -> str:
    """What to say of a signal while a run does not train."""
    if not done:
        return "interrupted"
    again = shlex.join(["jaxdis", "report", str(done[0].directory)])
    return f"interrupted; the results are written, and drawn by:\n  {again}"


def _page(run: Run) -> Path:
    """The page of a run, drawn anew where that of before is older than its results."""
    page, results = run.directory / "report.html", run.directory / "results.json"
    if page.is_file() and page.stat().st_mtime_ns >= results.stat().st_mtime_ns:
        return page
    return run.report()


def train_command(args: Sequence[str]) -> int:
    """`jaxdis train METHOD/PRESET ...`; returns the exit code."""
    devices.use_all_cores()
    program_cache.keep_programs()
    if "--distributed" in args:  # before JAX is used for the first time
        processes.connect()
    plan, options = parse_train(args)
    execution = Execution(
        out=None if options.out is None else check_path(options.out),
        resume=options.resume,
        start_or_resume=options.start_or_resume,
        shard=None if options.shard is None else experiment.asked(options.shard),
        start_from=None if options.start_from is None else Path(options.start_from),
        other_versions=options.other_versions,
        checkpoint_seconds=options.checkpoint_seconds,
        chunk_seconds=options.chunk_seconds,
        rows_at_once=options.rows_at_once,
        command=shlex.join(["jaxdis", *sys.argv[1:]]),
        exits=True,
        track=options.track,
    )
    if options.dry_run:
        shard = execution.shard
        return rehearse(part(plan, shard) if shard else plan, execution)
    return carried_out(partial(experiment.carry_out, plan, execution))
