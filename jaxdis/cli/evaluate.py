"""`jaxdis evaluate`: scores of codes, of a trained run or from anywhere."""

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro

from jaxdis import devices, log, metrics, program_cache
from jaxdis.cli import tables
from jaxdis.cli.options import NOTHING
from jaxdis.cli.use import Columns, load
from jaxdis.data.files import npz_names, read_npz_arrays
from jaxdis.experiment import Run
from jaxdis.experiment.reading import read_again
from jaxdis.report.read import swept
from jaxdis.report.text import setting

__all__ = ["EvaluateOptions", "evaluate_command"]

NULLS = 20
NEEDED, OPTIONAL = ("z", "codes"), ("discrete", "mask", "pattern", "seeds")


def _called(name: str) -> Any:
    return tyro.conf.arg(metavar=name)


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Scores codes against true latents, each beside what a useless code would get.

    Of a run with a file and without --metrics it is the scores of the run's own report,
    on the rows of that file.

    Attributes:
      run: a directory that `jaxdis train` wrote; its held-out rows are scored.
      file: rows of yours that are scored instead: npz, npy, csv, parquet or HDF5, or a
        folder of images.
      codes: codes from anywhere instead of a run: an npz file with `z` [n, d] and
        `codes` [n, k] or [seed, n, k]; and, if you like, `discrete` [d] (which factors
        are classes), `mask` [n, d] (where labels are known), `pattern` [d, d] (which
        factors may stay mixed) and `seeds`, their numbers.
      metrics: the names of metrics, or "all"; by default the fast ones.
      bootstrap: how often the rows are resampled for an interval; 0 for none.
      null: whether the rows of z are permuted for the score of a useless code.
      confidence: the probability that an interval holds the score of new samples.
      key: the number that rows are drawn and split with.
      out: a file to write the scores to: csv or json.
      checkpoint: "last", "best", or a number of steps.
      data: what the file holds.
    """

    run: Annotated[Path | None, tyro.conf.Positional, _called("RUN")] = None
    file: Annotated[Path | None, tyro.conf.Positional, _called("FILE")] = None
    codes: Path | None = None
    metrics: Annotated[tuple[str, ...], NOTHING] = ()
    bootstrap: int = 200
    null: bool = True
    confidence: float = 0.95
    key: int = 0
    out: Path | None = None
    checkpoint: str = "last"
    data: Columns = dataclasses.field(default_factory=Columns)


class _Point(NamedTuple):
    """The scores of one grid point."""

    hyper: dict[str, float]
    found: metrics.Evaluation


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of codes.

    Raises:
      ValueError: it cannot be read, or lacks factors or codes.
    """
    try:
        there = npz_names(path, f"a readable npz of {' and '.join(NEEDED)}")
        if lacking := [name for name in NEEDED if name not in there]:
            raise ValueError(
                f"data.file must hold {' and '.join(NEEDED)}; {path} lacks "
                f"{' and '.join(lacking)} and has {', '.join(there) or 'nothing'}"
            )
        wanted = [name for name in (*NEEDED, *OPTIONAL) if name in there]
        return read_npz_arrays(path, wanted)
    except ValueError as error:
        raise ValueError(str(error).replace("data.file", "codes", 1)) from error


def _discrete(given: np.ndarray | None) -> Any:
    """What a file says of factors, in the words of `metrics.evaluate`."""
    if given is None:
        return "auto"
    # Zeros and ones stand for false and true, as other programs write them.
    plain = given.astype(bool) if np.isin(given, (0, 1)).all() else given
    return [value or False for value in np.ravel(plain).tolist()]


def _seeds(given: np.ndarray | None, codes: np.ndarray) -> list[int]:
    count = len(codes) if codes.ndim == 3 else 1
    if given is None:
        return list(range(count))
    if given.shape != (count,) or given.dtype.kind not in "iu":
        raise ValueError(
            f"seeds has shape {given.shape} and type {given.dtype}; it must hold the "
            f"number of each of the {count} seeds"
        )
    return [int(seed) for seed in given]


def _scored(options: EvaluateOptions, z: Any, codes: Any, **known: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table holds them as notes
        return metrics.evaluate(
            z,
            codes,
            names=_names(options),
            bootstrap=options.bootstrap,
            null=NULLS if options.null else 0,
            confidence=options.confidence,
            key=options.key,
            # Of several seeds some may have failed; one table with gaps is a mistake.
            failed="nan" if np.ndim(codes) == 3 else "raise",
            progress=log.console.is_terminal,
            **known,
        )


def _names(options: EvaluateOptions) -> Sequence[str] | str | None:
    return "all" if options.metrics == ("all",) else options.metrics or None


def _write(
    options: EvaluateOptions, source: Path, seeds: list[int], points: list[_Point]
) -> None:
    """The scores of all points as a table, or with all that was noted as JSON."""
    assert options.out is not None
    if options.out.suffix == ".json":
        record = {
            "source": str(source),
            "seeds": seeds,
            "points": [{"hyper": p.hyper, **p.found.summary(seeds)} for p in points],
        }
        log.write_json(options.out, record)
    else:
        records = [
            {"point": i, **point.hyper, **record}
            for i, point in enumerate(points)
            for record in point.found.records(seeds)
        ]
        names = list(records[0]) if records else []
        tables.write(options.out, {n: [r[n] for r in records] for n in names})
    log.say(f"scores: {options.out}")


def _of_codes(options: EvaluateOptions, path: Path) -> None:
    given = _read(path)
    seeds = _seeds(given.get("seeds"), given["codes"])
    found = _scored(
        options,
        given["z"],
        given["codes"],
        discrete=_discrete(given.get("discrete")),
        mask=given.get("mask"),
        pattern=given.get("pattern"),
    )
    log.show(found.table(path.name))
    if options.out is not None:
        _write(options, path, seeds, [_Point({}, found)])


def _titles(run: Run, where: str) -> list[str]:
    """A line for each grid point, which names what differs between them."""
    points = run.model.points
    names = swept(points)
    words = (", ".join(f"{n}={setting(hyper[n])}" for n in names) for hyper in points)
    return [f"{run.method.name}, {where}" + f" ({w})" * bool(w) for w in words]


def _rows(options: EvaluateOptions, run: Run) -> Any:
    if options.file is None:
        return None
    names, asked = run.model.preparation.names, vars(options.data)
    return read_again(options.file, run.settings, names, asked)


def _of_run(options: EvaluateOptions, run: Run) -> None:
    """The metrics of the run's codes on its held-out rows, or on those of a file."""
    z, codes, steps = run.truth_and_codes(_rows(options, run))
    where = "held-out rows" if options.file is None else options.file.name
    points = []
    for i, title in enumerate(_titles(run, where)):
        found = _scored(options, z, codes[i])
        if steps > 1 and options.bootstrap:
            note = f"the {steps} steps of a sequence are taken for independent rows"
            found = found._replace(notes=(*found.notes, note))
        log.show(found.table(title))
        points.append(_Point(run.model.points[i], found))
    if options.out is not None:
        _write(options, run.directory, list(run.model.seeds), points)


def _report_scores(options: EvaluateOptions, run: Run) -> None:
    """The scores of the run's own report, on the rows of a file."""
    assert options.file is not None
    model, found = run.model, run.evaluate(_rows(options, run))
    declared = [
        s for s in run.method.scores(model.config, model.spec) if s.name in found
    ]
    for point, title in enumerate(_titles(run, options.file.name)):
        values = {name: value[point] for name, value in found.items()}
        log.show(log.seed_table(title, declared, model.seeds, values, ()))
    if options.out is not None:
        record = {
            "run": str(options.run),
            "file": str(options.file),
            "seeds": model.seeds,
            "points": model.points,
            "scores": found,
        }
        log.write_json(options.out, record)
        log.say(f"scores: {options.out}")


def evaluate_command(args: Sequence[str]) -> int:
    """`jaxdis evaluate RUN [FILE]` or `--codes FILE`; returns the exit code."""
    devices.use_all_cores()
    program_cache.keep_programs()
    options = tyro.cli(EvaluateOptions, prog="jaxdis evaluate", args=args or ["--help"])
    own = options.file is not None and not options.metrics
    if options.out is not None:
        tables.check_path(options.out, (".json",) if own else (".csv", ".json"))
    if options.codes is not None:
        if options.run is not None:
            raise ValueError(
                f"codes are those of {options.codes} or of the run {options.run}; name "
                "one of both"
            )
        _of_codes(options, options.codes)
    elif options.run is None:
        raise ValueError("name a run, or codes from anywhere, --codes codes.npz")
    else:
        run = load(options.run, options.checkpoint)
        (_report_scores if own else _of_run)(options, run)
    return 0
