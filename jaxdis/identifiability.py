"""What theory says of known graphs and tasks: which latents can be told apart.

Rows of graphs are children: `G^z[i, j] = 1` iff the past of z_j acts on z_i, and
`G^a[i, l] = 1` iff the action a_l acts on z_i. Rows of supports are tasks:
`A[t, i] = 1` iff the label of task t depends on z_i.

Source: Lachapelle et al. 2022 (arXiv 2107.10098), graph criterion; Lachapelle et al.
2024 (arXiv 2401.04890), partial disentanglement.
"""

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

Graph = Int[Array, "..."] | Bool[Array, "..."] | Int[np.ndarray, "..."]

MAX_GROUPS = 10_000  # sets of tasks that `enough_tasks` checks for one support


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
