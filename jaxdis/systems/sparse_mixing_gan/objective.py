"""The losses: what each network pays for, and how the effect of a latent is measured.

Source: Li et al. 2025 (arXiv 2503.00639), formulas of the released code, restated.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdis import losses
from jaxdis.systems.sparse_mixing_gan.generator import (
    Effect,
    Generator,
    Images,
    Model,
    call,
    draw_variation,
    style_mapping,
    styles,
    synthesise,
    unmixed,
)
from jaxdis.types import Metrics, Params, PRNGKey, Scalar

__all__ = [
    "EFFECTS",
    "LOSSES",
    "GeneratorTerms",
    "Hyper",
    "Losses",
    "discriminator_loss",
    "generator_loss",
    "image_sparsity",
]


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the learning rate of Adam for the generator.
      discriminator_rate: the learning rate of Adam for the discriminator.
      r1: the weight of half the squared slope of the discriminator at real images.
      path: the weight of the spread of path lengths.
      path_decay: the share of a new batch in the mean path length.
      lambda_w: the weight of the importance of style latents.
      lambda_img: the weight of the effect of style latents.
      img_from: the number of images seen before lambda_img sets in.
      delta: the step by which a style latent is moved for its effect; a factor only
        where the effect is "jvp".
      mixing: the share of images whose styles come from two draws.
      half_life: the half-life, in images, of the average of the generator that the
        report shows.
    """

    learning_rate: Scalar
    discriminator_rate: Scalar
    r1: Scalar
    path: Scalar
    path_decay: Scalar
    lambda_w: Scalar
    lambda_img: Scalar
    img_from: Scalar
    delta: Scalar
    mixing: Scalar
    half_life: Scalar


def _difference(
    synthesis: Images,
    again: Images,
    x: Float[Array, "b z"],
    unit: Float[Array, "1 z"],
    delta: Scalar,
    key: PRNGKey,
) -> Float[Array, "..."]:
    step = jax.random.rademacher(key, (), x.dtype) * delta
    return synthesis(x + step * unit) - synthesis(x)


def _tangent(
    synthesis: Images,
    again: Images,
    x: Float[Array, "b z"],
    unit: Float[Array, "1 z"],
    delta: Scalar,
    key: PRNGKey,
) -> Float[Array, "..."]:
    along = jnp.broadcast_to(unit, x.shape)
    return delta * jax.jvp(synthesis, (x,), (along,))[1]


def _redrawn(
    synthesis: Images,
    again: Images,
    x: Float[Array, "b z"],
    unit: Float[Array, "1 z"],
    delta: Scalar,
    key: PRNGKey,
) -> Float[Array, "..."]:
    return again(x) - synthesis(x)


EFFECTS: dict[str, Effect] = {
    "intended": _difference,
    "jvp": _tangent,
    "released": _redrawn,
}
"""How the effect of style latent j on images S(x) is measured.

- "intended": `S(x + s delta e_j) - S(x)` with a random sign s;
- "jvp": `delta dS / dx_j`, the limit without an error of the difference;
- "released": `S'(x) - S(x)`, where S' has noise of its own and no style mixing. The
  perturbed latents are not used, so no Jacobian is in it.
"""


def image_sparsity(
    effect: Effect,
    synthesis: Images,
    again: Images,
    x_tilde: Float[Array, "b z"],
    mask: Float[Array, "z"],
    delta: Scalar,
    key: PRNGKey,
) -> Float[Array, ""]:
    """How much one style latent changes the image: `mean |change|` of an active one, j.

    One j for all of the batch, drawn at random; means over images, pixels and channels;
    0 if no latent is active.

    Args:
      effect: how the change is measured, a value of `EFFECTS`.
      synthesis: S, with noise and style mixing fixed.
      again: S', with noise of its own and no style mixing, for "released".
      x_tilde: latents as `style_mapping` gives them.
      mask: which of them are active.
      delta: the step.
      key: the key of j and s.

    Source: Li et al. 2025 (arXiv 2503.00639), released code, and what its perturbation
      was meant for.
    """
    some = mask.sum() > 0
    logits = jnp.where(some & (mask <= 0), -jnp.inf, 0.0)
    which, sign = jax.random.split(key)
    j = jax.random.categorical(which, logits)
    unit = jax.nn.one_hot(j, len(mask))[None]
    change = effect(synthesis, again, x_tilde, unit, delta, sign)
    return jnp.where(some, losses.absolute(change).mean(), 0.0)


class GeneratorTerms(NamedTuple):
    """What the generator's loss was made of, and the images that it judged.

    Attributes:
      images: the images.
      path: the mean path length.
      adversarial: the mean loss of their scores.
      importance: the mean importance of style latents.
      sparsity: the effect of a style latent.
      active: the number of active style latents.
    """

    images: Float[Array, "b h w c"]
    path: Float[Array, ""]
    adversarial: Float[Array, ""]
    importance: Float[Array, ""]
    sparsity: Float[Array, ""]
    active: Float[Array, ""]


def generator_loss(
    model: Model,
    params: Generator,
    discriminator: Params,
    u: Int[Array, "b"],
    hyper: Hyper,
    path: Float[Array, ""],
    key: PRNGKey,
) -> tuple[Float[Array, ""], GeneratorTerms]:
    """`softplus(-D(G(z, u), u)) + lambda_w mean |w| + lambda_img L_img + path L_path`.

    `L_path = mean (|J^T y| - a)^2` with a the moving mean of the lengths. Here,
    lambda_img is in force from the start.

    Args:
      model: the networks.
      params: the parameters of the generator.
      discriminator: the parameters of the discriminator.
      u: the domain of each image.
      hyper: the weights.
      path: the moving mean of path lengths so far.
      key: the key of all that is drawn.
    """
    keys = iter(jax.random.split(key, 8))
    hot = jax.nn.one_hot(u, model.domains)
    z = jax.random.normal(next(keys), (len(u), model.z_dim))
    x_tilde, mask, size = style_mapping(model, params, z, hot)
    variation = draw_variation(model, params, hot, hyper.mixing, next(keys))
    style = styles(model, params, x_tilde, mask)
    images = synthesise(model, params, style, variation)
    scores = call(model.discriminator_net, discriminator, images, u)
    adversarial = losses.gan_generator(scores).mean()
    loss = adversarial + hyper.lambda_w * size

    sparsity = jnp.zeros(())
    if model.sparse_part:
        n = len(u) // model.sparse_part
        few = draw_variation(model, params, hot[:n], hyper.mixing, next(keys))
        noise = next(keys)

        def synthesis(x: Array) -> Array:
            return synthesise(model, params, styles(model, params, x, mask), few)

        def again(x: Array) -> Array:
            style = styles(model, params, x, mask)
            return synthesise(model, params, style, unmixed(style, noise))

        chosen = next(keys)
        sparsity = image_sparsity(
            model.effect, synthesis, again, x_tilde[:n], mask, hyper.delta, chosen
        )
        loss = loss + hyper.lambda_img * sparsity

    if model.path_part:
        n = len(u) // model.path_part
        lengths = _path_lengths(model, params, style[:n], next(keys), next(keys))
        path = path + hyper.path_decay * (lengths.mean() - path)
        path_loss = jnp.mean((lengths - jax.lax.stop_gradient(path)) ** 2)
        loss = loss + hyper.path * path_loss

    terms = GeneratorTerms(images, path, adversarial, size, sparsity, mask.sum())
    return loss, jax.lax.stop_gradient(terms)


def _path_lengths(
    model: Model,
    params: Generator,
    style: Float[Array, "b l i"],
    noise: PRNGKey,
    key: PRNGKey,
) -> Float[Array, "b"]:
    def render(style: Array) -> Array:
        return synthesise(model, params, style, unmixed(style, noise))

    return losses.path_lengths(render, style, key)


def discriminator_loss(
    model: Model,
    params: Params,
    fake: Float[Array, "b h w c"],
    real: Float[Array, "b h w c"],
    u: Int[Array, "b"],
    hyper: Hyper,
) -> tuple[Float[Array, ""], Metrics]:
    """`softplus(D(fake, u)) + softplus(-D(real, u)) + r1 / 2 |grad D(real, u)|^2`.

    Args:
      model: the networks.
      params: the parameters of the discriminator.
      fake: generated images.
      real: images of the data, in [-1, 1].
      u: the domain of each generated and of each real image.
      hyper: the weights.
    """
    network = model.discriminator_net
    on_fake = call(network, params, fake, u)
    on_real = call(network, params, real, u)
    loss = losses.gan_discriminator(on_fake, on_real).mean()
    terms = {
        "score_fake": on_fake.mean(),
        "score_real": on_real.mean(),
        "discriminator": loss,
    }
    if model.r1_part:
        n = len(u) // model.r1_part

        def score(x: Array) -> Array:
            return call(network, params, x, u[:n])

        penalty = losses.gradient_penalty(score, real[:n])
        terms["slope"] = penalty
        loss = loss + hyper.r1 * penalty
    return loss, terms


class Losses(NamedTuple):
    """What both networks pay for.

    Attributes:
      generator: a function as `generator_loss`.
      discriminator: a function as `discriminator_loss`.
    """

    generator: Callable[..., tuple[Array, Any]]
    discriminator: Callable[..., tuple[Array, Any]]


LOSSES = Losses(generator_loss, discriminator_loss)
"""Those of the paper."""
