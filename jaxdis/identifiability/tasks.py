"""What theory says of tasks: which latents their sparse heads tell apart.

Rows of supports are tasks: `A[k, i] = 1` iff the label of task k depends on z_i.

Source: statements and proofs of this library, for the heads of Lachapelle, Deleu et al.
2022 (arXiv 2211.14666) and Fumero et al. 2023 (arXiv 2304.07939).
"""

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdis.identifiability.graphs import Graph, Matrix, as_graph

__all__ = [
    "TaskCriterion",
    "containment",
    "enough_tasks",
    "support_variability",
    "weights_span",
]

_MAX_GROUPS = 10_000  # sets of tasks that `enough_tasks` checks for one support


class TaskCriterion(NamedTuple):
    """What the supports of tasks say of each latent, from `support_variability`.

    Attributes:
      covered: whether some task uses z_i.
      block: the latents that the code of z_i may be a function of, one row per latent.
      identified: whether that is z_i alone.
    """

    covered: Bool[Array, "z"]
    block: Bool[Array, "z z"]
    identified: Bool[Array, "z"]


def _as_supports(supports: Graph) -> Int[Array, "k z"]:
    return as_graph(supports, "supports", "one row per task, one column per latent")


def containment(supports: Graph) -> Bool[Array, "z z"]:
    """Which latents come only together with which others.

        Cn[i, j] = 1  iff  every task that uses z_i uses z_j

    Cn is reflexive and transitive, and in general not symmetric. The row of a latent
    that no task uses is all ones.

    Args:
      supports: A, [k, z] of 0/1, rows are tasks.

    Returns:
      Cn, [z, z].

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

    All of two or more latents are identified iff, for every j, the supports without j
    have everything but j as their union.

    Statement. Let there be as many learned features z^ as latents, and linear heads
    on both, and let z not be confined to a hyperplane. If

    1. `weights_span`, and the learned heads predict what the true ones do;
    2. for every support S, the learned heads of its n_S tasks have at most n_S |S|
       nonzeros in total;
    3. `enough_tasks`;

    then, after a permutation of z^, z^_i is a linear function of the z_j in block_i
    alone. If all latents are identified, z^ is z up to permutation and scale.

    A latent in the difference of two supports need not be identified: with supports
    {1, 2} and {2}, z^_1 = z_1 + c z_2 is as sparse as z_1, and block_1 is {1, 2}.

    Args:
      supports: A, [k, z] of 0/1, rows are tasks.

    Returns:
      covered [z], block [z, z] with one row per latent, and identified [z].

    Raises:
      ValueError: if A is not a matrix, or holds other values than 0 and 1.

    Note: Nothing is proved here for more features than latents, nor for labels that are
      not linear in z.
    """
    block = containment(supports)
    covered = (_as_supports(supports) == 1).any(0)
    return TaskCriterion(covered, block, covered & (block.sum(1) == 1))


def _as_weights(weights: Matrix) -> Float[np.ndarray, "k z"]:
    w = np.asarray(weights)
    if w.ndim != 2:
        raise ValueError(
            f"weights has shape {w.shape}; it must be a matrix: one row per "
            "task, one column per latent"
        )
    # The precision of floats is kept: the tolerance of a rank depends on it.
    w = w if w.dtype in (np.float32, np.float64) else w.astype(np.float64)
    if not np.isfinite(w).all():
        raise ValueError("weights holds NaN or infinite values")
    return w


def weights_span(weights: Matrix) -> bool:
    """Whether the true heads see every direction of the latents.

        rank W = number of latents

    Args:
      weights: W, [k, z], rows are heads: tasks, or the classes of tasks minus their
        mean. On the host.

    Returns:
      A boolean.

    Raises:
      ValueError: if W is not a matrix, or holds NaN or infinite values.
    """
    w = _as_weights(weights)
    return bool(np.linalg.matrix_rank(w) == w.shape[1])


def _groups(tasks: int, size: int) -> Iterable[tuple[int, ...] | np.ndarray]:
    """All sets of `size` tasks, or _MAX_GROUPS random ones if there are more."""
    if math.comb(tasks, size) <= _MAX_GROUPS:
        return itertools.combinations(range(tasks), size)
    rng = np.random.default_rng(0)
    return (rng.choice(tasks, size, replace=False) for _ in range(_MAX_GROUPS))


def enough_tasks(supports: Graph, weights: Matrix) -> bool:
    """Whether every support has enough tasks, with weights in general position.

        for each distinct S != {}:  n_S >= |S|^2, and any |S| of the n_S weight rows,
                                    restricted to S, are linearly independent

    If a support has more than 10,000 sets of |S| tasks, 10,000 random ones are checked,
    with a fixed seed: then a yes is not certain.

    Args:
      supports: A, [k, z] of 0/1, rows are tasks.
      weights: W, [k, z], the true head of each task; entries off its support are not
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
            "row per task and one column per latent"
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
