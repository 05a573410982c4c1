"""How well the codes of several seeds agree, without true factors.

Failed runs and dead codes are treated as in `columns`.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdis import check, prox
from jaxdis.metrics.columns import ranks, standardise
from jaxdis.metrics.correlation import matched
from jaxdis.metrics.inputs import Table, as_numbers, narrowed
from jaxdis.types import Score

__all__ = ["AGREEMENT", "UDR", "agreement", "relative_strength", "udr"]

LASSO_ALPHA, LASSO_STEPS = 0.1, 3000

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


def _lasso(corr: Float[Array, "s t k l"]) -> Float[Array, "s t k l"]:
    """argmin_w w'Gw / 2 - w'b + alpha |w|_1, G of seed s, for each code b of seed t."""
    _, t, k, codes = corr.shape

    def of_seed(gram: Float[Array, "k k"], cross: Float[Array, "t k l"]) -> Array:
        targets = cross.swapaxes(1, 2).reshape(t * codes, k)

        def slope(w: Float[Array, "r k"]) -> Float[Array, "r k"]:
            return jnp.matmul(w, gram, precision="highest") - targets

        curvature = jnp.linalg.eigvalsh(gram)[-1:]
        price = jnp.full((1, 1), LASSO_ALPHA, cross.dtype)
        start = jnp.zeros_like(targets)
        w = prox.fista(slope, price, curvature, start, LASSO_STEPS)
        return w.reshape(t, codes, k).swapaxes(1, 2)

    seeds = jnp.arange(t)
    return jax.vmap(of_seed)(corr[seeds, seeds], corr)


class _Kind(NamedTuple):
    """One way to compare the codes of two seeds.

    Attributes:
      columns: what of a seed's codes is correlated.
      relate: correlations of all pairs of seeds to relations R.
      score: the score of one R without its signs.
    """

    columns: Callable[[Array], Array]
    relate: Callable[[Array], Array]
    score: Callable[[Array], Array]


def _same(x: Array) -> Array:
    return x


def _mean_matched(matrix: Float[Array, "k l"]) -> Float[Array, ""]:
    return matched(matrix).mean()


_KINDS = {
    "mcc": _Kind(_same, _same, _mean_matched),
    "lasso": _Kind(_same, _lasso, relative_strength),
    "spearman": _Kind(ranks, _same, relative_strength),
}


@partial(jax.jit, static_argnames="kind")
def _agreement(
    codes: Float[Array, "s n k"], to: Float[Array, "t n l"] | None, kind: str
) -> Float[Array, "s t"]:
    columns, relate, score = _KINDS[kind]
    codes = jax.vmap(standardise)(jax.vmap(columns)(codes))
    others = codes if to is None else jax.vmap(standardise)(jax.vmap(columns)(to))
    corr = jnp.einsum("snk,tnl->stkl", codes, others, precision="highest")
    relation = relate(jnp.clip(corr / codes.shape[1], -1.0, 1.0))
    return jax.vmap(jax.vmap(score))(jnp.abs(relation))


def agreement(
    codes: Table,
    *,
    kind: Literal["mcc", "lasso", "spearman"] = "mcc",
    to: Table = None,
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

    Returns:
      A, [s, t], higher is better. Two seeds that agree up to order and sign have 1 with
      "mcc", .9 with "lasso", and less than 1 with "spearman"; dead codes count 0. NaN
      for a seed with a code that is not finite.

    Raises:
      ValueError: for a wrong shape or an unknown kind.

    Source: Duan et al. 2020 (arXiv 1905.12614); "mcc": Lachapelle et al. 2024
      (arXiv 2401.04890).
    """
    check.one_of("kind", kind, _KINDS)
    codes = narrowed(as_numbers("codes", codes))
    if codes.ndim != 3:
        raise ValueError(f"codes has shape {codes.shape}; it must be [s, n, k]")
    to = None if to is None else narrowed(as_numbers("to", to))
    if to is not None and to.shape[1:] != codes.shape[1:]:
        raise ValueError(f"to has shape {to.shape}; it must be [t, n, k] of codes's n")
    return _agreement(codes, to, kind)


def udr(
    codes: Table,
    *,
    kind: Literal["mcc", "lasso", "spearman"] = "mcc",
) -> Float[Array, ""]:
    """Unsupervised disentanglement ranking: how well the seeds of a setting agree.

        UDR = median over s != t of A[s, t],   A = `agreement`

    Args:
      codes: codes [s, n, k] of at least two seeds for the same samples.
      kind: how two seeds are compared; see `agreement`.

    Returns:
      A scalar, higher is better. Seeds that agree up to order and sign reach 1 with
      "mcc", .9 with "lasso", and less than 1 with "spearman". NaN if a seed has a code
      that is not finite.

    Raises:
      ValueError: for a wrong shape, fewer than two seeds, or an unknown kind.

    Note: The paper removes codes whose KL to the prior is at most .01. That takes the
      posterior, so it is the caller's business here.

    Source: Duan et al. 2020 (arXiv 1905.12614); "mcc": Lachapelle et al. 2024
      (arXiv 2401.04890).
    """
    pairs = agreement(codes, kind=kind)
    seeds = len(pairs)
    if seeds < 2:
        raise ValueError(
            f"codes holds {seeds} seed; pairs of seeds are compared, so at least 2 are "
            "needed"
        )
    return jnp.median(pairs[np.nonzero(~np.eye(seeds, dtype=bool))])
