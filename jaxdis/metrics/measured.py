"""Information of codes and factors of all seeds, with the null where it is asked for.

Failed runs and constant columns are treated as in `columns`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxdis import check
from jaxdis.metrics.checks import warn
from jaxdis.metrics.counts import BINNINGS
from jaxdis.metrics.estimates import ESTIMATES, Asked, entropies, entropies_on_host
from jaxdis.metrics.inputs import (
    Table,
    as_numbers,
    is_known,
    paired,
    raw_pair,
    shuffled,
)
from jaxdis.metrics.kinds import (
    FEW,
    Discrete,
    Factors,
    RawFactors,
    answers,
    as_factors,
    distinct,
    raw_factors,
)

__all__ = [
    "Measured",
    "OnHost",
    "code_classes",
    "entropies_of",
    "measured",
    "measured_on_host",
]

ABOVE_NULL = 1.5  # times the largest information with permuted factors


class Measured(NamedTuple):
    """Information and entropies in nats.

    Attributes:
      information: of each code (rows) and each factor (columns).
      entropies: of each factor; those of numbers after binning.
    """

    information: Float[Array, "*s k d"]
    entropies: Float[Array, "*t d"]


def _few(code: Float[np.ndarray, "n"]) -> bool:
    return len(np.unique(code[: 4 * FEW])) <= FEW and len(np.unique(code)) <= FEW


def _per_code(discrete: Discrete, k: int) -> list[bool | int]:
    return answers("discrete_codes", discrete, "codes", k)


def code_classes(
    rows: Float[np.ndarray, "m n"], discrete: Discrete, k: int
) -> list[np.ndarray | None]:
    """Classes of the codes of all seeds that are discrete; None for the others.

    Args:
      rows: one row a code, those of a seed after each other.
      discrete: which codes are classes.
      k: the number of codes of a seed.
    """
    if isinstance(discrete, str) and discrete == "auto":
        return [distinct(row)[1] if _few(row) else None for row in rows]
    asked = _per_code(discrete, k)
    return [_told(row, asked[i % k], i % k) for i, row in enumerate(rows)]


def _told(
    row: Float[np.ndarray, "n"], asked: bool | int, column: int
) -> np.ndarray | None:
    if not asked:
        return None
    if isinstance(asked, bool | np.bool_):
        return distinct(row)[1]
    if not (row == np.clip(np.round(row), 0, asked - 1)).all():
        raise ValueError(
            f"discrete_codes says that column {column} of codes has {asked} classes; "
            f"its values must be whole numbers in 0..{asked - 1}"
        )
    return row.astype(np.intp)


def _code_sizes(discrete: Discrete | None, k: int) -> tuple[int, ...]:
    asked = _per_code(False if discrete is None else discrete, k)
    if any(isinstance(a, bool | np.bool_) and a for a in asked):
        raise ValueError(
            "within jit the values of codes are not known; discrete_codes must say for "
            "each column how many classes it has, or False"
        )
    return tuple(int(a) for a in asked)


def _of_run(factors: Any, run: int, n: int) -> Any:
    """Factors of one of the runs of which the rows follow each other."""
    rows = slice(run * n, (run + 1) * n)
    mask = None if factors.mask is None else factors.mask[rows]
    return factors._replace(
        values=factors.values[rows], classes=factors.classes[rows], mask=mask
    )


def _permuted(factors: Any, order: np.ndarray) -> Any:
    mask = None if factors.mask is None else factors.mask[order]
    return factors._replace(
        values=factors.values[order], classes=factors.classes[order], mask=mask
    )


def _on_host(
    runs: list[RawFactors], codes: Shaped[np.ndarray, "s n k"], asked: Asked
) -> Float[np.ndarray, "s k d"]:
    """Of known values; runs holds one entry if the factors are shared."""
    s, n, k = codes.shape
    estimate = ESTIMATES[asked.kind]
    finite = np.isfinite(codes).all((1, 2))
    if not finite.all():
        codes = np.where(finite[:, None, None], codes, 0.0)
    rows = np.ascontiguousarray(codes.swapaxes(1, 2)).reshape(-1, n)
    default = estimate.discrete_codes
    discrete = default if asked.discrete_codes is None else asked.discrete_codes
    classes = code_classes(rows, discrete, k)
    share = len(rows) // len(runs)

    def of_all(change: Callable[[RawFactors], RawFactors]) -> np.ndarray:
        found = []
        for i, run in enumerate(runs):
            at = slice(i * share, (i + 1) * share)
            found.append(estimate.host(change(run), rows[at], classes[at], asked))
        return np.concatenate(found).reshape(s, k, -1)

    found = of_all(lambda run: run)
    if asked.null == "permute":
        order = shuffled(asked.key, n)
        useless = of_all(lambda run: _permuted(run, order)).max((1, 2), keepdims=True)
        found = np.where(found < ABOVE_NULL * useless, 0.0, found)
    return np.where(finite[:, None, None], found, np.nan)


def _traced(
    factors: Factors, codes: Array, labels: Array, sizes: tuple[int, ...], asked: Asked
) -> Float[Array, "k d"]:
    """Of one run."""
    finite = jnp.isfinite(codes).all()
    codes = jnp.where(finite, codes, 0.0)
    estimate = ESTIMATES[asked.kind].traced
    found = estimate(factors, codes, labels, sizes, asked)
    if asked.null == "permute":
        order = shuffled(asked.key, len(codes))
        useless = estimate(_permuted(factors, order), codes, labels, sizes, asked)
        found = jnp.where(found < ABOVE_NULL * useless.max(), 0.0, found)
    return jnp.where(finite, found, jnp.nan)


def _check(asked: Asked) -> None:
    check.one_of("kind", asked.kind, ESTIMATES)
    check.one_of("binning", asked.binning, BINNINGS)
    check.one_of("null", asked.null, (None, "permute"))
    check.whole("bins", asked.bins)
    check.at_least("bins", asked.bins, 2)
    check.count("neighbours", asked.neighbours)
    if asked.samples is not None:
        check.count("samples", asked.samples)


def _flat(z: Any, mask: Table) -> tuple[Any, Table]:
    """Factors of all runs below each other, with a mask to fit."""
    if z.ndim != 3:
        return z, mask
    if mask is not None:
        numpy = np if is_known(mask) else jnp
        mask = numpy.asarray(mask)
        mask = mask[:, None] if mask.ndim == 1 else mask
        mask = numpy.broadcast_to(mask, z.shape).reshape(-1, z.shape[2])
    return z.reshape(-1, z.shape[2]), mask


def _warn_of_numbers(sizes: tuple[int, ...], asked: Asked) -> None:
    numbers = [j for j, size in enumerate(sizes) if not size]
    if numbers and isinstance(asked.discrete, str):
        bins = {"width": "of equal width", "quantile": "of equally many samples"}
        warn(
            f"z is taken for numbers in columns {numbers}, which are cut into "
            f"{asked.bins} bins {bins[asked.binning]}; say discrete= to decide "
            "otherwise"
        )


def _drawn(z: Any, codes: Any, mask: Table, asked: Asked) -> tuple[Any, Any, Table]:
    """At most as many rows as asked for."""
    if asked.samples is None or min(z.ndim, codes.ndim) < 2:
        return z, codes, mask
    n = z.shape[-2]
    if asked.samples >= n or codes.shape[-2] != n:
        return z, codes, mask
    rows = np.sort(shuffled(asked.key, n)[: asked.samples])
    if mask is not None:
        numpy = np if is_known(mask) else jnp
        mask = numpy.asarray(mask)
        mask = mask[rows] if mask.ndim < 3 else mask[:, rows]
    return z[..., rows, :], codes[..., rows, :], mask


def _runs_on_host(
    z: Any, mask: Table, asked: Asked
) -> tuple[list[RawFactors], Float[np.ndarray, "*t n d"]]:
    """Factors of each run, and the values of all, which are finite.

    Args:
      z: factors [n, d] or [s, n, d].
      mask: where labels are known.
      asked: which factors are classes.
    """
    flat, mask = _flat(z, mask)
    raw = raw_factors(flat, asked.discrete, mask)
    if ESTIMATES[asked.kind].bins:
        _warn_of_numbers(raw.sizes, asked)
    n = z.shape[-2]
    runs = [_of_run(raw, i, n) for i in range(len(flat) // n)]
    return runs, raw.values.reshape(z.shape)


def _runs(z: Any, mask: Table, asked: Asked) -> Factors:
    """With the axis of runs in front that z has."""
    flat, mask = _flat(z, mask)
    factors = as_factors(flat, asked.discrete, mask)
    there = None if factors.mask is None else factors.mask.reshape(z.shape)
    values, classes = factors.values.reshape(z.shape), factors.classes.reshape(z.shape)
    return Factors(values, classes, factors.sizes, there)


def _over_runs(score: Callable[..., Array], factors: Factors, *codes: Array) -> Array:
    """`score(factors, *codes)`, mapped over the runs if there are some."""

    def of_run(arrays: tuple, *codes: Array) -> Array:
        values, classes, there = arrays
        return score(Factors(values, classes, factors.sizes, there), *codes)

    arrays = factors.values, factors.classes, factors.mask
    shared = factors.values.ndim == 2
    if shared and all(c.ndim == 2 for c in codes):
        return of_run(arrays, *codes)
    return jax.vmap(of_run, (None if shared else 0, *(0 for _ in codes)))(
        arrays, *codes
    )


def _measured_in_jax(z: Any, codes: Any, mask: Table, asked: Asked) -> Measured:
    factors = _runs(z, mask, asked)
    sizes = _code_sizes(asked.discrete_codes, codes.shape[-1])
    labels = jnp.asarray(codes).astype(jnp.int32)
    codes = paired(factors.values, codes, asked.failed)[1]

    def score(factors: Factors, codes: Array, labels: Array) -> Array:
        return _traced(factors, codes, labels, sizes, asked)

    found = _over_runs(score, factors, codes, labels)
    return Measured(found, _over_runs(partial(entropies, asked=asked), factors))


def _as_jax(x: Float[np.ndarray, "..."]) -> Float[Array, "..."]:
    return jnp.asarray(x.astype(jnp.result_type(float)))


class OnHost(NamedTuple):
    """What was measured of known values, and of what.

    Attributes:
      information: of each code and each factor.
      entropies: of each factor.
      runs: the factors of each run, one if they are shared.
      codes: the codes.
    """

    information: Float[np.ndarray, "*s k d"]
    entropies: Float[np.ndarray, "*t d"]
    runs: list[RawFactors]
    codes: Float[np.ndarray, "*s n k"]


def measured_on_host(z: Table, codes: Table, asked: Asked) -> OnHost:
    """`measured` of known values.

    Args:
      z: factors [n, d] or [s, n, d].
      codes: codes [n, k] or [s, n, k].
      asked: how it is estimated.
    """
    _check(asked)
    z, codes = as_numbers("z", z), as_numbers("codes", codes)
    z, codes, mask = _drawn(z, codes, asked.mask, asked)
    runs, values = _runs_on_host(z, mask, asked)
    wide = raw_pair(values, codes, asked.failed)[1]
    numbers = np.asarray(codes if codes.dtype == np.float32 else wide)
    found = _on_host(runs, numbers.reshape(-1, *numbers.shape[-2:]), asked)
    h = np.stack([entropies_on_host(run, asked) for run in runs])
    found = found.reshape(*codes.shape[:-2], *found.shape[1:])
    return OnHost(found, h.reshape(*z.shape[:-2], -1), runs, numbers)


def measured(z: Table, codes: Table, asked: Asked) -> Measured:
    """Information of codes and factors, and entropies of the factors.

    Args:
      z: factors [n, d] or [s, n, d].
      codes: codes [n, k] or [s, n, k].
      asked: how it is estimated.
    """
    if is_known(z, codes, asked.mask):
        found = measured_on_host(z, codes, asked)
        return Measured(_as_jax(found.information), _as_jax(found.entropies))
    _check(asked)
    z, codes = as_numbers("z", z), as_numbers("codes", codes)
    z, codes, mask = _drawn(z, codes, asked.mask, asked)
    return _measured_in_jax(z, codes, mask, asked)


def entropies_of(z: Table, asked: Asked) -> Float[Array, "*t d"]:
    """Entropies in nats of the factors, those of numbers after binning.

    Args:
      z: factors [n, d] or [s, n, d].
      asked: how they are told apart and binned.
    """
    _check(asked)
    z = as_numbers("z", z)
    if not is_known(z, asked.mask):
        return _over_runs(partial(entropies, asked=asked), _runs(z, asked.mask, asked))
    runs, _ = _runs_on_host(z, asked.mask, asked)
    h = np.stack([entropies_on_host(run, asked) for run in runs])
    return _as_jax(h.reshape(*z.shape[:-2], -1))
