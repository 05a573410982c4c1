"""A system whose encoder learns by what its codes discriminate."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jaxdis import optimise
from jaxdis.contrast.model import Model, ModelParams, encode, init_params
from jaxdis.contrast.scores import Objective, report
from jaxdis.optimise import Careful, Rule, cosine, minimise
from jaxdis.types import Metrics, PRNGKey, Rows, Scalar, System, TrainState

__all__ = ["Hyper", "adam", "system"]


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the learning rate of Adam at the start.
      decay_steps: the steps in which it falls to 0 along a cosine.
    """

    learning_rate: Scalar
    decay_steps: Scalar


def adam(hyper: Hyper) -> Careful:
    """Adam with a rate that falls to 0 along a cosine."""
    return optimise.adam(cosine(hyper.learning_rate, hyper.decay_steps))


def system(
    model: Model,
    objective: Objective,
    tx: Callable[[Hyper], Rule],
) -> System:
    """The system of an objective of codes; it has no decoder.

    Args:
      model: networks and sizes.
      objective: what is minimised.
      tx: `hyper -> optimiser`.
    """

    def loss(
        params: ModelParams, state: TrainState, batch: Rows, hyper: Hyper, key: PRNGKey
    ) -> tuple[Array, tuple[tuple[()], Metrics]]:
        codes = encode(params, model, batch.x)
        value, logged = objective(params.head, codes, batch)
        return value, ((), logged)

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        params = init_params(key, model)
        return TrainState(params, tx(hyper).init(params), (), jnp.zeros((), int))

    return System(
        init=init,
        step=minimise(loss, tx),
        encode=lambda params, x: encode(params, model, x),
        decode=None,
        report=partial(report, model, objective),
    )
