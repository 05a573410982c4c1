"""What theory says of causal graphs: which latents they tell apart.

Rows of graphs are children: `G^z[i, j] = 1` iff the past of z_j acts on z_i, and
`G^a[i, l] = 1` iff the action a_l acts on z_i.

Source: Lachapelle et al. 2022 (arXiv 2107.10098), graph criterion; Lachapelle et al.
2024 (arXiv 2401.04890), partial disentanglement.
"""

from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Shaped

__all__ = [
    "Graph",
    "Matrix",
    "as_graph",
    "as_graphs",
    "consistency_pattern",
    "graph_criterion",
]

Matrix: TypeAlias = Shaped[Array, "..."] | Shaped[np.ndarray, "..."]
"""Numbers on the host or on a device; who takes one says in words what its shape is."""

Graph: TypeAlias = Matrix
"""A matrix of 0 and 1, in any type."""


def as_graph(
    graph: Graph, name: str, axes: str = "one row per latent, one column per parent"
) -> Int[Array, "row column"]:
    """The graph as integers, after checks that name it and its axes in the message.

    Args:
      graph: a matrix of 0/1.
      name: its name in messages.
      axes: what its rows and columns are, in messages.

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
) -> tuple[Int[Array, "z z"] | None, Int[Array, "z a"] | None]:
    """Both graphs of one model as integers, after checks; either may be None.

    Args:
      gz: temporal graph [z, z] of 0/1, rows are children, or None without time.
      ga: action graph [z, a] of 0/1, rows are children, or None without actions.
      names: their names in messages.

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
            "must have one row per latent"
        )
    return gz, ga


def consistency_pattern(gz: Graph | None, ga: Graph | None) -> Bool[Array, "z z"]:
    """Which codes a latent may still be a function of, once the graphs are learned.

        C[i, j] = 1  iff  Pa_i in Pa_j, Ch_i in Ch_j (both of G^z) and Pa^a_i in Pa^a_j

    z_i can stay a function of the codes of all z_j with C[i, j] = 1. C is reflexive and
    transitive, and in general not symmetric.

    Args:
      gz: temporal graph [z, z] of 0/1, rows are children, or None without time.
      ga: action graph [z, a] of 0/1, rows are children, or None without actions.

    Returns:
      C, [z, z].

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
      gz: temporal graph [z, z] of 0/1, rows are children, or None without time.
      ga: action graph [z, a] of 0/1, rows are children, or None without actions.

    Returns:
      A boolean scalar.

    Raises:
      ValueError: as `consistency_pattern`.

    Source: Lachapelle et al. 2022 (arXiv 2107.10098), graph criterion.
    """
    pattern = consistency_pattern(gz, ga)
    return (pattern == jnp.eye(len(pattern), dtype=bool)).all()
