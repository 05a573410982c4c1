"""Sufficient changes and sparse mixing in a GAN: domains move few latents.

A style-based generator draws z from N(0, I). A domain u moves the style latents, each
by an increasing map of its own, and never the content latents. Two penalties ask for
few style latents, each with a small effect on the image. What depends on u is then the
style, and the same z seen in every domain is a translation.

Source: Li et al. 2025, "Synergy Between Sufficient Changes and Sparse Mixing Procedure
for Disentangled Representation Learning" (arXiv 2503.00639), CG-GAN. Formulas of the
mapping and the losses are those of its released code, restated; the networks are small
ones of this library, and no table or figure is reproduced here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, cast, get_args

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, UInt8

from jaxdis import losses, monotone, nets
from jaxdis.data import domain_images
from jaxdis.data.domain_images import (
    DomainImages,
    HeldOut,
    Spec,
    load,
    make_spec,
    sampler,
)
from jaxdis.metrics import frechet
from jaxdis.optimise import in_one_pass
from jaxdis.types import Metrics, Params, Preset, PRNGKey, Scalar, System, TrainState

__all__ = [
    "PRESETS",
    "Config",
    "Hyper",
    "check",
    "default_hyper",
    "image_sparsity",
    "load",
    "make",
    "make_spec",
    "sampler",
    "style_mapping",
]

Mode = Literal["intended", "jvp", "released"]

GATE = 0.1  # importance below which a style latent is off
ADAM = {"b1": 0.0, "b2": 0.99, "eps": 1e-8}
RAMP = 0.05  # the average's half-life is at most this share of the images seen
ROWS = 128  # latents of the report, each seen in every domain
PICTURES, MOVED, VALUES = 6, 3, 7  # examples, style latents and values in the pictures
REACH = 2.5  # of the values that a style latent is moved over


@dataclass(frozen=True)
class Config:
    """What is compiled in; the defaults are the released code's, for 32 x 32 images.

    Attributes:
      z_dim: latents.
      style_dims: the first of them, that domains move.
      w_dim: width of the mapping and of the styles that it gives.
      layers: of the mapping, and of the network of the domain's maps.
      rate: by which those two networks learn slower than the others. A run of a few
        thousand steps hardly moves them at the released one.
      widths: channels of both networks at 4 x 4, 8 x 8, ...; as many as images need.
      style_from: the first layer of the synthesis, two a size, that active style
        latents reach; earlier ones see them as 0. 0, the released code's, is all: then
        nothing but the penalties keeps a domain from changing the content.
      img_sparse: the penalty of a style latent's effect: "intended", a difference of
        two images that differ by one style latent; "jvp", its limit; "released", the
        released code's, which compares two images of the same latents.
      batch: images in a step.
      r1_part, path_part, sparse_part: the share 1 / part of the batch that a step
        takes for the penalties of the discriminator's slope, of path lengths and of
        the effect of style latents. The released code takes all of the batch in every
        16th step with 16 times the weight (half of it in every 4th step with 4 times
        the weight for the paths): the same expectation, but under `vmap` over seeds
        both sides of a branch are computed. 0 is none.
      convolutions: "matmul" or "lax", the same function; see `nets.CONVOLUTIONS`.
      precision: of matrix products.
    """

    z_dim: int = 512
    style_dims: int = 256
    w_dim: int = 512
    layers: int = 2
    rate: float = 0.01
    widths: tuple[int, ...] = (512, 512, 512, 512)
    style_from: int = 0
    img_sparse: Mode = "intended"
    batch: int = 64
    r1_part: int = 16
    path_part: int = 8
    sparse_part: int = 1
    convolutions: Literal["matmul", "lax"] = "matmul"
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: of Adam, for the generator.
      discriminator_rate: of Adam, for the discriminator.
      r1: weight of half the squared slope of the discriminator at real images.
      path: weight of the spread of path lengths.
      path_decay: share of a new batch in the mean path length.
      lambda_w: weight of the importance of style latents.
      lambda_img: weight of the effect of style latents.
      img_from: images seen before lambda_img sets in.
      delta: by how much a style latent is moved for it; a factor only, in "jvp".
      mixing: share of images whose styles come from two draws.
      half_life: of the average of the generator that the report shows, in images.
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


class Generator(NamedTuple):
    """Parameters of the generator.

    Attributes:
      domain: of the network of the domain's maps.
      maps: what all maps share.
      importance: w, weight of the domain's move of each style latent.
      mapping: from normalised latents to styles.
      synthesis: from styles to images.
    """

    domain: Params
    maps: monotone.Shared
    importance: Float[Array, "s"]
    mapping: Params
    synthesis: Params


class Networks(NamedTuple):
    """What the two gradients move."""

    generator: Generator
    discriminator: Params


class Extra(NamedTuple):
    """What the gradient does not move.

    Attributes:
      average: moving average of the generator.
      path: mean path length.
    """

    average: Generator
    path: Float[Array, ""]


class Variation(NamedTuple):
    """All that an image depends on apart from its latents.

    Attributes:
      noise: key of the noise of the synthesis; None is no noise.
      other: second styles of each image.
      cut: the first layer that takes it.
    """

    noise: PRNGKey | None
    other: Float[Array, "b l w"]
    cut: Int[Array, "b"]


def check(config: Config, spec: Spec) -> None:
    """Raises ValueError, naming the field, unless the config fits the data."""
    for name in ("z_dim", "style_dims", "w_dim", "layers", "batch"):
        if getattr(config, name) < 1:
            raise ValueError(
                f"config.{name} must be at least 1, got {getattr(config, name)}"
            )
    if not config.rate > 0:
        raise ValueError(f"config.rate must be positive, got {config.rate}")
    if config.style_dims > config.z_dim:
        raise ValueError(
            f"config.style_dims must be at most config.z_dim = {config.z_dim}, got "
            f"{config.style_dims}"
        )
    if config.img_sparse not in get_args(Mode):
        raise ValueError(
            f"config.img_sparse must be one of {', '.join(get_args(Mode))}, got "
            f"{config.img_sparse!r}"
        )
    if not 0 <= config.style_from < 2 * len(config.widths):
        raise ValueError(
            "config.style_from must be one of 0 to "
            f"{2 * len(config.widths) - 1}, two layers for each of config.widths, got "
            f"{config.style_from}"
        )
    if any(width < 1 for width in config.widths):
        raise ValueError(f"config.widths must be positive, got {config.widths}")
    for name in ("r1_part", "path_part", "sparse_part"):
        part = getattr(config, name)
        if not 0 <= part <= config.batch:
            raise ValueError(
                f"config.{name} must be 0 or one of 1 to config.batch = "
                f"{config.batch}, got {part}"
            )
    if len(spec.shape) != 3 or spec.domains < 2:
        raise ValueError(
            "data must be images [h, w, c] of at least 2 domains, got shape "
            f"{spec.shape} and {spec.domains} domains"
        )
    sizes = max(1, math.ceil(math.log2(max(spec.shape[:2]) / 4)) + 1)
    if len(config.widths) != sizes:
        raise ValueError(
            f"config.widths must name {sizes} widths, for 4 x 4 to "
            f"{4 * 2 ** (sizes - 1)} x {4 * 2 ** (sizes - 1)} with images of "
            f"{spec.shape[0]} x {spec.shape[1]}, got {config.widths}"
        )


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """The released values; R1 weighs `2e-4 side^2 / batch`."""
    return Hyper(
        learning_rate=2.5e-3,
        discriminator_rate=2.5e-3,
        r1=2e-4 * max(spec.shape[:2]) ** 2 / config.batch if spec.shape else 0.0,
        path=2.0,
        path_decay=0.01,
        lambda_w=0.1,
        lambda_img=0.1,
        img_from=0.0,
        delta=0.1,
        mixing=0.9,
        half_life=20_000.0,
    )


def _domain_net(config: Config) -> nets.DomainNet:
    out = config.style_dims * monotone.PARAMETERS
    return nets.DomainNet(
        config.w_dim, config.layers, out, config.rate, config.precision
    )


def _mapping_net(config: Config) -> nets.StyleMLP:
    return nets.StyleMLP(config.w_dim, config.layers, config.rate, config.precision)


def _synthesis_net(config: Config, spec: Spec) -> nets.Synthesis:
    height, width, channels = spec.shape
    return nets.Synthesis(
        config.widths, (height, width, channels), config.convolutions, config.precision
    )


def _discriminator_net(config: Config, spec: Spec) -> nets.StyleDiscriminator:
    return nets.StyleDiscriminator(
        config.widths, spec.domains, config.convolutions, config.precision
    )


def _apply(network: nn.Module, params: Params, *inputs: Any) -> Array:
    return cast(Array, network.apply(params, *inputs))


def active(importance: Float[Array, "s"]) -> Float[Array, "s"]:
    """`1[w > .1]`, which no gradient passes."""
    return jax.lax.stop_gradient((importance > GATE).astype(importance.dtype))


def masked_unit_square(
    x: Float[Array, "b n"], mask: Float[Array, "n"]
) -> Float[Array, "b n"]:
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
    params: Generator,
    config: Config,
    z: Float[Array, "b n"],
    u: Float[Array, "b d"],
) -> tuple[Float[Array, "b n"], Float[Array, "n"], Float[Array, ""]]:
    """Latents as a domain moves them, before the mapping network.

    `s_j = z_j + 1[w_j > .1] w_j f(z_j; theta_j(u))` for style latents, with increasing
    f of `monotone.ddsf`; the active ones and all others are scaled to mean square 1.

    Args:
      params, config: generator.
      z: latents, drawn from N(0, I); the first `config.style_dims` are style.
      u: domains, one-hot.

    Returns:
      The scaled latents, which of them are active style latents, and `mean_j |w_j|`.

    Note: a latent that was switched off stays off: only the penalty of w reaches it.

    Source: Li et al. 2025 (arXiv 2503.00639), released code.
    """
    theta = nets.apply(_domain_net(config), params.domain, u)
    theta = theta.reshape(len(z), config.style_dims, monotone.PARAMETERS)
    style, content = z[:, : config.style_dims], z[:, config.style_dims :]
    on = active(params.importance)
    moved = monotone.ddsf(theta, params.maps, style)
    style = style + (on * params.importance)[None] * moved
    mask = jnp.concatenate([on, jnp.zeros(content.shape[1])])
    x_tilde = masked_unit_square(jnp.concatenate([style, content], 1), mask)
    return x_tilde, mask, losses.importance_size(params.importance)


def styles(
    params: Generator,
    config: Config,
    x_tilde: Float[Array, "b n"],
    mask: Float[Array, "n"],
) -> Float[Array, "b l w"]:
    """The style of each layer of an example, `w = StyleMLP(x_tilde)`.

    Layers before `config.style_from` take `StyleMLP((1 - mask) x_tilde)`, the same in
    all domains.
    """
    layers, early = 2 * len(config.widths), config.style_from

    def mapped(x: Array, times: int) -> Array:
        style = nets.apply(_mapping_net(config), params.mapping, x)
        return jnp.broadcast_to(style[:, None], (len(x), times, config.w_dim))

    late = mapped(x_tilde, layers - early)
    if not early:
        return late
    return jnp.concatenate([mapped((1 - mask)[None] * x_tilde, early), late], 1)


def synthesise(
    params: Generator,
    config: Config,
    spec: Spec,
    style: Float[Array, "b l w"],
    variation: Variation,
) -> Float[Array, "b h w c"]:
    """Images, about in [-1, 1], of styles up to a layer and second ones after it."""
    late = jnp.arange(style.shape[1])[None] >= variation.cut[:, None]
    by_layer = jnp.where(late[..., None], variation.other, style)
    network = _synthesis_net(config, spec)
    return _apply(network, params.synthesis, by_layer, variation.noise)


def draw_variation(
    params: Generator,
    config: Config,
    u: Float[Array, "b d"],
    mixing: Scalar,
    key: PRNGKey,
) -> Variation:
    """Noise, and with probability `mixing` a second style, of the same domain."""
    noise, second, where, whether = jax.random.split(key, 4)
    b, layers = len(u), 2 * len(config.widths)
    z = jax.random.normal(second, (b, config.z_dim))
    other = styles(params, config, *style_mapping(params, config, z, u)[:2])
    cut = jax.random.randint(where, (b,), 1, layers)
    mixed = jax.random.bernoulli(whether, mixing, (b,))
    return Variation(noise, other, jnp.where(mixed, cut, layers))


def unmixed(
    config: Config, style: Float[Array, "b l w"], noise: PRNGKey | None
) -> Variation:
    """No second styles."""
    cut = jnp.full(len(style), 2 * len(config.widths))
    return Variation(noise, style, cut)


def image_sparsity(
    synthesis: Callable[[Float[Array, "b n"]], Float[Array, "b h w c"]],
    x_tilde: Float[Array, "b n"],
    mask: Float[Array, "n"],
    key: PRNGKey,
    *,
    delta: Scalar,
    mode: Mode = "intended",
    again: Callable[[Float[Array, "b n"]], Float[Array, "b h w c"]] | None = None,
) -> Float[Array, ""]:
    """How much one style latent changes the image, for a random active one, j.

    - "intended": `mean |S(x) - S(x + s delta e_j)|` with a random sign s;
    - "jvp": `delta mean |dS / dx_j|`, the limit without an error of the difference;
    - "released": `mean |S(x) - S'(x)|`, where S' has noise of its own and no style
      mixing. The perturbed latents are not used, so no Jacobian is in it.

    One j for all of the batch, means over images, pixels and channels; 0 if no latent
    is active.

    Args:
      synthesis: S, with noise and style mixing fixed.
      x_tilde: latents as `style_mapping` gives them.
      mask: which of them are active.
      key: of j and s.
      delta: the step.
      mode: which of the three.
      again: S', for "released".

    Raises:
      ValueError: another mode; "released" without `again`.

    Source: Li et al. 2025 (arXiv 2503.00639), released code, and what its perturbation
      was meant for.
    """
    some = mask.sum() > 0
    logits = jnp.where(some & (mask <= 0), -jnp.inf, 0.0)
    which, sign = jax.random.split(key)
    j = jax.random.categorical(which, logits)
    unit = jax.nn.one_hot(j, len(mask))[None]
    if mode == "intended":
        step = jax.random.rademacher(sign, (), x_tilde.dtype) * delta
        change = synthesis(x_tilde + step * unit) - synthesis(x_tilde)
    elif mode == "jvp":
        tangent = jnp.broadcast_to(unit, x_tilde.shape)
        change = delta * jax.jvp(synthesis, (x_tilde,), (tangent,))[1]
    elif mode == "released" and again is not None:
        change = again(x_tilde) - synthesis(x_tilde)
    else:
        raise ValueError(
            f"mode must be 'intended', 'jvp' or 'released' (with `again`), got {mode!r}"
        )
    return jnp.where(some, losses.absolute(change).mean(), 0.0)


class GeneratorFigures(NamedTuple):
    """What the generator's loss was made of, and the images that it judged."""

    images: Float[Array, "b h w c"]
    path: Float[Array, ""]
    adversarial: Float[Array, ""]
    importance: Float[Array, ""]
    sparsity: Float[Array, ""]
    active: Float[Array, ""]


def generator_loss(
    params: Generator,
    discriminator: Params,
    config: Config,
    spec: Spec,
    u: Int[Array, "b"],
    hyper: Hyper,
    path: Float[Array, ""],
    key: PRNGKey,
) -> tuple[Float[Array, ""], GeneratorFigures]:
    """`softplus(-D(G(z, u), u)) + lambda_w mean |w| + lambda_img L_img + path L_path`.

    `L_path = mean (|J^T y| - a)^2` with a the moving mean of the lengths. Here,
    lambda_img is in force from the start.
    """
    keys = iter(jax.random.split(key, 8))
    hot = jax.nn.one_hot(u, spec.domains)
    z = jax.random.normal(next(keys), (len(u), config.z_dim))
    x_tilde, mask, size = style_mapping(params, config, z, hot)
    variation = draw_variation(params, config, hot, hyper.mixing, next(keys))
    style = styles(params, config, x_tilde, mask)
    images = synthesise(params, config, spec, style, variation)
    scores = _apply(_discriminator_net(config, spec), discriminator, images, u)
    adversarial = losses.gan_generator(scores).mean()
    loss = adversarial + hyper.lambda_w * size

    sparsity = jnp.zeros(())
    if config.sparse_part:
        n = len(u) // config.sparse_part
        few = draw_variation(params, config, hot[:n], hyper.mixing, next(keys))
        noise = next(keys)

        def synthesis(x: Array) -> Array:
            return synthesise(
                params, config, spec, styles(params, config, x, mask), few
            )

        def again(x: Array) -> Array:
            style = styles(params, config, x, mask)
            return synthesise(
                params, config, spec, style, unmixed(config, style, noise)
            )

        sparsity = image_sparsity(
            synthesis,
            x_tilde[:n],
            mask,
            next(keys),
            delta=hyper.delta,
            mode=config.img_sparse,
            again=again,
        )
        loss = loss + hyper.lambda_img * sparsity

    if config.path_part:
        n = len(u) // config.path_part
        noise = next(keys)

        def render(style: Array) -> Array:
            return synthesise(
                params, config, spec, style, unmixed(config, style, noise)
            )

        lengths = losses.path_lengths(render, style[:n], next(keys))
        path = path + hyper.path_decay * (lengths.mean() - path)
        path_loss = jnp.mean((lengths - jax.lax.stop_gradient(path)) ** 2)
        loss = loss + hyper.path * path_loss

    figures = GeneratorFigures(images, path, adversarial, size, sparsity, mask.sum())
    return loss, jax.lax.stop_gradient(figures)


def discriminator_loss(
    params: Params,
    config: Config,
    spec: Spec,
    fake: Float[Array, "b h w c"],
    real: Float[Array, "b h w c"],
    u: Int[Array, "b"],
    hyper: Hyper,
) -> tuple[Float[Array, ""], Metrics]:
    """`softplus(D(fake, u)) + softplus(-D(real, u)) + r1 / 2 |grad D(real, u)|^2`."""
    network = _discriminator_net(config, spec)
    on_fake = _apply(network, params, fake, u)
    on_real = _apply(network, params, real, u)
    loss = losses.gan_discriminator(on_fake, on_real).mean()
    figures = {
        "score_fake": on_fake.mean(),
        "score_real": on_real.mean(),
        "discriminator": loss,
    }
    if config.r1_part:
        n = len(u) // config.r1_part

        def score(x: Array) -> Array:
            return _apply(network, params, x, u[:n])

        penalty = losses.gradient_penalty(score, real[:n])
        figures["slope"] = penalty
        loss = loss + hyper.r1 * penalty
    return loss, figures


def _adam(rate: Scalar) -> optax.GradientTransformation:
    return in_one_pass(optax.adam(rate, **ADAM))


def scaled(images: UInt8[Array, "*b h w c"]) -> Float[Array, "*b h w c"]:
    """Bytes to [-1, 1]."""
    return images / 127.5 - 1.0


def to_bytes(images: Float[Array, "*b h w c"]) -> UInt8[Array, "*b h w c"]:
    """[-1, 1] to bytes."""
    return jnp.clip(jnp.round((images + 1.0) * 127.5), 0, 255).astype(jnp.uint8)


def make(config: Config, spec: Spec) -> System:
    """Builds the system for images of the given shape and number of domains.

    The discriminator is told the domain, by a projection. Both networks move at the
    same time: the discriminator judges the very images that the generator is judged by.

    Raises:
      ValueError: a config that does not fit the data; see `check`.
    """
    check(config, spec)

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        keys = jax.random.split(key, 5)
        u, index = jnp.zeros((1, spec.domains)), jnp.zeros(1, int)
        x = jnp.zeros((1, config.z_dim))
        by_layer = jnp.zeros((1, 2 * len(config.widths), config.w_dim))
        synthesis, judge = (
            _synthesis_net(config, spec),
            _discriminator_net(config, spec),
        )
        generator = Generator(
            _domain_net(config).init(keys[0], u),
            monotone.init_shared(keys[1]),
            jnp.ones(config.style_dims),
            _mapping_net(config).init(keys[2], x),
            synthesis.init(keys[3], by_layer, None),
        )
        discriminator = judge.init(keys[4], jnp.zeros((1, *spec.shape)), index)
        params = Networks(generator, discriminator)
        opt_state = Networks(
            _adam(hyper.learning_rate).init(generator),
            _adam(hyper.discriminator_rate).init(discriminator),
        )
        extra = Extra(jax.tree.map(jnp.copy, generator), jnp.zeros(()))
        return TrainState(params, opt_state, extra, jnp.zeros((), int))

    def step(
        state: TrainState, batch: DomainImages, hyper: Hyper, key: PRNGKey
    ) -> tuple[TrainState, Metrics]:
        generator, discriminator = state.params
        seen = state.step * config.batch
        on = (seen >= hyper.img_from).astype(float)
        hyper = hyper._replace(lambda_img=hyper.lambda_img * on)
        (loss, made), down = jax.value_and_grad(generator_loss, has_aux=True)(
            generator,
            discriminator,
            config,
            spec,
            batch.u,
            hyper,
            state.extra.path,
            key,
        )
        (_, judged), up = jax.value_and_grad(discriminator_loss, has_aux=True)(
            discriminator,
            config,
            spec,
            made.images,
            scaled(batch.images),
            batch.u,
            hyper,
        )
        moves, first = _adam(hyper.learning_rate).update(
            down, state.opt_state.generator
        )
        generator = optax.apply_updates(generator, moves)
        moves, second = _adam(hyper.discriminator_rate).update(
            up, state.opt_state.discriminator
        )
        discriminator = optax.apply_updates(discriminator, moves)
        average = _follow(state.extra.average, generator, seen + config.batch, hyper)
        figures = made._asdict()
        del figures["images"]
        state = TrainState(
            Networks(generator, discriminator),
            Networks(first, second),
            Extra(average, made.path),
            state.step + 1,
        )
        return state, {"loss": loss, **figures, **jax.lax.stop_gradient(judged)}

    def _follow(
        average: Generator, generator: Generator, seen: Array, hyper: Hyper
    ) -> Generator:
        half_life = jnp.minimum(hyper.half_life, RAMP * seen)
        share = 0.5 ** (config.batch / jnp.maximum(half_life, 1e-8))
        moved: Generator = jax.tree.map(
            lambda a, g: g + share * (a - g), average, generator
        )
        return moved

    return System(init, step, no_encoder, partial(report, config, spec))


def no_encoder(params: Params, x: Array) -> Array:
    """Raises ValueError: there is nothing that maps images to latents."""
    raise ValueError(
        "encode: a GAN has no encoder; sparse_mixing_gan makes images from latents only"
    )


def pair_distance(
    features: Float[Array, "n f"], groups: Int[Array, "n"]
) -> Float[Array, ""]:
    """Mean distance of two different rows of the same group."""
    square = jnp.sum(features**2, 1)
    product = jnp.matmul(features, features.T, precision="highest")
    distance = jnp.sqrt(jnp.maximum(square[:, None] + square[None] - 2 * product, 0.0))
    pair = (groups[:, None] == groups[None]) & ~jnp.eye(len(groups), dtype=bool)
    return jnp.sum(distance * pair) / jnp.maximum(pair.sum(), 1)


def report(
    config: Config, spec: Spec, state: TrainState, batch: HeldOut, key: PRNGKey
) -> Metrics:
    """Scores of one seed's averaged generator, judged by a classifier of real images.

    Returns:
      `digit_kept`, the share of pairs of domains in which an image keeps its class when
      only the domain changes, latents and noise fixed; `colour_right`, the share whose
      colour is that of the domain asked for, where that is known; `frechet`, the
      Fréchet distance of the judge's features to those of real images; `active`, style
      latents that domains move; `diversity`, the mean distance of two images of the
      same domain in the judge's features over that of real images; `class_entropy`, of
      the predicted classes, in nats. Arrays for pictures: `translation` (the same
      latents in every domain), `samples`, `traversal` (the most important style latents
      moved), `importance`, `true_images`.
    """
    generator: Generator = state.extra.average
    domains, chosen = spec.domains, jnp.arange(spec.domains)
    first, second, noise = jax.random.split(key, 3)

    def images(x_tilde: Array, mask: Array) -> Array:
        style = styles(generator, config, x_tilde, mask)
        variation = unmixed(config, style, noise)
        return to_bytes(synthesise(generator, config, spec, style, variation))

    def placed(z: Array, u: Array) -> tuple[Array, Array]:
        hot = jnp.broadcast_to(jax.nn.one_hot(u, domains)[None], (len(z), domains))
        return style_mapping(generator, config, z, hot)[:2]

    z = jax.random.normal(first, (ROWS, config.z_dim))
    translated = jax.lax.map(lambda u: images(*placed(z, u)), chosen)
    flat = translated.reshape(-1, *spec.shape)
    asked = jnp.repeat(chosen, ROWS)
    features = domain_images.features(batch.judge, flat)
    classes = domain_images.classify(batch.judge, flat)
    mean, covariance = frechet.feature_moments(features)
    real = domain_images.features(batch.judge, batch.images[: domains * ROWS])
    real_distance = pair_distance(real, batch.u[: domains * ROWS])
    share = jnp.mean(jax.nn.one_hot(classes, spec.classes), 0)
    by_domain = classes.reshape(domains, ROWS)
    same = by_domain[:, None] == by_domain[None]
    pair = ~jnp.eye(domains, dtype=bool)[..., None]
    figures: Metrics = {
        "digit_kept": jnp.sum(same & pair) / (ROWS * pair.sum()),
        "frechet": frechet.frechet_distance(
            batch.real_mean, batch.real_cov, mean, covariance
        ),
        "active": active(generator.importance).sum(),
        "diversity": pair_distance(features, asked) / real_distance,
        "class_entropy": -jnp.sum(share * jnp.log(jnp.maximum(share, 1e-12))),
        "importance": generator.importance * active(generator.importance),
        "translation": translated[:, :PICTURES].swapaxes(0, 1),
    }
    if spec.coloured:
        seen = domain_images.colour_domain(flat, domains)
        figures["colour_right"] = jnp.mean(seen == asked)

    drawn = jax.random.normal(second, (domains, PICTURES, config.z_dim))
    figures["samples"] = jax.lax.map(
        lambda a: images(*placed(a[0], a[1])), (drawn, chosen)
    )
    figures["traversal"] = jax.lax.map(
        lambda u: _traversal(config, generator, placed(z[:1], u), images), chosen
    )
    rank = jax.vmap(lambda u: jnp.argsort(batch.u != u)[:PICTURES])(chosen)
    figures["true_images"] = batch.images[rank]
    return figures


def _traversal(
    config: Config,
    generator: Generator,
    placed: tuple[Array, Array],
    images: Callable[[Array, Array], Array],
) -> UInt8[Array, "j t h w c"]:
    """One latent, its most important style latents set to a row of values."""
    (x_tilde, mask), moved = placed, min(MOVED, config.style_dims)
    rank = jnp.argsort(-generator.importance)[:moved]
    values = jnp.linspace(-REACH, REACH, VALUES)
    units = jax.nn.one_hot(rank, config.z_dim)[:, None]
    changed = x_tilde[None] * (1 - units) + values[None, :, None] * units
    made = images(changed.reshape(-1, config.z_dim), mask)
    return made.reshape(moved, VALUES, *made.shape[1:])


_SCORES = (
    "digit_kept", "colour_right", "frechet", "active", "diversity", "class_entropy",
)  # fmt: skip

_SHOWN, _FROM = 25_000_000, 20_000_000  # images in all, and before lambda_img sets in


def _published(config: Config, data: domain_images.Config) -> Preset:
    return Preset(
        config=config,
        data=data,
        steps=_SHOWN // config.batch,
        hyper={"img_from": float(_FROM)},
        source="arXiv 2503.00639, released code; networks of this library",
        cost="not run; needs a GPU",
        expects="not run",
        seeds=1,
        scores=_SCORES,
    )


PRESETS: dict[str, Preset] = {
    "quickstart": Preset(
        config=Config(
            z_dim=64,
            style_dims=16,
            w_dim=64,
            widths=(64, 32, 16, 8),
            style_from=6,
            batch=32,
            r1_part=4,
            path_part=0,
            sparse_part=4,
        ),
        data=domain_images.Config(),
        steps=6_000,
        hyper={"r1": 0.2, "lambda_w": 0.5, "mixing": 0.0, "half_life": 16_000.0},
        source="this library",
        cost="12 min for 2 x 1 seed on 2 cores",
        expects=(
            "one seed: 7 of 16 style latents active (11 without penalties), digit_kept "
            ".86 (.91), colour_right 1.0 (1.0), frechet 12 (12)"
        ),
        seeds=1,
        chunk=500,
        points=({"lambda_w": 0.0, "lambda_img": 0.0}, {}),
        scores=_SCORES,
    ),
    "two_color_mnist": _published(
        Config(), domain_images.Config(name="two_color_mnist")
    ),
    "folder": _published(
        Config(widths=(512, 512, 512, 512, 256)),
        domain_images.Config(name="folder", size=64),
    ),
}
