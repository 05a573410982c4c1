"""`jaxdis encode` and `export`: what a trained run is used for."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from jaxdis import experiment, log, program_cache
from jaxdis.cli import tables
from jaxdis.cli.options import NOTHING
from jaxdis.experiment import Run
from jaxdis.experiment.reading import OBSERVATIONS, read_again

__all__ = [
    "Columns",
    "EncodeOptions",
    "ExportOptions",
    "encode_command",
    "export_command",
    "load",
]


@dataclasses.dataclass(frozen=True)
class Columns:
    """What the file holds; by default what that of the training held.

    Attributes:
      x: the observations: names of columns or arrays, or patterns as "torque_*".
      a: the actions.
      u: the domain.
      y: the labels.
      k: the transformation.
      z: the true latents.
      episode: the column that tells episodes of a long series apart.
      window: the number of rows in each sequence that a series is cut into.
      stride: the number of rows between the starts of two windows.
      labels: what columns of y are where that is not plain, as COLUMN:KIND.
      size: the height and width that images are brought to.
    """

    x: Annotated[tuple[str, ...], NOTHING] = ()
    a: Annotated[tuple[str, ...], NOTHING] = ()
    u: Annotated[tuple[str, ...], NOTHING] = ()
    y: Annotated[tuple[str, ...], NOTHING] = ()
    k: Annotated[tuple[str, ...], NOTHING] = ()
    z: Annotated[tuple[str, ...], NOTHING] = ()
    episode: str | None = None
    window: int | None = None
    stride: int | None = None
    labels: Annotated[tuple[str, ...], NOTHING] = ()
    size: int | None = None


@dataclasses.dataclass(frozen=True)
class EncodeOptions:
    """Writes the codes of new observations, by every seed of a run or by one.

    Attributes:
      run: a directory that `jaxdis train` wrote.
      file: observations of yours: npz, npy, csv, parquet or HDF5, or a folder of
        images.
      out: codes.npz with `codes` [seed, n, z] and `seeds`; or csv or parquet, with
        columns seed, row and z_0, z_1, ...
      seed: the number of one seed, or "best" for the one that agrees most with others.
      point: the grid point, from 0; by default the first, or that of the best seed.
      checkpoint: "last", "best", or a number of steps.
      data: what the file holds.
    """

    run: tyro.conf.Positional[Path]
    file: tyro.conf.Positional[Path]
    out: Path = Path("codes.npz")
    seed: str | None = None
    point: int | None = None
    checkpoint: str = "last"
    data: Columns = Columns()


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Writes all numbers of runs as one long table, one number a row.

    Attributes:
      runs: directories that `jaxdis train` wrote.
      out: a csv or parquet file with columns run, method, preset, point, every
        hyper-parameter, seed, step, split, metric and value.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, NOTHING]
    out: Path = Path("long.csv")


def load(directory: Path, checkpoint: str) -> Run:
    """A run with the checkpoint that is meant by a word or a number.

    Args:
      directory: the directory of the run.
      checkpoint: "last", "best", or a number of steps.
    """
    return experiment.load(
        directory, checkpoint=int(checkpoint) if checkpoint.isdigit() else checkpoint
    )


def _row(run: Run, seed: str | None, point: int | None) -> tuple[int | None, int]:
    """The number of the seed that is asked for, None for all, and the grid point."""
    if seed == "best":
        chosen = run.choose(point)
        log.say(f"seed {chosen.seed} of point {chosen.point}, by {chosen.criterion}")
        return chosen.seed, chosen.point
    if seed is not None and not seed.isdigit():
        raise ValueError(f"seed must be a number or 'best', got {seed!r}")
    return None if seed is None else int(seed), point or 0


def _long(codes: np.ndarray, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Codes `[seed, n, ..., z]` as columns: seed, row, time if there is one, codes."""
    axes = ["seed", "row", *(["time"] if codes.ndim == 4 else [])]
    places = np.indices(codes.shape[:-1]).reshape(len(axes), -1)
    columns = dict(zip(axes, places, strict=True))
    columns["seed"] = np.asarray(seeds)[columns["seed"]]
    flat = codes.reshape(-1, codes.shape[-1])
    return columns | {f"z_{i}": column for i, column in enumerate(flat.T)}


def encode_command(args: Sequence[str]) -> int:
    """`jaxdis encode RUN FILE --out FILE`; returns the exit code."""
    program_cache.keep_programs()
    options = tyro.cli(EncodeOptions, prog="jaxdis encode", args=args)
    tables.check_path(options.out, (".npz", *tables.FORMATS))
    run = load(options.run, options.checkpoint)
    seed, point = _row(run, options.seed, options.point)
    names, asked = run.model.preparation.names, vars(options.data)
    rows = read_again(options.file, run.settings, names, asked, kept=OBSERVATIONS)
    codes = run.encode(rows, seed=seed, point=point)
    codes = codes if seed is None else codes[None]
    seeds = list(run.model.seeds) if seed is None else [seed]
    if options.out.suffix == ".npz":
        found = {"codes": codes, "seeds": np.array(seeds)}
        log.save_arrays(options.out, found)
    else:
        tables.write(options.out, _long(codes, seeds))
    shape = " x ".join(map(str, codes.shape))
    log.say(f"codes: {options.out} ({shape}: seeds, rows, codes)")
    return 0


def _numbers(run: Run, name: str) -> list[dict[str, Any]]:
    """All numbers of a run of that name: of training, valid and test rows."""
    record = run.record
    method, preset = record.name.rsplit("/", 1)
    end = int(record.results.get("steps", record.groups[0].steps[-1]))
    found = []
    for point, group in enumerate(record.groups):
        for i, seed in enumerate(group.seeds):
            head: dict[str, Any] = {
                "run": name,
                "method": method,
                "preset": preset,
            }
            head |= {"point": point, **group.hyper, "seed": seed}
            for name, curve in group.curves.items():
                trained = name == "loss" or name.startswith("train_")
                tail: dict[str, Any] = {"split": "train" if trained else "valid"}
                tail["metric"] = name.removeprefix("train_")
                for step, value in zip(group.steps, curve[i], strict=True):
                    found.append(head | {"step": step, **tail, "value": value})
            for name, values in group.final.items():
                tail = {"step": end, "split": "test", "metric": name}
                found.append(head | tail | {"value": values[i]})
    return found


def export_command(args: Sequence[str]) -> int:
    """`jaxdis export RUN [RUN ...] --out FILE`; returns the exit code."""
    options = tyro.cli(ExportOptions, prog="jaxdis export", args=args or ["--help"])
    tables.check_path(options.out, tuple(tables.FORMATS))
    runs = [(experiment.load(path), str(path)) for path in options.runs]
    rows = [row for run, name in runs for row in _numbers(run, name)]
    # Hyper-parameters stay in front of the seed, whichever run has them.
    first = ["run", "method", "preset", "point"]
    last = ["seed", "step", "split", "metric", "value"]
    hyper = dict.fromkeys(n for row in rows for n in row if n not in (*first, *last))
    columns = {n: [row.get(n, np.nan) for row in rows] for n in (*first, *hyper, *last)}
    tables.write(options.out, columns)
    log.say(f"numbers: {options.out} ({len(rows):,} rows)")
    return 0
