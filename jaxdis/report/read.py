"""From run directories to arrays of their seeds."""

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxdis.report.text import setting

FRAMES = "frames height width channels"
# Arrays of image sequences, by the lengths of their axes.
SHAPES = {
    "error_by_step": "points seeds transformations times",
    "static_by_step": "points seeds transformations times",
    "true_frames": f"images transformations {FRAMES}",
    "flow_frames": f"points seeds images transformations {FRAMES}",
    "true_pairs": "pairs indices",
    "true_superposed": f"pairs {FRAMES}",
    "superposed": f"points seeds pairs {FRAMES}",
    "true_switched": f"pairs {FRAMES}",
    "switched": f"points seeds pairs {FRAMES}",
    "confusion": "points seeds transformations transformations",
}
# Arrays of supervised tasks, and those of them that any such run has.
TASK_SHAPES = {
    "true_supports": "tasks factors",
    "heads": "points seeds tasks features",
    "usage": "points seeds features",
    "few_shot": "points seeds methods shots",
    "true_raw": "raw_methods shots",
}
TASKS = ("heads", "usage", "few_shot")
# Arrays of a sparse mixing, and those of them that any such run has.
MIXING_SHAPES = {
    "jacobian": "points seeds observed latents",
    "latents": "points seeds rows latents",
    "latents_true": "points seeds rows latents",
    "true_domains": "rows",
}
MIXING = ("jacobian", "latents")
# Arrays of images by domain, and those of them that any such run has.
IMAGE = "height width channels"
DOMAIN_SHAPES = {
    "true_images": f"domains examples {IMAGE}",
    "samples": f"points seeds domains examples {IMAGE}",
    "translation": f"points seeds images domains {IMAGE}",
    "traversal": f"points seeds domains moved values {IMAGE}",
    "importance": "points seeds styles",
}
DOMAINS = ("samples", "translation", "traversal", "importance")


class Group(NamedTuple):
    """One grid point of one run: what is averaged.

    Attributes:
      label: how pictures call it; empty where it is the run's only point.
      hyper: its hyper-parameters.
      seeds: their numbers.
      failed: which of them diverged.
      final: metrics at the end; NaN where there is none.
      steps: when metrics were logged.
      curves: logged metrics; NaN where there is none.
    """

    label: str
    hyper: dict[str, Any]
    seeds: list[int]
    failed: Bool[np.ndarray, "s"]
    final: dict[str, Float[np.ndarray, "s"]]
    steps: Int[np.ndarray, "t"]
    curves: dict[str, Float[np.ndarray, "s t"]]


class Run(NamedTuple):
    """One run directory.

    Attributes:
      name: its system/preset.
      settings: its config.json.
      results: its results.json.
      groups: its grid points.
      transformations: names of those that move its images; empty where none do.
      horizon: the steps for which these were trained.
    """

    name: str
    settings: dict[str, Any]
    results: dict[str, Any]
    groups: list[Group]
    transformations: list[str]
    horizon: int


def failed_seeds(group: Group) -> list[int]:
    """Numbers of the seeds that failed."""
    return np.array(group.seeds)[group.failed].tolist()


def finite(arrays: Sequence[np.ndarray]) -> Float[np.ndarray, "n"]:
    """All numbers of some arrays but NaN and infinity, in one row."""
    values = np.concatenate([np.empty(0), *(a.ravel() for a in arrays)])
    return values[np.isfinite(values)]


def alive(group: Group, metric: str) -> Float[np.ndarray, "a"]:
    """A metric at the end, of the seeds that did not fail and have it."""
    return finite([group.final[metric][~group.failed]] if metric in group.final else [])


def mean_std(values: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """NaN where there are no values; the spread of a single one is NaN, too."""
    return (
        float(values.mean()) if values.size else math.nan,
        float(values.std()) if values.size > 1 else math.nan,
    )


def swept(hypers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the hyper-parameters that differ between grid points."""
    return [n for n in hypers[0] if len({str(h.get(n)) for h in hypers}) > 1]


@contextmanager
def _reading(path: Path, problem: str) -> Iterator[None]:
    """Where this fails, names the file, the problem and what to do."""
    again = "train the run again"
    try:
        yield
    except FileNotFoundError:
        remedy = f"give the directory of a run that has finished, or {again}"
        raise ValueError(f"{path} is missing; {remedy}") from None
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read ({error}); {again}") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {problem} ({error}); {again}") from error


def _read_object(path: Path, fields: Sequence[str]) -> dict[str, Any]:
    with _reading(path, "this is not a JSON object"):
        value = dict(json.loads(path.read_text(encoding="utf-8")))
    if missing := [f for f in fields if f not in value]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; train the run again")
    return value


def _read_lines(path: Path) -> list[dict[str, Any]]:
    with _reading(path, "a line is not valid JSON"):
        *whole, last = path.read_text(encoding="utf-8").splitlines() or [""]
        lines = [json.loads(line) for line in whole]
    with suppress(json.JSONDecodeError):  # an interruption may have cut it off
        lines.append(json.loads(last))
    if not lines:
        raise ValueError(f"{path} holds no line; train the run again for more steps")
    return lines


def _per_seed(
    path: Path, values: dict[str, Any], shape: tuple[int, int]
) -> dict[str, Float[np.ndarray, "g s"]]:
    """Metrics of results.json with a leading axis of points; null becomes NaN."""
    arrays = {}
    for name, value in values.items():
        wanted = f"metrics.{name} must hold {shape[0]} x {shape[1]} numbers"
        with _reading(path, f"{wanted} (points x seeds) or nulls"):
            arrays[name] = np.array(value, float).reshape(shape)
    return arrays


def _curves(
    path: Path, points: int, seeds: list[int]
) -> tuple[Int[np.ndarray, "t"], dict[str, Float[np.ndarray, "g s t"]]]:
    """Logged metrics; of a step that was logged twice, by a resumed run, the last."""
    lines = _read_lines(path)
    rows = {(p, s): (p, i) for p in range(points) for i, s in enumerate(seeds)}
    wanted = f"a point below {points} and a seed in {seeds[0]}..{seeds[-1]}"
    curves = {}
    with _reading(path, f"every line must hold numbers: a step, {wanted}"):
        steps, t = np.unique([line["step"] for line in lines], return_inverse=True)
        p, s = np.array([rows[line["point"], line["seed"]] for line in lines]).T
        names = dict.fromkeys(name for line in lines for name in line)
        for name in [n for n in names if n not in ("point", "seed", "step")]:
            curves[name] = np.full((points, len(seeds), len(steps)), np.nan)
            curves[name][p, s, t] = np.array([x.get(name) for x in lines], float)
    return steps, curves


def load(directory: Path) -> Run:
    """Reads all of a run but its figures.

    Raises:
      ValueError: a file is missing or corrupt.
    """
    fields = ["system", "preset", "command", "seeds"]
    settings = _read_object(directory / "config.json", fields)
    path = directory / "results.json"
    results = _read_object(path, ["hyper", "metrics", "failed_seeds"])
    grid = isinstance(results["hyper"], list)
    with _reading(path, "this and config.json do not describe one run"):
        first = settings.get("first_seed", 0)
        seeds = list(range(first, first + settings["seeds"]))
        hypers = [dict(h) for h in (results["hyper"] if grid else [results["hyper"]])]
        lost = results["failed_seeds"] if grid else [results["failed_seeds"]]
        failed = [np.isin(seeds, lost[i]) for i in range(len(hypers))]
        metrics, names = dict(results["metrics"]), swept(hypers)
        labels = [", ".join(f"{n} {setting(h[n])}" for n in names) for h in hypers]
    with _reading(path, "spec must hold names of transformations and their steps"):
        spec = dict(results.get("spec") or {})
        # Names of domains are none of transformations.
        named = [] if "domains" in spec else spec.get("names") or []
        transformations = [str(name) for name in named]
        horizon = int(spec["steps"]) if transformations else 0
    final = _per_seed(path, metrics, (len(hypers), len(seeds)))
    steps, curves = _curves(directory / "metrics.jsonl", len(hypers), seeds)
    groups = []
    for i, hyper in enumerate(hypers):
        label = labels[i] or f"point {i}" if grid else ""
        ends = {name: values[i] for name, values in final.items()}
        logged = {name: values[i] for name, values in curves.items()}
        groups.append(Group(label, hyper, seeds, failed[i], ends, steps, logged))
    name = f"{settings['system']}/{settings['preset']}"
    return Run(name, settings, results, groups, transformations, horizon)


def _wrong_shapes(
    shapes: Mapping[str, str], sizes: dict[str, int], figures: dict[str, np.ndarray]
) -> list[str]:
    """What arrays do not fit the sizes, to which lengths of other axes are added."""
    problems = []
    for name in [n for n in shapes if n in figures]:
        axes, shape = shapes[name].split(), figures[name].shape
        wanted = " x ".join(f"{sizes[a]} {a}" if a in sizes else a for a in axes)
        # Arrays that come first decide how many images, tasks, and pixels there are.
        known = [sizes.setdefault(a, n) for a, n in zip(axes, shape, strict=False)]
        if len(axes) != len(shape) or known != list(shape):
            got = " x ".join(map(str, shape))
            problems.append(f"{name} must hold {wanted}, got {got}")
    return problems


def _check_sequences(
    path: Path, run: Run, rows: tuple[int, int], figures: dict[str, np.ndarray]
) -> None:
    """Raises where arrays of sequences do not fit the run, or one another."""
    count, frames = len(run.transformations), run.horizon + 1
    sizes = {"points": rows[0], "seeds": rows[1], "indices": 2}
    sizes |= {"transformations": count, "frames": frames}
    problems = _wrong_shapes(SHAPES, sizes, figures)
    if sizes.get("times", frames) < frames:
        problems.append(f"error_by_step must hold at least {frames} steps")
    if sizes.get("channels", 3) not in (1, 3):
        problems.append("true_frames must hold 1 or 3 channels, grey or RGB")
    if not np.isin(figures.get("true_pairs", 0), range(count)).all():
        problems.append(f"true_pairs must hold indices below {count}")
    for problem in problems[:1]:
        raise ValueError(f"{path}: {problem}; train the run again")


def _check_tasks(
    path: Path, run: Run, rows: tuple[int, int], figures: dict[str, np.ndarray]
) -> None:
    """Raises where arrays of tasks do not fit the run, or one another."""
    sizes = {"points": rows[0], "seeds": rows[1]}
    spec = dict(run.results.get("spec") or {})
    if "few_shot" in figures:
        problem = "spec must hold lists of methods, shots and raw_methods, and a score"
        with _reading(path.with_name("results.json"), problem):
            lists = {"raw_methods": [], "score": spec["score"]} | spec
            sizes |= {n: len(lists[n]) for n in ("methods", "shots", "raw_methods")}
    problems = _wrong_shapes(TASK_SHAPES, sizes, figures)
    if sizes.get("factors", 0) > sizes.get("features", math.inf):
        problems.append("heads must hold no fewer features than there are factors")
    for problem in problems[:1]:
        raise ValueError(f"{path}: {problem}; train the run again")


def _check_mixing(
    path: Path, run: Run, rows: tuple[int, int], figures: dict[str, np.ndarray]
) -> None:
    """Raises where arrays of a mixing do not fit the run, or one another."""
    spec = dict(run.results.get("spec") or {})
    with _reading(path.with_name("results.json"), "spec must hold x_dim and domains"):
        sizes = {"points": rows[0], "seeds": rows[1], "observed": int(spec["x_dim"])}
        domains = int(spec["domains"])
    with _reading(path.with_name("results.json"), "spec.mask must be a matrix"):
        mask = np.array(spec.get("mask") or np.empty((0, 0)), float)
        _, _ = mask.shape
    problems = _wrong_shapes(MIXING_SHAPES, sizes, figures)
    if "latents_true" in figures and mask.size:
        wanted = (sizes["observed"], sizes.get("latents", mask.shape[-1]))
        if mask.shape != wanted:
            got = " x ".join(map(str, mask.shape))
            problems.append(
                f"jacobian must be as large as spec.mask of results.json, {got}"
            )
    if not np.isin(figures.get("true_domains", 0), range(domains)).all():
        problems.append(f"true_domains must hold whole numbers below {domains}")
    for problem in problems[:1]:
        raise ValueError(f"{path}: {problem}; train the run again")


def _check_domains(
    path: Path, run: Run, rows: tuple[int, int], figures: dict[str, np.ndarray]
) -> None:
    """Raises where images by domain do not fit the run, or one another."""
    spec = dict(run.results.get("spec") or {})
    problem = "spec must hold the shape of an image and names of domains"
    with _reading(path.with_name("results.json"), problem):
        image = dict(zip(IMAGE.split(), map(int, spec["shape"]), strict=True))
        names = [str(name) for name in spec["names"]]
    sizes = {"points": rows[0], "seeds": rows[1], "domains": len(names)} | image
    problems = _wrong_shapes(DOMAIN_SHAPES, sizes, figures)
    pictures = [n for n in DOMAIN_SHAPES if n in figures and n != "importance"]
    if wrong := [n for n in pictures if figures[n].dtype != np.uint8]:
        kind = figures[wrong[0]].dtype
        problems.append(f"{wrong[0]} must hold bytes, 0 to 255, got {kind}")
    if sizes.get("styles", math.inf) < sizes.get("moved", 0):
        problems.append("importance must hold no fewer styles than traversal moves")
    if image["channels"] not in (1, 3):
        problems.append("images must hold 1 or 3 channels, grey or RGB")
    for problem in problems[:1]:
        raise ValueError(f"{path}: {problem}; train the run again")


def load_figures(directory: Path, run: Run) -> dict[str, np.ndarray]:
    """Reads the arrays of figures.npz: one for each seed, and true ones.

    Raises:
      ValueError: the file is missing or corrupt, or belongs to another run.
    """
    path = directory / "figures.npz"
    # Opened here: numpy leaves a file open that it finds to be no archive.
    with _reading(path, "this is no archive of arrays"), path.open("rb") as file:
        figures = dict(np.load(file))
    rows = (len(run.groups), len(run.groups[0].seeds))
    for name in figures.keys() & {"correlation", "graph_z", "graph_a"}:
        truth = f"true_{name}" if f"true_{name}" in figures else name
        if figures[name].shape != rows + figures[truth].shape[-2:]:
            wanted = (
                f"a matrix as large as the truth for each of {rows} (points, seeds)"
            )
            raise ValueError(f"{path}: {name} must hold {wanted}; train the run again")
    if run.transformations:
        _check_sequences(path, run, rows, figures)
    if figures.keys() & set(TASKS):
        _check_tasks(path, run, rows, figures)
    if figures.keys() & set(MIXING):
        _check_mixing(path, run, rows, figures)
    if figures.keys() & set(DOMAINS):
        _check_domains(path, run, rows, figures)
    return figures
