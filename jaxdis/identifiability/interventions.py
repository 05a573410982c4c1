"""What theory says of interventions of unknown target on Gaussian latents.

Latents are independent and Gaussian in every regime; the first is that without an
intervention. In units of that regime, z_i = (z_i - m_0i) / s_0i, the log density of
regime l less that of the first is, up to a constant,

    r_l(z) = sum_i a_li z_i - b_li z_i^2 / 2,
    b_li = s_0i^2 / s_li^2 - 1,   a_li = (1 + b_li) (m_li - m_0i) / s_0i.

A model of the same family that has the distribution of x in every regime has the same
r_l(x). Three things follow.

- The joint law of r in the first regime has the characteristic function
  `prod_i (1 + i t.b_i)^(-1/2) exp(-(t.a_i)^2 / (2 + 2 i t.b_i))` up to a phase, b_i the
  column of z_i. Its singularities tell the columns b_i with their multiplicities, and
  `sum a_i a_i'` over latents that share one: those that share a column b, as all do
  whose variance never changes, are known up to a rotation of their columns a.
- Weights c of the regimes with c.a_j = c.b_j = 0 for all j but i make c.r a function of
  z_i alone, in the model of one code alone (up to that rotation).
- A rotation is excluded by sparsity: if no regime shifts two of those that share b
  without a change of their variance, no model has fewer edges, and one with as few
  cannot rotate a latent that is the only one of them to be shifted somewhere.

Source: this library. Special cases are in Khemakhem et al. 2020 (arXiv 1907.04809: a
and b of all latents independent, 2 d + 1 regimes, no graph), and single targets in
Lachapelle et al. 2022 (arXiv 2107.10098).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxdis.identifiability.graphs import Matrix
from jaxdis.identifiability.promises import Promise, finest_blocks, named

__all__ = ["promise_of_interventions"]

_SMALL = 1e-4  # relative size below which a change counts as none


def promise_of_interventions(means: Matrix, stds: Matrix) -> Promise:
    """What interventions on Gaussian latents promise to a model with as few edges.

    z_i is told apart if its columns a_i, b_i are not all in the span of those of the
    other latents, and either no other latent has the same b_i, or no intervention
    shifts two latents of the same b whose variances it leaves alone, and one shifts z_i
    so. The last latent is told apart if all others are.

    Args:
      means: m [l, z], the mean of each latent in each regime; the first regime is that
        without an intervention. On the host.
      stds: s [l, z], the standard deviations.

    Returns:
      The promise. An intervention of one target tells that target apart, if it
      changes its variance or if every shift has one target. Two targets that are only
      shifted are one target of rotated axes: such a graph promises nothing, whatever
      `graph_criterion` says.

    Raises:
      ValueError: for a wrong shape, a value that is not finite, or s <= 0.

    Note: It is a sufficient condition. Of shifts of several targets more is known where
      many interventions share their targets; nothing is promised here.
    """
    a, b = _natural(means, stds)
    n = a.shape[1]
    alike = np.all(b[:, :, None] == b[:, None, :], 0)
    shifted = (a != 0) & (b == 0)
    crowd = np.einsum("li,ij->lj", shifted.astype(int), alike.astype(int))
    what = _Interventions(
        moved=np.any((a != 0) | (b != 0), 0),
        own=np.array([_independent(a, b, i) for i in range(n)]),
        alike=alike,
        still=np.all(b == 0, 0),
        tight=bool(np.all(crowd[shifted] <= 1)),
    )
    singled = np.any(shifted & (crowd == 1), 0) & what.tight
    found = what.moved & what.own & ((alike.sum(1) == 1) | singled)
    if found.sum() == n - 1:
        found[:] = True
    pattern = np.where(found[:, None], np.eye(n, dtype=bool), True)
    missing = tuple("" if done else _lacks(what, i) for i, done in enumerate(found))
    return Promise(pattern, finest_blocks(pattern), found, missing, _ASSUMES)


class _Interventions(NamedTuple):
    """What interventions do to latents.

    Attributes:
      moved: whether any moves z_i.
      own: whether what they do to z_i is no sum of what they do to others.
      alike: whether the variances of two latents always change alike.
      still: whether the variance of z_i never changes.
      tight: whether none shifts several latents of the same b at once, whose variances
        it leaves alone.
    """

    moved: Bool[np.ndarray, "z"]
    own: Bool[np.ndarray, "z"]
    alike: Bool[np.ndarray, "z z"]
    still: Bool[np.ndarray, "z"]
    tight: bool


def _lacks(what: _Interventions, i: int) -> str:
    """Why z_i is not told apart, and what would do it."""
    if not what.moved[i]:
        why = f"no intervention moves z_{i}"
    elif not what.own[i]:
        why = f"what the interventions do to z_{i} is a sum of what they do to others"
    else:
        change = "never change" if what.still[i] else "always change alike"
        why = f"the variances of {named(what.alike[i])} {change}" + (
            f", and none shifts z_{i} without another of them"
            if what.tight
            else ", and some interventions shift several of such latents at once, "
            "along one direction: rotated axes have fewer edges"
        )
    cure = f"an intervention that changes the variance of z_{i} alone"
    return f"{why}: {cure} would tell it apart"


def _natural(
    means: Matrix, stds: Matrix
) -> tuple[Float[np.ndarray, "l z"], Float[np.ndarray, "l z"]]:
    """a and b of every regime but the first; what is tiny is exactly 0 or equal."""
    m, s = np.asarray(means, np.float64), np.asarray(stds, np.float64)
    if m.ndim != 2 or m.shape != s.shape or not m.size:
        raise ValueError(
            f"means has shape {m.shape} and stds {s.shape}; both must be matrices: one "
            "row per regime, the first without an intervention, one column per latent"
        )
    if not np.isfinite(m).all():
        raise ValueError("means holds NaN or infinite values")
    if not (np.isfinite(s) & (s > 0)).all():
        raise ValueError("stds holds values that are not positive and finite")
    ratio = (s[:1] / s[1:]) ** 2
    shift = (m[1:] - m[:1]) / s[:1]
    b = np.where(np.abs(np.log(ratio)) > _SMALL, ratio - 1, 0.0)
    a = np.where(np.abs(shift) > _SMALL, ratio * shift, 0.0)
    return a, np.round(b, 6)


def _independent(
    a: Float[np.ndarray, "l z"], b: Float[np.ndarray, "l z"], i: int
) -> bool:
    """Whether the columns of z_i reach out of the span of those of the others."""
    columns = np.concatenate([a, b], 1)
    size = np.linalg.norm(columns, axis=0, keepdims=True)
    columns = columns / np.where(size > 0, size, 1.0)
    mine = np.tile(np.arange(a.shape[1]) == i, 2)
    others, mine = columns[:, ~mine], columns[:, mine]
    left, values, _ = np.linalg.svd(others, full_matrices=False)
    basis = left[:, values > _SMALL]
    rest = mine - basis @ (basis.T @ mine)
    return bool(np.abs(rest).max(initial=0.0) > _SMALL)


_ASSUMES = (
    "observations are a smooth injective function of the latents, which are Gaussian "
    "and independent in every regime; the model has the distribution of the data in "
    "every regime, and its graph has no more edges than the targets"
)
