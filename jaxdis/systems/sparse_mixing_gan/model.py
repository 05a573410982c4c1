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
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdis import check, monotone, nets
from jaxdis.optimise import in_one_pass
from jaxdis.systems.sparse_mixing_gan.generator import Generator, Model, scaled
from jaxdis.systems.sparse_mixing_gan.judge import judged_classes
from jaxdis.systems.sparse_mixing_gan.objective import (
    EFFECTS,
    Hyper,
    discriminator_loss,
    generator_loss,
)
from jaxdis.systems.sparse_mixing_gan.scores import report
from jaxdis.types import (
    Metrics,
    Params,
    PRNGKey,
    Rows,
    Scalar,
    Spec,
    System,
    TrainState,
)

__all__ = [
    "Config",
    "Extra",
    "Hyper",
    "Networks",
    "build",
    "default_hyper",
    "init",
    "make",
    "step",
]

ADAM = {"b1": 0.0, "b2": 0.99, "eps": 1e-8}
RAMP = 0.05  # the average's half-life is at most this share of the images seen


@dataclass(frozen=True)
class Config:
    """What is compiled in; the defaults are the released code's, for 32 x 32 images.

    Attributes:
      z_dim: the number of latents.
      style_dims: the number of the first of them, that domains move.
      w_dim: the width of the mapping and of the styles that it gives.
      layers: the number of layers of the mapping, and of the network of the domain's
        maps.
      rate: the factor by which those two networks learn slower than the others. A run
        of a few thousand steps hardly moves them at the released one.
      widths: the channels of both networks at 4 x 4, 8 x 8, ...; as many as images
        need.
      style_from: the first layer of the synthesis, two per size, that active style
        latents reach; earlier ones see them as 0. 0, the released code's, is all: then
        nothing but the penalties keeps a domain from changing the content.
      img_sparse: the penalty of a style latent's effect: "intended", a difference of
        two images that differ by one style latent; "jvp", its limit; "released", the
        released code's, which compares two images of the same latents.
      batch: the number of images in a step.
      r1_part, path_part, sparse_part: the share 1 / part of the batch that a step
        takes for the penalties of the discriminator's slope, of path lengths and of
        the effect of style latents. The released code takes all of the batch in every
        16th step with 16 times the weight (half of it in every 4th step with 4 times
        the weight for the paths): the same expectation, but under `vmap` over seeds
        both sides of a branch are computed. 0 is none.
      convolutions: "matmul" or "lax", the same function; see `nets.CONVOLUTIONS`.
      precision: the precision of matrix products.
    """

    z_dim: int = 512
    style_dims: int = 256
    w_dim: int = 512
    layers: int = 2
    rate: float = 0.01
    widths: tuple[int, ...] = (512, 512, 512, 512)
    style_from: int = 0
    img_sparse: Literal["intended", "jvp", "released"] = "intended"
    batch: int = 64
    r1_part: int = 16
    path_part: int = 8
    sparse_part: int = 1
    convolutions: Literal["matmul", "lax"] = "matmul"
    precision: Literal["highest", "high", "default"] = "highest"


class Networks(NamedTuple):
    """What the two gradients move.

    Attributes:
      generator: the parameters of the generator, or what belongs to them.
      discriminator: the parameters of the discriminator, likewise.
    """

    generator: Generator
    discriminator: Params


class Extra(NamedTuple):
    """What the gradient does not move.

    Attributes:
      average: the moving average of the generator.
      path: the mean path length.
    """

    average: Generator
    path: Float[Array, ""]


def build(config: Config, spec: Spec) -> Model:
    """Networks and sizes for images of the given shape and number of domains.

    Args:
      config: what is compiled in.
      spec: what is known of the data.

    Raises:
      ValueError: a config that does not fit the data, naming the field.
    """
    _check_config(config)
    _check_data(config, spec)
    height, width, channels = spec.shape
    form, precision = config.convolutions, config.precision
    maps = config.style_dims * monotone.PARAMETERS
    return Model(
        domain_net=nets.DomainNet(
            config.w_dim, config.layers, maps, config.rate, precision
        ),
        mapping_net=nets.StyleMLP(config.w_dim, config.layers, config.rate, precision),
        synthesis_net=nets.Synthesis(
            config.widths, (height, width, channels), form, precision
        ),
        discriminator_net=nets.StyleDiscriminator(
            config.widths, len(spec.domains), form, precision
        ),
        effect=EFFECTS[config.img_sparse],
        shape=spec.shape,
        domains=len(spec.domains),
        classes=judged_classes(spec)[1],
        hues=spec.truth.hues,
        z_dim=config.z_dim,
        style_dims=config.style_dims,
        w_dim=config.w_dim,
        layers=2 * len(config.widths),
        style_from=config.style_from,
        batch=config.batch,
        r1_part=config.r1_part,
        path_part=config.path_part,
        sparse_part=config.sparse_part,
    )


def _check_config(config: Config) -> None:
    for name in ("z_dim", "style_dims", "w_dim", "layers", "batch"):
        check.at_least(f"config.{name}", getattr(config, name), 1)
    check.positive("config.rate", config.rate)
    check.one_of("config.img_sparse", config.img_sparse, EFFECTS)
    check.one_of("config.convolutions", config.convolutions, nets.CONVOLUTIONS)
    check.widths("config.widths", config.widths)
    if config.style_dims > config.z_dim:
        raise ValueError(
            f"config.style_dims must be at most config.z_dim = {config.z_dim}, got "
            f"{config.style_dims}"
        )
    if not 0 <= config.style_from < 2 * len(config.widths):
        raise ValueError(
            "config.style_from must be one of 0 to "
            f"{2 * len(config.widths) - 1}, two layers for each of config.widths, got "
            f"{config.style_from}"
        )
    for name in ("r1_part", "path_part", "sparse_part"):
        part = getattr(config, name)
        if not 0 <= part <= config.batch:
            raise ValueError(
                f"config.{name} must be 0 or one of 1 to config.batch = "
                f"{config.batch}, got {part}"
            )


def _check_data(config: Config, spec: Spec) -> None:
    if len(spec.shape) != 3 or len(spec.domains) < 2:
        raise ValueError(
            "data must be images [h, w, c] of at least 2 domains, got shape "
            f"{spec.shape} and {len(spec.domains)} domains"
        )
    if spec.steps is not None or spec.worlds is not None:
        raise ValueError(
            "data must be single images that all seeds share, got "
            f"steps {spec.steps} and worlds {spec.worlds}"
        )
    sizes = max(1, math.ceil(math.log2(max(spec.shape[:2]) / 4)) + 1)
    if len(config.widths) != sizes:
        raise ValueError(
            f"config.widths must name {sizes} widths, for 4 x 4 to "
            f"{4 * 2 ** (sizes - 1)} x {4 * 2 ** (sizes - 1)} with images of "
            f"{spec.shape[0]} x {spec.shape[1]}, got {config.widths}"
        )


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """The released values; R1 weighs `2e-4 side^2 / batch`.

    Args:
      config: what is compiled in.
      spec: what is known of the data.
      steps: the number of steps, on which nothing here depends.
    """
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


def make(config: Config, spec: Spec) -> System:
    """The system for images of the given shape and number of domains.

    The discriminator is told the domain, by a projection. Both networks move at the
    same time: the discriminator judges the very images that the generator is judged by.
    Nothing maps images to latents, and an image needs a domain beside its latents, so
    there is neither `encode` nor `decode`.

    Args:
      config: what is compiled in.
      spec: what is known of the data.

    Raises:
      ValueError: a config that does not fit the data, naming the field.
    """
    model = build(config, spec)
    return System(
        init=partial(init, model),
        step=partial(step, model),
        encode=None,
        decode=None,
        report=partial(report, model),
    )


def _adam(rate: Scalar) -> optax.GradientTransformation:
    return in_one_pass(optax.adam(rate, **ADAM))


def init(model: Model, key: PRNGKey, hyper: Hyper) -> TrainState:
    """The state at the start.

    Args:
      model: the networks.
      key: the key of the initial weights.
      hyper: the learning rates.
    """
    keys = jax.random.split(key, 5)
    u, index = jnp.zeros((1, model.domains)), jnp.zeros(1, int)
    by_layer = jnp.zeros((1, model.layers, model.w_dim))
    generator = Generator(
        model.domain_net.init(keys[0], u),
        monotone.init_shared(keys[1]),
        jnp.ones(model.style_dims),
        model.mapping_net.init(keys[2], jnp.zeros((1, model.z_dim))),
        model.synthesis_net.init(keys[3], by_layer, None),
    )
    images = jnp.zeros((1, *model.shape))
    params = Networks(generator, model.discriminator_net.init(keys[4], images, index))
    opt_state = Networks(
        _adam(hyper.learning_rate).init(generator),
        _adam(hyper.discriminator_rate).init(params.discriminator),
    )
    extra = Extra(jax.tree.map(jnp.copy, generator), jnp.zeros(()))
    return TrainState(params, opt_state, extra, jnp.zeros((), int))


def step(
    model: Model, state: TrainState, batch: Rows, hyper: Hyper, key: PRNGKey
) -> tuple[TrainState, Metrics]:
    """One step of Adam for both networks.

    Args:
      model: the networks.
      state: what the step starts from.
      batch: images x of domains u.
      hyper: rates and weights.
      key: the key of all that is drawn.
    """
    assert batch.u is not None
    generator, discriminator = state.params
    seen = state.step * model.batch
    on = (seen >= hyper.img_from).astype(float)
    hyper = hyper._replace(lambda_img=hyper.lambda_img * on)
    (loss, made), down = jax.value_and_grad(generator_loss, 1, has_aux=True)(
        model, generator, discriminator, batch.u, hyper, state.extra.path, key
    )
    (_, judged), up = jax.value_and_grad(discriminator_loss, 1, has_aux=True)(
        model, discriminator, made.images, scaled(batch.x), batch.u, hyper
    )
    moves, first = _adam(hyper.learning_rate).update(down, state.opt_state.generator)
    generator = optax.apply_updates(generator, moves)
    moves, second = _adam(hyper.discriminator_rate).update(
        up, state.opt_state.discriminator
    )
    discriminator = optax.apply_updates(discriminator, moves)
    seen = seen + model.batch
    share = _kept(model, seen, hyper.half_life)
    average = jax.tree.map(
        lambda a, g: g + share * (a - g), state.extra.average, generator
    )
    metrics = made._asdict()
    del metrics["images"]
    state = TrainState(
        Networks(generator, discriminator),
        Networks(first, second),
        Extra(average, made.path),
        state.step + 1,
    )
    return state, {"loss": loss, **metrics, **jax.lax.stop_gradient(judged)}


def _kept(model: Model, seen: Array, half_life: Scalar) -> Array:
    """The share that the average keeps in a step."""
    half_life = jnp.minimum(half_life, RAMP * seen)
    return 0.5 ** (model.batch / jnp.maximum(half_life, 1e-8))
