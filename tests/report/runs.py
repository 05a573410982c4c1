"""Run directories with random numbers, for all tests of reports."""

import json
from typing import Any

import numpy as np

from jaxdis import checkpoint
from jaxdis.types import Figure, Method

STEPS = np.arange(100, 2100, 100)
BOUNDS = (10.0, 25.0, 40.0, 60.0, 100.0)
COMMAND = "jaxdis train invented/small --out '<script>alert(1)</script>'"
SCORES = {
    "mcc": {"title": "MCC", "better": "higher", "range": [0, 1]},
    "shd": {"title": "SHD", "better": "lower", "range": [0, None]},
    "nll": {"title": "NLL", "better": "lower", "range": [None, None]},
}
ARRAYS = {"matrix": "seed row column", "true": "row column"}


def draw_matrix(record):
    """A picture of the arrays, where there are any."""
    from matplotlib.figure import Figure as Drawing

    if "matrix" not in record.arrays:
        return None
    figure = Drawing(figsize=(4, 3))
    axes = figure.subplots(1, 2)
    axes[0].imshow(record.arrays["matrix"][0, 0])
    axes[1].imshow(record.arrays["true"])
    return figure


def _unused(*args: Any) -> Any:
    """Reports call none of these."""
    raise AssertionError


METHOD = Method(
    name="invented",
    citation="@misc{}",
    needs=(),
    make=_unused,
    hyper=tuple,
    default_hyper=_unused,
    batches=_unused,
    presets={},
    scores=_unused,
    arrays=ARRAYS,
    figures=(Figure("matrix", "One & the other <b>.", draw_matrix),),
)


def kill(path, saved=None, drop=0):
    """Makes a run that was killed of one that has finished.

    Its last checkpoint is that of step `saved`; the last `drop` lines were not written.
    """
    for name in ("results.json", "figures.npz"):
        (path / name).unlink()
    log = path / "metrics.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[: len(lines) - drop]))
    declared = {"format": 1, "scores": SCORES}
    (path / "data.json").write_text(json.dumps(declared))
    if saved is not None:
        part: dict[str, Any] = {
            "wall_s": 7.5,
            "compile_s": 5.5,
            "step_s": 0.25,
            "devices": 3,
        }
        part |= {"platform": "cpu", "device_kind": "chip", "versions": {"jax": "9.8"}}
        state = {"rows": np.zeros(2)}
        checkpoint.save(path / "checkpoints", saved, state, record={"parts": [part]})


def plain(values):
    return [[None if np.isnan(v) else v for v in row] for row in values.tolist()]


def make_run(path, *, seeds=4, points=1, first=0, failed=(), null=(), size=None):
    """Writes a run directory; returns its scores [points, seeds].

    `failed` holds indices of seeds that fail at every point; the scores of the seeds
    in `null` are null. Without `size` there are no arrays.
    """
    path.mkdir(parents=True)
    rng = np.random.default_rng(seeds + 10 * points)
    shape = (points, seeds)
    metrics = {
        "mcc": rng.uniform(0.9, 1, shape),
        "shd": rng.integers(0, 5, shape).astype(float),
        "nll": rng.normal(-0.9, 0.1, shape),
    }
    for values in metrics.values():
        values[:, list(null)] = np.nan
    bounds = list(BOUNDS[:points])
    config = {
        "method": "invented",
        "preset": "small",
        "command": COMMAND,
        "seeds": seeds,
        "first_seed": first,
        "steps": int(STEPS[-1]),
        "config": {"z_dim": 4, "encoder": [64, 64]},
        "data": {"x_dim": 20, "graph": {"kind": "diagonal & <b>"}},
        "hyper": {"beta": [1.0] * points, "bound_a": bounds},
        "versions": {"jaxdis": "0.1.0", "jax": "0.10.2"},
    }
    results = {
        "format": 2,
        "method": "invented",
        "preset": "small",
        "points": [{"beta": 1.0, "bound_a": b} for b in bounds],
        "steps": int(STEPS[-1]),
        "devices": 2,
        "wall_s": 116.2,
        "compile_s": 10.5,
        "step_s": 0.00334,
        "spec": {},
        "scores": SCORES,
        "metrics": {name: plain(values) for name, values in metrics.items()},
        "udr": [None] * points,
        "failed_seeds": [[first + i for i in failed]] * points,
        "arrays": ARRAYS if size else {},
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "results.json").write_text(json.dumps(results))
    with (path / "metrics.jsonl").open("w") as log:
        for step in STEPS:
            for point, seed in np.ndindex(*shape):
                gone = seed in failed and step > 800
                line = {
                    "step": int(step),
                    "point": point,
                    "seed": first + seed,
                    "loss": None if gone else float(3e3 * np.exp(-step / 99) - 0.9),
                    "mcc": None if gone else float(1 - np.exp(-step / 400)),
                }
                log.write(json.dumps(line) + "\n")
    arrays = {}
    if size:
        arrays["matrix"] = rng.random((points, seeds, size, size))
        arrays["true"] = np.eye(size)
    np.savez(path / "figures.npz", allow_pickle=False, **arrays)
    return metrics
