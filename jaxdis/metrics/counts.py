"""Bins, joint counts of columns of classes, and the information that they hold.

What is known is counted on the host, by `numpy.bincount` of several factors at once and
in threads, which on a CPU is faster than products of one-hot columns; what is traced,
by those products, one code at a time, as the columns of all codes would not fit.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy
from jaxtyping import Array, Bool, Float, Int

from jaxdis.devices import cores

__all__ = [
    "BINNINGS",
    "Binning",
    "binned",
    "binned_on_host",
    "over_cores",
    "plug_in",
    "plug_in_on_host",
    "xlogx",
]

T = TypeVar("T")
Binning: TypeAlias = Literal["width", "quantile"]

CELLS = 4096  # of joint counts that are made in one pass: they fit a core's cache
BLOCK = 2**19  # counts that a thread holds
CODES = 16  # of which the rows fit a core's cache
WORTH = 2**22  # steps that take some milliseconds, as a thread's turns do
ONE_HOT = 2**22  # numbers in one-hot columns of factors


class _Bins(NamedTuple):
    """Bins that hold their lower edge.

    Attributes:
      host: bins of known values, `(column, bins) -> bins from 0`.
      edges: inner edges for values of JAX, with the mask of those that count.
    """

    host: Callable[[np.ndarray, int], np.ndarray]
    edges: Callable[[Array, Array, int], Array]


def _width_on_host(x: np.ndarray, bins: int) -> np.ndarray:
    """With the rounding of numpy.histogram, in the type of the values."""
    low, high = x.min(), x.max()
    with np.errstate(over="ignore"):
        if not np.isfinite(high - low):
            return _width_on_host(x / 4, bins)
    if low == high:
        return np.zeros(len(x), np.intp)
    if high - low < 2 * bins * np.finfo(x.dtype).tiny / np.finfo(x.dtype).eps:
        # Such small numbers have lost digits, or 1 / width is infinite.
        return _width_on_host(x * x.dtype.type(2.0**64), bins)
    edges = np.linspace(low, high, bins + 1, dtype=x.dtype)[1:-1]
    place = (x - low) * (bins / (high - low))
    found = place.astype(np.intp)
    # A search is three times as slow: only where a rounding might decide.
    place -= found
    size = max(1.0, float(max(-low, high) / (high - low)))
    close = min(0.5, 8 * bins * float(np.finfo(x.dtype).eps) * size)
    near = np.flatnonzero((place <= close) | (place >= 1 - close))
    found[near] = np.searchsorted(edges, x[near], side="right")
    return found


def _quantiles_on_host(x: np.ndarray, bins: int) -> np.ndarray:
    at = np.arange(1, bins) * len(x) // bins
    return np.searchsorted(np.partition(x, at)[at], x, side="right")


def _width(x: Float[Array, "n"], known: Bool[Array, "n"], bins: int) -> Array:
    low = jnp.min(x, where=known, initial=jnp.inf)
    high = jnp.max(x, where=known, initial=-jnp.inf)
    return low + (high - low) * (jnp.arange(1, bins) / bins)


def _quantiles(x: Float[Array, "n"], known: Bool[Array, "n"], bins: int) -> Array:
    at = (jnp.arange(1, bins) * (known.sum() / bins)).astype(int)
    return jnp.sort(jnp.where(known, x, jnp.inf))[at]


BINNINGS = {
    "width": _Bins(_width_on_host, _width),
    "quantile": _Bins(_quantiles_on_host, _quantiles),
}


def binned_on_host(
    x: Float[np.ndarray, "n"], bins: int, binning: Binning
) -> Int[np.ndarray, "n"]:
    """The bin of each value, from 0; a constant column is in one bin.

    Args:
      x: finite values.
      bins: how many bins.
      binning: "width" for bins as wide as each other, "quantile" for bins that hold as
        many samples.
    """
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float64)
    return BINNINGS[binning].host(x, bins)


def binned(
    x: Float[Array, "n"], known: Bool[Array, "n"], bins: int, binning: Binning
) -> Int[Array, "n"]:
    """`binned_on_host` of values that may be traced.

    Args:
      x: values.
      known: which of them count for the edges.
      bins: how many bins.
      binning: which bins.
    """
    edges = BINNINGS[binning].edges(x, known, bins)
    return jnp.searchsorted(edges, x, side="right", method="compare_all")


def _packs(sizes: tuple[int, ...], bins: int) -> Iterator[tuple[int, ...]]:
    """Neighbouring factors of which the joint counts with a code fit `CELLS`."""
    pack: list[int] = []
    cells = bins
    for j, size in enumerate(sizes):
        if pack and cells * size > CELLS:
            yield tuple(pack)
            pack, cells = [], bins
        pack.append(j)
        cells *= size
    yield tuple(pack)


def _information(
    counts: Int[np.ndarray, "k a b"], entropy: Float[np.ndarray, "m"]
) -> Float[np.ndarray, "k"]:
    """Of joint counts, with `entropy[c] = c log c`."""
    a, b = counts.sum(2), counts.sum(1)
    n = int(b[0].sum())
    joint = np.take(entropy, counts).sum((1, 2))
    sides = np.take(entropy, a).sum(1) + np.take(entropy, b).sum(1)
    return np.maximum((joint - sides + entropy[n]) / n, 0.0)


class _Pack(NamedTuple):
    """Factors that are counted in one pass.

    Attributes:
      factors: which they are.
      shape: of their joint counts with the codes.
      cells: the cell of each row, without its code.
    """

    factors: tuple[int, ...]
    shape: tuple[int, ...]
    cells: Int[np.ndarray, "n"]


def _packed(
    labels: Int[np.ndarray, "d n"], sizes: tuple[int, ...], bins: int
) -> list[_Pack]:
    # Labels that are not known are one more class, which is not counted.
    unknown = (labels == np.array(sizes)[:, None]).any(1).tolist()
    widths = tuple(s + more for s, more in zip(sizes, unknown, strict=True))
    packs = []
    for factors in _packs(widths, bins):
        shape = tuple(widths[j] for j in factors)
        cells = np.zeros(labels.shape[1], np.intp)
        for j in factors:
            cells = cells * widths[j] + labels[j]
        packs.append(_Pack(factors, (*shape, bins), cells * bins))
    return packs


def _of_codes(
    codes: Int[np.ndarray, "k n"], packs: list[_Pack], sizes: tuple[int, ...]
) -> Float[np.ndarray, "k d"]:
    entropy = xlogx(codes.shape[1])
    found = np.zeros((len(codes), len(sizes)))
    at = np.empty(codes.shape[1], np.intp)
    for pack in packs:
        n = math.prod(pack.shape)
        joint = np.stack(
            [np.bincount(np.add(pack.cells, c, out=at), minlength=n) for c in codes]
        ).reshape(-1, *pack.shape)
        for place, j in enumerate(pack.factors):
            others = (1 + o for o in range(len(pack.factors)) if o != place)
            counts = joint.sum(tuple(others))[:, : sizes[j]]
            found[:, j] = _information(counts, entropy)
    return found


@lru_cache(4)
def xlogx(most: int) -> Float[np.ndarray, "m"]:
    """`c log c` of the counts 0 .. most, with 0 log 0 = 0.

    Args:
      most: the largest count.
    """
    c = np.arange(most + 1, dtype=np.float64)
    return c * np.log(np.maximum(c, 1.0))


def over_cores(work: Callable[[slice], T], n: int, steps: int) -> list[T]:
    """`work` of slices that share 0 .. n - 1 out among the cores.

    Args:
      work: what numpy does without holding Python's lock.
      n: the number of things.
      steps: how many steps all of it takes; few are not worth a thread.
    """
    parts = min(n, 1 + steps // WORTH)
    parts = min(parts, cores()) if parts > 1 else 1
    cuts = [n * i // parts for i in range(parts + 1)]
    slices = [slice(a, b) for a, b in itertools.pairwise(cuts)]
    if parts == 1:
        return [work(slices[0])]
    with ThreadPoolExecutor(parts) as pool:
        return list(pool.map(work, slices))


def plug_in_on_host(
    codes: Int[np.ndarray, "k n"],
    bins: int,
    labels: Int[np.ndarray, "d n"],
    sizes: tuple[int, ...],
) -> Float[np.ndarray, "k d"]:
    """Information in nats of the joint counts of each code and each factor.

        I = sum_ab p_ab log(p_ab / (p_a p_b)),   p_ab = count_ab / n

    Args:
      codes: classes 0 .. bins - 1, one row a code.
      bins: how many they are.
      labels: classes 0 .. sizes[j] - 1 of factor j, or sizes[j] where not known.
      sizes: how many classes each factor has.
    """
    packs = _packed(labels, sizes, bins)
    most = max(math.prod(pack.shape) for pack in packs)
    step = max(1, min(CODES, BLOCK // most))

    def part(rows: slice) -> Float[np.ndarray, "r d"]:
        blocks = range(rows.start, rows.stop, step)
        found = [
            _of_codes(codes[i : i + step][: rows.stop - i], packs, sizes)
            for i in blocks
        ]
        return np.concatenate(found)

    work = codes.size * len(labels)
    return np.concatenate(over_cores(part, len(codes), work))


def plug_in(
    codes: Int[Array, "k n"], bins: int, labels: Int[Array, "d n"], classes: int
) -> Float[Array, "k d"]:
    """`plug_in_on_host` of classes that may be traced.

    Args:
      codes: classes 0 .. bins - 1, one row a code.
      bins: how many they are.
      labels: classes 0 .. classes - 1; rows with any other are not counted.
      classes: how many classes the factors have at most.
    """

    def of_factor(y: Int[Array, "n"]) -> Float[Array, "k"]:
        there = jax.nn.one_hot(y, classes)
        n = there.sum()

        def of_code(c: Int[Array, "n"]) -> Float[Array, ""]:
            # Zeros and ones, and sums below 2^24: exact in any precision.
            p = jnp.matmul(jax.nn.one_hot(c, bins).T, there) / n
            a, b = p.sum(1, keepdims=True), p.sum(0, keepdims=True)
            independent = jnp.where(p > 0, a * b, 1.0)
            return jnp.maximum(xlogy(p, p / independent).sum(), 0.0)

        return jax.lax.map(of_code, codes)

    block = max(1, ONE_HOT // (labels.shape[1] * classes))
    return jax.lax.map(of_factor, labels, batch_size=min(block, len(labels))).T
