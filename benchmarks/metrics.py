"""How fast are metrics beside the numpy, scipy and scikit-learn calls they replace?

Each row is one metric at one size, timed in turns with its plain counterpart on the
same arrays, on all cores: `ratio` is the counterpart's fastest turn over the metric's,
`first_s` the first call, with what it compiles. Counterparts are loops over seeds of
what one would write by hand. `assign_in_jit` says where the device stands: within jit
it is used up to 256 rows or columns, where it is slower than the host's scipy but needs
no call of the host.

    python -m benchmarks.metrics                 # two CPU cores: four minutes
    python -m benchmarks.metrics mcc assign      # some of them
"""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression

from benchmarks.timing import finish
from jaxdis import metrics
from jaxdis.metrics.assignment import ON_DEVICE

SIZES = ((1, 10_000, 10, 10), (32, 10_000, 10, 10), (1, 10_000, 100, 1_000))
SQUARES = ((1, 10, 10), (32, 10, 10), (1, 64, 64), (1, 256, 256), (1, 1024, 1024))
DICTIONARY = (1_000, 4_096, 16_384)
REPEATS = 5
SLOW = 2.0  # seconds of a call that is not repeated


class Case(NamedTuple):
    """A metric and what it replaces, on the same arrays.

    Attributes:
      size: seeds, samples, factors and codes.
      ours: the call of the metric.
      plain: the calls by hand; None where there is nothing to wait for.
    """

    size: tuple[int, ...]
    ours: Callable[[], Any]
    plain: Callable[[], Any]


def draw(s: int, n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal factors, and codes that mix them with noise, in float32.

    Args:
      s: the number of seeds.
      n: the number of samples.
      d: the number of factors.
      k: the number of codes.
    """
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, d)).astype(np.float32)
    codes = z @ rng.normal(size=(s, d, k)).astype(np.float32)
    codes += rng.normal(size=codes.shape).astype(np.float32)
    return z, codes


def each_seed(
    score: Callable[[np.ndarray, np.ndarray], Any], z: np.ndarray, codes: np.ndarray
) -> Callable[[], list[Any]]:
    """A loop over seeds.

    Args:
      score: what is computed for one seed.
      z: factors.
      codes: codes of all seeds.
    """
    return lambda: [score(z, c) for c in codes]


def best(matrix: np.ndarray) -> float:
    """The mean of the largest assignment, by scipy."""
    return matrix[linear_sum_assignment(matrix, maximize=True)].mean()


def plain_mcc(z: np.ndarray, codes: np.ndarray) -> float:
    """By `numpy.corrcoef` and scipy."""
    d = z.shape[1]
    return best(np.abs(np.corrcoef(z, codes, rowvar=False)[:d, d:]))


def plain_matmul(z: np.ndarray, codes: np.ndarray) -> float:
    """As `plain_mcc` without the correlations of codes, too many for `corrcoef`."""
    z, codes = ((x - x.mean(0)) / x.std(0) for x in (z, codes))
    return best(np.abs(z.T @ codes) / len(z))


def plain_spearman(z: np.ndarray, codes: np.ndarray) -> float:
    """By `scipy.stats.spearmanr`."""
    d = z.shape[1]
    return best(np.abs(spearmanr(z, codes).statistic[:d, d:]))


def plain_r2(z: np.ndarray, codes: np.ndarray) -> float:
    """By `sklearn.linear_model.LinearRegression`."""
    return LinearRegression().fit(codes, z).score(codes, z)


def plain_dci(z: np.ndarray, codes: np.ndarray) -> float:
    """The probe of a linear DCI: scikit-learn's, on half of the standardised rows."""
    z, codes = ((x - x.mean(0)) / x.std(0) for x in (z, codes))
    half = len(z) // 2
    probe = LinearRegression().fit(codes[:half], z[:half])
    return probe.score(codes[half:], z[half:]) + np.abs(probe.coef_).sum()


PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "mcc": (metrics.mcc, plain_mcc),
    "mcc_spearman": (lambda z, c: metrics.mcc(z, c, kind="spearman"), plain_spearman),
    "r2": (metrics.r2, plain_r2),
    "dci_linear": (metrics.dci_linear, plain_dci),
}
"""Metrics of factors and codes, and the same by hand for one seed."""


def of_pairs(name: str) -> Iterator[Case]:
    """A metric of factors and codes at all sizes.

    Args:
      name: one of `PAIRS`.
    """
    ours, plain = PAIRS[name]
    for size in SIZES:
        z, codes = draw(*size)
        given = codes if size[0] > 1 else codes[0]
        yield Case(size, lambda z=z, c=given: ours(z, c), each_seed(plain, z, codes))


def of_assignment() -> Iterator[Case]:
    """`assign` of known values, and at a dictionary's size with its correlations."""
    rng = np.random.default_rng(0)
    for s, d, k in SQUARES:
        matrices = rng.random((s, d, k)).astype(np.float32)
        yield Case(
            (s, 0, d, k),
            lambda m=matrices: [metrics.assign(x) for x in m],
            lambda m=matrices: [linear_sum_assignment(x, maximize=True) for x in m],
        )
    n, d, k = DICTIONARY
    z, codes = draw(1, n, d, k)
    yield Case(
        (1, n, d, k),
        lambda: metrics.assign(metrics.correlation_matrix(z, codes[0])),
        each_seed(plain_matmul, z, codes),
    )


def of_assignment_on_the_device() -> Iterator[Case]:
    """`assign` within jit and a vmap over seeds."""
    rng = np.random.default_rng(0)
    assign = jax.jit(jax.vmap(metrics.assign))
    for s, d, k in SQUARES:
        if max(d, k) <= ON_DEVICE:
            matrices = rng.random((s, d, k)).astype(np.float32)
            there = jnp.asarray(matrices)
            yield Case(
                (s, 0, d, k),
                lambda m=there: assign(m),
                lambda m=matrices: [linear_sum_assignment(x, maximize=True) for x in m],
            )


QUESTIONS: dict[str, Callable[[], Iterator[Case]]] = {
    **{name: lambda name=name: of_pairs(name) for name in PAIRS},
    "assign": of_assignment,
    "assign_in_jit": of_assignment_on_the_device,
}


def timed(call: Callable[[], Any]) -> float:
    """Seconds of one call.

    Args:
      call: what is called.
    """
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def row(name: str, case: Case) -> dict[str, Any]:
    """Milliseconds of both, in turns, and their ratio.

    Args:
      name: the metric.
      case: the calls.
    """
    first = timed(case.ours)
    repeats = REPEATS if timed(case.plain) < SLOW else 1
    turns = [(timed(case.ours), timed(case.plain)) for _ in range(repeats)]
    ours, plain = np.min(turns, 0)
    return {
        "metric": name,
        "seeds": case.size[0],
        "samples": case.size[1],
        "factors": case.size[2],
        "codes": case.size[3],
        "first_s": first,
        "ms": 1e3 * float(ours),
        "plain_ms": 1e3 * float(plain),
        "ratio": float(plain / ours),
    }


def main() -> None:
    """Times those that are named, by default all."""
    asked = sys.argv[1:] or list(QUESTIONS)
    rows = [row(name, case) for name in asked for case in QUESTIONS[name]()]
    finish("metrics" if asked == list(QUESTIONS) else "metrics-some", rows)


if __name__ == "__main__":
    main()
