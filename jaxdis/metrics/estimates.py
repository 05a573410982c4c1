"""Information of the codes and factors of one run, by bins or by nearest neighbours.

On the host where all is known, in JAX where it is traced: `counts`, `neighbours`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdis.metrics.counts import (
    Binning,
    binned,
    binned_on_host,
    over_cores,
    plug_in,
    plug_in_on_host,
    xlogx,
)
from jaxdis.metrics.inputs import (
    Failed,
    Key,
    Table,
)
from jaxdis.metrics.kinds import (
    Discrete,
    Factors,
    RawFactors,
)
from jaxdis.metrics.neighbours import by_neighbours, by_neighbours_on_host

__all__ = ["ESTIMATES", "Asked", "Kind", "Null", "entropies", "entropies_on_host"]

Kind: TypeAlias = Literal["bins", "knn"]
Null: TypeAlias = Literal["permute"] | None

BIN_STEPS = 10  # of each value that is binned, which `over_cores` asks for


class Asked(NamedTuple):
    """How information is estimated, as the public functions describe it.

    Attributes:
      discrete: which factors are classes.
      mask: where labels are known.
      kind: "bins" or "knn".
      bins: how many bins a column of numbers has.
      binning: "width" or "quantile".
      neighbours: the number of neighbours of "knn".
      discrete_codes: which codes are classes; None for those that suit the kind.
      samples: at most this many rows are used.
      null: "permute" to set to 0 what a useless code would reach.
      key: what rows are drawn and permuted with.
      failed: what codes that are not finite do.
    """

    discrete: Discrete = "auto"
    mask: Table = None
    kind: Kind = "bins"
    bins: int = 20
    binning: Binning = "width"
    neighbours: int = 3
    discrete_codes: Discrete | None = None
    samples: int | None = None
    null: Null = None
    key: Key = None
    failed: Failed = "raise"


def _labelled_on_host(raw: RawFactors, asked: Asked) -> tuple[np.ndarray, tuple]:
    """Classes or bins of each factor, [d, n], one above the largest if not known."""
    labels, sizes = np.array(raw.classes.T, np.intp, order="C"), list(raw.sizes)
    for j, size in enumerate(sizes):
        known = np.s_[:] if raw.mask is None else raw.mask[:, j]
        if not size:
            numbers = raw.values[known, j]
            labels[j, known] = binned_on_host(numbers, asked.bins, asked.binning)
            sizes[j] = asked.bins
        if raw.mask is not None:
            labels[j, ~raw.mask[:, j]] = sizes[j]
    return labels, tuple(sizes)


def _bins_on_host(
    raw: RawFactors, codes: np.ndarray, classes: list[np.ndarray | None], asked: Asked
) -> Float[np.ndarray, "k d"]:
    labels, sizes = _labelled_on_host(raw, asked)
    binned = np.empty(codes.shape, np.intp)

    def part(at: slice) -> None:
        for i in range(at.start, at.stop):
            known = classes[i]
            binned[i] = (
                binned_on_host(codes[i], asked.bins, asked.binning)
                if known is None
                else known
            )

    over_cores(part, len(codes), BIN_STEPS * codes.size)
    return plug_in_on_host(binned, int(binned.max()) + 1, labels, sizes)


def _knn_on_host(
    raw: RawFactors, codes: np.ndarray, classes: list[np.ndarray | None], asked: Asked
) -> Float[np.ndarray, "k d"]:
    known = [raw.classes[:, j] if size else None for j, size in enumerate(raw.sizes)]
    return by_neighbours_on_host(
        codes, classes, raw.values, known, raw.mask, asked.neighbours
    )


def _known(factors: Factors) -> Bool[Array, "n d"]:
    if factors.mask is None:
        return jnp.ones(factors.values.shape, bool)
    return factors.mask


def _labelled(factors: Factors, asked: Asked) -> tuple[Int[Array, "d n"], int]:
    """Classes or bins of each factor, -1 if not known, and how many at most."""
    known = _known(factors)

    def bins(x: Array, known: Array) -> Array:
        return binned(x, known, asked.bins, asked.binning)

    discrete = jnp.asarray(factors.sizes) > 0
    labels = factors.classes.T
    if 0 in factors.sizes:
        numbers = jax.vmap(bins)(factors.values.T, known.T)
        labels = jnp.where(discrete[:, None], labels, numbers)
    most = max(size or asked.bins for size in factors.sizes)
    return jnp.where(known.T, labels, -1), most


def _bins(
    factors: Factors, codes: Array, labels: Array, sizes: tuple[int, ...], asked: Asked
) -> Float[Array, "k d"]:
    y, most = _labelled(factors, asked)
    everywhere = jnp.ones(len(codes), bool)

    def bins(x: Array) -> Array:
        return binned(x, everywhere, asked.bins, asked.binning)

    discrete = jnp.asarray(sizes) > 0
    c = jnp.where(discrete[:, None], labels.T, jax.lax.map(bins, codes.T))
    return plug_in(c, max(size or asked.bins for size in sizes), y, most)


def _knn(
    factors: Factors, codes: Array, labels: Array, sizes: tuple[int, ...], asked: Asked
) -> Float[Array, "k d"]:
    discrete = jnp.asarray(sizes) > 0
    codes = jnp.where(discrete[None], labels.astype(codes.dtype), codes)
    return by_neighbours(
        codes,
        sizes,
        factors.values,
        factors.classes,
        factors.sizes,
        factors.mask,
        asked.neighbours,
    )


class _Estimate(NamedTuple):
    """One way to estimate information.

    Attributes:
      host: `(factors, rows of codes, their classes, asked) -> [k, d]` of known values.
      traced: `(factors, codes, their classes, their sizes, asked) -> [k, d]`.
      discrete_codes: which codes are classes if nothing is said.
      bins: whether numbers are binned.
    """

    host: Callable[..., np.ndarray]
    traced: Callable[..., Array]
    discrete_codes: Discrete
    bins: bool


ESTIMATES = {
    "bins": _Estimate(_bins_on_host, _bins, False, True),
    "knn": _Estimate(_knn_on_host, _knn, "auto", False),
}


def entropies_on_host(raw: RawFactors, asked: Asked) -> Float[np.ndarray, "d"]:
    """Entropies in nats of known factors, those of numbers after binning.

    Args:
      raw: the factors.
      asked: how they are binned.
    """
    found = []
    for y, size in zip(*_labelled_on_host(raw, asked), strict=True):
        counts = np.bincount(y, minlength=size)[:size]
        n, entropy = counts.sum(), xlogx(int(counts.sum()))
        found.append(max(0.0, (entropy[n] - entropy[counts].sum()) / n))
    return np.array(found)


def entropies(factors: Factors, asked: Asked) -> Float[Array, "d"]:
    """`entropies_on_host` of factors that may be traced.

    Args:
      factors: the factors.
      asked: how they are binned.
    """
    labels, most = _labelled(factors, asked)
    p = jax.nn.one_hot(labels, most).sum(1)
    p = p / p.sum(1, keepdims=True)
    return jax.scipy.special.entr(p).sum(1)
