"""The command line: `jaxdis list`, `jaxdis train`, `jaxdis report`."""

import dataclasses
import difflib
import importlib
import itertools
import json
import pkgutil
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import jaxdis
from jaxdis import checkpoint, log, metrics, runner, systems
from jaxdis.types import Preset, System

CURVE_ROWS = 2_000  # held-out rows of the scores between chunks
UDR_ROWS = 2_000

console = Console()


class UsageError(Exception):
    """A mistake in the command: one message, exit code 2, no traceback."""


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Trains many seeds of a preset in one compiled program.

    Attributes:
      seeds: number of seeds.
      first_seed: the first seed's number; the others follow.
      steps: optimisation steps of every seed.
      chunk: steps between two lines of metrics.
      out: new directory of the run; default runs/NAME-TIME.
      resume: go on with the run in --out.
      checkpoint_seconds: least time between two checkpoints.
    """

    seeds: int
    steps: int
    chunk: int
    first_seed: int = 0
    out: Path | None = None
    resume: bool = False
    checkpoint_seconds: float = 30.0


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """Rebuilds the report of a run; compares several runs side by side.

    Attributes:
      runs: directories that `jaxdis train` wrote.
      out: HTML file of the comparison of several runs; pictures go beside it.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    out: Path = Path("comparison.html")


class Job(NamedTuple):
    """A checked training command, before anything is compiled.

    Attributes:
      name: SYSTEM/PRESET.
      options: as parsed, with `config`, `data` and `hyper`.
      module: the system's file.
      preset: its preset.
      out: directory of the run.
      identity: what a resumed run must have in common with the one it goes on with.
    """

    name: str
    options: Any
    module: ModuleType
    preset: Preset
    out: Path
    identity: dict[str, Any]


def _systems() -> dict[str, ModuleType]:
    names = [m.name for m in pkgutil.iter_modules(systems.__path__)]
    return {n: importlib.import_module(f"{systems.__name__}.{n}") for n in names}


def _nearest(name: str, names: Sequence[str]) -> str:
    """The name that looks most like what was typed."""
    return difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]


def find_preset(name: str) -> tuple[ModuleType, Preset]:
    """The system and preset that SYSTEM/PRESET names."""
    presets = {
        f"{system}/{preset}": (module, value)
        for system, module in _systems().items()
        for preset, value in module.PRESETS.items()
    }
    if name not in presets:
        raise UsageError(
            f"there is no {name!r}; the nearest name is "
            f"{_nearest(name, list(presets))!r}. `jaxdis list` names all of them."
        )
    return presets[name]


def _options_type(module: ModuleType, preset: Preset) -> type:
    """`TrainOptions` with the fields of the system's config, data and hyper."""
    spec = module.make_spec(preset.data)
    defaults = preset_hyper(module, preset, preset.config, spec, preset.steps)
    sweep = dataclasses.make_dataclass(
        "Hyper",
        [
            (
                field,
                Annotated[
                    tuple[float, ...],
                    tyro.conf.arg(help=f"one value or several (default {value:g})"),
                ],
                dataclasses.field(default=()),
            )
            for field, value in defaults._asdict().items()
        ],
        frozen=True,
    )
    doc = TrainOptions.__doc__
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
    options.__doc__ = doc
    return options


def preset_hyper(
    module: ModuleType, preset: Preset, config: Any, spec: Any, steps: int
) -> Any:
    """The hyper-parameters of a preset: the system's defaults and what differs."""
    return module.default_hyper(config, spec, steps)._replace(**preset.hyper)


def parse_train(args: Sequence[str]) -> Job:
    """Checks a training command as far as possible without compiling.

    Raises:
      UsageError: what is wrong and what would be right.
    """
    if not args or args[0].startswith("-"):
        example = "jaxdis train mechanism_sparsity/quickstart"
        raise UsageError(f"name what to train first: SYSTEM/PRESET, as in `{example}`")
    name = args[0]
    module, preset = find_preset(name)
    options_type = _options_type(module, preset)
    default = options_type(preset.seeds, preset.steps, preset.chunk)
    options: Any = tyro.cli(
        options_type, prog=f"jaxdis train {name}", args=args[1:], default=default
    )
    for field in ("seeds", "steps", "chunk"):
        if getattr(options, field) < 1:
            raise UsageError(f"--{field} must be at least 1")
    if options.resume and options.out is None:
        raise UsageError("--resume needs --out DIR, the directory of the run to go on")
    out = options.out
    if out is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        out = Path("runs") / f"{name.replace('/', '-')}-{stamp}"
    identity = {
        "system": name.split("/")[0],
        "preset": name.split("/")[1],
        "seeds": options.seeds,
        "first_seed": options.first_seed,
        "steps": options.steps,
        "config": dataclasses.asdict(options.config),
        "data": dataclasses.asdict(options.data),
        "hyper": _columns_of(_points(module, preset, options)),
    }
    return Job(name, options, module, preset, out, log.jsonable(identity))


def _points(module: ModuleType, preset: Preset, options: Any) -> list[dict[str, float]]:
    """The grid: the product of what was asked for, or the preset's own points.

    A preset's points give way as soon as one of what they change is asked for.
    """
    try:
        spec = module.make_spec(options.data)
        module.make(options.config, spec)
    except ValueError as error:
        raise UsageError(str(error)) from error
    defaults = preset_hyper(module, preset, options.config, spec, options.steps)
    names = defaults._fields
    asked = {n: list(getattr(options.hyper, n)) for n in names}
    for field, values in asked.items():
        if not all(np.isfinite(v) and v >= 0 for v in values):
            raise UsageError(
                f"--hyper.{field} must be finite and not negative, got {values}"
            )
    changed = {n for point in preset.points for n in point}
    given = preset.points if not any(asked[n] for n in changed) else ()
    return [
        dict(zip(names, map(float, values), strict=True))
        for point in given or ({},)
        for values in itertools.product(
            *(asked[n] or [point.get(n, getattr(defaults, n))] for n in names)
        )
    ]


def _columns_of(points: list[dict[str, float]]) -> dict[str, list[float]]:
    """For every hyper-parameter its value at each point."""
    return {name: [point[name] for point in points] for name in points[0]}


def open_directory(job: Job) -> None:
    """Creates the run's directory, or checks that it holds the run to go on with."""
    path = job.out / "config.json"
    if not job.options.resume:
        if job.out.exists() and (not job.out.is_dir() or any(job.out.iterdir())):
            raise UsageError(
                f"--out {job.out} is not empty and is never overwritten: add --resume "
                "to go on with that run, or choose another directory"
            )
        job.out.mkdir(parents=True, exist_ok=True)
        versions = {"jaxdis": jaxdis.__version__, "jax": jax.__version__}
        record = {"command": _command(job), **job.identity, "versions": versions}
        log.write_json(path, record)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UsageError(
            f"--resume: {job.out} holds no run ({path.name} is missing or damaged); "
            "leave --resume out to start one"
        ) from error
    differing = [k for k, v in job.identity.items() if found.get(k) != v]
    if differing:
        details = "; ".join(
            _difference(k, found.get(k), job.identity[k]) for k in differing
        )
        raise UsageError(
            f"--resume: the run in {job.out} has other {', '.join(differing)} "
            f"({details}); give the options it was started with: {found.get('command')}"
        )


def _difference(name: str, there: Any, here: Any) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        parts = [k for k in here if there.get(k) != here[k]]
        return ", ".join(
            _difference(f"{name}.{k}", there.get(k), here[k]) for k in parts
        )
    return f"{name} is {there} there and {here} here"


def _command(job: Job) -> str:
    return shlex.join(["jaxdis", *sys.argv[1:]])


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into a wish that the run can honour."""
    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        console.print("stopping after this chunk (again: at once, unsaved)")

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, handle) for number in numbers]
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


class Experiment(NamedTuple):
    """Everything that a run needs, data drawn, nothing compiled.

    Attributes:
      job: the command.
      system: the method.
      spec: what it knows of its data.
      data: splits with `valid` and `test`.
      sample: `key -> batch`.
      keys, hyper: one row per grid point and seed.
      points: the grid's points.
    """

    job: Job
    system: System
    spec: Any
    data: Any
    sample: Any
    keys: Any
    hyper: Any
    points: list[dict[str, float]]


def prepare(job: Job) -> Experiment:
    """Draws the data and lays out the rows.

    Raises:
      UsageError: the data are not where the command says, or damaged.
    """
    options, module = job.options, job.module
    try:
        spec, data = module.load(options.data)
    except ValueError as error:
        raise UsageError(str(error)) from error
    seeds = runner.seed_keys(options.seeds, options.first_seed)
    columns = job.identity["hyper"]
    lines = zip(*columns.values(), strict=True)
    points = [dict(zip(columns, line, strict=True)) for line in lines]
    keys, hyper = runner.lay_out(seeds, module.Hyper, points)
    return Experiment(
        job=job,
        system=module.make(options.config, spec),
        spec=spec,
        data=data,
        sample=module.sampler(data.train, options.config.batch),
        keys=keys,
        hyper=hyper,
        points=points,
    )


def _seeds(experiment: Experiment) -> list[int]:
    options = experiment.job.options
    return list(range(options.first_seed, options.first_seed + options.seeds))


def _records(
    experiment: Experiment, chunk: runner.Chunk, figures: dict[str, np.ndarray]
) -> Iterator[dict[str, Any]]:
    """The lines of metrics.jsonl for one chunk: training means and held-out scores."""
    scores = {k: v for k, v in figures.items() if v.ndim == 1}
    training = {k if k == "loss" else f"train_{k}": v for k, v in chunk.metrics.items()}
    seeds = _seeds(experiment)
    for row in range(len(seeds) * len(experiment.points)):
        point, seed = divmod(row, len(seeds))
        values = {k: v[row] for k, v in (training | scores).items()}
        yield {"step": chunk.step, "point": point, "seed": seeds[seed], **values}


def _resume_point(
    experiment: Experiment, manager: Any, lines: Path
) -> tuple[int, runner.StackedRows] | None:
    if not experiment.job.options.resume:
        return None
    like = jax.eval_shape(
        lambda k, h: runner.init_rows(experiment.system, k, h),
        experiment.keys,
        experiment.hyper,
    )
    try:
        start = checkpoint.restore(manager, like, lambda m: console.print(f"note: {m}"))
    except ValueError as error:
        raise UsageError(str(error)) from error
    step = start[0] if start else 0
    log.truncate_lines(lines, step)
    console.print(f"resuming after step {step}")
    return start


def run_experiment(experiment: Experiment) -> runner.Result:
    """Trains with progress bar, metrics lines and checkpoints."""
    job = experiment.job
    options, lines = job.options, job.out / "metrics.jsonl"
    manager = checkpoint.open_manager(job.out / "checkpoints")
    start = _resume_point(experiment, manager, lines)
    valid = jax.tree.map(lambda a: a[:CURVE_ROWS], experiment.data.valid)
    evaluate = runner.evaluator(experiment.system, valid, experiment.keys)
    headline = job.preset.scores[0]
    saved = time.perf_counter()

    with _stop_signals() as stopping, log.progress_bar(console) as bar:
        task = bar.add_task(
            "compiling", total=options.steps, completed=start[0] if start else 0,
            headline="", speed=None,
        )  # fmt: skip

        def on_chunk(chunk: runner.Chunk) -> bool:
            nonlocal saved
            figures = evaluate(chunk.rows.state)
            log.append_lines(lines, _records(experiment, chunk, figures))
            score = float(np.nanmean(figures[headline])) if headline in figures else 0.0
            bar.update(
                task,
                description="training",
                completed=chunk.step,
                speed=chunk.length / chunk.seconds,
                headline=f"{headline} {score:.3f}",
            )
            last = stopping() or chunk.step == options.steps
            if last or time.perf_counter() - saved >= options.checkpoint_seconds:
                checkpoint.save(manager, chunk.step, chunk.rows, score)
                saved = time.perf_counter()
            return stopping()

        result = runner.run(
            experiment.system,
            experiment.sample,
            experiment.keys,
            experiment.hyper,
            steps=options.steps,
            chunk=options.chunk,
            on_chunk=[on_chunk],
            start=start,
        )
    manager.close()
    return result


def _per_point(values: np.ndarray, points: int) -> list[Any]:
    """Rows to one list of seeds per grid point; a single point loses its level."""
    split = np.asarray(values).reshape(points, -1)
    return split[0].tolist() if points == 1 else split.tolist()


def _moment(statistic: Callable[..., Any], values: np.ndarray) -> Any:
    """A statistic over the seeds that did not fail, one number a grid point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where no seed is left
        moments = statistic(values, axis=1)
    return moments[0] if len(moments) == 1 else moments


def _udr(
    experiment: Experiment, rows: runner.StackedRows
) -> float | list[float] | None:
    """Agreement of the seeds of each grid point.

    Undefined for one seed, and where seeds do not see the same observations or do not
    encode them, which is where the test split has no `x`.
    """
    seeds, points = len(_seeds(experiment)), len(experiment.points)
    seen = getattr(experiment.data.test, "x", None)
    if seeds < 2 or seen is None:
        return None
    x = seen[:UDR_ROWS]
    encode = jax.jit(jax.vmap(experiment.system.encode, in_axes=(0, None)))
    z_hat = encode(rows.state.params, x)
    z_hat = z_hat.reshape(points, seeds, -1, z_hat.shape[-1])
    scores = [float(metrics.udr(z)) for z in z_hat]
    return scores[0] if points == 1 else scores


def _columns(preset: Preset, figures: dict[str, np.ndarray]) -> list[str]:
    """Names of the scores, those of the preset first."""
    numbers = [name for name, values in figures.items() if values.ndim == 1]
    first = [name for name in preset.scores if name in numbers]
    return first + sorted(set(numbers) - set(first))


def write_results(experiment: Experiment, result: runner.Result, wall_s: float) -> dict:
    """Scores on the test split, into results.json and figures.npz."""
    job, points = experiment.job, len(experiment.points)
    evaluate = runner.evaluator(
        experiment.system, experiment.data.test, experiment.keys
    )
    figures = evaluate(result.rows.state)
    failed = np.asarray(result.rows.failed)
    failed_seeds = [
        [seed for seed, bad in zip(_seeds(experiment), point, strict=True) if bad]
        for point in failed.reshape(points, -1)
    ]
    columns = _columns(job.preset, figures)
    alive = {
        n: np.where(failed, np.nan, figures[n]).reshape(points, -1) for n in columns
    }
    results = {
        "system": job.identity["system"],
        "preset": job.identity["preset"],
        "seeds": job.options.seeds,
        "steps": result.step,
        "devices": result.devices,
        "wall_s": wall_s,
        "compile_s": result.compile_s,
        "step_s": result.step_s,
        "hyper": experiment.points[0] if points == 1 else experiment.points,
        "spec": experiment.spec._asdict(),
        "metrics": {name: _per_point(figures[name], points) for name in columns},
        "mean": {name: _moment(np.nanmean, alive[name]) for name in columns},
        "std": {name: _moment(np.nanstd, alive[name]) for name in columns},
        "udr": _udr(experiment, result.rows),
        "skipped_updates": _per_point(np.asarray(result.rows.skipped), points),
        "failed_seeds": failed_seeds[0] if points == 1 else failed_seeds,
    }
    arrays = {
        name: a[0] if name.startswith("true_") else a.reshape(points, -1, *a.shape[1:])
        for name, a in figures.items()
        if a.ndim > 1
    }
    log.save_arrays(job.out / "figures.npz", arrays)
    log.write_json(job.out / "results.json", results)
    return results


def _swept(points: list[dict[str, float]]) -> list[str]:
    return [k for k in points[0] if len({p[k] for p in points}) > 1]


def print_results(experiment: Experiment, results: dict[str, Any]) -> None:
    """One table per grid point."""
    points, seeds = experiment.points, _seeds(experiment)
    single = len(points) == 1
    for index, point in enumerate(points):
        values = {k: v if single else v[index] for k, v in results["metrics"].items()}
        settings = ", ".join(f"{k}={point[k]:g}" for k in _swept(points))
        failed = results["failed_seeds"] if single else results["failed_seeds"][index]
        title = experiment.job.name + (f" ({settings})" if settings else "")
        columns = [name for name in experiment.job.preset.scores if name in values]
        console.print(log.seed_table(title, columns, seeds, values, failed))
        if failed:
            console.print(
                f"diverged and frozen: {len(failed)} of {len(seeds)} seeds: {failed}",
                style="bold red",
            )


def train_command(args: Sequence[str]) -> int:
    """`jaxdis train SYSTEM/PRESET ...`; returns the exit code."""
    began = time.perf_counter()
    runner.use_all_cores()
    job = parse_train(args)
    # Data that cannot be read must not leave a directory behind.
    experiment = prepare(job)
    open_directory(job)
    console.print(f"[bold]{job.name}[/bold]: {job.options.seeds} seeds into {job.out}")
    result = run_experiment(experiment)
    if result.step < job.options.steps:
        again = _command(job)
        again += f" --out {job.out}" if job.options.out is None else ""
        again += "" if job.options.resume else " --resume"
        console.print(
            f"stopped after step {result.step}; saved. Go on with:\n  {again}"
        )
        return 130
    results = write_results(experiment, result, time.perf_counter() - began)
    print_results(experiment, results)
    from jaxdis import report

    console.print(f"report: {report.build(job.out)}")
    return 0


def report_command(args: Sequence[str]) -> int:
    """`jaxdis report DIR [DIR ...]`; returns the exit code."""
    options = tyro.cli(ReportOptions, prog="jaxdis report", args=args)
    from jaxdis import report

    try:
        paths = [report.build(run) for run in options.runs]
        if len(paths) > 1:
            paths = [report.compare(options.runs, options.out)]
    except ValueError as error:
        raise UsageError(str(error)) from error
    console.print(f"report: {paths[-1]}")
    return 0


def list_command(args: Sequence[str]) -> int:
    """`jaxdis list`; returns the exit code."""
    if args:
        raise UsageError(f"list takes no arguments, got {shlex.join(args)}")
    table = Table()
    table.add_column("preset", no_wrap=True)
    for name in ("source", "cost", "expected"):
        table.add_column(name)
    for system, module in _systems().items():
        for name, preset in module.PRESETS.items():
            row = (f"{system}/{name}", preset.source, preset.cost, preset.expects)
            table.add_row(*row)
        table.add_section()
    console.print(table)
    return 0


COMMANDS = {"list": list_command, "train": train_command, "report": report_command}
USAGE = """usage: jaxdis list
       jaxdis train SYSTEM/PRESET [--seeds N] [--steps N] [--hyper.X V [V ...]]
                    [--config.X V] [--data.X V] [--out DIR] [--resume]
       jaxdis report DIR [DIR ...]

`jaxdis train SYSTEM/PRESET --help` names every option of that system."""


def main() -> None:
    """Entry point of the command `jaxdis`."""
    name, *args = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(USAGE)
        sys.exit(0)
    try:
        if name not in COMMANDS:
            near = _nearest(name, list(COMMANDS))
            raise UsageError(f"there is no command {name!r}; did you mean {near!r}?")
        code = COMMANDS[name](args)
    except UsageError as error:
        print(f"jaxdis: error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("jaxdis: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
