"""Mutual information by nearest neighbours, of classes and numbers in any pairing.

Numbers are not binned, so that their information has no bias that grows with bins, at
the price of a larger variance. What is known is computed on the host in float64, by
sorting and by a tree, which on a CPU is faster than all distances; what is traced, by
sorting and by distances of a block of rows at a time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma
from jaxtyping import Array, Bool, Float, Int

from jaxdis.metrics.counts import over_cores, plug_in, plug_in_on_host
from jaxdis.metrics.inputs import standardised

__all__ = ["by_neighbours", "by_neighbours_on_host", "ksg", "ross"]

NOISE = 1e-10  # which tells values apart that tie, as in scikit-learn
STEPS = 100  # of each row of a pair, which `over_cores` asks for
ROWS = 128  # of which the distances to all others are held at once


class _Column(NamedTuple):
    """A factor or a code on the host.

    Attributes:
      values: of deviation 1.
      order: that sorts the values.
      ordered: the values in order.
      classes: their numbers from 0; None for a column of numbers.
      size: how many classes there are.
    """

    values: Float[np.ndarray, "n"]
    order: Int[np.ndarray, "n"]
    ordered: Float[np.ndarray, "n"]
    classes: Int[np.ndarray, "n"] | None
    size: int


def _as_column(
    values: Float[np.ndarray, "n"], classes: Int[np.ndarray, "n"] | None, seed: int
) -> _Column:
    if classes is not None:
        return _Column(values, values, values, classes, int(classes.max()) + 1)
    x = standardised(values[:, None])[:, 0]
    order = np.argsort(x)
    ordered = x[order]
    if ordered[0] < ordered[-1] and (np.diff(ordered) == 0).any():
        # For codes the draws of scikit-learn's random_state=0.
        x = x + NOISE * np.random.RandomState(seed).standard_normal(len(x))
        order = np.argsort(x)
    return _Column(x, order, x[order], None, 0)


def _within(
    ordered: Float[np.ndarray, "m"],
    x: Float[np.ndarray, "n"],
    radius: Float[np.ndarray, "n"],
) -> Int[np.ndarray, "n"]:
    """How many values lie nearer than a radius that is the distance of one of them."""
    # Roundings of x + r must not count that one.
    r = np.maximum(radius - 4 * np.finfo(x.dtype).eps * (np.abs(x) + radius), 0.0)
    above = np.searchsorted(ordered, x + r, side="right")
    return np.maximum(above - np.searchsorted(ordered, x - r, side="left"), 1)


def _class_radii(
    x: Float[np.ndarray, "n"], counts: Int[np.ndarray, "c"], k: int
) -> Float[np.ndarray, "n"]:
    """Distance to the k-th neighbour in the class, of values sorted within classes."""
    # The k nearest of a sorted sample are one of the k + 1 windows that hold it. Gaps
    # of NaN keep windows within their class.
    c = np.repeat(np.arange(len(counts)), counts)
    at = np.arange(len(x)) + k * (1 + c)
    spread = np.full(len(x) + k * (2 + len(counts)), np.nan)
    spread[at] = x
    n = len(spread) - 2 * k
    centre, radius = spread[k : k + n], np.full(n, np.nan)
    for a in range(k + 1):
        low, high = spread[k - a : k - a + n], spread[2 * k - a : 2 * k - a + n]
        np.fmin(radius, np.maximum(centre - low, high - centre), out=radius)
    found = radius[at - k]
    starts = np.cumsum(counts) - counts
    for i in np.flatnonzero(counts <= k):  # all others of a small class
        v = x[starts[i] : starts[i] + counts[i]]
        found[starts[i] : starts[i] + counts[i]] = np.maximum(v - v[:1], v[-1:] - v)
    return found


def _ross_on_host(numbers: _Column, labels: _Column, k: int) -> float:
    from scipy.special import digamma as digamma_on_host  # here: slow to import

    x, y = numbers.values, labels.classes
    assert y is not None
    counts = np.bincount(y, minlength=labels.size)
    order, ordered = numbers.order, numbers.ordered
    if (counts == 1).any():  # a class of one has no neighbour, and is left out
        order = order[counts[y[order]] > 1]
        ordered = x[order]
        counts = np.where(counts == 1, 0, counts)
    n = len(order)
    if n == 0:
        return 0.0
    small = np.uint8 if labels.size <= 256 else np.int32  # sorted by digits
    order = order[np.argsort(y[order].astype(small), kind="stable")]
    xs = x[order]
    radius = _class_radii(xs, counts, k)
    table = digamma_on_host(np.arange(1, n + 1))
    size = counts[y[order]]
    near = np.minimum(k, size - 1)
    if (radius == 0).any():  # all that tie with a sample are its neighbours
        new = np.append(True, (np.diff(xs) != 0) | (np.diff(y[order]) != 0))
        run = np.cumsum(new) - 1
        near = np.where(radius == 0, np.bincount(run)[run], near)
    within = _within(ordered, xs, radius)
    mean = (table[near - 1] - table[size - 1] - table[within - 1]).mean()
    there = counts[counts > 0]
    shares = there / n
    return max(0.0, min(float(table[n - 1] + mean), -float(shares @ np.log(shares))))


def _ksg_on_host(code: _Column, factor: _Column, k: int) -> float:
    from scipy.spatial import KDTree  # here: slow to import
    from scipy.special import digamma as digamma_on_host

    n = len(code.values)
    k = min(k, n - 1)
    if k == 0:
        return 0.0
    both = np.stack([code.values, factor.values], 1)
    # Of k + 1, as each is its own neighbour.
    radius = KDTree(both).query(both, [k + 1], p=np.inf, workers=1)[0][:, 0]
    table = digamma_on_host(np.arange(1, n + 1))
    sides = sum(
        table[_within(c.ordered, c.values, radius) - 1].mean() for c in (code, factor)
    )
    return max(0.0, float(table[n - 1] + table[k - 1] - sides))


def _classes_on_host(code: _Column, factor: _Column, k: int) -> float:
    assert code.classes is not None
    assert factor.classes is not None
    codes = code.classes[None].astype(np.intp)
    labels = factor.classes[None]
    return float(plug_in_on_host(codes, code.size, labels, (factor.size,))[0, 0])


def _swapped(code: _Column, factor: _Column, k: int) -> float:
    return _ross_on_host(factor, code, k)


_PAIRS: dict[tuple[bool, bool], Callable[[_Column, _Column, int], float]] = {
    (False, False): _ksg_on_host,
    (False, True): _ross_on_host,
    (True, False): _swapped,
    (True, True): _classes_on_host,
}
"""How a code and a factor are compared, by whether each is of classes."""


def by_neighbours_on_host(
    codes: Float[np.ndarray, "k n"],
    code_classes: list[np.ndarray | None],
    z: Float[np.ndarray, "n d"],
    classes: list[np.ndarray | None],
    mask: Bool[np.ndarray, "n d"] | None,
    neighbours: int,
) -> Float[np.ndarray, "k d"]:
    """Information in nats of each code and each factor, of known values.

    Args:
      codes: one row a code.
      code_classes: the classes of each code from 0, or None for numbers.
      z: factors.
      classes: the classes of each factor, or None for numbers.
      mask: where the factors are known.
      neighbours: k, the number of neighbours.
    """
    d = z.shape[1]
    rows = [np.s_[:] if mask is None else mask[:, j] for j in range(d)]

    def column(x: np.ndarray, labels: np.ndarray | None, at: Any, seed: int) -> _Column:
        return _as_column(x[at], None if labels is None else labels[at], seed)

    factors = [column(z[:, j], classes[j], rows[j], 1) for j in range(d)]

    def of_code(i: int) -> list[float]:
        # The same rows for all factors are sorted once.
        code = None if mask is not None else _as_column(codes[i], code_classes[i], 0)
        found = []
        for j, factor in enumerate(factors):
            c = code or column(codes[i], code_classes[i], rows[j], 0)
            pair = _PAIRS[c.classes is not None, factor.classes is not None]
            found.append(pair(c, factor, neighbours))
        return found

    def part(at: slice) -> list[list[float]]:
        return [of_code(i) for i in range(at.start, at.stop)]

    parts = over_cores(part, len(codes), STEPS * codes.size * d)
    return np.array([row for rows in parts for row in rows])


def _shrunk(radius: Array, x: Array) -> Array:
    """Below a distance by what x + r may be rounded."""
    eps = 4 * jnp.finfo(x.dtype).eps
    return jnp.maximum(radius - eps * (jnp.abs(x) + radius), 0.0)


def ross(
    x: Float[Array, "n"], labels: Int[Array, "n"], classes: int, neighbours: int
) -> Float[Array, ""]:
    """Information in nats of numbers and classes.

        I = psi(n) + <psi(k_i)> - <psi(n_class(i))> - <psi(m_i)>

    with m_i the number of samples within the distance of i to the k-th neighbour of its
    class. A class of one sample is left out. Where that distance is 0, k_i is the
    number of samples of the class that tie with i.

    Args:
      x: numbers.
      labels: classes 0 .. classes - 1; samples with any other are left out.
      classes: how many classes there are.
      neighbours: k; a class of fewer uses all.

    Returns:
      At least 0, and at most the entropy of the classes.

    Source: Ross 2014 (doi 10.1371/journal.pone.0087357), as in scikit-learn without its
      jitter; ties: Gao et al. 2017 (arXiv 1709.06212).
    """
    n = len(x)
    y = jnp.where((labels >= 0) & (labels < classes), labels, classes)
    counts = jnp.bincount(y, length=classes + 1)
    counts = jnp.where((counts == 1) | (jnp.arange(classes + 1) == classes), 0, counts)
    order = jnp.lexsort((x, y))
    xs, ys = x[order], y[order]
    size = counts[ys]
    used = size > 0
    k = jnp.minimum(neighbours, size - 1)
    i = jnp.arange(n)
    first = jnp.searchsorted(ys, ys, side="left")
    last = first + size - 1

    def window(a: Array) -> Float[Array, "n"]:
        # The k nearest of a sorted sample are one of the k + 1 windows that hold it.
        low, high = i - a, i - a + k
        fits = (a <= k) & (low >= first) & (high <= last)
        ends = xs[jnp.clip(low, 0, n - 1)], xs[jnp.clip(high, 0, n - 1)]
        return jnp.where(fits, jnp.maximum(xs - ends[0], ends[1] - xs), jnp.inf)

    radius = jax.vmap(window)(jnp.arange(neighbours + 1)).min(0)
    new = jnp.append(True, (jnp.diff(xs) != 0) | (jnp.diff(ys) != 0))
    run = jnp.cumsum(new) - 1
    near = jnp.where(radius == 0, jnp.bincount(run, length=n)[run], k)
    r = _shrunk(jnp.where(used, radius, 0.0), xs)
    ordered = jnp.sort(jnp.where(counts[y] > 0, x, jnp.inf))
    within = jnp.searchsorted(ordered, xs + r, side="right")
    within -= jnp.searchsorted(ordered, xs - r, side="left")
    total = jnp.maximum(used.sum(), 1)

    def mean(terms: Array) -> Array:
        return jnp.where(used, terms, 0.0).sum() / total

    def psi(m: Array) -> Array:
        return digamma(jnp.maximum(m, 1).astype(x.dtype))

    found = psi(total) + mean(psi(near) - psi(size) - psi(within))
    share = jnp.where(used, size, total) / total
    return jnp.clip(found, 0.0, jnp.maximum(mean(-jnp.log(share)), 0.0))


def ksg(
    x: Float[Array, "n"],
    y: Float[Array, "n"],
    known: Bool[Array, "n"],
    neighbours: int,
) -> Float[Array, ""]:
    """Information in nats of two columns of numbers of deviation 1.

        I = psi(n) + psi(k) - <psi(n_x(i) + 1) + psi(n_y(i) + 1)>

    with n_x(i) the number of others that are nearer in x than the k-th neighbour of i
    in the larger of both distances; where that is 0, k is the number of samples that
    tie with i. It takes n^2 steps.

    Args:
      x: numbers.
      y: numbers.
      known: which samples count; at least k + 1.
      neighbours: k.

    Source: Kraskov, Stoegbauer and Grassberger 2004 (arXiv cond-mat/0305641), as in
      scikit-learn without its jitter; ties: Gao et al. 2017 (arXiv 1709.06212).
    """
    x, y = jnp.where(known, x, jnp.inf), jnp.where(known, y, jnp.inf)

    def psi(m: Array) -> Array:
        return digamma(jnp.maximum(m, 1).astype(x.dtype))

    def of_row(i: tuple[Array, Array]) -> Array:
        a, b = jnp.abs(x - i[0]), jnp.abs(y - i[1])
        # Of k + 1, as each is its own neighbour.
        radius = -jax.lax.top_k(-jnp.maximum(a, b), neighbours + 1)[0][-1]
        within = (a <= _shrunk(radius, i[0])).sum(), (b <= _shrunk(radius, i[1])).sum()
        ties = ((a == 0) & (b == 0)).sum()
        near = jnp.where(radius == 0, ties, neighbours)
        return psi(near) - psi(within[0]) - psi(within[1])

    finite = jnp.where(known, x, 0.0), jnp.where(known, y, 0.0)
    terms = jax.lax.map(of_row, finite, batch_size=min(ROWS, len(x)))
    n = known.sum()
    mean = jnp.where(known, terms, 0.0).sum() / n
    return jnp.maximum(psi(n) + mean, 0.0)


def _scaled(x: Float[Array, "n k"], known: Bool[Array, "n k"]) -> Float[Array, "n k"]:
    """Columns of mean 0 and deviation 1 over the samples that are known."""
    first = jnp.take_along_axis(x, known.argmax(0)[None], 0)
    x = jnp.where(known, x - first, 0.0)
    n = known.sum(0)[None]
    x = jnp.where(known, x - x.sum(0)[None] / n, 0.0)
    std = jnp.sqrt((x**2).sum(0)[None] / n)
    return x / jnp.where(std > 0, std, 1.0)


def _pairs(
    score: Callable[..., Array], codes: tuple[Array, ...], factors: tuple[Array, ...]
) -> Float[Array, "k d"]:
    """`score(*code, *factor)` of all codes and factors, one after the other."""

    def of_factor(factor: tuple[Array, ...]) -> Array:
        return jax.lax.map(lambda code: score(*code, *factor), codes)

    return jax.lax.map(of_factor, factors).T


def by_neighbours(
    codes: Float[Array, "n k"],
    code_sizes: tuple[int, ...],
    z: Float[Array, "n d"],
    classes: Int[Array, "n d"],
    sizes: tuple[int, ...],
    mask: Bool[Array, "n d"] | None,
    neighbours: int,
) -> Float[Array, "k d"]:
    """`by_neighbours_on_host` of values that may be traced.

    Args:
      codes: codes, whole numbers from 0 in columns of classes.
      code_sizes: how many classes each code has; 0 for a column of numbers.
      z: factors.
      classes: classes of the factors from 0.
      sizes: how many classes each factor has; 0 for a column of numbers.
      mask: where the factors are known.
      neighbours: k, the number of neighbours.
    """
    known = jnp.ones(z.shape, bool) if mask is None else mask
    all_known = jnp.ones(codes.shape, bool)
    x, y, there = _scaled(codes, all_known).T, _scaled(z, known).T, known.T
    code_labels = codes.T.astype(jnp.int32)
    labels = jnp.where(known, classes, -1).T
    few, most = max(code_sizes, default=0), max(sizes, default=0)

    def of_classes(c: Array, f: Array) -> Array:
        return plug_in(c[None], few, f[None], most)[0, 0]

    def of_code(c: Array, f: Array, known: Array) -> Array:
        return ross(f, jnp.where(known, c, -1), few, neighbours)

    def of_factor(c: Array, f: Array) -> Array:
        return ross(c, f, most, neighbours)

    def of_numbers(c: Array, f: Array, known: Array) -> Array:
        c = _scaled(c[:, None], known[:, None])[:, 0]
        return ksg(c, f, known, neighbours)

    discrete = np.array(code_sizes) > 0, np.array(sizes) > 0
    blocks = (
        (of_classes, True, True, (code_labels,), (labels,)),
        (of_code, True, False, (code_labels,), (y, there)),
        (of_factor, False, True, (x,), (labels,)),
        (of_numbers, False, False, (x,), (y, there)),
    )
    found = jnp.zeros((codes.shape[1], z.shape[1]), x.dtype)
    for score, code_kind, kind, left, right in blocks:
        i = np.flatnonzero(discrete[0] == code_kind)
        j = np.flatnonzero(discrete[1] == kind)
        if i.size and j.size:
            block = _pairs(score, tuple(a[i] for a in left), tuple(b[j] for b in right))
            found = found.at[np.ix_(i, j)].set(block)
    return found
