"""Regression of factors on codes: on all (R, R2) or on the allowed ones, linear (R_con)
or not (block R2).

Failed runs, dead codes and constant factors are treated as in `columns`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, ArrayLike, Float, Int, Shaped

from jaxdis.linalg import solve
from jaxdis.metrics.columns import standardise
from jaxdis.metrics.correlation import assign, correlations
from jaxdis.metrics.inputs import Failed, Table, as_float, over_seeds, paired
from jaxdis.types import Score

__all__ = [
    "BLOCK_R2",
    "R2",
    "R_CON",
    "R",
    "block_r2",
    "r",
    "r2",
    "r_con",
    "split_rows",
]

REFINEMENTS = 3
FIT_ROWS, JUDGE_ROWS = 512, 2048  # at most, of a kernel regression
KERNEL_RIDGE = 0.1
CG_STEPS = 300

R = Score(
    "r",
    "R",
    "higher",
    (0, 1),
    "Lachapelle et al. 2024 (arXiv 2401.04890)",
    truth=True,
    floor=True,
)
R2 = R._replace(
    name="r2", title="R²", source="Lachapelle et al. 2022 (arXiv 2107.10098)"
)
R_CON = R._replace(name="r_con", title="R_con")
BLOCK_R2 = R._replace(name="block_r2", title="R² of blocks", source="")


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
    z: Float[Array, "n d"], codes: Float[Array, "n k"], mask: Float[Array, "d k"]
) -> Float[Array, "d"]:
    """sqrt(R2_i), as the correlation of z_i with its fit.

    For least squares that is the root of 1 - RSS / TSS, without its loss of digits near
    0, and it lies in [0, 1] whatever the rounding.
    """
    z = standardise(z)
    fit = standardise(_fit(z, standardise(codes), mask))
    return jnp.clip((z * fit).mean(0), 0.0, 1.0)


def _on_all_codes(z: Float[Array, "n d"], codes: Float[Array, "n k"]) -> Array:
    return _multiple_correlation(z, codes, jnp.ones((z.shape[1], codes.shape[1])))


def r2(z: Table, codes: Table, *, failed: Failed = "raise") -> Float[Array, "*s"]:
    """Mean share of the variance of a factor that a linear map of the codes explains.

        R2 = (1/d) sum_i R2_i,   R2_i = 1 - min_{w,b} |z_i - c w - b|^2 / |z_i - mean|^2

    In sample: a useless code scores about k / (n - 1), not 0. Do not compare it with
    `r`, its root factor by factor.

    Args:
      z: factors [n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, or non-finite z.

    Source: Lachapelle et al. 2022 (arXiv 2107.10098).
    """

    def score(z: Array, codes: Array) -> Array:
        return (_on_all_codes(z, codes) ** 2).mean()

    return over_seeds(score, *paired(z, codes, failed))


def r(z: Table, codes: Table, *, failed: Failed = "raise") -> Float[Array, "*s"]:
    """Mean multiple correlation of the factors with the codes; comparable with `mcc`.

        R = (1/d) sum_i sqrt(R2_i)

    Args:
      z: factors [n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, or non-finite z.

    Source: Lachapelle et al. 2024 (arXiv 2401.04890).
    """

    def score(z: Array, codes: Array) -> Array:
        return _on_all_codes(z, codes).mean()

    return over_seeds(score, *paired(z, codes, failed))


def _as_links(pattern: Shaped[ArrayLike, "d d"], d: int) -> Float[Array, "d d"]:
    if jnp.shape(pattern) != (d, d):
        raise ValueError(
            f"pattern has shape {jnp.shape(pattern)}; it must be ({d}, {d}), "
            "factors by factors"
        )
    traced = isinstance(pattern, jax.core.Tracer)
    if not traced and not np.isin(np.asarray(pattern), (0, 1)).all():
        raise ValueError("pattern holds other values than 0 and 1")
    return as_float(pattern)


def _allowed(
    links: Float[Array, "d d"], z: Float[Array, "n d"], codes: Float[Array, "n k"]
) -> Float[Array, "d k"]:
    """Which codes each factor sees: those assigned to the factors it is linked to."""
    order = assign(correlations(z, codes, "pearson"))
    return links @ jax.nn.one_hot(order, codes.shape[1])


def r_con(
    z: Table,
    codes: Table,
    pattern: Shaped[ArrayLike, "d d"],
    *,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """Like `r`, but each factor sees only the codes that theory allows it to need.

        R_con = (1/d) sum_i sqrt(R2 of z_i on {c_pi(j): C[i, j] = 1}),   pi as in `mcc`

    MCC <= R_con <= R, with R_con = MCC for C = I. Where C != I, disentanglement is
    partial: MCC cannot reach 1, R_con can. Codes that pi leaves out are never used. The
    transposed score, in which z_j may depend on z_i instead, is
    `r_con(z, codes, pattern.T)`; it differs unless C is symmetric.

    Args:
      z: factors [n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      pattern: C, [d, d] of 0/1, from `identifiability.consistency_pattern`.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, non-finite z, or a pattern that is
        not 0/1.

    Source: Lachapelle et al. 2024 (arXiv 2401.04890).
    """
    z, codes = paired(z, codes, failed)
    links = _as_links(pattern, z.shape[1])

    def score(z: Array, codes: Array) -> Array:
        mask = _allowed(links, z, codes)
        return _multiple_correlation(z, codes, mask).mean()

    return over_seeds(score, z, codes)


def split_rows(n: int) -> tuple[Int[np.ndarray, "f"], Int[np.ndarray, "j"]]:
    """The rows that fit and those that judge: a random half each, the same every time.

    At random, because data may come sorted, or in turns, by domain.
    """
    rows = np.random.default_rng(0).permutation(n)
    return rows[: n // 2][:FIT_ROWS], rows[n // 2 :][:JUDGE_ROWS]


def _not_negative(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """A maximum that keeps NaN, which XLA's on CPUs need not."""
    return jnp.where(x < 0, 0.0, x)


def _kernel(
    a: Float[Array, "m k"], b: Float[Array, "n k"], gamma: Float[Array, ""]
) -> Float[Array, "m n"]:
    products = jnp.matmul(a, b.T, precision="highest")
    distances = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * products
    return jnp.exp(-gamma * _not_negative(distances))


@jax.jit
def _held_out_r2(
    z: Float[Array, "n d"], codes: Float[Array, "n k"], mask: Float[Array, "d k"]
) -> Float[Array, "d"]:
    """R2 of each factor by kernel ridge regression on its unmasked codes."""
    fit, judge = split_rows(len(z))
    z, codes = standardise(z), standardise(codes)

    def ridged(gram: Array, w: Array) -> Array:
        return jnp.matmul(gram, w, precision="highest") + KERNEL_RIDGE * w

    def one(pair: tuple[Float[Array, "n"], Float[Array, "k"]]) -> Array:
        factor, used = pair
        seen, gamma = codes * used[None], 1 / jnp.maximum(used.sum(), 1.0)
        gram = _kernel(seen[fit], seen[fit], gamma)
        # A tenth of the time of elimination: the ridge keeps it well conditioned.
        weights, _ = cg(partial(ridged, gram), factor[fit], tol=1e-5, maxiter=CG_STEPS)
        fitted = _kernel(seen[judge], seen[fit], gamma) * weights[None]
        truth = factor[judge]
        total = ((truth - truth.mean()) ** 2).sum()
        error = ((truth - fitted.sum(1)) ** 2).sum()
        share = 1 - error / jnp.where(total > 0, total, 1.0)
        return jnp.where(total > 0, _not_negative(share), 0.0)

    return jax.lax.map(one, (z.T, mask))  # one at a time: seeds multiply the kernels


def block_r2(
    z: Table,
    codes: Table,
    pattern: Shaped[ArrayLike, "d d"],
    *,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """Mean share of the variance of a factor that its block of codes explains.

        (1/d) sum_i max(0, R2 of z_i on {c_pi(j): C[i, j] = 1}),   pi as in `mcc`

    By kernel ridge regression, scored out of sample: whether blocks of latents are
    recovered up to non-linear maps within each. `block_r2(z, codes, 1 - pattern)` is
    what the other codes say of a factor: 0 if latents are independent, but domains that
    move several latents make these dependent.

    At most 512 rows fit and 2048 others judge. The larger a block, the harder the
    regression: strongly curved maps of four latents reach about .95. Compare scores of
    one pattern, not of a smaller one with a larger one.

    Args:
      z: factors [n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      pattern: C, [d, d] of 0/1, such as `block` of `identifiability.mixing_report`.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, fewer than 4 rows, non-finite z, or a
        pattern that is not 0/1.

    Note: Columns are standardised; then, with b the number of codes, it is
      scikit-learn's `KernelRidge(kernel="rbf", gamma=1 / b, alpha=0.1)`.
    """
    z, codes = paired(z, codes, failed)
    if len(z) < 4:
        raise ValueError(f"z has {len(z)} rows; half of them fit, so 4 are the least")
    links = _as_links(pattern, z.shape[1])

    def score(z: Array, codes: Array) -> Array:
        mask = _allowed(links, z, codes)
        return _held_out_r2(z, codes, mask).mean()

    return over_seeds(score, z, codes)
