"""How well codes recover the latents that data were made from: all scores at once."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdis.metrics.assignment import assign
from jaxdis.metrics.columns import dead
from jaxdis.metrics.correlation import correlation_matrix, mcc
from jaxdis.metrics.regression import R_CON, r, r_con
from jaxdis.types import Metrics

__all__ = ["R_CON_T", "latent_scores"]

R_CON_T = R_CON._replace(name="r_con_t", title="R_con, transposed")


def latent_scores(
    z: Float[Array, "*n d"],
    codes: Float[Array, "*n k"],
    pattern: Bool[Array, "d d"] | None = None,
) -> tuple[Metrics, Int[Array, "d"]]:
    """Scores of one seed's codes; steps of sequences are stacked.

    Args:
      z: the true latents.
      codes: the codes of the same samples.
      pattern: which latents each code may be a function of, as
        `identifiability.consistency_pattern` gives it; None where no graph is known.

    Returns:
      The scalars `mcc`, `r`, `dead` (codes) and, with a pattern, `r_con` and `r_con_t`
      (of the transposed pattern), with the matrix `correlation` of true latents and
      their matched codes; and for each true latent its code, -1 for none.
    """
    z, codes = z.reshape(-1, z.shape[-1]), codes.reshape(-1, codes.shape[-1])
    correlation = correlation_matrix(z, codes)
    order = assign(correlation)
    scores = {
        "mcc": mcc(z, codes),
        "r": r(z, codes),
        "dead": dead(codes),
        # A latent without a code (-1, if there are fewer codes) correlates with none.
        "correlation": jnp.where(order[None] >= 0, correlation[:, order], 0.0),
    }
    if pattern is not None:
        scores["r_con"] = r_con(z, codes, pattern)
        scores["r_con_t"] = r_con(z, codes, pattern.T)
    return scores, order
