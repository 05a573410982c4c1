"""How much faster is information than the loops that it replaces?

Information by bins, MIG and information by neighbours beside loops over all pairs:
scikit-learn's functions, and numpy.bincount with the formula in numpy. Both sides bin
the codes. Where a loop would take minutes it is timed on some of the pairs and scaled.

    python -m benchmarks.information            # two CPU cores: two minutes
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.metrics import mutual_info_score

from benchmarks.timing import finish
from jaxdis.metrics import mig, mutual_information

SAMPLES, BINS, CLASSES = 10_000, 20, 10
SIZES = ((1, 10, 10), (32, 10, 10), (1, 1000, 100))  # seeds, codes, factors
SOME = 10  # codes and factors that a slow loop is timed on


def best(f: Callable[[], Any], repeats: int = 5) -> float:
    """Least seconds of `f`, as other programs only ever add some."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(f())
        times.append(time.perf_counter() - began)
    return min(times[1:])


def binned(code: np.ndarray) -> np.ndarray:
    """The bins of a code by numpy's histogram."""
    return np.digitize(code, np.histogram(code, BINS)[1][:-1]) - 1


def by_sklearn(z: np.ndarray, codes: np.ndarray) -> list:
    """scikit-learn's information of all pairs."""
    cut = [binned(c) for c in codes.T]
    return [[mutual_info_score(c, y) for y in z.T] for c in cut]


def by_bincount(z: np.ndarray, codes: np.ndarray) -> list:
    """The same by one bincount a pair."""

    def information(c: np.ndarray, y: np.ndarray) -> float:
        counts = np.bincount(c * CLASSES + y, minlength=BINS * CLASSES)
        p = counts.reshape(BINS, CLASSES) / len(c)
        independent = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
        there = p > 0
        return float((p[there] * np.log(p[there] / independent[there])).sum())

    cut = [binned(c) for c in codes.T]
    return [[information(c, y) for y in z.T] for c in cut]


def draw(seeds: int, k: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and Gaussian codes of all seeds."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, CLASSES, (SAMPLES, d))
    return z, rng.normal(size=(seeds, SAMPLES, k)).astype(np.float32)


def by_bins(seeds: int, k: int, d: int) -> dict[str, Any]:
    """One row: MIG of all seeds beside both loops."""
    z, codes = draw(seeds, k, d)
    ours = best(lambda: mig(z, codes if seeds > 1 else codes[0]))
    bincount = best(lambda: [by_bincount(z, c) for c in codes], 1)
    few = best(lambda: by_sklearn(z[:, :SOME], codes[0, :, :SOME]), 1)
    sklearn = few * seeds * k * d / SOME**2
    return _row("bins", seeds, k, d, ours, {"sklearn": sklearn, "bincount": bincount})


def by_neighbours(kind: str, k: int = 10, d: int = 10) -> dict[str, Any]:
    """One row: information by neighbours beside scikit-learn's.

    Args:
      kind: what the factors are, "classes" or "numbers".
      k: the number of codes.
      d: the number of factors.
    """
    z, codes = draw(1, k, d)
    numbers = kind == "numbers"
    if numbers:
        z = z + np.random.default_rng(1).normal(size=z.shape)
    theirs = mutual_info_regression if numbers else mutual_info_classif
    ours = best(
        lambda: mutual_information(z, codes[0], kind="knn", discrete=not numbers), 1
    )
    sklearn = d * best(lambda: theirs(codes[0], z[:, 0]), 1)
    return _row(f"neighbours, {kind}", 1, k, d, ours, {"sklearn": sklearn})


def _row(
    kind: str, seeds: int, k: int, d: int, ours: float, loops: dict[str, float]
) -> dict[str, Any]:
    times = {f"times_{name}": s / ours for name, s in loops.items()}
    row = {"kind": kind, "seeds": seeds, "codes": k, "factors": d, "ours_s": ours}
    return row | {"times_sklearn": None, "times_bincount": None} | times


def main() -> None:
    """All rows."""
    rows = [by_bins(*size) for size in SIZES]
    finish(
        "information", rows + [by_neighbours(kind) for kind in ("classes", "numbers")]
    )


if __name__ == "__main__":
    main()
