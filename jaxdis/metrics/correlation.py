"""Correlation of factors with codes, and of the codes of several seeds.

A dead code (constant up to rounding) correlates 0 with everything. A run with a
non-finite code has failed: its score is NaN, the scores of its neighbours stand.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.stats import rankdata
from jaxtyping import Array, Bool, Float, Int

DEAD = 1e-8  # standard deviation of a dead column, relative to 1 + |mean|


def as_float(x: Array) -> Float[Array, "..."]:
    """The array in float32 or better."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def paired(
    z: Array, z_hat: Array
) -> tuple[Float[Array, "n d"], Float[Array, "*s n k"]]:
    """Factors and codes of the same samples as floats, after checks.

    Raises:
      ValueError: for a wrong rank, unequal rows, or a non-finite factor.

    Warns:
      UserWarning: if a factor is constant. Values are seen only outside of jit.
    """
    z, z_hat = as_float(z), as_float(z_hat)
    if z.ndim != 2:
        raise ValueError(
            f"z has shape {z.shape}; it must be [n, d]: one row a sample, one column a "
            "factor"
        )
    if z_hat.ndim not in (2, 3):
        raise ValueError(
            f"z_hat has shape {z_hat.shape}; it must be [n, k], or [s, n, k] with a "
            "leading axis of seeds"
        )
    if z_hat.shape[-2] != z.shape[0]:
        raise ValueError(
            f"z_hat has {z_hat.shape[-2]} rows and z has {z.shape[0]}; both must hold "
            "the same samples"
        )
    if not isinstance(z, jax.core.Tracer):
        _check_factors(z)
    return z, z_hat


def _check_factors(z: Float[Array, "n d"]) -> None:
    # In numpy: within the jit of a caller, jnp would trace even known values.
    values = np.asarray(z, np.float64)
    broken = np.flatnonzero(~np.isfinite(values).all(0)).tolist()
    if broken:
        raise ValueError(
            f"z has NaN or infinite values in columns {broken}; factors must be finite"
        )
    is_constant = values.std(0) <= DEAD * (1 + np.abs(values.mean(0)))
    constant = np.flatnonzero(is_constant).tolist()
    if constant:
        warnings.warn(
            f"z is constant in columns {constant}; scores leave these factors out",
            stacklevel=4,
        )


def over_seeds(
    score: Callable[[Array, Array], Array], z: Array, z_hat: Array
) -> Float[Array, "*s"]:
    """`score(z, z_hat)`, vmapped over the codes alone if they have a seed axis."""
    if z_hat.ndim == 3:
        return jax.vmap(score, (None, 0))(z, z_hat)
    return score(z, z_hat)


@jax.jit
def mean_over_factors(
    scores: Float[Array, "d"], z: Float[Array, "n d"]
) -> Float[Array, ""]:
    """Mean score of the factors that vary; 0 if none does."""
    varies = ~_moments(z)[2]
    return scores.sum(where=varies) / jnp.maximum(varies.sum(), 1)


def _moments(
    x: Float[Array, "n k"],
) -> tuple[Float[Array, "n k"], Float[Array, "k"], Bool[Array, "k"]]:
    """Centred columns, their standard deviations, and which of them are dead."""
    mean = x.mean(0)
    x = x - mean[None, :]
    # Again: a float32 mean is off by a rounding, which would keep constants alive.
    x = x - x.mean(0)[None, :]
    peak = jnp.abs(x).max(0)
    peak = jnp.where(peak > 0, peak, 1.0)  # squares of large codes would overflow
    std = peak * jnp.sqrt(((x / peak[None, :]) ** 2).mean(0))
    # A column with NaN fails this comparison: it is broken, not dead.
    return x, std, std <= DEAD * (1 + jnp.abs(mean))


def standardise(x: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Columns of mean 0 and standard deviation 1; dead columns become 0.

        x~ = (x - mean x) / std x,   dead iff std x <= 1e-8 (1 + |mean x|)

    Args:
      x: samples in rows, [n, k].

    Returns:
      [n, k]; a column with a NaN or an infinity is NaN throughout.

    Raises:
      ValueError: if x has another rank.
    """
    x = as_float(x)
    if x.ndim != 2:
        raise ValueError(f"x has shape {x.shape}; it must be [n, k]")
    x, std, is_dead = _moments(x)
    return jnp.where(is_dead[None, :], 0.0, x / jnp.where(is_dead, 1.0, std)[None, :])


@jax.jit
def _count_dead(z_hat: Float[Array, "*s n k"]) -> Int[Array, "*s"]:
    if z_hat.ndim == 3:
        return jax.vmap(_count_dead)(z_hat)
    return _moments(z_hat)[2].sum()


def dead(z_hat: Float[Array, "*s n k"]) -> Int[Array, "*s"]:
    """Number of dead codes: constant columns, up to rounding.

        #{j: std(c_j) <= 1e-8 (1 + |mean(c_j)|)}

    Args:
      z_hat: codes [n, k], or [s, n, k] with a leading axis of seeds.

    Returns:
      A count for each run. Columns with non-finite values are not counted.

    Raises:
      ValueError: if z_hat has another rank.
    """
    z_hat = as_float(z_hat)
    if z_hat.ndim not in (2, 3):
        raise ValueError(
            f"z_hat has shape {z_hat.shape}; it must be [n, k] or [s, n, k]"
        )
    return _count_dead(z_hat)


def _ranks(x: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Average ranks down the columns; dead columns tie, broken ones stay broken."""
    x = jnp.where(_moments(x)[2][None, :], 0.0, x)
    return jnp.where(jnp.isfinite(x), rankdata(x, axis=0), jnp.nan)


@partial(jax.jit, static_argnames="kind")
def correlations(
    z: Float[Array, "n d"], z_hat: Float[Array, "n k"], kind: str
) -> Float[Array, "d k"]:
    """`correlation_matrix` without its checks."""
    if kind == "spearman":
        z, z_hat = _ranks(z), _ranks(z_hat)
    # Accelerators would otherwise round what they multiply to 8 or 11 bits.
    products = jnp.matmul(standardise(z).T, standardise(z_hat), precision="highest")
    return jnp.minimum(jnp.abs(products) / z.shape[0], 1.0)


def _check_kind(kind: str, kinds: tuple[str, ...]) -> None:
    if kind not in kinds:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(kinds)}")


def correlation_matrix(
    z: Float[Array, "n d"],
    z_hat: Float[Array, "n k"],
    *,
    kind: Literal["pearson", "spearman"] = "pearson",
) -> Float[Array, "d k"]:
    """Absolute correlations of factors with codes.

        M[i, j] = |corr(z_i, c_j)|

    Args:
      z: factors [n, d].
      z_hat: codes [n, k] of the same samples.
      kind: "pearson", or "spearman" for the correlation of average ranks.

    Returns:
      M, [d, k], in [0, 1]; 0 for dead columns, NaN for codes that are not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, an unknown kind, or non-finite z.

    Source: Pearson 1895; Spearman 1904.
    """
    _check_kind(kind, ("pearson", "spearman"))
    if jnp.ndim(z_hat) != 2:
        raise ValueError(f"z_hat has shape {jnp.shape(z_hat)}; it must be [n, k]")
    return correlations(*paired(z, z_hat), kind)


def assign(matrix: Float[Array, "d k"]) -> Int[Array, "d"]:
    """The code assigned to each factor.

        pi = argmax over injective maps of sum_i M[i, pi(i)]

    Args:
      matrix: similarities [d, k]; entries that are not finite count as 0.

    Returns:
      pi, [d]. With fewer codes than factors, -1 marks a factor without a code.

    Raises:
      ValueError: if matrix has another rank.

    Source: Kuhn 1955 (Hungarian method).
    """
    if jnp.ndim(matrix) != 2:
        raise ValueError(f"matrix has shape {jnp.shape(matrix)}; it must be [d, k]")
    return _assign(as_float(matrix))


@jax.jit
def _assign(matrix: Float[Array, "d k"]) -> Int[Array, "d"]:
    # The solver answers a NaN with the identity, silently.
    cost = -jnp.where(jnp.isfinite(matrix), matrix, 0.0)
    factors, codes = optax.assignment.hungarian_algorithm(cost)
    return jnp.full(matrix.shape[0], -1).at[factors].set(codes)


@jax.jit
def _matched(matrix: Float[Array, "d k"]) -> Float[Array, "d"]:
    """M[i, pi(i)], 0 without a code; NaN if any code of the run is."""
    return (matrix * jax.nn.one_hot(_assign(matrix), matrix.shape[1])).sum(1)


def mcc(
    z: Float[Array, "n d"],
    z_hat: Float[Array, "*s n k"],
    *,
    kind: Literal["pearson", "spearman"] = "pearson",
) -> Float[Array, "*s"]:
    """Mean correlation coefficient of factors and their assigned codes.

        MCC = (1/d) sum_i |corr(z_i, c_pi(i))|,   pi maximises the sum

    Ignores the order, sign, scale and shift of the codes; with "spearman", every
    monotone map of one. Codes in excess are ignored, factors without a code score 0.

    Args:
      z: factors [n, d]; constant ones are left out of the mean.
      z_hat: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      kind: "pearson", or "spearman" for the correlation of average ranks.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, an unknown kind, or non-finite z.

    Source: Hyvarinen and Morioka 2016 (arXiv 1605.06336).
    """
    _check_kind(kind, ("pearson", "spearman"))
    z, z_hat = paired(z, z_hat)

    def score(z: Array, z_hat: Array) -> Array:
        return mean_over_factors(_matched(correlations(z, z_hat, kind)), z)

    return over_seeds(score, z, z_hat)


def _lasso(
    gram: Float[Array, "k k"], cross: Float[Array, "k l"], alpha: float, steps: int
) -> Float[Array, "k l"]:
    """argmin_w w'Gw / 2 - w'b + alpha |w|_1 for each column b, by FISTA."""
    step = 1 / jnp.maximum(jnp.linalg.eigvalsh(gram)[-1], 1e-6)

    def improve(
        _: int, state: tuple[Array, Array, Array]
    ) -> tuple[Array, Array, Array]:
        w, ahead, t = state
        u = ahead - step * (jnp.matmul(gram, ahead, precision="highest") - cross)
        shrunk = jnp.sign(u) * jnp.maximum(jnp.abs(u) - step * alpha, 0.0)
        t_next = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        return shrunk, shrunk + (t - 1) / t_next * (shrunk - w), t_next

    start = (jnp.zeros_like(cross), jnp.zeros_like(cross), jnp.ones((), cross.dtype))
    return jax.lax.fori_loop(0, steps, improve, start)[0]


def relative_strength(relation: Float[Array, "k l"]) -> Float[Array, ""]:
    """How near a non-negative matrix is to a permutation.

        (1/2) [mean_b (max_a R_ab^2 / sum_a R_ab) + mean_a (max_b R_ab^2 / sum_b R_ab)]

    Args:
      relation: R, [k, l], not negative.

    Returns:
      A scalar: 1 for a permutation matrix; rows and columns of zeros count 0.

    Source: Duan et al. 2020 (arXiv 1905.12614).
    """

    def along(axis: int) -> Array:
        total = relation.sum(axis)
        empty = total == 0
        return (relation.max(axis) ** 2 / jnp.where(empty, 1.0, total)).mean()

    return (along(0) + along(1)) / 2


def _mean_matched(matrix: Float[Array, "k l"]) -> Float[Array, ""]:
    return _matched(matrix).mean()


@partial(jax.jit, static_argnames="kind")
def _udr(z_hat: Float[Array, "s n k"], kind: str) -> Float[Array, ""]:
    s, n, _ = z_hat.shape
    codes = jax.vmap(_ranks)(z_hat) if kind == "spearman" else z_hat
    codes = jax.vmap(standardise)(codes)
    corr = jnp.einsum("snk,tnl->stkl", codes, codes, precision="highest") / n
    relation = corr = jnp.clip(corr, -1.0, 1.0)
    if kind == "lasso":
        gram = corr[jnp.arange(s), jnp.arange(s)]
        lasso = partial(_lasso, alpha=0.1, steps=300)
        relation = jax.vmap(jax.vmap(lasso, (None, 0)))(gram, corr)
    score = _mean_matched if kind == "mcc" else relative_strength
    scores = jax.vmap(jax.vmap(score))(jnp.abs(relation))
    return jnp.median(scores[np.nonzero(~np.eye(s, dtype=bool))])


def udr(
    z_hat: Float[Array, "s n k"],
    *,
    kind: Literal["mcc", "lasso", "spearman"] = "mcc",
) -> Float[Array, ""]:
    """Unsupervised disentanglement ranking: how well the seeds of a setting agree.

        UDR = median over s != t of score(R^(s,t))

    - "mcc": the MCC of the codes of two seeds;
    - "lasso": R[a, b] = |Lasso coefficient, alpha = .1| of code b of seed t on the
      standardised codes of seed s, score = `relative_strength`;
    - "spearman": R[a, b] = |rank correlation|, score = `relative_strength`.

    Args:
      z_hat: codes [s, n, k] of at least two seeds for the same samples.
      kind: one of the three above.

    Returns:
      A scalar, higher is better. Seeds that agree up to order and sign reach 1 with
      "mcc", .9 with "lasso", and less than 1 with "spearman". NaN if a seed has a code
      that is not finite.

    Raises:
      ValueError: for a wrong shape, fewer than two seeds, or an unknown kind.

    Note: The paper removes codes whose KL to the prior is at most .01. That takes the
      posterior, so it is the caller's business here.

    Source: Duan et al. 2020 (arXiv 1905.12614); "mcc": Lachapelle et al. 2024
      (arXiv 2401.04890).
    """
    _check_kind(kind, ("mcc", "lasso", "spearman"))
    z_hat = as_float(z_hat)
    if z_hat.ndim != 3:
        raise ValueError(f"z_hat has shape {z_hat.shape}; it must be [s, n, k]")
    if z_hat.shape[0] < 2:
        raise ValueError(
            f"z_hat holds {z_hat.shape[0]} seed; pairs of seeds are compared, so at "
            "least 2 are needed"
        )
    return _udr(z_hat, kind)
