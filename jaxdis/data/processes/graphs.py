"""Ground-truth causal graphs as 0/1 arrays: rows are children, columns parents.

`G^z[i, j] = 1` iff z_j of the previous step causes z_i, `G^a[i, l] = 1` iff action l
does. Named graphs are those of Lachapelle et al. (arXiv 2107.10098, 2401.04890); each
raises ValueError for a number of latents that it cannot have.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

__all__ = [
    "Graph",
    "action_pairs",
    "action_pairs_between",
    "action_pairs_chained",
    "action_pairs_doubly_nested",
    "action_pairs_nested",
    "bernoulli",
    "full",
    "halves",
    "identity",
    "irregular",
    "irregular_complete",
    "lower_triangle",
    "nearly_full",
    "pairs",
    "pairs_crossed",
    "pairs_linked",
    "ring",
]

Graph = Int[np.ndarray, "d p"]


def _even(d: int, at_least: int, name: str) -> None:
    if d % 2 or d < at_least:
        raise ValueError(
            f"z_dim must be even and at least {at_least} for the graph {name}, got {d}"
        )


def _exactly_ten(d: int, name: str) -> None:
    if d != 10:
        raise ValueError(f"z_dim must be 10 for the graph {name}, got {d}")


def identity(d: int) -> Graph:
    """One parent each."""
    return np.eye(d, dtype=int)


def ring(d: int) -> Graph:
    """`G[i, i] = G[i, (i - 1) mod d] = 1`."""
    return np.maximum(np.eye(d, dtype=int), np.roll(np.eye(d, dtype=int), 1, axis=0))


def lower_triangle(d: int) -> Graph:
    """Lower triangle with the diagonal."""
    return np.tril(np.ones((d, d), int))


def full(d: int) -> Graph:
    """All ones: the graph that tells nothing."""
    return np.ones((d, d), int)


def pairs(d: int) -> Graph:
    """d / 2 diagonal blocks of 2 x 2 ones."""
    _even(d, 2, "pairs")
    return np.kron(np.eye(d // 2, dtype=int), np.ones((2, 2), int))


def halves(d: int) -> Graph:
    """Two diagonal blocks of d/2 x d/2 ones."""
    _even(d, 2, "halves")
    return np.kron(np.eye(2, dtype=int), np.ones((d // 2, d // 2), int))


def action_pairs(d: int) -> Graph:
    """`[d, d / 2]`: action l causes latents 2l and 2l + 1."""
    _even(d, 2, "action_pairs")
    return np.kron(np.eye(d // 2, dtype=int), np.ones((2, 1), int))


def action_pairs_between(d: int) -> Graph:
    """`[d, d / 2]`: action l causes latents 2l + 1 and 2l + 2 mod d.

    Its pairs have one latent in each of two neighbouring blocks of `pairs`: neither
    graph tells the latents of a pair apart, both together tell all.
    """
    _even(d, 4, "action_pairs_between")
    return np.roll(action_pairs(d), 1, axis=0)


def _with_edges(graph: Graph, children: Iterable[int], parents: Iterable[int]) -> Graph:
    graph = graph.copy()
    graph[np.ix_(list(children), list(parents))] = 1
    return graph


def action_pairs_nested(d: int) -> Graph:
    """`action_pairs`, and action 0 also causes the last two latents."""
    _even(d, 4, "action_pairs_nested")
    return _with_edges(action_pairs(d), (d - 2, d - 1), (0,))


def action_pairs_chained(d: int) -> Graph:
    """`action_pairs`, and the action 3 also causes latents 2 and 3 (d = 10)."""
    _exactly_ten(d, "action_pairs_chained")
    return _with_edges(action_pairs(d), (2, 3), (3,))


def action_pairs_doubly_nested(d: int) -> Graph:
    """`action_pairs` with {2, 3} <- a_2 and {8, 9} <- a_0 (d = 10)."""
    _exactly_ten(d, "action_pairs_doubly_nested")
    return _with_edges(_with_edges(action_pairs(d), (2, 3), (2,)), (8, 9), (0,))


def pairs_linked(d: int) -> Graph:
    """`pairs`; the first and last pair cause each other, pair 2 the last (d >= 8)."""
    _even(d, 8, "pairs_linked")
    first, third, last = (0, 1), (4, 5), (d - 2, d - 1)
    graph = _with_edges(pairs(d), first, last)
    return _with_edges(_with_edges(graph, last, first), last, third)


def pairs_crossed(d: int) -> Graph:
    """`pairs` with {2, 3} <- {4, 5, 6, 7} and {6, 7} <- {2, 3} (d = 10)."""
    _exactly_ten(d, "pairs_crossed")
    return _with_edges(_with_edges(pairs(d), (2, 3), (4, 5, 6, 7)), (6, 7), (2, 3))


def nearly_full(d: int) -> Graph:
    """All ones but eight cells (d = 10)."""
    _exactly_ten(d, "nearly_full")
    graph = full(d)
    for cell in [(0, 8), (1, 5), (1, 9), (4, 1), (5, 1), (5, 6), (5, 7), (7, 9)]:
        graph[cell] = 0
    return graph


# Parents of each latent; latent 8 has none.
_IRREGULAR = [
    (1, 3, 4, 6, 9), (8,), (3, 7, 8), (7,), (1, 3, 4),
    (1, 3, 4, 9), (2, 4), (0, 3, 5, 6, 9), (), (7,),
]  # fmt: skip


def irregular(d: int) -> Graph:
    """A random-looking graph of 25 edges whose latent 8 has no parent (d = 10)."""
    _exactly_ten(d, "irregular")
    graph = np.zeros((d, d), int)
    for child, parents in enumerate(_IRREGULAR):
        graph[child, list(parents)] = 1
    return graph


def irregular_complete(d: int) -> Graph:
    """`irregular` with the missing parent: {8} <- {1} (d = 10)."""
    return _with_edges(irregular(d), (8,), (1,))


def bernoulli(d: int, density: float, seed: int, *, diagonal: bool = False) -> Graph:
    """Independent edges of probability `density`, as the published experiments drew.

    `default_rng(45321 + seed).binomial(1, p)`.

    Args:
      d: the number of latents.
      density: the probability of an edge, in [0, 1].
      seed: the number of the graph.
      diagonal: whether cells on the diagonal are always edges.

    Raises:
      ValueError: a density outside [0, 1].
    """
    if not 0.0 <= density <= 1.0:
        raise ValueError(f"density must be a probability in [0, 1], got {density}")
    probability = np.full((d, d), density)
    if diagonal:
        probability[np.diag_indices(d)] = 1.0
    return np.random.default_rng(45321 + seed).binomial(1, probability).astype(int)
