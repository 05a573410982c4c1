"""The divergence from the prior in three parts, one of them the total correlation.

    E_x KL(q(z | x) || p(z)) =   I(x; z), what the latents tell of the row
                               + KL(q(z) || prod_k q(z_k)), the total correlation
                               + sum_k KL(q(z_k) || p(z_k)), latent by latent

The aggregate posterior `q(z) = 1/N sum_n q(z | x_n)` is a mixture over all N training
rows, of which a batch shows some.

Source: Chen et al. 2018 (arXiv 1802.04942): the decomposition of the divergence
and its estimates by minibatches.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import check, gaussian
from jaxdis.gaussian import Posterior
from jaxdis.types import Scalar

__all__ = [
    "ESTIMATES",
    "Aggregate",
    "Estimate",
    "Parts",
    "aggregate",
    "divergence_parts",
    "total_correlation",
    "two_rows",
]

Estimate: TypeAlias = Literal["stratified", "weighted"]


def _stratified(size: int, rows: Scalar) -> tuple[Scalar, Scalar]:
    return 1.0 / rows, (1.0 - 1.0 / rows) / (size - 1)


def _weighted(size: int, rows: Scalar) -> tuple[Scalar, Scalar]:
    return 1.0 / (rows * size), 1.0 / (rows * size)


ESTIMATES: dict[str, Callable[[int, Scalar], tuple[Scalar, Scalar]]] = {
    "stratified": _stratified,
    "weighted": _weighted,
}
"""How much the posterior of a row weighs in q(z) at its own draw, and at that of any
other row: `(rows of the batch b, training rows N) -> weights`.

- "stratified": 1 / N and (N - 1) / (N (b - 1)). The mean of the density over batches is
  q(z), and a batch of all rows gives q(z) itself.
- "weighted": 1 / (N b) for both. Where the posteriors of all rows overlap the density
  is too small by a factor N, and the total correlation of d latents too large by
  (d - 1) log N: a constant, which leaves gradients as they are."""


def two_rows(batch: int) -> None:
    """Raises ValueError, in the words of a config, for a batch of fewer than two rows.

    Args:
      batch: the number of rows in a batch.
    """
    check.whole("config.batch", batch)
    if batch < 2:
        raise ValueError(
            "config.batch must be at least 2, as the total correlation of the codes of "
            f"a single row cannot be told; got {batch}"
        )


class Aggregate(NamedTuple):
    """Log densities of the aggregate posterior at draws of a batch, in nats.

    Attributes:
      joint: log q(z).
      each: log q(z_k) of each latent.
    """

    joint: Float[Array, "n"]
    each: Float[Array, "n z"]


@jax.custom_vjp
def _marginals(
    z: Float[Array, "z n"],
    mean: Float[Array, "z b"],
    rate: Float[Array, "z b"],
    weights: Float[Array, "b n"],
) -> Float[Array, "z n"]:
    """`log sum_j w_ji sqrt(rate_j) exp(-rate_j (z_i - mean_j)^2 / 2)` of each latent.

    One exponential for each pair; exponents and sums over pairs, also those of the
    gradient, are matrix products. What differentiation makes of it takes far longer.
    """
    return _marginals_forward(z, mean, rate, weights)[0]


def _marginals_forward(
    z: Array, mean: Array, rate: Array, weights: Array
) -> tuple[Array, tuple[Array, ...]]:
    constant = 0.5 * (jnp.log(rate) - rate * mean**2)
    rows = jnp.stack([-0.5 * rate, rate * mean, constant], 1)
    draws = jnp.stack([z**2, z, jnp.ones_like(z)], 1)
    exponent = jnp.einsum("kcj,kci->kji", rows, draws, precision="highest")
    density = jnp.exp(exponent) * weights[None]
    by_row = jnp.stack([jnp.ones_like(rate), rate, rate * mean], 1)
    sums = jnp.matmul(by_row, density, precision="highest")
    return jnp.log(sums[:, 0]), (z, mean, rate, density, sums)


def _marginals_backward(
    kept: tuple[Array, ...], g: Array
) -> tuple[Array, Array, Array, Array]:
    z, mean, rate, density, sums = kept
    total, of_rate, of_mean = jnp.moveaxis(sums, 1, 0)
    share = g / total
    by_draw = jnp.stack([share, share * z, share * z**2], 1)
    products = jnp.einsum("kci,kji->kcj", by_draw, density, precision="highest")
    one, first, second = jnp.moveaxis(products, 1, 0)
    spread = second - 2 * mean * first + mean**2 * one
    return (
        share * (of_mean - of_rate * z),
        rate * (first - mean * one),
        0.5 * (one / rate - spread),
        jnp.zeros_like(density[0]),
    )


_marginals.defvjp(_marginals_forward, _marginals_backward)


def _joint(
    z: Float[Array, "n z"],
    mean: Float[Array, "b z"],
    rate: Float[Array, "b z"],
    weights: Float[Array, "b n"],
) -> Float[Array, "n"]:
    """`log sum_j w_ji prod_k sqrt(rate_jk) exp(-rate_jk (z_ik - mean_jk)^2 / 2)`."""
    rows = jnp.concatenate([-0.5 * rate, rate * mean], 1)
    draws = jnp.concatenate([z**2, z], 1)
    exponent = jnp.matmul(rows, draws.T, precision="highest")
    exponent += 0.5 * jnp.sum(jnp.log(rate) - rate * mean**2, -1)[:, None]
    top = jax.lax.stop_gradient(exponent.max(0))
    return top + jnp.log(jnp.sum(weights * jnp.exp(exponent - top[None]), 0))


def aggregate(
    z: Float[Array, "n z"],
    q: Posterior,
    rows: Scalar,
    estimate: Estimate = "stratified",
) -> Aggregate:
    """`log sum_j w_ij q(z_i | x_j)`: of all latents, and of each.

    Args:
      z: draws from the first n of the posteriors, all of them or fewer: what is paid is
        proportional to n, and the densities are as good.
      q: the posteriors of a batch, at least two.
      rows: the number N of training rows; of a source without an end, a large one.
      estimate: the weights w, a key of `ESTIMATES`.

    Raises:
      ValueError: a batch of one row.

    Source: Chen et al. 2018, minibatch weighted and minibatch stratified sampling.

    Note: The paper's stratified weights differ between the other rows of a batch. Here
      they have their mean, which is the average over all orders of the batch: as
      unbiased, and of less variance. The released program lays the weight 1 / N on the
      first row of the batch where the paper has it on a draw's own.

    Note: Squares are expanded, so that the logarithm of a density has an error of about
      1e-7 (z / std)^2: below a hundredth for posteriors wider than .01.
    """
    size, latents = q.mean.shape
    two_rows(size)
    own, other = ESTIMATES[estimate](size, rows)
    mine = jnp.arange(size)[:, None] == jnp.arange(len(z))[None]
    weights = jnp.where(mine, jnp.asarray(own, float), other)
    rate, half = 1.0 / q.var, 0.5 * gaussian.LOG_2PI
    joint = _joint(z, q.mean, rate, weights) - latents * half
    return Aggregate(joint, _marginals(z.T, q.mean.T, rate.T, weights).T - half)


class Parts(NamedTuple):
    """The divergence of the posteriors from N(0, 1), in nats; the sum is all of it.

    Attributes:
      information: what the latents tell of the row, the mutual information.
      correlation: the total correlation of the latents.
      each: the divergence of each latent's aggregate from N(0, 1), summed.
    """

    information: Float[Array, ""]
    correlation: Float[Array, ""]
    each: Float[Array, ""]


def divergence_parts(
    z: Float[Array, "n z"],
    q: Posterior,
    rows: Scalar,
    estimate: Estimate = "stratified",
) -> Parts:
    """The three parts of the mean divergence, from draws of a batch.

    `mean_i log q(z_i | x_i) - log q(z_i)`, `log q(z_i) - sum_k log q(z_ik)` and
    `sum_k log q(z_ik) - log p(z_ik)`; their sum is `log q(z_i | x_i) - log p(z_i)`.

    Args:
      z, q, rows, estimate: as in `aggregate`.

    Source: Chen et al. 2018, the decomposition of the divergence.
    """
    joint, each = aggregate(z, q, rows, estimate)
    drawn = Posterior(q.mean[: len(z)], q.var[: len(z)])
    given = gaussian.log_prob(z, *drawn).sum(-1)
    prior = gaussian.log_prob(z, *gaussian.standard(z)).sum(-1)
    product = each.sum(-1)
    return Parts(
        (given - joint).mean(), (joint - product).mean(), (product - prior).mean()
    )


def total_correlation(
    z: Float[Array, "n z"],
    q: Posterior,
    rows: Scalar,
    estimate: Estimate = "stratified",
) -> Float[Array, ""]:
    """`KL(q(z) || prod_k q(z_k)) = mean_i log q(z_i) - sum_k log q(z_ik)`, in nats.

    0 where the latents are independent over the training rows. Of a Gaussian q(z) with
    correlation matrix R it is -1/2 log det R.

    Args:
      z, q, rows, estimate: as in `aggregate`.

    Note: The logarithm of a mean is smaller than the mean of logarithms would have it,
      more so for all latents together than for one: the estimate is too low where few
      posteriors of a batch overlap, and can be negative.
    """
    joint, each = aggregate(z, q, rows, estimate)
    return (joint - each.sum(-1)).mean()
