"""The generator: latents that a domain moves, their styles, and images of styles."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int, Shaped, UInt8

from jaxdis import losses, monotone, nets
from jaxdis.data import colours
from jaxdis.types import Params, PRNGKey, Scalar

__all__ = [
    "GATE",
    "Effect",
    "Generator",
    "Images",
    "Model",
    "Variation",
    "active",
    "call",
    "draw_variation",
    "masked_unit_square",
    "scaled",
    "style_mapping",
    "styles",
    "synthesise",
    "to_bytes",
    "unmixed",
]

GATE = 0.1  # importance below which a style latent is off

Images: TypeAlias = Callable[[Array], Array]
"""`x [b, z] -> images [b, h, w, c]`, of latents as `style_mapping` gives them."""
Effect: TypeAlias = Callable[[Images, Images, Array, Array, Scalar, PRNGKey], Array]
"""`(synthesis, again, x, unit, delta, key) -> change`; see `objective.EFFECTS`."""


class Model(NamedTuple):
    """Networks and sizes, built once from a config and what is known of the data.

    Attributes:
      domain_net: the network from a domain, one-hot, to the maps of style latents.
      mapping_net: the network from latents to a style.
      synthesis_net: the network from the styles of all layers to an image.
      discriminator_net: the network from an image and its domain to a score.
      effect: how the effect of a style latent is measured; see `objective.EFFECTS`.
      shape: the height, the width and the channels of an image.
      domains: the number of domains.
      classes: the number of classes that the judge tells apart.
      labelled: whether these are of a label of the data; else they are the domains.
      hues: the hue of the foreground in each domain, where that is known.
      z_dim: the number of latents.
      style_dims: the number of the first of them, that domains move.
      w_dim: the width of a style.
      layers: the number of layers of the synthesis that take a style.
      style_from: the first of them that active style latents reach.
      batch: the number of images in a step.
      r1_part: the share of it, 1 / part, for the discriminator's slope; 0 is none.
      path_part: likewise for path lengths.
      sparse_part: likewise for the effect of style latents.
    """

    domain_net: nn.Module
    mapping_net: nn.Module
    synthesis_net: nn.Module
    discriminator_net: nn.Module
    effect: Effect
    shape: tuple[int, ...]
    domains: int
    classes: int
    labelled: bool
    hues: Float[np.ndarray, "d"] | None
    z_dim: int
    style_dims: int
    w_dim: int
    layers: int
    style_from: int
    batch: int
    r1_part: int
    path_part: int
    sparse_part: int


class Generator(NamedTuple):
    """Parameters of the generator.

    Attributes:
      domain: the parameters of the network of the domain's maps.
      maps: what all maps share.
      importance: w, the weight of the domain's move of each style latent j.
      mapping: the parameters of the network from normalised latents to styles.
      synthesis: the parameters of the network from styles to images.
    """

    domain: Params
    maps: monotone.Shared
    importance: Float[Array, "j"]
    mapping: Params
    synthesis: Params


class Variation(NamedTuple):
    """All that an image depends on apart from its latents.

    Attributes:
      noise: the key of the noise of the synthesis; None is no noise.
      other: the second styles of each image.
      cut: the first layer that takes them.
    """

    noise: PRNGKey | None
    other: Float[Array, "b l i"]
    cut: Int[Array, "b"]


def call(network: nn.Module, params: Params, *inputs: Any) -> Array:
    """The output of a network of several inputs.

    Args:
      network: the network.
      params: what its `init` gave, or what training made of it.
      inputs: its inputs.
    """
    return cast(Array, network.apply(params, *inputs))


def active(importance: Float[Array, "j"]) -> Float[Array, "j"]:
    """`1[w > .1]`, which no gradient passes."""
    return jax.lax.stop_gradient((importance > GATE).astype(importance.dtype))


def masked_unit_square(
    x: Float[Array, "b z"], mask: Float[Array, "z"]
) -> Float[Array, "b z"]:
    """Scales the entries inside and those outside of a mask to a mean square of 1.

    `m x (sum m x^2 / max(sum m, 1) + 1e-8)^(-1/2)` and the same for 1 - m; an empty
    side is 0.
    """

    def side(m: Array) -> Array:
        m = m[None]
        square = jnp.sum(m * x**2, -1, keepdims=True) / jnp.maximum(m.sum(), 1.0)
        return m * x * jax.lax.rsqrt(square + nets.TINY)

    return side(mask) + side(1 - mask)


def style_mapping(
    model: Model,
    params: Generator,
    z: Float[Array, "b z"],
    u: Float[Array, "b d"],
) -> tuple[Float[Array, "b z"], Float[Array, "z"], Float[Array, ""]]:
    """Latents as a domain moves them, before the mapping network.

    `s_j = z_j + 1[w_j > .1] w_j f(z_j; theta_j(u))` for style latents, with increasing
    f of `monotone.ddsf`; the active ones and all others are scaled to mean square 1.

    Args:
      model: the networks.
      params: the parameters of the generator.
      z: latents, drawn from N(0, I); the first `model.style_dims` are style.
      u: domains, one-hot.

    Returns:
      The scaled latents, which of them are active style latents, and `mean_j |w_j|`.

    Note: a latent that was switched off stays off: only the penalty of w reaches it.

    Source: Li et al. 2025 (arXiv 2503.00639), released code.
    """
    theta = nets.apply(model.domain_net, params.domain, u)
    theta = theta.reshape(len(z), model.style_dims, monotone.PARAMETERS)
    style, content = z[:, : model.style_dims], z[:, model.style_dims :]
    on = active(params.importance)
    moved = monotone.ddsf(theta, params.maps, style)
    style = style + (on * params.importance)[None] * moved
    mask = jnp.concatenate([on, jnp.zeros(content.shape[1])])
    x_tilde = masked_unit_square(jnp.concatenate([style, content], 1), mask)
    return x_tilde, mask, losses.importance_size(params.importance)


def styles(
    model: Model,
    params: Generator,
    x_tilde: Float[Array, "b z"],
    mask: Float[Array, "z"],
) -> Float[Array, "b l i"]:
    """The style of each layer of an example, `w = StyleMLP(x_tilde)`.

    Layers before `model.style_from` take `StyleMLP((1 - mask) x_tilde)`, the same in
    all domains.

    Args:
      model: the networks.
      params: the parameters of the generator.
      x_tilde: latents as `style_mapping` gives them.
      mask: 1 for active style latents.
    """
    early = model.style_from

    def mapped(x: Array, times: int) -> Array:
        style = nets.apply(model.mapping_net, params.mapping, x)
        return jnp.broadcast_to(style[:, None], (len(x), times, model.w_dim))

    late = mapped(x_tilde, model.layers - early)
    if not early:
        return late
    return jnp.concatenate([mapped((1 - mask)[None] * x_tilde, early), late], 1)


def synthesise(
    model: Model,
    params: Generator,
    style: Float[Array, "b l i"],
    variation: Variation,
) -> Float[Array, "b h w c"]:
    """Images, about in [-1, 1], of styles up to a layer and second ones after it.

    Args:
      model: the networks.
      params: the parameters of the generator.
      style: the styles of all layers.
      variation: the noise, the second styles and the layer.
    """
    late = jnp.arange(style.shape[1])[None] >= variation.cut[:, None]
    by_layer = jnp.where(late[..., None], variation.other, style)
    return call(model.synthesis_net, params.synthesis, by_layer, variation.noise)


def draw_variation(
    model: Model,
    params: Generator,
    u: Float[Array, "b d"],
    mixing: Scalar,
    key: PRNGKey,
) -> Variation:
    """Noise, and with probability `mixing` a second style, of the same domain.

    Args:
      model: the networks.
      params: the parameters of the generator.
      u: domains, one-hot.
      mixing: the probability of a second style.
      key: the key of all that is drawn.
    """
    noise, second, where, whether = jax.random.split(key, 4)
    b, layers = len(u), model.layers
    z = jax.random.normal(second, (b, model.z_dim))
    other = styles(model, params, *style_mapping(model, params, z, u)[:2])
    cut = jax.random.randint(where, (b,), 1, layers)
    mixed = jax.random.bernoulli(whether, mixing, (b,))
    return Variation(noise, other, jnp.where(mixed, cut, layers))


def unmixed(style: Float[Array, "b l i"], noise: PRNGKey | None) -> Variation:
    """No second styles.

    Args:
      style: the styles of all layers.
      noise: the key of the noise; None is no noise.
    """
    return Variation(noise, style, jnp.full(len(style), style.shape[1]))


def scaled(images: Shaped[Array, "*b h w c"]) -> Float[Array, "*b h w c"]:
    """Bytes, or numbers in [0, 1], to [-1, 1]."""
    if images.dtype == jnp.uint8:
        return images / 127.5 - 1.0
    return 2.0 * colours.unit(images) - 1.0


def to_bytes(images: Float[Array, "*b h w c"]) -> UInt8[Array, "*b h w c"]:
    """[-1, 1] to bytes."""
    return jnp.clip(jnp.round((images + 1.0) * 127.5), 0, 255).astype(jnp.uint8)
