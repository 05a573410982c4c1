"""The terms of the objectives. Everything here is minimised."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import gaussian
from jaxdis.types import PRNGKey, Scalar

JacobianMode: TypeAlias = Literal["full", "columns", "differences"]


def gaussian_reconstruction(
    x: Float[Array, "*b x"], mean: Float[Array, "*b x"], std: Float[Array, ""]
) -> Float[Array, "*b"]:
    """Negative log-likelihood `-sum_D log N(x; mean, std^2)` in nats."""
    return -jnp.sum(gaussian.log_prob(x, mean, std**2), axis=-1)


def bernoulli_reconstruction(
    x: Float[Array, "*b h w c"], logits: Float[Array, "*b h w c"]
) -> Float[Array, "*b"]:
    """Cross entropy of pixels in [0, 1], `sum softplus(l) - x l`, in nats a frame."""
    return jnp.sum(jax.nn.softplus(logits) - x * logits, axis=(-3, -2, -1))


def negative_elbo(
    reconstruction: Float[Array, "*b"],
    kl: Float[Array, "*b"],
    beta: Scalar = 1.0,
) -> Float[Array, "*b"]:
    """`E_q[-log p(x | z)] + beta KL(q(z | x) || p(z))`, example by example, in nats.

    Source: Kingma and Welling 2014, equation 3; beta of Higgins et al. 2017.
    """
    return reconstruction + beta * kl


def annealed_bound(
    step: Scalar,
    full: Scalar,
    target: Scalar,
    warmup: Scalar,
    descent: Scalar,
) -> Float[Array, ""]:
    """Bound on a graph's edges: `full` until `warmup`, then a line to `target`.

    `target + (full - target) clip(1 - (step - warmup) / descent, 0, 1)`.

    Args:
      step: steps taken so far.
      full: number of cells of the graph, where the bound starts.
      target: the edges allowed in the end.
      warmup: steps before the descent, in which the encoder settles.
      descent: steps that the descent takes; 0 is a jump.

    Note: the published code leaves `warmup` out of the line, so that with a warm-up the
      bound jumps when it ends and later falls below the target.
    """
    fraction = 1.0 - (step - warmup) / jnp.maximum(descent, 1.0)
    return target + (full - target) * jnp.clip(fraction, 0.0, 1.0)


def dual_ascent(multiplier: Scalar, defect: Scalar, rate: Scalar) -> Float[Array, ""]:
    """One step of the multiplier of `defect <= 0`, with restart.

    `mu <- max(0, mu + rate * defect)`, and `mu <- 0` as soon as `defect < 0`, so that a
    constraint that holds stops pushing at once. A defect of exactly 0 is no restart.

    Source: Gallego-Posada et al. 2022 (arXiv 2208.04425), section 4.2.
    """
    ascended = jnp.maximum(0.0, multiplier + rate * defect)
    return jnp.where(defect < 0, 0.0, ascended)


def hamilton_jacobi_residual(
    time: Float[Array, "*s"], speed: Float[Array, "*s"], force: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """`du/dt + |grad u|^2 / 2 + f^2`, which optimal transport makes 0.

    The square keeps the force term F = -f^2 from being positive.

    Source: Song et al. 2023, the generalised Hamilton-Jacobi equation of section 3.
    """
    return time + 0.5 * speed + force**2


def index_kl(logits: Float[Array, "*b k"]) -> Float[Array, "*b"]:
    """KL of a softmax over k indices from the uniform law: `log K - H(q)`, in nats."""
    log_q = jax.nn.log_softmax(logits)
    return jnp.sum(jnp.exp(log_q) * log_q, -1) + jnp.log(logits.shape[-1])


def absolute(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`|x|` with the derivative 0 at 0, where that of `abs` is 1.

    What is exactly 0, such as a dead unit, gets no push.
    """
    return x * jax.lax.stop_gradient(jnp.sign(x))


def decoder_jacobian(
    decode: Callable[[Array], Array], z: Float[Array, "b n"]
) -> Float[Array, "b m n"]:
    """`J_bkj = d decode(z_b)_k / d z_bj`, by the cheaper of both modes.

    Reverse mode takes m pulls and forward mode n pushes of the whole batch at once;
    reverse if m <= n.

    Args:
      decode: maps latents `[b, n]` to observations `[b, m]`, row by row.
      z: latents.
    """
    b, n = z.shape
    out = jax.eval_shape(decode, z)
    m = out.shape[-1]
    if m <= n:
        _, pull = jax.vjp(decode, z)
        units = jnp.broadcast_to(jnp.eye(m, dtype=out.dtype)[:, None], (m, b, m))
        return jnp.moveaxis(jax.vmap(lambda unit: pull(unit)[0])(units), 0, 1)
    units = jnp.broadcast_to(jnp.eye(n, dtype=z.dtype)[:, None], (n, b, n))
    _, push = jax.linearize(decode, z)
    return jnp.moveaxis(jax.vmap(push)(units), 0, 2)


def jacobian_l1(
    decode: Callable[[Array], Array],
    z: Float[Array, "b n"],
    scale: Float[Array, "n"],
    *,
    mode: JacobianMode = "full",
    columns: int = 1,
    difference: float = 1e-3,
    key: PRNGKey | None = None,
) -> Float[Array, ""]:
    """`mean_b sum_kj |d x_bk / d z_bj| scale_j`: how densely the decoder mixes.

    With `scale_j = std(z_j)` it does not change if a latent is stretched and the
    decoder shrunk in turn; with 1 a decoder makes it small for nothing.

    Args:
      decode: maps latents `[b, n]` to observations `[b, m]`, row by row.
      z: latents.
      scale: weight of each latent's column.
      mode: "full", the exact Jacobian; "columns", the mean over random columns times n,
        which is unbiased; "differences", forward differences of all columns.
      columns: random columns, without repetition.
      difference: step of the forward differences.
      key: for "columns".

    Source: Li et al. 2025 (arXiv 2503.00639), the sparsity of the mixing procedure; the
      scale is ours.
    """
    n = z.shape[-1]
    if mode == "full":
        jacobian = decoder_jacobian(decode, z)
        return jnp.sum(absolute(jacobian).mean(0) * scale[None])
    if mode == "differences":
        x = decode(z)

        def column(unit: Array) -> Array:
            return (decode(z + difference * unit[None]) - x) / difference

        chosen, units = scale, jnp.eye(n, dtype=z.dtype)
    else:
        assert key is not None
        _, push = jax.linearize(decode, z)

        def column(unit: Array) -> Array:
            return push(jnp.broadcast_to(unit[None], z.shape))

        drawn = jax.random.permutation(key, n)[:columns]
        chosen, units = scale[drawn] * (n / columns), jnp.eye(n, dtype=z.dtype)[drawn]
    sizes = jax.vmap(lambda unit: jnp.sum(absolute(column(unit)), -1).mean())(units)
    return jnp.sum(sizes * chosen)


def feature_usage(
    weights: Float[Array, "t m c"], floor: Scalar = 0.0, axis_name: str | None = None
) -> Float[Array, "m"]:
    """How much the heads of all tasks use a feature: `a_m = floor + mean_tc |w_tmc|`.

    Args:
      weights: heads of t tasks on m features with c outputs.
      floor: added to each, so that log a stays finite and a feature that was dropped
        can come back.
      axis_name: a mapped axis over which the tasks are spread.
    """
    usage = absolute(weights).mean((0, 2))
    return floor + (usage if axis_name is None else jax.lax.pmean(usage, axis_name))


def feature_sharing(usage: Float[Array, "m"]) -> Float[Array, ""]:
    """Entropy of the features' shares, `H(p) = -sum_m p_m log p_m`, in nats.

    p = a / sum(a) with positive usages a. Small H is weight concentrated on few
    features over all tasks: tasks reuse them.

    Source: Fumero et al. 2023 (arXiv 2304.07939), the sharing term; the formula is our
      reading of it.
    """
    share = usage / usage.sum()
    return -jnp.sum(share * jnp.log(share))


def sharing_price(usage: Float[Array, "m"]) -> Float[Array, "m"]:
    """`dH / da_m = (-log p_m - H) / A`, A = sum(a): what using a feature more costs.

    Negative for features with p_m > e^-H, positive for rarer ones.
    """
    total = usage.sum()
    return (-jnp.log(usage / total) - feature_sharing(usage)) / total


def gan_generator(fake: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """What the generator minimises in the discriminator's scores: `softplus(-fake)`.

    Source: Goodfellow et al. 2014 (arXiv 1406.2661), the non-saturating form.
    """
    return jax.nn.softplus(-fake)


def gan_discriminator(
    fake: Float[Array, "*b"], real: Float[Array, "*b"]
) -> Float[Array, "*b"]:
    """What the discriminator minimises: `softplus(fake) + softplus(-real)`."""
    return jax.nn.softplus(fake) + jax.nn.softplus(-real)


def gradient_penalty(
    score: Callable[[Array], Float[Array, "b"]], x: Float[Array, "b *x"]
) -> Float[Array, ""]:
    """`1/2 mean_b |grad score(x_b)|^2`, for real x the R1 penalty.

    Source: Mescheder et al. 2018 (arXiv 1801.04406), equation 9.
    """
    gradient = jax.grad(lambda x: score(x).sum())(x)
    return 0.5 * jnp.sum(gradient**2) / len(x)


def path_lengths(
    synthesis: Callable[[Float[Array, "b l w"]], Float[Array, "b h w c"]],
    styles: Float[Array, "b l w"],
    key: PRNGKey,
) -> Float[Array, "b"]:
    """`|J^T y|` of each example, J the Jacobian of its image in its style.

    The square is a mean over layers, each with a style of its own; y are images of
    noise with variance 1 / (height width). The generator is well conditioned where all
    lengths are the same.

    Source: Karras et al. 2020 (arXiv 1912.04958), equation 4.
    """
    images, pull = jax.vjp(synthesis, styles)
    _, height, width, _ = images.shape
    y = jax.random.normal(key, images.shape) * (height * width) ** -0.5
    (back,) = pull(y)
    return jnp.sqrt(jnp.mean(jnp.sum(back**2, -1), 1) + 1e-8)


def importance_size(importance: Float[Array, "n"]) -> Float[Array, ""]:
    """`mean_j |w_j|`, with derivative 0 where a weight is 0."""
    return jnp.mean(absolute(importance))
