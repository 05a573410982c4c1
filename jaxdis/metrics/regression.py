"""Linear regression of factors on codes: all codes (R, R2) or the allowed ones (R_con).

Failed runs, dead codes and constant factors are treated as in `correlation`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdis.linalg import solve
from jaxdis.metrics.correlation import (
    as_float,
    assign,
    correlations,
    mean_over_factors,
    over_seeds,
    paired,
    standardise,
)

REFINEMENTS = 3


def _fit(
    z: Float[Array, "n d"], codes: Float[Array, "n k"], mask: Float[Array, "d k"]
) -> Float[Array, "n d"]:
    """Least-squares fit of each factor on its unmasked codes, all columns centred.

    The Gram matrix of duplicated codes is singular, so it gets a ridge of a few
    roundings; the refinements then take the bias of the ridge away.
    """
    n, k = codes.shape
    matmul = partial(jnp.matmul, precision="highest")
    gram = matmul(codes.T, codes) / n
    used = mask[:, :, None] * mask[:, None, :]
    # A masked code keeps an equation of its own, w = 0, so that the shape is fixed.
    diagonal = (1 - mask + 8 * k * jnp.finfo(gram.dtype).eps)[:, :, None]
    eye = jnp.eye(k, dtype=gram.dtype)
    systems = gram[None] * used + diagonal * eye[None]
    inverses = jax.vmap(solve, (0, None))(systems, eye)
    weights = jnp.zeros((k, z.shape[1]), z.dtype)
    for _ in range(REFINEMENTS):
        slope = matmul(codes.T, z - matmul(codes, weights)).T / n * mask
        weights += matmul(inverses, slope[:, :, None])[:, :, 0].T
    return matmul(codes, weights)


@jax.jit
def _multiple_correlation(
    z: Float[Array, "n d"], z_hat: Float[Array, "n k"], mask: Float[Array, "d k"]
) -> Float[Array, "d"]:
    """sqrt(R2_i), as the correlation of z_i with its fit.

    For least squares that is the root of 1 - RSS / TSS, without its loss of digits near
    0, and it lies in [0, 1] whatever the rounding.
    """
    z = standardise(z)
    fit = standardise(_fit(z, standardise(z_hat), mask))
    return jnp.clip((z * fit).mean(0), 0.0, 1.0)


def _on_all_codes(z: Float[Array, "n d"], z_hat: Float[Array, "n k"]) -> Array:
    return _multiple_correlation(z, z_hat, jnp.ones((z.shape[1], z_hat.shape[1])))


def r2(z: Float[Array, "n d"], z_hat: Float[Array, "*s n k"]) -> Float[Array, "*s"]:
    """Mean share of the variance of a factor that a linear map of the codes explains.

        R2 = (1/d) sum_i R2_i,   R2_i = 1 - min_{w,b} |z_i - c w - b|^2 / |z_i - mean|^2

    In sample: a useless code scores about k / (n - 1), not 0. Do not compare it with
    `r`, its root factor by factor.

    Args:
      z: factors [n, d]; constant ones are left out of the mean.
      z_hat: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, or non-finite z.

    Source: Lachapelle et al. 2022 (arXiv 2107.10098).
    """

    def score(z: Array, z_hat: Array) -> Array:
        return mean_over_factors(_on_all_codes(z, z_hat) ** 2, z)

    return over_seeds(score, *paired(z, z_hat))


def r(z: Float[Array, "n d"], z_hat: Float[Array, "*s n k"]) -> Float[Array, "*s"]:
    """Mean multiple correlation of the factors with the codes; comparable with `mcc`.

        R = (1/d) sum_i sqrt(R2_i)

    Args:
      z: factors [n, d]; constant ones are left out of the mean.
      z_hat: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, or non-finite z.

    Source: Lachapelle et al. 2024 (arXiv 2401.04890).
    """

    def score(z: Array, z_hat: Array) -> Array:
        return mean_over_factors(_on_all_codes(z, z_hat), z)

    return over_seeds(score, *paired(z, z_hat))


def r_con(
    z: Float[Array, "n d"],
    z_hat: Float[Array, "*s n k"],
    pattern: Bool[Array, "d d"],
) -> Float[Array, "*s"]:
    """Like `r`, but each factor sees only the codes that theory allows it to need.

        R_con = (1/d) sum_i sqrt(R2 of z_i on {c_pi(j): C[i, j] = 1}),   pi as in `mcc`

    MCC <= R_con <= R, with R_con = MCC for C = I. Where C != I, disentanglement is
    partial: MCC cannot reach 1, R_con can. Codes that pi leaves out are never used. The
    transposed score, in which z_j may depend on z_i instead, is
    `r_con(z, z_hat, pattern.T)`; it differs unless C is symmetric.

    Args:
      z: factors [n, d]; constant ones are left out of the mean.
      z_hat: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      pattern: C, [d, d] of 0/1, from `identifiability.consistency_pattern`.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, non-finite z, or a pattern that is
        not 0/1.

    Source: Lachapelle et al. 2024 (arXiv 2401.04890).
    """
    z, z_hat = paired(z, z_hat)
    d = z.shape[1]
    if jnp.shape(pattern) != (d, d):
        raise ValueError(
            f"pattern has shape {jnp.shape(pattern)}; it must be ({d}, {d}), "
            "factors by factors"
        )
    traced = isinstance(pattern, jax.core.Tracer)
    if not traced and not np.isin(np.asarray(pattern), (0, 1)).all():
        raise ValueError("pattern holds other values than 0 and 1")
    links = as_float(pattern)

    def score(z: Array, z_hat: Array) -> Array:
        codes = assign(correlations(z, z_hat, "pearson"))
        mask = links @ jax.nn.one_hot(codes, z_hat.shape[1])
        return mean_over_factors(_multiple_correlation(z, z_hat, mask), z)

    return over_seeds(score, z, z_hat)
