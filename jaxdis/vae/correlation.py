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
def _log_sums(
    rows: Float[Array, "*k c b"], draws: Float[Array, "*k c n"], own: Scalar
) -> Float[Array, "*k n"]:
    """`log sum_j w_ji exp(sum_c rows_cj draws_ci)`, with w_ii = own, and 1 elsewhere.

    One exponential for each pair; exponents and sums over pairs, also those of the
    gradient, are matrix products, and nothing is broadcast over the pairs: on a CPU
    that takes longer than the exponential. None has a gradient by `own`.
    """
    return _log_sums_forward(rows, draws, own)[0]


def _log_sums_forward(
    rows: Array, draws: Array, own: Scalar
) -> tuple[Array, tuple[Array, ...]]:
    exponent = jnp.einsum("...cj,...ci->...ji", rows, draws, precision="highest")
    i = jnp.arange(draws.shape[-1])
    density = jnp.exp(exponent).at[..., i, i].multiply(own)
    of_each = jnp.concatenate([jnp.ones_like(rows[..., :1, :]), rows], -2)
    sums = jnp.matmul(of_each, density, precision="highest")
    return jnp.log(sums[..., 0, :]), (draws, density, sums)


def _log_sums_backward(kept: tuple[Array, ...], g: Array) -> tuple[Array, Array, Array]:
    draws, density, sums = kept
    share = (g / sums[..., 0, :])[..., None, :]
    shared = share * draws
    by_rows = jnp.einsum("...ci,...ji->...cj", shared, density, precision="highest")
    return by_rows, share * sums[..., 1:, :], jnp.zeros(())


_log_sums.defvjp(_log_sums_forward, _log_sums_backward)


def _joint(
    rows: Float[Array, "c b"], draws: Float[Array, "c n"], own: Scalar
) -> Float[Array, "n"]:
    """`_log_sums` of exponents of any size: the largest of each draw is taken out."""
    exponent = jnp.einsum("cj,ci->ji", rows, draws, precision="highest")
    top = jax.lax.stop_gradient(exponent.max(0))
    rows = jnp.concatenate([rows, jnp.ones_like(rows[:1])])
    return top + _log_sums(rows, jnp.concatenate([draws, -top[None]]), own)


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
    size = len(q.mean)
    two_rows(size)
    own, other = ESTIMATES[estimate](size, rows)
    other = jnp.maximum(other, 1e-30)  # it is 0 where there is one training row
    mean, rate, drawn = q.mean.T, 1.0 / q.var.T, z.T
    constant = 0.5 * (jnp.log(rate) - rate * mean**2 - gaussian.LOG_2PI)
    by_row = jnp.stack([-0.5 * rate, rate * mean, constant], 1)
    by_draw = jnp.stack([drawn**2, drawn, jnp.ones_like(drawn)], 1)
    each = _log_sums(by_row, by_draw, own / other)
    joint = _joint(by_row.reshape(-1, size), by_draw.reshape(-1, len(z)), own / other)
    return Aggregate(joint + jnp.log(other), each.T + jnp.log(other))


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
