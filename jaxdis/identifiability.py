"""What theory says of graphs, tasks and mixings: which latents can be told apart.

Rows of graphs are children: `G^z[i, j] = 1` iff the past of z_j acts on z_i, and
`G^a[i, l] = 1` iff the action a_l acts on z_i. Rows of supports are tasks:
`A[t, i] = 1` iff the label of task t depends on z_i. Rows of masks are observed
variables: `M[k, i] = 1` iff x_k depends on z_i.

Source: Lachapelle et al. 2022 (arXiv 2107.10098), graph criterion; Lachapelle et al.
2024 (arXiv 2401.04890), partial disentanglement; Zheng et al. 2022 (arXiv 2206.07751),
structural sparsity; Li et al. 2025 (arXiv 2503.00639), sparse mixing with changes.
"""

import itertools
import math
import operator
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

Graph = Int[Array, "..."] | Bool[Array, "..."] | Int[np.ndarray, "..."]

MAX_GROUPS = 10_000  # sets of tasks that `enough_tasks` checks for one support
ENOUGH_CHANGE = 1e-4  # relative singular value below which changes count as dependent
SUPPORT_THRESHOLD = 0.1  # of the strongest entry of a row: what counts as a dependence
FACTORISED = 1e-3  # mixed derivatives of log densities, relative, that count as zero


def as_graph(
    graph: Graph, name: str, axes: str = "one row a latent, one column a parent"
) -> Int[Array, "d p"]:
    """The graph as integers, after checks that name it and its axes in the message.

    Raises:
      ValueError: if it is not a matrix, or holds other values than 0 and 1 (the values
        of a traced graph cannot be checked).
    """
    if jnp.ndim(graph) != 2:
        raise ValueError(
            f"{name} has shape {jnp.shape(graph)}; it must be a matrix: {axes}"
        )
    traced = isinstance(graph, jax.core.Tracer)
    if not traced and not np.isin(np.asarray(graph), (0, 1)).all():
        raise ValueError(
            f"{name} holds other values than 0 and 1; pass a graph, such as "
            "probability > 0.5"
        )
    return jnp.asarray(graph).astype(jnp.int32)


def as_graphs(
    gz: Graph | None, ga: Graph | None, names: tuple[str, str] = ("gz", "ga")
) -> tuple[Int[Array, "d d"] | None, Int[Array, "d a"] | None]:
    """Both graphs of one model as integers, after checks; either may be None.

    Raises:
      ValueError: if both are None, gz is not square, or their rows differ in number.
    """
    if gz is None and ga is None:
        raise ValueError(f"{names[0]} and {names[1]} are both None; give at least one")
    gz = None if gz is None else as_graph(gz, names[0])
    ga = None if ga is None else as_graph(ga, names[1])
    if gz is not None and gz.shape[0] != gz.shape[1]:
        raise ValueError(
            f"{names[0]} has shape {gz.shape}; it must be square, latents by latents"
        )
    if gz is not None and ga is not None and gz.shape[0] != ga.shape[0]:
        raise ValueError(
            f"{names[1]} has {ga.shape[0]} rows and {names[0]} has {gz.shape[0]}; both "
            "must have one row a latent"
        )
    return gz, ga


def consistency_pattern(gz: Graph | None, ga: Graph | None) -> Bool[Array, "d d"]:
    """Which codes a latent may still be a function of, once the graphs are learned.

        C[i, j] = 1  iff  Pa_i in Pa_j, Ch_i in Ch_j (both of G^z) and Pa^a_i in Pa^a_j

    z_i can stay a function of the codes of all z_j with C[i, j] = 1. C is reflexive and
    transitive, and in general not symmetric.

    Args:
      gz: temporal graph [d, d] of 0/1, rows are children, or None without time.
      ga: action graph [d, a] of 0/1, rows are children, or None without actions.

    Returns:
      C, [d, d].

    Raises:
      ValueError: if both graphs are None, a shape is wrong, or a value is not 0 or 1.

    Source: Lachapelle et al. 2024 (arXiv 2401.04890), definition of consistency.
    """
    gz, ga = as_graphs(gz, ga)
    escapes = []  # counts of the edges of i that j lacks; inclusion is a count of 0
    if gz is not None:
        escapes += [gz @ (1 - gz).T, gz.T @ (1 - gz)]
    if ga is not None:
        escapes += [ga @ (1 - ga).T]
    return jnp.stack(escapes).sum(0) == 0


def graph_criterion(gz: Graph | None, ga: Graph | None) -> Bool[Array, ""]:
    """Whether the graphs identify every latent, up to order and element-wise maps.

        criterion  iff  C = I

    Equivalently: for every latent p, the parent sets, child sets and action targets
    that contain p have nothing but p in common.

    Args:
      gz: temporal graph [d, d] of 0/1, rows are children, or None without time.
      ga: action graph [d, a] of 0/1, rows are children, or None without actions.

    Returns:
      A boolean scalar.

    Raises:
      ValueError: as `consistency_pattern`.

    Source: Lachapelle et al. 2022 (arXiv 2107.10098), graph criterion.
    """
    pattern = consistency_pattern(gz, ga)
    return (pattern == jnp.eye(len(pattern), dtype=bool)).all()


class TaskCriterion(NamedTuple):
    """What the supports of tasks say of each latent, from `support_variability`."""

    covered: Bool[Array, "d"]
    block: Bool[Array, "d d"]
    identified: Bool[Array, "d"]


def _as_supports(supports: Graph) -> Int[Array, "t d"]:
    return as_graph(supports, "supports", "one row a task, one column a latent")


def containment(supports: Graph) -> Bool[Array, "d d"]:
    """Which latents come only together with which others.

        Cn[i, j] = 1  iff  every task that uses z_i uses z_j

    Cn is reflexive and transitive, and in general not symmetric. The row of a latent
    that no task uses is all ones.

    Args:
      supports: A, [t, d] of 0/1, rows are tasks.

    Returns:
      Cn, [d, d].

    Raises:
      ValueError: if A is not a matrix, or holds other values than 0 and 1.
    """
    a = _as_supports(supports)
    return a.T @ (1 - a) == 0


def support_variability(supports: Graph) -> TaskCriterion:
    """Which latents sparse heads of these tasks tell apart, and from which others.

        covered_i    iff  some task uses z_i
        block_i      =    {j: Cn[i, j]}, the common part of the supports with i
        identified_i iff  covered_i and block_i = {i}

    All latents are identified iff (d >= 2) for every j, the supports without j have
    everything but j as their union.

    Statement. Let there be as many learned features z^ as latents (M = d), and linear
    heads on both, and let z not be confined to a hyperplane. If

    1. `weights_span`, and the learned heads predict what the true ones do;
    2. for every support S, the learned heads of its n_S tasks have at most n_S |S|
       nonzeros in total;
    3. `enough_tasks`;

    then, after a permutation of z^, z^_i is a linear function of the z_j in block_i
    alone. If all latents are identified, z^ is z up to permutation and scale.

    A latent in the difference of two supports need not be identified: with supports
    {1, 2} and {2}, z^_1 = z_1 + c z_2 is as sparse as z_1, and block_1 is {1, 2}.

    Args:
      supports: A, [t, d] of 0/1, rows are tasks.

    Returns:
      covered [d], block [d, d] with one row a latent, and identified [d].

    Raises:
      ValueError: if A is not a matrix, or holds other values than 0 and 1.

    Note: Nothing is proved here for M > d, nor for labels that are not linear in z.
    """
    block = containment(supports)
    covered = (_as_supports(supports) == 1).any(0)
    return TaskCriterion(covered, block, covered & (block.sum(1) == 1))


def _as_weights(weights: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k d"]:
    w = np.asarray(weights)
    if w.ndim != 2:
        raise ValueError(
            f"weights has shape {w.shape}; it must be a matrix: one row a task, one "
            "column a latent"
        )
    # The precision of floats is kept: the tolerance of a rank depends on it.
    w = w if w.dtype in (np.float32, np.float64) else w.astype(np.float64)
    if not np.isfinite(w).all():
        raise ValueError("weights holds NaN or infinite values")
    return w


def weights_span(weights: Float[np.ndarray, "k d"]) -> bool:
    """Whether the true heads see every direction of the latents.

        rank W = d

    Args:
      weights: W, [k, d], rows are heads: tasks, or the classes of tasks minus their
        mean. On the host.

    Returns:
      A boolean.

    Raises:
      ValueError: if W is not a matrix, or holds NaN or infinite values.
    """
    w = _as_weights(weights)
    return bool(np.linalg.matrix_rank(w) == w.shape[1])


def _groups(tasks: int, size: int) -> Iterable[tuple[int, ...] | np.ndarray]:
    """All sets of `size` tasks, or MAX_GROUPS random ones if there are more."""
    if math.comb(tasks, size) <= MAX_GROUPS:
        return itertools.combinations(range(tasks), size)
    rng = np.random.default_rng(0)
    return (rng.choice(tasks, size, replace=False) for _ in range(MAX_GROUPS))


def enough_tasks(supports: Graph, weights: Float[np.ndarray, "t d"]) -> bool:
    """Whether every support has enough tasks, with weights in general position.

        for each distinct S != {}:  n_S >= |S|^2, and any |S| of the n_S weight rows,
                                    restricted to S, are linearly independent

    If a support has more than 10,000 sets of |S| tasks, 10,000 random ones are checked,
    with a fixed seed: then a yes is not certain.

    Args:
      supports: A, [t, d] of 0/1, rows are tasks.
      weights: W, [t, d], the true head of each task; entries off its support are not
        looked at. On the host.

    Returns:
      A boolean.

    Raises:
      ValueError: if A is not 0/1, W holds NaN or infinite values, or shapes differ.
    """
    a, w = np.asarray(_as_supports(supports)), _as_weights(weights)
    if a.shape != w.shape:
        raise ValueError(
            f"weights has shape {w.shape} and supports {a.shape}; both must have one "
            "row a task and one column a latent"
        )
    for support in np.unique(a[a.any(1)], axis=0):
        size = int(support.sum())
        rows = w[(a == support).all(1)][:, support == 1]
        if len(rows) < size**2:
            return False
        groups = np.array(list(_groups(len(rows), size)))
        if (np.linalg.matrix_rank(rows[groups]) < size).any():
            return False
    return True


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

    used: Bool[np.ndarray, "n"]
    domains: Int[np.ndarray, "n"]
    twins: Bool[np.ndarray, "n n"]
    identified: Bool[np.ndarray, "n"]
    block: Bool[np.ndarray, "n n"]
    missing: tuple[str, ...]


def _as_mask(mask: Graph) -> Int[Array, "m n"]:
    return as_graph(mask, "mask", "one row an observed variable, one column a latent")


def _as_bools(mask: Graph) -> Bool[np.ndarray, "m n"]:
    return np.asarray(_as_mask(mask)).astype(bool)


def structural_sparsity(mask: Graph) -> Bool[Array, "n"]:
    """Which latents some observed variables have in common, and nothing else.

        sparse_i  iff  the intersection of {Pa(k): i in Pa(k)} is {i},
        Pa(k) = {j: M[k, j] = 1}

    Args:
      mask: M, [m, n] of 0/1, rows are observed variables.

    Returns:
      [n].

    Raises:
      ValueError: if M is not a matrix, or holds other values than 0 and 1.

    Note: By itself it identifies nothing. A square ring, x_k = f_k(z_k, z_k+1), has it,
      and yet G z = H z^ with G = circulant(2, 1, 0), H = circulant(1, 2, 0) and z^ a
      rotation of a Gaussian z (invertible maps of single z_i do not matter).
      `mixing_pattern` says what the mask gives.

    Source: Zheng et al. 2022 (arXiv 2206.07751).
    """
    return support_variability(_as_mask(mask)).identified


def _undetermined(mask: Bool[np.ndarray, "m n"]) -> Bool[np.ndarray, "n"]:
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


def mixing_pattern(mask: Graph) -> Bool[np.ndarray, "n n"]:
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
      mask: M, [m, n] of 0/1, rows are observed variables. On the host.

    Returns:
      C, [n, n].

    Raises:
      ValueError: if M is not a matrix, or holds other values than 0 and 1.

    Note: That rows of J span their supports as z varies is not enough in place of 2:
      see the ring of `structural_sparsity`, with z_i bent one by one.
    """
    a = _as_bools(mask)
    return np.stack([_undetermined(a[~uses]) for uses in a.T], 1)


def _names(latents: Bool[np.ndarray, "n"]) -> str:
    return ", ".join(f"z_{i}" for i in np.flatnonzero(latents))


def _unused(i: int) -> str:
    return f"no observed variable depends on z_{i}"


def _separators(contained: Bool[np.ndarray, "n"], others: Bool[np.ndarray, "n"]) -> str:
    """Which observed variables would do in place of changes."""
    parts = []
    if contained.any():
        parts.append(f"observed variables that use it and not {_names(contained)}")
    if others.any():
        parts.append(f"more observed variables without {_names(others)}")
    return " and ".join(parts)


def _not_injective(
    mask: Bool[np.ndarray, "m n"],
    used: Bool[np.ndarray, "n"],
    excess: Bool[np.ndarray, "n"],
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
      mask: M, [m, n] of 0/1, rows are observed variables. On the host.
      domains: D, or None for as many as it takes.

    Returns:
      used [n], domains [n], twins [n, n], identified [n], block [n, n] with one row a
      latent, missing with one text a latent. Latents that no observed variable depends
      on are left out of the others' counts. If no injective mixing has the mask,
      nothing is identified and blocks are everything.

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
      mask: M, [m, n] of 0/1, rows are observed variables. On the host.

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


def _as_block(block: Graph | None, n: int) -> Bool[np.ndarray, "n"]:
    chosen = np.ones(n) if block is None else np.asarray(block)
    if chosen.shape != (n,) or not np.isin(chosen, (0, 1)).all() or not chosen.any():
        raise ValueError(
            f"block is {chosen.tolist()}; it must be [{n}] of 0/1 with one entry a "
            "latent and at least one 1, such as a row of `twins`"
        )
    return chosen == 1


def _independence(columns: Float[np.ndarray, "*b d k"]) -> Float[np.ndarray, "*b"]:
    """Smallest singular value relative to the largest; 0 for more columns than rows."""
    if columns.shape[-2] < columns.shape[-1]:
        return np.zeros(columns.shape[:-2])
    values = np.linalg.svd(columns, compute_uv=False)
    largest = values[..., 0]
    return values[..., -1] / np.where(largest > 0, largest, 1.0)


def gaussian_changes_ok(
    means: Float[np.ndarray, "d n"],
    stds: Float[np.ndarray, "d n"],
    block: Graph | None = None,
) -> bool:
    """Whether Gaussian latents change enough from domain to domain.

        rank [m_ui / s_ui^2 - m_0i / s_0i^2,  1 / s_ui^2 - 1 / s_0i^2]_{u >= 1, i in B}
            = 2 |B|

    For Gaussians this is condition 4 of `mixing_report`, and does not depend on z. It
    takes 2 |B| + 1 domains, and changes of means and of standard deviations. In units
    of each latent's standard deviation over all domains, the smallest singular value
    must be above 1e-4 of the largest.

    Args:
      means: m, [d, n], rows are domains. On the host.
      stds: s, [d, n].
      block: B as [n] of 0/1, such as a row of `twins`; None for all latents.

    Returns:
      A boolean.

    Raises:
      ValueError: for a wrong shape, a value that is not finite, or s <= 0.
    """
    m, s = np.asarray(means, np.float64), np.asarray(stds, np.float64)
    if m.ndim != 2 or m.shape != s.shape:
        raise ValueError(
            f"means has shape {m.shape} and stds {s.shape}; both must be matrices: one "
            "row a domain, one column a latent"
        )
    if not np.isfinite(m).all():
        raise ValueError("means holds NaN or infinite values")
    if not (np.isfinite(s) & (s > 0)).all():
        raise ValueError("stds holds values that are not positive and finite")
    chosen = _as_block(block, m.shape[1])
    m, s = m[:, chosen], s[:, chosen]
    unit = np.sqrt((s**2).mean(0) + m.var(0))
    precision = (unit / s) ** 2
    natural = np.concatenate([precision * (m - m.mean(0)) / unit, precision], 1)
    return bool(_independence(natural[1:] - natural[:1]) > ENOUGH_CHANGE)


def change_strength(
    log_prob: Callable[[Array, Array], Array],
    z: Float[Array, "b n"],
    domains: int,
    block: Graph | None = None,
) -> Float[np.ndarray, "b"]:
    """How far from dependent the changes of latents between domains are, at samples.

        smallest / largest singular value of the matrix with rows u >= 1 and columns
        eta_i''(z_i, u) - eta_i''(z_i, 0),  eta_i'(z_i, u) - eta_i'(z_i, 0),  i in B

    with eta_i = log p(z_i | u) and z_i in units of its standard deviation over the
    samples. Condition 4 of `mixing_report` asks for > 0 at almost all z; below about
    1e-4 the changes are dependent in practice.

    Args:
      log_prob: `(z [n], u) -> log p(z | u)`, a scalar or the [n] terms of its sum,
        twice differentiable.
      z: samples [b, n] of all domains.
      domains: D; u runs over 0..D-1.
      block: B as [n] of 0/1, such as a row of `twins`; None for all latents.

    Returns:
      [b], in [0, 1], on the host; 0 with fewer than 2 |B| + 1 domains.

    Raises:
      ValueError: for a wrong shape, domains < 1, derivatives that are not finite, or a
        density that is not a product over latents.
    """
    z = jnp.asarray(z)
    if z.ndim != 2:
        raise ValueError(
            f"z has shape {z.shape}; it must be [b, n], samples by latents"
        )
    if operator.index(domains) < 1:
        raise ValueError(f"domains is {domains}; it must be at least 1")
    chosen = _as_block(block, z.shape[1])

    def total(z: Array, u: Array) -> Array:
        return jnp.sum(log_prob(z, u))

    def derivatives(z: Array, u: Array) -> tuple[Array, Array]:
        return jax.grad(total)(z, u), jax.hessian(total)(z, u)

    over_domains = jax.vmap(derivatives, (None, 0))
    over_samples = jax.jit(jax.vmap(over_domains, (0, None)))
    slopes, curvatures = map(np.asarray, over_samples(z, jnp.arange(domains)))
    if not (np.isfinite(slopes).all() and np.isfinite(curvatures).all()):
        raise ValueError("log_prob has derivatives that are not finite at samples of z")
    unit = np.asarray(z, np.float64).std(0)
    unit = np.where(unit > 0, unit, 1.0)
    curvatures = curvatures * (unit[:, None] * unit)
    own = np.diagonal(curvatures, axis1=-2, axis2=-1)
    mixed = curvatures - own[..., None] * np.eye(len(unit))
    if np.abs(mixed).max() > FACTORISED * np.abs(own).max():
        raise ValueError(
            "log_prob has mixed derivatives; given the domain it must be a sum of "
            "functions of single latents"
        )
    columns = np.concatenate([own[..., chosen], (slopes * unit)[..., chosen]], -1)
    return _independence(columns[:, 1:] - columns[:, :1])


def learned_support(
    strength: Float[Array, "m n"], threshold: float = SUPPORT_THRESHOLD
) -> Bool[Array, "m n"]:
    """The mask of a trained decoder: what is strong enough in its row.

        M^[k, j] = 1  iff  S[k, j] > threshold max_j' S[k, j']

    Args:
      strength: S, [m, n], not negative: how strongly x_k depends on z_j, such as
        mean |d x_k / d z_j| std z_j.
      threshold: share of the strongest entry of a row, in [0, 1).

    Returns:
      M^, [m, n]. Rows of zeros, and rows with a NaN, have no support.

    Raises:
      ValueError: if S is not a matrix, or a threshold outside [0, 1).
    """
    strength = jnp.asarray(strength)
    if strength.ndim != 2:
        raise ValueError(
            f"strength has shape {strength.shape}; it must be a matrix: one row an "
            "observed variable, one column a latent"
        )
    if not isinstance(threshold, jax.core.Tracer) and not 0 <= threshold < 1:
        raise ValueError(f"threshold is {threshold}; it must be in [0, 1)")
    return strength > threshold * strength.max(1, keepdims=True)


def support_errors(
    mask: Graph, learned: Graph, assignment: Int[Array, "n"]
) -> Int[Array, ""]:
    """Number of wrong entries of a learned mask, after the codes have been matched.

        #{k, i: M[k, i] != M^[k, pi(i)]} + #{k, j: M^[k, j] = 1, j not in pi}

    Args:
      mask: M, [m, n] of 0/1, rows are observed variables.
      learned: M^, [m, k] of 0/1, such as from `learned_support`.
      assignment: pi, [n], the code of each latent, from `metrics.assign`; -1 for none.

    Returns:
      An integer scalar, lower is better.

    Raises:
      ValueError: for a wrong shape or values that are not 0 or 1.
    """
    true = _as_mask(mask)
    learned = as_graph(
        learned, "learned", "one row an observed variable, one column a code"
    )
    if len(true) != len(learned):
        raise ValueError(
            f"learned has {len(learned)} rows and mask has {len(true)}; both must have "
            "one row an observed variable"
        )
    if jnp.shape(assignment) != (true.shape[1],):
        raise ValueError(
            f"assignment has shape {jnp.shape(assignment)}; it must be "
            f"({true.shape[1]},): one code a latent"
        )
    place = jax.nn.one_hot(assignment, learned.shape[1], dtype=jnp.int32)
    matched = learned @ place.T
    return jnp.abs(true - matched).sum() + learned.sum() - matched.sum()
