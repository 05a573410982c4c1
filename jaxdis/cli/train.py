"""`jaxdis train`: options of a method out of its config, its data and its hyper."""

import dataclasses
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

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
from jaxdis.cli.options import AnyOptions, hyper_names, options_type, plain
from jaxdis.cli.points import point_table
from jaxdis.cli.rehearsal import rehearse
from jaxdis.cli.show import say_presets
from jaxdis.clock import since_import
from jaxdis.experiment import Execution, Plan, Run, Stopped, exit_code, results
from jaxdis.experiment.directory import check_path
from jaxdis.experiment.shards import part
from jaxdis.experiment.stopping import leave_at_once, stop_signals
from jaxdis.report import findings, promised, times
from jaxdis.report.promised import in_short
from jaxdis.report.read import failed_seeds
from jaxdis.types import Method, Preset

__all__ = ["PARTLY", "carried_out", "parse_train", "train_command"]

HELP = {"-h", "--help"}
DIVERGED = 3
"""The exit code of a run that is finished and has learned nothing."""
PARTLY = 1
"""The exit code where some shards are missing."""


def _defaults(
    name: str, method: Method, preset: Preset
) -> dict[str, tuple[float, ...]]:
    """The values of every hyper-parameter in the preset's grid, as far as known now."""
    try:
        points = experiment.plan(name, config=preset.config, data=preset.data).points
    except ValueError:  # the data are in a file that is not named yet
        return {}
    return {n: tuple(dict.fromkeys(p[n] for p in points)) for n in hyper_names(method)}


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


def _about_any() -> str:
    """The help of `jaxdis train` without a method."""
    return (
        "Trains many seeds of METHOD/PRESET in one compiled program. METHOD is one of "
        f"{', '.join(systems.names())}, or a file of yours, my_method.py:METHOD. "
        "`jaxdis train METHOD` names its presets, and `jaxdis train METHOD/PRESET "
        "--help` every option of that method: --hyper.X V [V ...], of which several "
        "values make a grid, --config.X V and --data.X V. `--data NAME` takes another "
        "data set than the preset's, and METHOD/own --data.file FILE takes your data."
    )


def _name_presets(name: str) -> bool:
    """Prints presets as `jaxdis list` does; False where none is to be chosen."""
    reference, preset = systems.split(name)
    if preset or reference not in systems.names():
        return False
    presets = systems.find(reference).presets
    say_presets([(f"{reference}/{name}", preset) for name, preset in presets.items()])
    return True


def _parsed(name: str, preset: Preset, method: Method, args: Sequence[str]) -> Any:
    """The options of a preset; its config and data of their own types."""
    defaults = _defaults(name, method, preset) if HELP & {*args} else {}
    kind = options_type(method, preset, defaults)
    found: Any = tyro.cli(
        kind,
        prog=f"jaxdis train {name}",
        description=_description(name),
        args=args,
        default=kind(preset.seeds, preset.steps or None, preset.chunk),
    )
    own = {n: type(getattr(preset, n)) for n in ("config", "data")}
    groups = {n: plain(getattr(found, n), kind) for n, kind in own.items()}
    return dataclasses.replace(found, **groups)


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
    options = _parsed(name, preset, method, rest)
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
        if where := times.in_words(results.read(run.directory)):
            log.say(f"time: {where}")
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
    page, written = run.directory / "report.html", run.directory / "results.json"
    if page.is_file() and page.stat().st_mtime_ns >= written.stat().st_mtime_ns:
        return page
    began = time.perf_counter()
    page = run.report()
    experiment.note_report(run.directory, time.perf_counter() - began)
    with suppress(OSError):
        os.utime(page)  # it is of the results, which name its time now
    return page


def train_command(args: Sequence[str]) -> int:
    """`jaxdis train METHOD/PRESET ...`; returns the exit code."""
    if args and args[0] in HELP:
        tyro.cli(
            AnyOptions,
            prog="jaxdis train METHOD/PRESET",
            description=_about_any(),
            args=["--help"],
        )
    if args and _name_presets(args[0]) and HELP & {*args}:
        return 0
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
        imported_s=since_import(),
    )
    if options.dry_run:
        shard = execution.shard
        return rehearse(part(plan, shard) if shard else plan, execution)
    return carried_out(partial(experiment.carry_out, plan, execution))
