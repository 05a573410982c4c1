"""FactorVAE: a discriminator says how far the latents are from independent.

An autoencoder pays for the total correlation of its codes, which a discriminator
estimates by telling them from codes whose latents were permuted. Both learn at the same
time, each by its own optimiser. It sees the observations alone.

Source: Kim and Mnih 2018, "Disentangling by Factorising" (arXiv 1802.05983).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from jaxdis import check, nets, optimise, vae
from jaxdis.optimise import in_one_pass
from jaxdis.systems.factor_vae.config import Config, Hyper, default_hyper
from jaxdis.systems.factor_vae.objective import (
    Model,
    autoencoder_loss,
    discriminator_loss,
    permuted,
)
from jaxdis.types import (
    Metrics,
    Params,
    PRNGKey,
    Rows,
    Spec,
    System,
    TrainState,
)
from jaxdis.vae import ModelParams

__all__ = [
    "Config",
    "Hyper",
    "Networks",
    "Rule",
    "States",
    "adam",
    "build",
    "default_hyper",
    "init",
    "make",
    "step",
]

Rule = Callable[..., optimise.Rule]
"""`hyper -> optimiser` of encoder and decoder."""


class Networks(NamedTuple):
    """What the two gradients move.

    Attributes:
      autoencoder: the parameters of encoder and decoder.
      discriminator: the parameters of the discriminator.
    """

    autoencoder: ModelParams
    discriminator: Params


class States(NamedTuple):
    """The states of the two optimisers.

    Attributes:
      autoencoder: that of encoder and decoder.
      discriminator: that of the discriminator.
    """

    autoencoder: PyTree
    discriminator: PyTree


def adam(hyper: Hyper) -> optax.GradientTransformation:
    """Adam of encoder and decoder: one pass instead of one per array."""
    return in_one_pass(optax.adam(hyper.learning_rate))


def _judge(hyper: Hyper) -> optax.GradientTransformation:
    """Adam of the discriminator, with the decay rates .5 and .9 of public programs."""
    return in_one_pass(optax.adam(hyper.discriminator_rate, b1=0.5, b2=0.9))


def build(
    config: Config, spec: Spec, *, encoder: object = None, decoder: object = None
) -> Model:
    """All networks.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of that of the config; see `vae.build`.
      decoder: likewise.

    Raises:
      ValueError: a config or networks that do not fit.
    """
    vae.two_rows(config.batch)
    check.widths("config.discriminator", config.discriminator)
    autoencoder = vae.build(config, spec, encoder=encoder, decoder=decoder)
    mlp = nets.MLP(config.discriminator, 1, config.precision)
    return Model(autoencoder, nets.network(mlp))


def init(model: Model, key: PRNGKey, hyper: Hyper, rule: Rule = adam) -> TrainState:
    """The state at the start.

    Args:
      model: networks and sizes.
      key: the key of the initial weights.
      hyper: the hyper-parameters.
      rule: `hyper -> optimiser` of encoder and decoder.
    """
    one, two = jax.random.split(key)
    code = jnp.zeros(model.autoencoder.config.z_dim)
    params = Networks(
        vae.init_params(one, model.autoencoder), model.discriminator.init(two, code)
    )
    states = States(
        rule(hyper).init(params.autoencoder), _judge(hyper).init(params.discriminator)
    )
    extra = vae.Extra(jnp.asarray(hyper.noise_std, float))
    return TrainState(params, states, extra, jnp.zeros((), int))


def step(
    model: Model,
    state: TrainState,
    batch: Rows,
    hyper: Hyper,
    key: PRNGKey,
    rule: Rule = adam,
) -> tuple[TrainState, Metrics]:
    """One step of both, from the same codes.

    Args:
      model: networks and sizes.
      state: what the step starts from.
      batch: observations.
      hyper: rates and weights.
      key: the key of all that is drawn.
      rule: `hyper -> optimiser` of encoder and decoder.

    Note: The paper permutes the codes of a second batch. Here they are those of the
      batch, which the discriminator sees one by one.
    """
    draws, orders = jax.random.split(key)
    autoencoder, discriminator = state.params
    x = vae.observations(model.autoencoder, batch.x)
    noise = jax.random.normal(draws, (len(x), model.autoencoder.config.z_dim))
    (loss, (z, logged)), down = jax.value_and_grad(autoencoder_loss, has_aux=True)(
        autoencoder, discriminator, model, x, noise, hyper
    )
    judged, up = jax.value_and_grad(discriminator_loss)(
        discriminator, model, z, permuted(orders, z)
    )
    first, second = state.opt_state
    moves, first = rule(hyper).update(down, first, autoencoder)
    changes, second = _judge(hyper).update(up, second, discriminator)
    params = Networks(
        optax.apply_updates(autoencoder, moves),
        optax.apply_updates(discriminator, changes),
    )
    state = TrainState(params, States(first, second), state.extra, state.step + 1)
    return state, {"loss": loss, **logged, "discriminator": judged}


def _report(model: Model, state: TrainState, batch: Rows, key: PRNGKey) -> Metrics:
    own = state._replace(params=state.params.autoencoder)
    return vae.report(model.autoencoder, own, batch, key)


def make(
    config: Config,
    spec: Spec,
    *,
    encoder: object = None,
    decoder: object = None,
    optimiser: object = None,
) -> System:
    """Builds the system for observations of the given shape.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of that of the config; see `vae.build`.
      decoder: likewise.
      optimiser: an optimiser of encoder and decoder, or a function of the
        hyper-parameters that gives one, in place of `adam`.

    Raises:
      ValueError: a config or networks that do not fit.
    """
    model = build(config, spec, encoder=encoder, decoder=decoder)
    rule = optimise.optimiser(optimiser, adam)
    seen = model.autoencoder
    return System(
        init=partial(init, model, rule=rule),
        step=partial(step, model, rule=rule),
        encode=lambda params, x: vae.posterior(params.autoencoder, seen, x).mean,
        decode=lambda params, z: vae.decode(params.autoencoder, seen, z),
        report=partial(_report, model),
    )
