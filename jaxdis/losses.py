"""The terms of the objectives. Everything here is minimised."""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxdis import gaussian
from jaxdis.types import PRNGKey, Scalar

__all__ = [
    "JACOBIANS",
    "JacobianMode",
    "JacobianOptions",
    "absolute",
    "annealed_bound",
    "bernoulli_reconstruction",
    "decoder_jacobian",
    "dual_ascent",
    "feature_sharing",
    "feature_usage",
    "gan_discriminator",
    "gan_generator",
    "gaussian_reconstruction",
    "gradient_penalty",
    "hamilton_jacobi_residual",
    "importance_size",
    "index_kl",
    "jacobian_l1",
    "negative_elbo",
    "path_lengths",
    "sharing_price",
]

JacobianMode: TypeAlias = Literal["full", "columns", "differences"]


def gaussian_reconstruction(
    x: Float[Array, "*b x"], mean: Float[Array, "*b x"], std: Scalar
) -> Float[Array, "*b"]:
    """Negative log-likelihood `-sum_x log N(x; mean, std^2)`, in nats per example.

    Args:
      x: observations.
      mean: what the decoder makes of their latents.
      std: standard deviation of the decoder's noise, in units of x.
    """
    return -jnp.sum(gaussian.log_prob(x, mean, std**2), axis=-1)


@jax.custom_jvp
def _pixel_cross_entropy(x: Array, logits: Array) -> Array:
    return jax.nn.softplus(logits) - x * logits


# The derivative of the softplus would take its own exponentials and divide them.
_pixel_cross_entropy.defjvps(
    lambda dx, _, x, logits: -logits * dx,
    lambda dlogits, _, x, logits: (jax.nn.sigmoid(logits) - x) * dlogits,
)


def bernoulli_reconstruction(
    x: Shaped[Array, "*b h w c"], logits: Float[Array, "*b h w c"]
) -> Float[Array, "*b"]:
    """Cross entropy of pixels in [0, 1], `sum softplus(l) - x l`, in nats per frame."""
    # Black and white may be given as integers, which have no derivatives.
    x = x.astype(jnp.result_type(x, logits))
    return jnp.sum(_pixel_cross_entropy(x, logits), axis=(-3, -2, -1))


def negative_elbo(
    reconstruction: Float[Array, "*b"],
    kl: Float[Array, "*b"],
    beta: Scalar = 1.0,
) -> Float[Array, "*b"]:
    """`E_q[-log p(x | z)] + beta KL(q(z | x) || p(z))`, example by example, in nats.

    This is the one ELBO of the package, negative: systems differ in how they come by
    its two parts alone. The divergence is `gaussian.kl(*q, *p).sum(-1)` where the prior
    is a Gaussian, and `log q(z | x) - log p(z)` of the draw z where it is not. The sum
    is over whatever the parts are taken over: an example, or the mean of a batch.

    Args:
      reconstruction: -log p(x | z) of a draw z ~ q(z | x), or another error of it.
      kl: the divergence of the posterior from the prior.
      beta: weight of the divergence; 1 is the bound on log p(x).

    Source: Kingma and Welling 2014, equation 3; beta of Higgins et al. 2017.
    """
    return reconstruction + beta * kl


def annealed_bound(
    step: Scalar | Int[Array, ""],
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
      target: number of edges allowed in the end.
      warmup: steps before the descent, in which the encoder settles.
      descent: steps that the descent takes; 0 is a jump.

    Note: The published code leaves `warmup` out of the line, so that with a warm-up the
      bound jumps when it ends and later falls below the target.
    """
    fraction = 1.0 - (step - warmup) / jnp.maximum(descent, 1.0)
    return target + (full - target) * jnp.clip(fraction, 0.0, 1.0)


def dual_ascent(multiplier: Scalar, defect: Scalar, rate: Scalar) -> Float[Array, ""]:
    """One step of the multiplier of `defect <= 0`, with restart.

    `mu <- max(0, mu + rate * defect)`, and `mu <- 0` as soon as `defect < 0`, so that a
    constraint that holds stops pushing at once. A defect of exactly 0 is no restart.

    Args:
      multiplier: mu, at least 0.
      defect: by how much the constraint is violated.
      rate: step size.

    Source: Gallego-Posada et al. 2022 (arXiv 2208.04425), section 4.2.
    """
    ascended = jnp.maximum(0.0, multiplier + rate * defect)
    return jnp.where(defect < 0, 0.0, ascended)


def hamilton_jacobi_residual(
    time: Float[Array, "*s"], speed: Float[Array, "*s"], force: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """`du/dt + |grad u|^2 / 2 + f^2`, which optimal transport makes 0.

    The square keeps the force term F = -f^2 from being positive.

    Args:
      time: du/dt, the derivative of the potential by time.
      speed: |grad u|^2, the square of the velocity.
      force: f, the root of the force term.

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
    decode: Callable[[Array], Array], z: Float[Array, "b z"]
) -> Float[Array, "b x z"]:
    """`J_bkj = d decode(z_b)_k / d z_bj`, by the cheaper of both modes.

    Reverse mode takes a pull per observed variable and forward mode a push per latent,
    each of the whole batch at once; reverse if there are no more observed variables
    than latents.

    Args:
      decode: maps latents `[b, z]` to observations `[b, x]`, row by row.
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


class JacobianOptions(NamedTuple):
    """What the ways to see a Jacobian can be told; each looks at its own.

    Attributes:
      columns: number of random columns, without repetition.
      difference: step of the forward differences.
      key: key of the random columns.
    """

    columns: int = 1
    difference: Scalar = 1e-3
    key: PRNGKey | None = None


def _whole_jacobian(
    decode: Callable[[Array], Array],
    z: Float[Array, "b z"],
    scale: Float[Array, "z"],
    options: JacobianOptions,
) -> Float[Array, ""]:
    jacobian = decoder_jacobian(decode, z)
    return jnp.sum(absolute(jacobian).mean(0) * scale[None])


def _sum_of_columns(
    column: Callable[[Array], Array],
    units: Float[Array, "j z"],
    weights: Float[Array, "j"],
) -> Float[Array, ""]:
    """`sum_j weights_j mean_b |column(unit_j)_b|_1`."""
    sizes = jax.vmap(lambda unit: jnp.sum(absolute(column(unit)), -1).mean())(units)
    return jnp.sum(sizes * weights)


def _random_columns(
    decode: Callable[[Array], Array],
    z: Float[Array, "b z"],
    scale: Float[Array, "z"],
    options: JacobianOptions,
) -> Float[Array, ""]:
    assert options.key is not None
    n = z.shape[-1]
    _, push = jax.linearize(decode, z)

    def column(unit: Array) -> Array:
        return push(jnp.broadcast_to(unit[None], z.shape))

    drawn = jax.random.permutation(options.key, n)[: options.columns]
    weights = scale[drawn] * (n / options.columns)
    return _sum_of_columns(column, jnp.eye(n, dtype=z.dtype)[drawn], weights)


def _forward_differences(
    decode: Callable[[Array], Array],
    z: Float[Array, "b z"],
    scale: Float[Array, "z"],
    options: JacobianOptions,
) -> Float[Array, ""]:
    x, step = decode(z), options.difference

    def column(unit: Array) -> Array:
        return (decode(z + step * unit[None]) - x) / step

    return _sum_of_columns(column, jnp.eye(z.shape[-1], dtype=z.dtype), scale)


JACOBIANS: dict[JacobianMode, Callable[..., Array]] = {
    "full": _whole_jacobian,
    "columns": _random_columns,
    "differences": _forward_differences,
}
"""Ways to see the Jacobian, `(decode, z, scale, options) -> jacobian_l1`: exactly, by
random columns times the number of latents, which is unbiased, or by forward
differences."""


def jacobian_l1(
    decode: Callable[[Array], Array],
    z: Float[Array, "b z"],
    scale: Float[Array, "z"],
    *,
    mode: JacobianMode = "full",
    columns: int = 1,
    difference: Scalar = 1e-3,
    key: PRNGKey | None = None,
) -> Float[Array, ""]:
    """`mean_b sum_kj |d x_bk / d z_bj| scale_j`: how densely the decoder mixes.

    With `scale_j = std(z_j)` it does not change if a latent is stretched and the
    decoder shrunk in turn; with 1 a decoder makes it small for nothing.

    Args:
      decode: maps latents `[b, z]` to observations `[b, x]`, row by row.
      z: latents.
      scale: weight of each latent's column.
      mode: key of `JACOBIANS`.
      columns: number of random columns, for "columns".
      difference: step of the differences, for "differences".
      key: key of the random columns, for "columns".

    Source: Li et al. 2025 (arXiv 2503.00639), the sparsity of the mixing procedure; the
      scale is ours.
    """
    options = JacobianOptions(columns, difference, key)
    return JACOBIANS[mode](decode, z, scale, options)


def feature_usage(
    weights: Float[Array, "k z c"], floor: Scalar = 0.0
) -> Float[Array, "z"]:
    """How much the heads of all tasks use a feature: `a_m = floor + mean_kc |w_kmc|`.

    Args:
      weights: heads of k tasks on z features with c outputs.
      floor: a number added to each usage, so that log a stays finite and a feature that
        was dropped can come back.
    """
    return floor + absolute(weights).mean((0, 2))


def feature_sharing(usage: Float[Array, "z"]) -> Float[Array, ""]:
    """Entropy of the features' shares, `H(p) = -sum_m p_m log p_m`, in nats.

    p = a / sum(a) with positive usages a. Small H is weight concentrated on few
    features over all tasks: tasks reuse them.

    Source: Fumero et al. 2023 (arXiv 2304.07939), the sharing term; the formula is our
      reading of it.
    """
    share = usage / usage.sum()
    return -jnp.sum(share * jnp.log(share))


def sharing_price(usage: Float[Array, "z"]) -> Float[Array, "z"]:
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

    Args:
      synthesis: maps the styles of each layer to images.
      styles: one style per example and layer.
      key: key of the noise y.

    Source: Karras et al. 2020 (arXiv 1912.04958), equation 4.
    """
    images, pull = jax.vjp(synthesis, styles)
    _, height, width, _ = images.shape
    y = jax.random.normal(key, images.shape) * (height * width) ** -0.5
    (back,) = pull(y)
    return jnp.sqrt(jnp.mean(jnp.sum(back**2, -1), 1) + 1e-8)


def importance_size(importance: Float[Array, "z"]) -> Float[Array, ""]:
    """`mean_j |w_j|`, with derivative 0 where a weight is 0."""
    return jnp.mean(absolute(importance))
