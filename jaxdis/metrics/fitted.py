"""Probes of scikit-learn and LightGBM, of each factor and seed, in processes."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdis.metrics.inputs import Key, seed_of
from jaxdis.metrics.labels import Labels, Part
from jaxdis.probes import Task
from jaxdis.workers import in_processes

__all__ = ["Work", "fit_each"]


class Work(NamedTuple):
    """How probes are fitted.

    Attributes:
      kind: which ones.
      key: what their seed is of.
      seconds: about how long one takes, for one row, code and class.
      what: what a bar says of them.
      jobs: the number of processes.
      progress: whether a bar is shown.
    """

    kind: str
    key: Key
    seconds: float
    what: str
    jobs: int | None
    progress: bool | None


def fit_each(
    probe: Callable[..., Float[np.ndarray, "m"]],
    labels: Labels,
    codes: Float[np.ndarray, "s n k"],
    parts: list[Part],
    work: Work,
) -> Float[np.ndarray, "s d m"]:
    """What a probe gives for each factor and seed; NaN where codes are not finite.

    Args:
      probe: a function of `jaxdis.probes`.
      labels: the factors.
      codes: the codes of each seed.
      parts: of which rows each factor is fitted and judged.
      work: how.
    """
    alive = np.isfinite(codes).all((1, 2))
    _, n, k = codes.shape
    d, seed = len(labels.sizes), seed_of(work.key)
    part_of = {int(j): part for part in parts for j in part.columns}
    threads = None if alive.sum() * d == 1 else 1

    def task(run: np.ndarray, j: int) -> Task:
        size, part = labels.sizes[j], part_of[j]
        column = np.asarray(labels.classes if size else labels.values)[:, j]
        drawn = (seed, threads)
        return Task(work.kind, run, column, size > 0, part.fit, part.judge, *drawn)

    models = sum(1 if size < 3 else size for size in labels.sizes)
    found = in_processes(
        probe,
        [task(run, j) for run in codes[alive] for j in range(d)],
        seconds=work.seconds * alive.sum() * n * k * models,
        jobs=work.jobs,
        what=work.what,
        progress=work.progress,
    )
    if not found:
        return np.full((len(codes), d, 1), np.nan)
    full = np.full((len(codes), d, len(found[0])), np.nan)
    full[alive] = np.stack(found).reshape(-1, d, len(found[0]))
    return full
