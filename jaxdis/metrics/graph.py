"""Learned graphs against true ones, after the latents have been matched.

Rows are children. The functions take the graphs of one run; vmap them over seeds.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Int

from jaxdis.identifiability import Graph, as_graphs
from jaxdis.types import Score

__all__ = ["EXTRA", "MISSING", "SHD", "edge_errors", "permute_graphs", "shd"]

SHD = Score(
    "shd",
    "SHD",
    "lower",
    (0, math.inf),
    "Lachapelle et al. 2022 (arXiv 2107.10098)",
    truth=True,
)
MISSING = SHD._replace(name="missing", title="Missing edges")
EXTRA = SHD._replace(name="extra", title="Extra edges")


def permute_graphs(
    gz_hat: Graph | None, ga_hat: Graph | None, assignment: Int[ArrayLike, "d"]
) -> tuple[Int[Array, "d d"] | None, Int[Array, "d a"] | None]:
    """Learned graphs in the order of the true latents.

        P G^z P',  P G^a   with   P[i, pi(i)] = 1

    Args:
      gz_hat: learned temporal graph [d, d] of 0/1, or None.
      ga_hat: learned action graph [d, a] of 0/1, or None; actions keep their order.
      assignment: pi, [d], the code of each factor, from `assign`.

    Returns:
      Both graphs as integers; None stays None.

    Raises:
      ValueError: for a wrong shape, a value that is not 0 or 1, or an assignment
        that is not a permutation of the latents.

    Source: Lachapelle et al. 2022 (arXiv 2107.10098).
    """
    gz_hat, ga_hat = as_graphs(gz_hat, ga_hat, ("gz_hat", "ga_hat"))
    latents = next(len(g) for g in (gz_hat, ga_hat) if g is not None)
    if jnp.shape(assignment) != (latents,):
        raise ValueError(
            f"assignment has shape {jnp.shape(assignment)}; it must be ({latents},): "
            "one code per latent"
        )
    if not isinstance(assignment, jax.core.Tracer):
        codes = np.asarray(assignment).tolist()
        if sorted(codes) != list(range(latents)):
            raise ValueError(
                f"assignment is {codes}; it must be a permutation of 0..{latents - 1}: "
                "graphs compare only with as many codes as factors"
            )
    order = jnp.asarray(assignment)
    if gz_hat is not None:
        gz_hat = gz_hat[order[:, None], order[None, :]]
    return gz_hat, None if ga_hat is None else ga_hat[order]


def edge_errors(
    gz: Graph | None,
    ga: Graph | None,
    gz_hat: Graph | None,
    ga_hat: Graph | None,
    assignment: Int[ArrayLike, "d"],
) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """Numbers of missing and of extra edges of the learned graphs.

        missing = #{G = 1, P G_hat = 0},   extra = #{G = 0, P G_hat = 1}

    summed over G^z (compared with P G_hat^z P') and G^a (with P G_hat^a).

    Args:
      gz: true temporal graph [d, d] of 0/1, or None.
      ga: true action graph [d, a] of 0/1, or None.
      gz_hat: learned temporal graph of the shape of gz; None iff gz is.
      ga_hat: learned action graph of the shape of ga; None iff ga is.
      assignment: pi, [d], the code of each factor, from `assign`.

    Returns:
      missing and extra, integer scalars.

    Raises:
      ValueError: for graphs that do not pair up, a value that is not 0 or 1, or an
        assignment that is not a permutation of the latents.

    Source: Lachapelle et al. 2022 (arXiv 2107.10098).
    """
    for name, true, learned in (("gz", gz, gz_hat), ("ga", ga, ga_hat)):
        shape, shape_hat = (
            None if g is None else jnp.shape(g) for g in (true, learned)
        )
        if shape != shape_hat:
            raise ValueError(
                f"{name} has shape {shape} and {name}_hat {shape_hat}; both must have "
                "the same shape or both be None"
            )
    true_graphs = as_graphs(gz, ga)
    learned_graphs = permute_graphs(gz_hat, ga_hat, assignment)
    pairs = zip(true_graphs, learned_graphs, strict=True)
    errors = jnp.concatenate(
        [(t - h).ravel() for t, h in pairs if t is not None and h is not None]
    )
    return (errors == 1).sum(), (errors == -1).sum()


def shd(
    gz: Graph | None,
    ga: Graph | None,
    gz_hat: Graph | None,
    ga_hat: Graph | None,
    assignment: Int[ArrayLike, "d"],
) -> Int[Array, ""]:
    """Structural Hamming distance of the learned graphs from the true ones.

        SHD = missing + extra edges

    The assignment comes from the codes: the distance of a failed run depends on ties.

    Args:
      gz: true temporal graph [d, d] of 0/1, or None.
      ga: true action graph [d, a] of 0/1, or None.
      gz_hat: learned temporal graph of the shape of gz; None iff gz is.
      ga_hat: learned action graph of the shape of ga; None iff ga is.
      assignment: pi, [d], the code of each factor, from `assign`.

    Returns:
      An integer scalar, lower is better.

    Raises:
      ValueError: as `edge_errors`.

    Note: An edge learned in the wrong direction counts twice, once missing and once
      extra, since both directions may exist in a temporal graph.

    Source: Lachapelle et al. 2022 (arXiv 2107.10098).
    """
    missing, extra = edge_errors(gz, ga, gz_hat, ga_hat, assignment)
    return missing + extra
