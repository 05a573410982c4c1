"""What theory promises of a graph, of tasks or of a mixing, and what is missing.

The answers of `graphs`, `tasks` and `mixing` in one form: which codes a latent may be
mixed with, the blocks that are told apart, and in words what would tell the rest apart.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from jaxdis.identifiability.graphs import (
    Graph,
    as_graph,
    as_graphs,
    consistency_pattern,
)
from jaxdis.identifiability.mixing import mixing_report
from jaxdis.identifiability.tasks import support_variability

__all__ = [
    "Promise",
    "block_sizes",
    "finest_blocks",
    "in_words",
    "named",
    "promise_of_graphs",
    "promise_of_mixing",
    "promise_of_tasks",
    "unpromised",
]


class Promise(NamedTuple):
    """What theory promises of each latent.

    Attributes:
      pattern: which latents the code of z_i may depend on, one row per latent; and as
        well which codes z_i may depend on, once each code is matched to its latent.
      partition: the finest blocks of latents that are told apart: codes of one block
        depend on latents of that block alone, but those of `unpromised` latents, which
        are one block where there are any. See `finest_blocks`.
      identified: whether z_i has a code of its own, which depends on nothing else.
      missing: in words, what would tell z_i apart; empty where it is identified.
      assumes: in words, what else must hold.
    """

    pattern: Bool[np.ndarray, "z z"]
    partition: tuple[tuple[int, ...], ...]
    identified: Bool[np.ndarray, "z"]
    missing: tuple[str, ...]
    assumes: str


def named(latents: Bool[np.ndarray, "z"] | Sequence[int]) -> str:
    """Latents in words: "z_3", "z_3 and z_5", "z_3, z_5 and z_6".

    Args:
      latents: their numbers, or one boolean for each.
    """
    rows = np.asarray(latents)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    *rest, last = [f"z_{i}" for i in rows]
    return f"{', '.join(rest)} and {last}" if rest else last


def unpromised(pattern: Bool[np.ndarray, "z z"]) -> Bool[np.ndarray, "z"]:
    """The latents of which nothing is promised, where something is of others.

    Their codes may depend on every latent; those of the others do not depend on them.

    Args:
      pattern: which latents the code of z_i may depend on, reflexive and transitive.
    """
    anything = np.asarray(pattern).all(1)
    return np.asarray(anything & ~anything.all())


def finest_blocks(pattern: Bool[np.ndarray, "z z"]) -> tuple[tuple[int, ...], ...]:
    """The finest partition of latents of which no part is mixed with another.

    Its blocks are the connected parts of the pattern, whose directions do not count:
    where the code of z_0 may depend on z_1 and not the reverse, z_1 is recovered alone,
    but z_0 only together with z_1. Latents of which nothing is promised, as their codes
    may depend on all others, would connect everything; they are one more block.

    Args:
      pattern: which latents the code of z_i may depend on, reflexive and transitive.

    Returns:
      The latents of each block in order; blocks in the order of their first latents.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    free = unpromised(pattern)
    links = np.where(free[:, None], free[None], pattern)
    graph = csr_matrix(links.astype(np.int8))
    count, label = connected_components(graph, directed=False)
    blocks = [tuple(np.flatnonzero(label == i).tolist()) for i in range(count)]
    return tuple(sorted(blocks))


def block_sizes(promise: Promise) -> str:
    """Its blocks in words, as "10 blocks of 1", or "1 block of 4 and 3 blocks of 2"."""
    free = unpromised(promise.pattern)
    sizes = Counter(len(b) for b in promise.partition if not free[b[0]])
    *rest, last = [
        f"{sizes[size]} block{'s' * (sizes[size] > 1)} of {size}"
        for size in sorted(sizes, reverse=True)
    ]
    return f"{', '.join(rest)} and {last}" if rest else last


def in_words(promise: Promise) -> str:
    """What is promised, in the middle of a sentence."""
    if promise.pattern.all() and len(promise.pattern) > 1:
        return f"nothing: each of the {len(promise.pattern)} may be mixed with all"
    free, said = unpromised(promise.pattern), block_sizes(promise)
    shared = [i for b in promise.partition if len(b) > 1 for i in b]
    if alone := [i for i in shared if promise.identified[i]]:
        own = "have codes of their own" if len(alone) > 1 else "has a code of its own"
        said += f", in which {named(alone)} {own}"
    return said + (f", and nothing of {named(free)}" if free.any() else "")


def _promise(
    pattern: Bool[np.ndarray, "z z"],
    identified: Bool[np.ndarray, "z"],
    lacks: Callable[[int], str],
    assumes: str,
) -> Promise:
    missing = tuple("" if done else lacks(i) for i, done in enumerate(identified))
    return Promise(pattern, finest_blocks(pattern), identified, missing, assumes)


def promise_of_graphs(gz: Graph | None, ga: Graph | None) -> Promise:
    """What graphs of latents promise to a model that learns no more edges than theirs.

        pattern = C of `consistency_pattern`,   identified_i  iff  row i of C is {i}

    An action that moves z_i alone identifies z_i, whatever else is known.

    Args:
      gz: temporal graph [z, z] of 0/1, rows are children, or None without time.
      ga: action graph [z, a] of 0/1, rows are children, or None without actions.

    Returns:
      The promise, on the host.

    Raises:
      ValueError: as `consistency_pattern`.

    Source: Lachapelle et al. 2022 (arXiv 2107.10098) and 2024 (arXiv 2401.04890).
    """
    known_z, known_a = as_graphs(gz, ga)
    pattern = np.asarray(consistency_pattern(gz, ga))
    edges = [np.asarray(g) for g in (known_z, known_a) if g is not None]
    moved = np.asarray(np.concatenate(edges, 1).any(1))
    if known_z is not None:
        moved |= np.asarray(known_z).any(0)
    movers = _movers(gz is not None, ga is not None)

    def lacks(i: int) -> str:
        if not moved[i]:
            acts = "" if gz is None else ", and it acts on none"
            return (
                f"{_nothing(gz is not None, ga is not None)} moves z_{i}{acts}: "
                f"{movers} that moves z_{i} alone would tell it apart"
            )
        those = _together(pattern, i)
        parts = []
        if those.same.sum() > 1:
            acts = "" if gz is None else " and act on the same latents"
            parts.append(f"{named(those.same)} always change together{acts}")
        if those.above.any():
            above = named(those.above)
            verb = "acts" if those.above.sum() == 1 else "act"
            acts = "" if gz is None else f", and {above} {verb} on all that it acts on"
            parts.append(f"whatever moves {those.those} moves {above}, too{acts}")
        return (
            f"{'; '.join(parts)}: {movers} that moves {those.alone} would tell it apart"
        )

    return _promise(pattern, pattern.sum(1) == 1, lacks, _GRAPHS_ASSUME)


def _movers(time: bool, actions: bool) -> str:
    words = ["an action"] * actions + ["a past latent"] * time
    return " or ".join(words)


def _nothing(time: bool, actions: bool) -> str:
    words = ["action"] * actions + ["past latent"] * time
    return f"no {' and no '.join(words)}"


class _Together(NamedTuple):
    """Latents that come with z_i: in words, what would part them.

    Attributes:
      same: z_i and those that it comes with, and they with it.
      above: the others that it comes with.
      those: z_i, or "one of them".
      alone: "z_i and not z_j", or "one and not the other".
    """

    same: Bool[np.ndarray, "z"]
    above: Bool[np.ndarray, "z"]
    those: str
    alone: str


def _together(pattern: Bool[np.ndarray, "z z"], i: int) -> _Together:
    same = np.asarray(pattern[i] & pattern[:, i])
    above = np.asarray(pattern[i] & ~same)
    others = named(above).replace(" and ", " or ") if above.any() else ""
    if same.sum() == 1:
        return _Together(same, above, f"z_{i}", f"z_{i} and not {others}")
    alone = "one and not the other" + "s" * int(same.sum() > 2)
    alone += f", nor {others}," if others else ""
    return _Together(same, above, "one of them", alone)


def promise_of_tasks(supports: Graph) -> Promise:
    """What tasks promise to as many features with heads that are as sparse.

        pattern = block of `support_variability`

    Args:
      supports: A, [k, z] of 0/1, rows are tasks: 1 where the label depends on z_i.

    Returns:
      The promise, on the host. The features are linear functions of their blocks.

    Raises:
      ValueError: if A is not a matrix, or holds other values than 0 and 1.

    Note: `enough_tasks` and `weights_span` check what it assumes of the true heads.

    Source: see `support_variability`; Fumero et al. 2023 (arXiv 2304.07939).
    """
    used = np.asarray(as_graph(supports, "supports", _TASK_AXES)).astype(bool)
    found = support_variability(supports)
    pattern, covered = np.asarray(found.block), np.asarray(found.covered)

    def lacks(i: int) -> str:
        if not covered[i]:
            return f"no task uses z_{i}: a task that uses it alone would tell it apart"
        those = _together(pattern, i)
        parts = []
        if those.same.sum() > 1:
            parts.append(f"tasks use {named(those.same)} only together")
        if those.above.any():
            which = "the only task" if used[:, i].sum() == 1 else "every task"
            above = named(those.above)
            parts.append(f"{which} that uses {those.those} uses {above}, too")
        return f"{'; '.join(parts)}: a task that uses {those.alone} would tell it apart"

    return _promise(pattern, np.asarray(found.identified), lacks, _TASKS_ASSUME)


def promise_of_mixing(mask: Graph, domains: int | None = None) -> Promise:
    """What the mask of a mixing promises, in so many domains, to as sparse a decoder.

        pattern, identified = block, identified of `mixing_report`

    Args:
      mask: M, [x, z] of 0/1, rows are observed variables. On the host.
      domains: D, or None for as many as it takes, which `assumes` says.

    Returns:
      The promise, on the host.

    Raises:
      ValueError: as `mixing_report`.

    Source: Zheng et al. 2022 (arXiv 2206.07751) and Li et al. 2025 (arXiv 2503.00639).
    """
    found = mixing_report(mask, domains)

    def lacks(i: int) -> str:
        if not found.domains[i]:  # no number of domains would do
            return found.missing[i]
        return f"z_{i} is not told apart: it takes {found.missing[i]}"

    most = int(found.domains.max(initial=0)) if domains is None else domains
    assumes = _MIXING_ASSUMES[0]
    if most > 1:
        assumes += _MIXING_ASSUMES[1].format(domains=most)
    return _promise(found.block, found.identified, lacks, assumes)


_TASK_AXES = "one row per task, one column per latent"
_GRAPHS_ASSUME = (
    "observations are an injective function of the latents; given past and actions, "
    "the latents are independent and are moved in enough ways (sufficient "
    "variability); the model has the distribution of the data, and its graphs have "
    "no more edges than these"
)
_TASKS_ASSUME = (
    "labels are linear in the latents, which are as many as the features; each support "
    "S has at least |S|^2 tasks with weights in general position, and these span all "
    "latents; the learned heads predict as well and are as sparse"
)
_MIXING_ASSUMES = (
    "the mixing is injective and its derivatives are in general position; the latents "
    "are independent given the domain; the learned decoder is as sparse",
    "; {domains} domains in which the latents change sufficiently",
)
