"""How well the codes of several seeds agree, without true factors.

Failed runs and dead codes are treated as in `columns`.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from jaxdis import check
from jaxdis.metrics.assignment import matched
from jaxdis.metrics.columns import ranks, standardise
from jaxdis.metrics.inputs import (
    Failed,
    Table,
    as_float,
    as_numbers,
    is_known,
    narrowed,
    standardised,
)
from jaxdis.metrics.lasso import exact_lasso, traced_lasso
from jaxdis.metrics.moments import rank_columns
from jaxdis.types import Score

__all__ = ["AGREEMENT", "UDR", "agreement", "relative_strength", "udr"]

LASSO_ALPHA = 0.1

UDR = Score("udr", "UDR", "higher", (0, 1), "Duan et al. 2020 (arXiv 1905.12614)")
AGREEMENT = UDR._replace(name="agreement", title="Agreement")
"""Of one seed: the median of its row of `agreement`, without itself."""


def relative_strength(relation: Float[Array, "k l"]) -> Float[Array, ""]:
    """How near a non-negative matrix is to a permutation.

        (1/2) [mean_b (max_a R_ab^2 / sum_a R_ab) + mean_a (max_b R_ab^2 / sum_b R_ab)]

    Args:
      relation: R, [k, l], not negative.

    Returns:
      A scalar: 1 for a permutation matrix; rows and columns of zeros count 0.

    Source: Duan et al. 2020 (arXiv 1905.12614).
    """

    def along(axis: int) -> Array:
        total = relation.sum(axis)
        empty = total == 0
        return (relation.max(axis) ** 2 / jnp.where(empty, 1.0, total)).mean()

    return (along(0) + along(1)) / 2


def _lasso(
    grams: Float[Array, "s k k"], cross: Float[Array, "s t k l"]
) -> Float[Array, "s t k l"]:
    """argmin_w w'Gw / 2 - w'b + alpha |w|_1, G of seed s, for each code b of seed t."""
    _, t, k, codes = cross.shape

    def of_seed(gram: Float[Array, "k k"], cross: Float[Array, "t k l"]) -> Array:
        targets = cross.swapaxes(0, 1).reshape(k, t * codes)
        weights = traced_lasso(gram, targets, LASSO_ALPHA)
        return weights.reshape(k, t, codes).swapaxes(0, 1)

    return jax.vmap(of_seed)(grams, cross)


class _Kind(NamedTuple):
    """One way to compare the codes of two seeds.

    Attributes:
      columns: what of a seed's codes is correlated.
      relate: correlations within each seed, and of all pairs of seeds, to relations R.
      score: the score of one R without its signs.
    """

    columns: Callable[[Array], Array]
    relate: Callable[[Array, Array], Array]
    score: Callable[[Array], Array]


def _same(x: Array) -> Array:
    return x


def _across(_: Array, cross: Array) -> Array:
    return cross


def _mean_matched(matrix: Float[Array, "k l"]) -> Float[Array, ""]:
    return matched(matrix).mean()


_KINDS = {
    "mcc": _Kind(_same, _across, _mean_matched),
    "lasso": _Kind(_same, _lasso, relative_strength),
    "spearman": _Kind(ranks, _across, relative_strength),
}


@partial(jax.jit, static_argnames="kind")
def _in_program(
    codes: Float[Array, "s n k"], to: Float[Array, "t n l"], kind: str
) -> Float[Array, "s t"]:
    columns, relate, score = _KINDS[kind]
    codes = jax.vmap(standardise)(jax.vmap(columns)(codes))
    to = jax.vmap(standardise)(jax.vmap(columns)(to))
    product = partial(jnp.einsum, precision="highest")
    cross = product("snk,tnl->stkl", codes, to) / codes.shape[1]
    grams = product("snk,snl->skl", codes, codes) / codes.shape[1]
    relation = relate(jnp.clip(grams, -1.0, 1.0), jnp.clip(cross, -1.0, 1.0))
    return jax.vmap(jax.vmap(score))(jnp.abs(relation))


def _narrow(codes: Table, to: Table, kind: str) -> Float[Array, "s t"]:
    return _in_program(narrowed(codes), narrowed(to), kind)


_score_all = jax.jit(jax.vmap(jax.vmap(relative_strength)))


def _exact(
    codes: Num[np.ndarray, "s n k"], to: Num[np.ndarray, "t n l"], _: str
) -> Float[Array, "s t"]:
    """The lasso in float64: correlations near 1 leave float32 no digits."""
    alive, there = (np.isfinite(x).all((1, 2)) for x in (codes, to))
    pairs = np.full((len(codes), len(to)), np.nan)
    if alive.any() and there.any():
        n, k, codes_to = codes.shape[1], codes.shape[2], to.shape[2]
        others = standardised(to[there]).swapaxes(0, 1).reshape(n, -1)
        relations = []
        for own in standardised(codes[alive]):
            weights = exact_lasso(own.T @ own / n, own.T @ others / n, LASSO_ALPHA)
            relations.append(weights.reshape(k, -1, codes_to).swapaxes(0, 1))
        strength = _score_all(as_float(np.abs(np.stack(relations))))
        pairs[np.ix_(alive, there)] = np.asarray(strength)
    return as_float(pairs)


def _of_ranks(
    codes: Num[np.ndarray, "s n k"], to: Num[np.ndarray, "t n l"], kind: str
) -> Float[Array, "s t"]:
    """Ranks are of numbers as wide as they came: in float32 some would tie."""
    ranked = [np.stack([rank_columns(c) for c in x]) for x in (codes, to)]
    return _in_program(*map(as_float, ranked), kind)


_ON_HOST = {"lasso": _exact, "spearman": _of_ranks}
"""The kinds that known values are compared by on the host."""

_MEDIANS = {"raise": jnp.median, "nan": jnp.nanmedian}


def _read(name: str, codes: Table, failed: Failed) -> Array | np.ndarray:
    """Codes of several seeds, after checks."""
    codes = as_numbers(name, codes)
    if codes.ndim != 3:
        raise ValueError(f"{name} has shape {codes.shape}; it must be [s, n, k]")
    check.one_of("failed", failed, _MEDIANS)
    if failed == "raise" and isinstance(codes, np.ndarray):
        broken = ~np.isfinite(codes.astype(np.float64, copy=False)).all((1, 2))
        if broken.any():
            raise ValueError(
                f"{name} is NaN or infinite in seeds {np.flatnonzero(broken).tolist()};"
                " leave them out, or pass failed='nan'"
            )
    return codes


def agreement(
    codes: Table,
    *,
    kind: Literal["mcc", "lasso", "spearman"] = "mcc",
    to: Table = None,
    failed: Failed = "raise",
) -> Float[Array, "s t"]:
    """How well the codes of each seed agree with those of each other seed.

        A[s, t] = score(R^(s,t))

    - "mcc": the MCC of the codes of two seeds;
    - "lasso": R[a, b] = |Lasso coefficient, alpha = .1| of code b of seed t on the
      standardised codes of seed s, score = `relative_strength`;
    - "spearman": R[a, b] = |rank correlation|, score = `relative_strength`.

    Args:
      codes: codes [s, n, k] of the seeds for the same samples.
      kind: one of the three above.
      to: the codes [t, n, k] of those that they are compared with; by default codes.
      failed: "raise" refuses codes that are not finite, "nan" gives their seed NaN.

    Returns:
      A, [s, t], higher is better. Two seeds that agree up to order and sign have 1 with
      "mcc", .9 with "lasso", and less than 1 with "spearman"; dead codes count 0. NaN
      for a seed with a code that is not finite.

    Raises:
      ValueError: for a wrong shape, an unknown kind, or codes that are not finite.

    Note: Known values are compared in float64 with "lasso", to 1e-9. Within jit 3,000
      steps of FISTA in float32 are off by 4e-4 where codes correlate by .999.

    Source: Duan et al. 2020 (arXiv 1905.12614); "mcc": Lachapelle et al. 2024
      (arXiv 2401.04890).
    """
    check.one_of("kind", kind, _KINDS)
    codes = _read("codes", codes, failed)
    other = codes if to is None else _read("to", to, failed)
    if other.shape[1:] != codes.shape[1:]:
        raise ValueError(
            f"to has shape {other.shape}; it must be [t, n, k] of the n and k of "
            f"codes, {codes.shape}"
        )
    on_host = is_known(codes, other)
    compare: Callable[..., Array] = _ON_HOST.get(kind, _narrow) if on_host else _narrow
    return compare(codes, other, kind)


def udr(
    codes: Table,
    *,
    kind: Literal["mcc", "lasso", "spearman"] = "mcc",
    failed: Failed = "raise",
) -> Float[Array, ""]:
    """Unsupervised disentanglement ranking: how well the seeds of a setting agree.

        UDR = median over s != t of A[s, t],   A = `agreement`

    Args:
      codes: codes [s, n, k] of at least two seeds for the same samples.
      kind: how two seeds are compared; see `agreement`.
      failed: "raise" refuses codes that are not finite, "nan" leaves their seeds out.

    Returns:
      A scalar, higher is better. Seeds that agree up to order and sign reach 1 with
      "mcc", .9 with "lasso", and less than 1 with "spearman". NaN if fewer than two
      seeds are left.

    Raises:
      ValueError: for a wrong shape, fewer than two seeds, an unknown kind, or codes
        that are not finite.

    Note: The paper removes codes whose KL to the prior is at most .01. That takes the
      posterior, so it is the caller's business here.

    Source: Duan et al. 2020 (arXiv 1905.12614); "mcc": Lachapelle et al. 2024
      (arXiv 2401.04890).
    """
    pairs = agreement(codes, kind=kind, failed=failed)
    seeds = len(pairs)
    if seeds < 2:
        raise ValueError(
            f"codes holds {seeds} seed; pairs of seeds are compared, so at least 2 are "
            "needed"
        )
    return _MEDIANS[failed](pairs[np.nonzero(~np.eye(seeds, dtype=bool))])
