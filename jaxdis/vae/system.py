"""A system that follows the gradient of one objective of a variational autoencoder."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxdis import optimise
from jaxdis.optimise import Careful, Rule, minimise
from jaxdis.types import (
    Hyper,
    Metrics,
    PRNGKey,
    Rows,
    Scalar,
    System,
    TrainState,
)
from jaxdis.vae.model import (
    Model,
    ModelParams,
    decode,
    init_params,
    observations,
    posterior,
)
from jaxdis.vae.scores import Extra, report

__all__ = ["Objective", "Rate", "adam", "system"]

Objective: TypeAlias = Callable[..., tuple[Array, Metrics]]
"""`(params, model, x, noise, step, hyper) -> (loss, logged)` of observations `[b, ...]`
and standard normal noise `[b, z]`."""


@runtime_checkable
class Rate(Protocol):
    """The hyper-parameter of `adam`."""

    @property
    def learning_rate(self) -> Scalar: ...


def adam(hyper: Rate) -> Careful:
    """Adam, by default."""
    return optimise.adam(hyper.learning_rate)


def system(
    model: Model,
    objective: Objective,
    tx: Callable[[Hyper], Rule],
) -> System:
    """The system of an objective that sees the observations alone.

    Every observation of a sequence is a row of its own.

    Args:
      model: networks and sizes.
      objective: what is minimised; its hyper-parameters have a `noise_std`.
      tx: `hyper -> optimiser`.
    """

    def evaluate(
        params: ModelParams, state: TrainState, batch: Rows, hyper: Hyper, key: PRNGKey
    ) -> tuple[Array, tuple[Extra, Metrics]]:
        x = observations(model, batch.x)
        noise = jax.random.normal(key, (len(x), model.config.z_dim))
        value, metrics = objective(params, model, x, noise, state.step, hyper)
        return value, (state.extra, metrics)

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        params = init_params(key, model)
        opt_state = tx(hyper).init(params)
        extra = Extra(jnp.asarray(hyper.noise_std, float))
        return TrainState(params, opt_state, extra, jnp.zeros((), int))

    return System(
        init=init,
        step=minimise(evaluate, tx),
        encode=lambda params, x: posterior(params, model, x).mean,
        decode=lambda params, z: decode(params, model, z),
        report=partial(report, model),
    )
