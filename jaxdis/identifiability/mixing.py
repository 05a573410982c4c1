"""What theory says of mixings: which latents sparsity and domains tell apart.

Rows of masks are observed variables: `M[k, i] = 1` iff x_k depends on z_i.

Source: Zheng et al. 2022 (arXiv 2206.07751), structural sparsity; Li et al. 2025 (arXiv
2503.00639), sparse mixing with changes.
"""

import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxdis.identifiability.graphs import Graph, Matrix, as_graph
from jaxdis.identifiability.tasks import support_variability
from jaxdis.types import Scalar

__all__ = [
    "SUPPORT_THRESHOLD",
    "MixingReport",
    "domains_needed",
    "learned_support",
    "mixing_pattern",
    "mixing_report",
    "structural_sparsity",
    "support_errors",
]

SUPPORT_THRESHOLD = 0.1
"""The share of the strongest entry of a row above which an entry is a dependence."""


class MixingReport(NamedTuple):
    """What theory says of each latent of a mixing, from `mixing_report`.

    Attributes:
      used: whether some observed variable depends on z_i.
      domains: how many domains are enough for z_i; 0 where no number is.
      twins: the latents whose changes must be sufficient together with those of z_i.
      identified: whether z_i is a function of a single code.
      block: the codes that z_i may be a function of.
      missing: in words, why not or what it would take; empty where it is identified.
    """

    used: Bool[np.ndarray, "z"]
    domains: Int[np.ndarray, "z"]
    twins: Bool[np.ndarray, "z z"]
    identified: Bool[np.ndarray, "z"]
    block: Bool[np.ndarray, "z z"]
    missing: tuple[str, ...]


def _as_mask(mask: Graph) -> Int[Array, "x z"]:
    return as_graph(
        mask, "mask", "one row per observed variable, one column per latent"
    )


def _as_bools(mask: Graph) -> Bool[np.ndarray, "x z"]:
    return np.asarray(_as_mask(mask)).astype(bool)


def structural_sparsity(mask: Graph) -> Bool[Array, "z"]:
    """Which latents some observed variables have in common, and nothing else.

        sparse_i  iff  the intersection of {Pa(k): i in Pa(k)} is {i},
        Pa(k) = {j: M[k, j] = 1}

    Args:
      mask: M, [x, z] of 0/1, rows are observed variables.

    Returns:
      [z].

    Raises:
      ValueError: if M is not a matrix, or holds other values than 0 and 1.

    Note: By itself it identifies nothing. A square ring, x_k = f_k(z_k, z_k+1), has it,
      and yet G z = H z^ with G = circulant(2, 1, 0), H = circulant(1, 2, 0) and z^ a
      rotation of a Gaussian z (invertible maps of single z_i do not matter).
      `mixing_pattern` says what the mask gives.

    Source: Zheng et al. 2022 (arXiv 2206.07751).
    """
    return support_variability(_as_mask(mask)).identified


def _undetermined(mask: Bool[np.ndarray, "x z"]) -> Bool[np.ndarray, "z"]:
    """Columns that some maximum matching of rows and columns leaves out.

    They are the i for which e_i is not in the span of the rows of a generic matrix with
    this support: reachable from an unmatched column by alternating paths.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    row = maximum_bipartite_matching(csr_matrix(mask, dtype=np.int8), perm_type="row")
    matched = np.flatnonzero(row >= 0)
    free = np.asarray(row < 0)
    for _ in matched:
        free[matched] |= np.asarray(mask[:, free].any(1))[row[matched]]
    return free


def mixing_pattern(mask: Graph) -> Bool[np.ndarray, "z z"]:
    """Which codes a latent may still be a function of, once the decoder is as sparse.

        C[i, l] = 0  iff  e_i is in the span of the rows of M that do not use z_l,
                          their entries in general position

    At least what `containment` allows, Ch(i) within Ch(l), Ch(i) = {k: M[k, i] = 1}.
    The two are equal if enough observed variables do without each latent: for dense,
    block and triangular masks, and for a ring with every row twice, but not for a
    square ring. C is reflexive and transitive, and in general not symmetric.

    Statement. Let x = g(z) = g^(z^) with g, g^ twice differentiable, injective and of
    full rank, and M the support of the Jacobian J of g. If

    1. after a permutation of z^, the Jacobian of g^ is 0 wherever M is;
    2. J(z) is in general position for almost all z: where C[i, l] = 0, its rows that do
       not use z_l span e_i;

    then z_i is a function of the z^_l with C[i, l] = 1 alone. If l is not in Pa(k), the
    rows k of J times column l of dz / dz^ are 0; by 2 so is its entry i.

    Args:
      mask: M, [x, z] of 0/1, rows are observed variables. On the host.

    Returns:
      C, [z, z].

    Raises:
      ValueError: if M is not a matrix, or holds other values than 0 and 1.

    Note: That rows of J span their supports as z varies is not enough in place of 2:
      see the ring of `structural_sparsity`, with z_i bent one by one.
    """
    a = _as_bools(mask)
    return np.stack([_undetermined(a[~uses]) for uses in a.T], 1)


def _names(latents: Bool[np.ndarray, "z"]) -> str:
    return ", ".join(f"z_{i}" for i in np.flatnonzero(latents))


def _unused(i: int) -> str:
    return f"no observed variable depends on z_{i}"


def _separators(contained: Bool[np.ndarray, "z"], others: Bool[np.ndarray, "z"]) -> str:
    """Which observed variables would do in place of changes."""
    parts = []
    if contained.any():
        parts.append(f"observed variables that use it and not {_names(contained)}")
    if others.any():
        parts.append(f"more observed variables without {_names(others)}")
    return " and ".join(parts)


def _not_injective(
    mask: Bool[np.ndarray, "x z"],
    used: Bool[np.ndarray, "z"],
    excess: Bool[np.ndarray, "z"],
) -> MixingReport:
    """The report where `excess` latents share fewer observed variables."""
    rows = int(mask[:, excess].any(1).sum())
    short = (
        f"no injective mixing has this mask: {_names(excess)} have {rows} observed "
        f"variable{'s' * (rows != 1)} together"
    )
    words = tuple(short if u else _unused(i) for i, u in enumerate(used))
    anything = np.ones((len(used), len(used)), bool)
    domains, identified = np.zeros(len(used), int), np.zeros(len(used), bool)
    return MixingReport(used, domains, anything, identified, anything, words)


def mixing_report(mask: Graph, domains: int | None = None) -> MixingReport:
    """Which latents sparse mixing and so many domains tell apart, and what is missing.

        twins(i)   = {j: C[i, j] and C[j, i]},  C from `mixing_pattern`
        domains_i  = 1 if C[i, l] only for l = i, else 1 + 2 max_{j: C[j, i]} |twins(j)|
        identified_i  iff  z_i is used and domains_i <= D
        block(i)   = {i} if z_i is identified, else {l: C[i, l]}

    Enough domains: 1 for a ring with every row twice (no changes are needed), 2n + 1
    for a dense mask or a square ring, 2b + 1 for dense blocks of size b, 3 for a
    triangular mask.

    Statement. Let 1 and 2 of `mixing_pattern` hold, and

    3. given the domain u, the z_i are independent, with positive densities on
       intervals that are twice differentiable; so are the z^_i;
    4. for each set of twins E with domains_i > 1 and |E| <= (D - 1) / 2, the matrix
       with a row for each u = 1..D-1 and the columns, for i in E,

           eta_i''(z_i, u) - eta_i''(z_i, 0),   eta_i'(z_i, u) - eta_i'(z_i, 0),
           eta_i(z_i, u) = log p(z_i | u),

       has rank 2 |E| for almost all z (`gaussian_changes_ok`, `change_strength`).

    Then, after a permutation of z^ among twins, z_i is an invertible function of z^_i
    alone if it is identified, and else a function of the codes of its block.

    Proof. The mixed derivative of log p(z^ | u) by z^_k and z^_l, k != l, is 0. Without
    that of domain 0, in which the term of log |det dz / dz^| is the same,

        sum_i (eta_i'' difference) d_k z_i d_l z_i + (eta_i' difference) d_k d_l z_i = 0

    over the i with C[i, k] and C[i, l]. Let k be in a set E of twins, and all j outside
    of E with C[j, k] be identified: then their terms are 0. Those of E are left, so 4
    gives d_k z_i d_l z_i = 0 for all i, k in E and l != k. Sorted by C, dz / dz^ is
    block triangular with invertible blocks, so that d_k z_i != 0 for a k in E, and for
    i all other derivatives are 0. So it goes from set to set.

    Args:
      mask: M, [x, z] of 0/1, rows are observed variables. On the host.
      domains: D, or None for as many as it takes.

    Returns:
      used [z], domains [z], twins [z, z], identified [z], block [z, z] with one row
      per latent, missing with one text per latent. Latents that no observed variable
      depends on are left out of the others' counts. If no injective mixing has the
      mask, nothing is identified and blocks are everything.

    Raises:
      ValueError: if M is not a matrix, holds other values than 0 and 1, or D < 1.

    Note: Enough is not necessary: fewer domains can do for particular densities. Taken
      pair by pair, the sums have up to U = max_kl #{i: C[i, k] and C[i, l]} terms, and
      would ask for 2U + 1 domains, 2(n - 1) + 1 for a triangular mask.

    Source: Zheng et al. 2022 (arXiv 2206.07751) and Li et al. 2025 (arXiv 2503.00639)
      for the ideas; statement and proof are this library's.
    """
    if domains is not None and operator.index(domains) < 1:
        raise ValueError(f"domains is {domains}; it must be at least 1, or None")
    a = _as_bools(mask)
    used = np.asarray(a.any(0))
    excess = _undetermined(a) & used
    if excess.any():
        return _not_injective(a, used, excess)
    pattern = mixing_pattern(a)
    eye = np.eye(len(used), dtype=bool)
    below = pattern & used[:, None]
    twins = below & below.T
    most = np.asarray((twins.sum(1)[:, None] * below).max(0))
    enough = np.where(pattern.sum(1) == 1, 1, 1 + 2 * most) * used
    identified = used & (enough <= (np.inf if domains is None else domains))

    def lacks(i: int) -> str:
        if identified[i]:
            return ""
        if not used[i]:
            return _unused(i)
        contained = ~(a[:, [i]] & ~a).any(0)
        rest = _separators(pattern[i] & contained & ~eye[i], pattern[i] & ~contained)
        return f"{enough[i]} domains instead of {domains}, or {rest}"

    block = np.where(identified[:, None], eye, pattern)
    words = tuple(lacks(i) for i in range(len(used)))
    return MixingReport(used, enough, twins | eye, identified, block, words)


def domains_needed(mask: Graph) -> int:
    """How many domains are enough to identify all latents of a mixing.

        max_i domains_i,   domains_i of `mixing_report`

    Args:
      mask: M, [x, z] of 0/1, rows are observed variables. On the host.

    Returns:
      An odd number; 1 if sparsity does it without changes.

    Raises:
      ValueError: if M is not a matrix, holds other values than 0 and 1, or leaves a
        latent that no number of domains identifies.
    """
    report = mixing_report(mask)
    if not report.identified.all():
        reasons = "; ".join(dict.fromkeys(w for w in report.missing if w))
        raise ValueError(f"mask needs more than domains: {reasons}")
    return int(report.domains.max())


def learned_support(
    strength: Matrix, threshold: Scalar = SUPPORT_THRESHOLD
) -> Bool[Array, "x z"]:
    """The mask of a trained decoder: what is strong enough in its row.

        M^[k, j] = 1  iff  S[k, j] > threshold max_j' S[k, j']

    Args:
      strength: S, [x, z], not negative: how strongly x_k depends on z_j, such as
        mean |d x_k / d z_j| std z_j.
      threshold: share of the strongest entry of a row, in [0, 1).

    Returns:
      M^, [x, z]. Rows of zeros, and rows with a NaN, have no support.

    Raises:
      ValueError: if S is not a matrix, or a threshold outside [0, 1).
    """
    strength = jnp.asarray(strength)
    if strength.ndim != 2:
        raise ValueError(
            f"strength has shape {strength.shape}; it must be a matrix: one row per "
            "observed variable, one column per latent"
        )
    if not isinstance(threshold, jax.core.Tracer) and not 0 <= threshold < 1:
        raise ValueError(f"threshold is {threshold}; it must be in [0, 1)")
    return strength > threshold * strength.max(1, keepdims=True)


def support_errors(mask: Graph, learned: Graph, assignment: Matrix) -> Int[Array, ""]:
    """Number of wrong entries of a learned mask, after the codes have been matched.

        #{k, i: M[k, i] != M^[k, pi(i)]} + #{k, j: M^[k, j] = 1, j not in pi}

    Args:
      mask: M, [x, z] of 0/1, rows are observed variables.
      learned: M^, [x, c] of 0/1, such as from `learned_support`.
      assignment: pi, [z], the code of each latent, from `metrics.assign`; -1 for none.

    Returns:
      An integer scalar, lower is better.

    Raises:
      ValueError: for a wrong shape or values that are not 0 or 1.
    """
    true = _as_mask(mask)
    learned = as_graph(
        learned, "learned", "one row per observed variable, one column per code"
    )
    if len(true) != len(learned):
        raise ValueError(
            f"learned has {len(learned)} rows and mask has {len(true)}; both must have "
            "one row per observed variable"
        )
    if jnp.shape(assignment) != (true.shape[1],):
        raise ValueError(
            f"assignment has shape {jnp.shape(assignment)}; it must be "
            f"({true.shape[1]},): one code per latent"
        )
    place = jax.nn.one_hot(assignment, learned.shape[1], dtype=jnp.int32)
    matched = learned @ place.T
    return jnp.abs(true - matched).sum() + learned.sum() - matched.sum()
