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

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdis import monotone, nets, optimise
from jaxdis.systems.sparse_mixing_gan.config import Config, check_config, sized
from jaxdis.systems.sparse_mixing_gan.generator import Generator, Model, scaled
from jaxdis.systems.sparse_mixing_gan.judge import judged_classes
from jaxdis.systems.sparse_mixing_gan.objective import (
    EFFECTS,
    LOSSES,
    Hyper,
    Losses,
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
    "Extra",
    "Networks",
    "Parts",
    "adam",
    "build",
    "init",
    "make",
    "step",
]

ADAM = {"b1": 0.0, "b2": 0.99, "eps": 1e-8}
RAMP = 0.05  # the average's half-life is at most this share of the images seen


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


def adam(hyper: Hyper) -> optax.GradientTransformation:
    """Adam without momentum, as released."""
    return optimise.in_one_pass(optax.adam(hyper.learning_rate, **ADAM))


class Parts(NamedTuple):
    """What a user may replace.

    Attributes:
      optimiser: `hyper -> optimiser` of a network, whose rate is `learning_rate`.
      losses: the losses of both networks.
    """

    optimiser: Callable[..., optimise.Rule] = adam
    losses: Losses = LOSSES


PARTS = Parts()


def build(config: Config, spec: Spec) -> Model:
    """Networks and sizes for images of the given shape and number of domains.

    Args:
      config: what is compiled in.
      spec: what is known of the data.

    Raises:
      ValueError: a config that does not fit the data, naming the field.
    """
    config = sized(config, spec)
    check_config(config, spec)
    column, classes = judged_classes(spec)
    assert config.style_from is not None  # the config is sized
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
        classes=classes,
        labelled=column is not None,
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


def make(
    config: Config, spec: Spec, *, optimiser: Any = None, loss: Any = None
) -> System:
    """The system for images of the given shape and number of domains.

    The discriminator is told the domain, by a projection. Both networks move at the
    same time: the discriminator judges the very images that the generator is judged by.
    Nothing maps images to latents, and an image needs a domain beside its latents, so
    there is neither `encode` nor `decode`. The networks cannot be replaced: losses and
    scores reach into what is between them.

    Args:
      config: what is compiled in.
      spec: what is known of the data.
      optimiser: an optax transformation for each of both networks, or a function of
        the hyper-parameters, whose `learning_rate` is that of the network; in place of
        `adam`.
      loss: the losses of both networks, in place of `objective.LOSSES`.

    Raises:
      ValueError: a config that does not fit the data, naming the field, or a part that
        is something else.
    """
    model = build(config, spec)
    if loss is not None and not isinstance(loss, Losses):
        raise ValueError(
            "loss must be a pair objective.Losses(generator, discriminator), as "
            f"LOSSES._replace(generator=...); got {type(loss).__name__}"
        )
    parts = Parts(optimise.optimiser(optimiser, adam), loss or LOSSES)
    return System(
        init=partial(init, model, parts=parts),
        step=partial(step, model, parts=parts),
        encode=None,
        decode=None,
        report=partial(report, model),
    )


def _optimisers(parts: Parts, hyper: Hyper) -> tuple[optimise.Rule, optimise.Rule]:
    """Those of the generator and of the discriminator, each of its own rate."""
    judge = hyper._replace(learning_rate=hyper.discriminator_rate)
    return parts.optimiser(hyper), parts.optimiser(judge)


def init(model: Model, key: PRNGKey, hyper: Hyper, parts: Parts = PARTS) -> TrainState:
    """The state at the start.

    Args:
      model: the networks.
      key: the key of the initial weights.
      hyper: the learning rates.
      parts: the optimiser and the losses.
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
    first, second = _optimisers(parts, hyper)
    opt_state = Networks(first.init(generator), second.init(params.discriminator))
    extra = Extra(jax.tree.map(jnp.copy, generator), jnp.zeros(()))
    return TrainState(params, opt_state, extra, jnp.zeros((), int))


def step(
    model: Model,
    state: TrainState,
    batch: Rows,
    hyper: Hyper,
    key: PRNGKey,
    parts: Parts = PARTS,
) -> tuple[TrainState, Metrics]:
    """One step of both networks.

    Args:
      model: the networks.
      state: what the step starts from.
      batch: images x of domains u.
      hyper: rates and weights.
      key: the key of all that is drawn.
      parts: the optimiser and the losses.
    """
    assert batch.u is not None
    generator, discriminator = state.params
    rules, losses = _optimisers(parts, hyper), parts.losses
    seen = state.step * model.batch
    on = (seen >= hyper.img_from).astype(float)
    hyper = hyper._replace(lambda_img=hyper.lambda_img * on)
    (loss, made), down = jax.value_and_grad(losses.generator, 1, has_aux=True)(
        model, generator, discriminator, batch.u, hyper, state.extra.path, key
    )
    (_, judged), up = jax.value_and_grad(losses.discriminator, 1, has_aux=True)(
        model, discriminator, made.images, scaled(batch.x), batch.u, hyper
    )
    moves, first = rules[0].update(down, state.opt_state.generator, generator)
    generator = optax.apply_updates(generator, moves)
    moves, second = rules[1].update(up, state.opt_state.discriminator, discriminator)
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
