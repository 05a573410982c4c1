"""Probes of scikit-learn and LightGBM, of each factor and seed, in processes."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdis.metrics.inputs import Key, seed_of, standardised
from jaxdis.metrics.labels import Labels, Part
from jaxdis.probes import Task
from jaxdis.workers import in_processes

__all__ = ["SHARE", "Work", "bounded", "fit_each", "readable"]

SHARE = 2 / 3  # of the rows that fit

LARGE = 2.0**10  # the libraries read columns of 1 / LARGE to LARGE without loss
LARGEST = 2.0**60  # of which the squares are far from infinite in float32
FAR = 64  # times its spread is how far from 0 float32 still tells a column's values


def readable(x: Float[np.ndarray, "*s n k"]) -> Float[np.ndarray, "*s n k"]:
    """Columns that trees and least squares read without loss; most stay as they are.

    Trees hold codes in float32, take what differs by less than 1e-7 for equal, and
    targets of a variance below 1e-16 for constant. Their scores do not depend on what
    is changed here: the scale of very small and large columns, by a power of two, and
    the shift of those that are far from 0.

    Args:
      x: known values that are finite, in float64.
    """
    low, high = x.min(-2, keepdims=True), x.max(-2, keepdims=True)
    peak = np.maximum(-low, high)
    # Of halves, as the difference of both may be infinite.
    near = high / 2 - low / 2 > peak / (2 * FAR)
    scaled = np.ldexp(x, -np.frexp(peak)[1])
    plain = np.where((peak < LARGE) & (peak > 1 / LARGE), x, scaled)
    return plain if near.all() else np.where(near, plain, standardised(x))


def bounded(x: Float[np.ndarray, "*s n k"]) -> Float[np.ndarray, "*s n k"]:
    """Columns as they are, but those that would overflow scaled to `LARGEST`.

    Args:
      x: known values, in float64.
    """
    peak = np.abs(x).max(-2, keepdims=True)
    over = np.isfinite(peak) & (peak > LARGEST)
    if not over.any():
        return x
    return np.where(over, np.ldexp(x, 60 - np.frexp(np.where(over, peak, 1))[1]), x)


class Work(NamedTuple):
    """How probes are fitted.

    Attributes:
      kind: which ones.
      key: what their seed is of.
      seconds: about how long one takes, for one row, code and class.
      what: what a bar says of them.
      jobs: the number of processes.
      progress: whether a bar is shown.
      prepare: what becomes of codes first: `bounded` where their scale matters.
    """

    kind: str
    key: Key
    seconds: float
    what: str
    jobs: int | None
    progress: bool | None
    prepare: Callable[[np.ndarray], np.ndarray] = readable


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
    values, runs = readable(np.asarray(labels.values)), work.prepare(codes[alive])

    def task(run: np.ndarray, j: int) -> Task:
        size, part = labels.sizes[j], part_of[j]
        column = np.asarray(labels.classes if size else values)[:, j]
        drawn = (seed, threads)
        return Task(work.kind, run, column, size > 0, part.fit, part.judge, *drawn)

    models = sum(1 if size < 3 else size for size in labels.sizes)
    found = in_processes(
        probe,
        [task(run, j) for run in runs for j in range(d)],
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
