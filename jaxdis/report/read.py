"""From run directories to arrays of their seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxdis import statistics
from jaxdis.metrics import AGREEMENT
from jaxdis.report.files import (
    Logged,
    read_curves,
    read_object,
    read_scores,
    reading,
)
from jaxdis.report.text import setting
from jaxdis.types import Score

__all__ = [
    "FORMAT",
    "Group",
    "Record",
    "Standing",
    "alive",
    "compared",
    "consensus",
    "failed_seeds",
    "finite",
    "hypers_of",
    "labels_of",
    "lived",
    "load",
    "mean_std",
    "moments",
    "most_agreed",
    "over",
    "read_settings",
    "seeds_of",
    "swept",
    "udr",
]

FORMAT = 2
"""Of results.json: scores are `[point][seed]`, and declared; 1 had no number."""


class Group(NamedTuple):
    """One grid point of one run: what is averaged.

    Attributes:
      label: the name in pictures; empty where it is the run's only point.
      hyper: its hyper-parameters.
      seeds: their numbers.
      failed: which of them diverged.
      final: the scores at the end; NaN where there is none.
      steps: when metrics were logged.
      curves: the logged metrics; NaN where there is none.
      floors: what scores are without learning, by the name of the floor.
    """

    label: str
    hyper: dict[str, Any]
    seeds: list[int]
    failed: Bool[np.ndarray, "s"]
    final: dict[str, Float[np.ndarray, "s"]]
    steps: Int[np.ndarray, "t"]
    curves: dict[str, Float[np.ndarray, "s t"]]
    floors: Mapping[str, Mapping[str, Float[np.ndarray, "s"]]] = {}


class Standing(NamedTuple):
    """Where a run stands that has not finished.

    Attributes:
      step: the last step that is known of.
      steps: the steps to take in all.
      saved: the step of the last checkpoint; None where there is none.
      holder: who trains it now, in words; "" where nobody does.
      again: the command that goes on with it.
    """

    step: int
    steps: int
    saved: int | None
    holder: str
    again: str


class Record(NamedTuple):
    """What one run directory holds.

    Attributes:
      name: the method and preset, as "baselines/quickstart_random".
      settings: its config.json.
      results: its results.json.
      groups: its grid points.
      spec: what the method knew of its data.
      scores: the scores that were declared, those of the preset first.
      arrays: the arrays that were declared, those of seeds as `[point, seed, ...]`.
      notes: what is wrong with its files, in sentences.
      standing: where it stands; None of a run that has finished.
    """

    name: str
    settings: dict[str, Any]
    results: dict[str, Any]
    groups: list[Group]
    spec: dict[str, Any]
    scores: dict[str, Score]
    arrays: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()
    standing: Standing | None = None


def seeds_of(settings: Mapping[str, Any]) -> list[int]:
    """The numbers of the seeds of a run, by its config.json."""
    first = settings.get("first_seed", 0)
    row = range(first, first + settings["seeds"])
    return list(settings.get("seed_numbers", row))


def hypers_of(settings: Mapping[str, Any]) -> list[dict[str, float]]:
    """The hyper-parameters of each grid point of a run, by its config.json."""
    columns = settings["hyper"]
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def failed_seeds(group: Group) -> list[int]:
    """Numbers of the seeds that failed."""
    return np.array(group.seeds)[group.failed].tolist()


def finite(arrays: Sequence[np.ndarray]) -> Float[np.ndarray, "n"]:
    """All numbers of some arrays but NaN and infinity, in one row."""
    values = np.concatenate([np.empty(0), *(a.ravel() for a in arrays)])
    return values[np.isfinite(values)]


def alive(group: Group, score: str) -> Float[np.ndarray, "a"]:
    """A score at the end, of the seeds that did not fail and have it."""
    return finite([lived(group, score)])


def lived(group: Group, score: str) -> Float[np.ndarray, "s"]:
    """A score at the end of every seed; NaN of those that failed or lack it."""
    values = group.final.get(score, np.full(len(group.seeds), np.nan))
    return np.where(group.failed, np.nan, values)


def consensus(
    pairs: Float[np.ndarray, "s s"], failed: Bool[np.ndarray, "s"]
) -> tuple[float, Float[np.ndarray, "s"]]:
    """The median agreement of pairs of seeds that did not fail, and that of each seed.

    Args:
      pairs: the agreement of each seed with each; NaN where it is not known.
      failed: which seeds are left out.

    Returns:
      The UDR; and of each seed the median of its pairs. NaN where there is no pair.
    """
    out = failed[:, None] | failed[None] | np.eye(len(failed), dtype=bool)
    known = np.where(out, np.nan, pairs)
    rows = [finite([row]) for row in known]
    middle = [float(np.median(row)) if row.size else np.nan for row in rows]
    every = finite([known])
    return float(np.median(every)) if every.size else np.nan, np.array(middle)


def udr(record: Record) -> Float[np.ndarray, "p"]:
    """How well the seeds of each point agree; NaN where that is not known.

    Seeds that failed are left out, also where the results of an earlier version have
    them in.
    """
    values = np.full(len(record.groups), np.nan)
    found = np.array(record.results.get("udr") or [], float).ravel()
    values[: len(found)] = found
    pairs = record.arrays.get("agreement")
    for i, group in enumerate(record.groups if pairs is not None else ()):
        if group.failed.any() and pairs is not None:
            values[i] = consensus(pairs[i], group.failed)[0]
    return values


def compared(group: Group) -> int:
    """The number of seeds that a UDR is over: they did not fail, and have codes."""
    return len(alive(group, AGREEMENT.name))


def over(group: Group) -> str:
    """ " of 7 of 8 seeds" where a UDR is of fewer than all of them; else ""."""
    seeds, every = compared(group), len(group.seeds)
    return f" of {seeds} of {every} seeds" if 0 < seeds < every else ""


def most_agreed(
    agreement: Float[np.ndarray, "s"], failed: Bool[np.ndarray, "s"]
) -> int | None:
    """The seed that agrees most with the others; where none does, the first that lived.

    Args:
      agreement: of each seed; NaN where there is none.
      failed: which seeds are left out.

    Returns:
      Its row; None if every seed failed.
    """
    if failed.all():
        return None
    worth = np.where(np.isfinite(agreement), agreement, -1.0)
    return int(np.argmax(np.where(failed, -np.inf, worth)))


def mean_std(values: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """Mean and sample deviation; NaN where there are no values, or only one."""
    return float(statistics.mean(values)), float(statistics.deviation(values))


def moments(group: Group, score: str) -> tuple[float, float]:
    """Mean and sample deviation of a score over the seeds that did not fail."""
    return mean_std(alive(group, score))


def swept(hypers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the hyper-parameters that differ between grid points."""
    return [n for n in hypers[0] if len({str(h.get(n)) for h in hypers}) > 1]


def _upgraded(results: dict[str, Any]) -> dict[str, Any]:
    """Results of format 1 as of today: without declarations, so without arrays."""
    if results.get("format", 1) != 1:
        return results
    grid = isinstance(results.get("hyper"), list)

    def lists(value: Any) -> Any:
        return value if grid else [value]

    metrics = dict(results.get("metrics", {}))
    return results | {
        "points": lists(results.get("hyper", {})),
        "metrics": {name: lists(values) for name, values in metrics.items()},
        "failed_seeds": lists(results.get("failed_seeds", [])),
        "udr": lists(results.get("udr")),
        "scores": {name: {"title": name.replace("_", " ")} for name in metrics},
        "arrays": {},
        "format": FORMAT,
    }


def _per_seed(
    path: Path, where: str, values: dict[str, Any], shape: tuple[int, int]
) -> dict[str, Float[np.ndarray, "g s"]]:
    """Scores of results.json as arrays; null becomes NaN."""
    arrays = {}
    for name, value in values.items():
        wanted = f"{where}.{name} must hold {shape[0]} x {shape[1]} numbers"
        with reading(path, f"{wanted} (points x seeds) or nulls"):
            arrays[name] = np.array(value, float).reshape(shape)
    return arrays


def _arrays(
    path: Path, declared: Mapping[str, str], rows: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Declared arrays of figures.npz, whose axes must agree where words recur."""
    # Opened here: numpy leaves a file open that it finds to be no archive.
    with reading(path, "this is no archive of arrays"), path.open("rb") as file:
        found = dict(np.load(file))
    sizes: dict[str, int] = dict(zip(("point", "seed"), rows, strict=True))
    arrays = {name: found[name] for name in declared if name in found}
    for name, array in arrays.items():
        axes = declared[name].split()
        axes = ["point", *axes] if axes[0] == "seed" else axes
        wanted = " x ".join(f"{sizes[a]} {a}" if a in sizes else a for a in axes)
        known = [
            sizes.setdefault(a, n) for a, n in zip(axes, array.shape, strict=False)
        ]
        if len(axes) != array.ndim or known != list(array.shape):
            got = " x ".join(map(str, array.shape))
            raise ValueError(
                f"{path}: {name} must hold {wanted}, got {got}; train the run again"
            )
    return arrays


def labels_of(hypers: Sequence[Mapping[str, Any]]) -> list[str]:
    """What grid points are called, by what differs; "" where there is only one."""
    names = swept(hypers)
    if len(hypers) == 1:
        return [""]
    return [
        ", ".join(f"{n} {setting(hyper[n])}" for n in names) or f"point {i}"
        for i, hyper in enumerate(hypers)
    ]


def read_settings(directory: Path) -> dict[str, Any]:
    """The config.json of a run.

    Raises:
      ValueError: it is missing or damaged.
    """
    return read_object(directory / "config.json", ["preset", "command", "seeds"])


def _logged(directory: Path, points: int, seeds: Sequence[int]) -> Logged:
    path = directory / "metrics.jsonl"
    logged = read_curves(path, points, seeds)
    if not len(logged.steps):
        raise ValueError(f"{path} holds no line; train the run again for more steps")
    return logged


def load(directory: Path) -> Record:
    """Reads a finished run.

    Raises:
      ValueError: it has not finished; or a file is missing or corrupt, or belongs to
        another run.
    """
    directory = Path(directory)
    settings = read_settings(directory)
    path = directory / "results.json"
    if not path.exists():
        raise ValueError(
            f"{path} is missing: the run has not finished. `jaxdis report` shows how "
            "far it has come; go on with `jaxdis resume`, or train the run again"
        )
    results = _upgraded(read_object(path, ["metrics", "failed_seeds"]))
    if results["format"] != FORMAT:
        raise ValueError(
            f"{path} has format {results['format']}, and this version of jaxdis knows "
            f"those up to {FORMAT}; read it with the version that trained the run"
        )
    with reading(path, "this and config.json do not describe one run"):
        seeds = seeds_of(settings)
        hypers = [dict(point) for point in results["points"]]
        lost = results["failed_seeds"]
        failed = [np.isin(seeds, lost[i]) for i in range(len(hypers))]
        metrics, labels = dict(results["metrics"]), labels_of(hypers)
        floors = {n: dict(f) for n, f in dict(results.get("floors") or {}).items()}
        method = settings.get("method") or settings["system"]
    rows = (len(hypers), len(seeds))
    final = _per_seed(path, "metrics", metrics, rows)
    lows = {n: _per_seed(path, f"floors.{n}", f, rows) for n, f in floors.items()}
    logged = _logged(directory, len(hypers), seeds)
    groups = []
    for i, hyper in enumerate(hypers):
        ends = {name: values[i] for name, values in final.items()}
        curves = {name: values[i] for name, values in logged.curves.items()}
        low = {n: {s: v[i] for s, v in floor.items()} for n, floor in lows.items()}
        one = (labels[i], hyper, seeds, failed[i], ends, logged.steps, curves, low)
        groups.append(Group(*one))
    with reading(path, "it must hold scores, arrays and spec by name"):
        declared, spec = dict(results["arrays"]), dict(results.get("spec") or {})
        scores = dict(results["scores"])
    return Record(
        name=f"{method}/{settings['preset']}",
        settings=settings,
        results=results,
        groups=groups,
        spec=spec,
        scores=read_scores(path, scores),
        arrays=_arrays(directory / "figures.npz", declared, rows),
        notes=logged.notes,
    )
