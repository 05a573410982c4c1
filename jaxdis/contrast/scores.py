"""What is measured of the discrimination and of the codes on held-out rows."""

import math
from collections.abc import Callable
from typing import TypeAlias

import jax
from jaxtyping import Array, Float, Shaped

from jaxdis import metrics
from jaxdis.contrast.model import Model, ModelParams, encode
from jaxdis.types import (
    Config,
    Metrics,
    Params,
    PRNGKey,
    Rows,
    Score,
    Spec,
    TrainState,
)

__all__ = [
    "ACCURACY",
    "ARRAYS",
    "CONTRAST",
    "Objective",
    "codes_of",
    "report",
    "scores",
]

CONTRAST = Score("contrast", "Contrast, nats", "lower", (0, math.inf))
ACCURACY = Score("accuracy", "Accuracy", "higher", (0, 1))

# The matched code of each true latent is as many as latents.
ARRAYS = {"correlation": "seed latent match"}

BLOCK = 256  # observations that are encoded at once

Objective: TypeAlias = Callable[[Params, Array, Rows], tuple[Array, Metrics]]
"""`(head, codes, rows) -> (loss, logged)`: what is minimised, of the parameters of the
head, the codes of `rows.x`, and what else the rows hold."""


def scores(config: Config, spec: Spec) -> tuple[Score, ...]:
    """Those that `report` returns for a config and a data set, in order of interest.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    latents = (metrics.MCC, metrics.R2, metrics.R)
    always = (CONTRAST, ACCURACY, metrics.DEAD)
    return (*latents, *always) if spec.z_dim else always


def codes_of(
    params: ModelParams, model: Model, x: Shaped[Array, "n ..."]
) -> Float[Array, "n *t z"]:
    """The codes of many observations, or of sequences of them, some at a time.

    Args:
      params: the parameters.
      model: networks and sizes.
      x: the observations.
    """
    found: Array = jax.lax.map(
        lambda row: encode(params, model, row[None])[0],
        x,
        batch_size=min(BLOCK, len(x)),
    )
    return found


def report(
    model: Model, objective: Objective, state: TrainState, batch: Rows, key: PRNGKey
) -> Metrics:
    """Scores of one seed on held-out rows.

    Args:
      model: networks and sizes.
      objective: what was minimised.
      state: the state of one seed.
      batch: the held-out rows.
      key: a random key for the order of the rows.

    Returns:
      The scalars `contrast`, what is minimised, `accuracy` and `dead`; where the true
      latents are known `mcc`, `r`, `r2` and the matrix `correlation`.

    Note: A row is paired with its neighbour, and rows of a data set may have an order:
      they are shuffled first.
    """
    order = jax.random.permutation(key, len(batch.x))
    batch = jax.tree.map(lambda a: a[order], batch)
    codes = codes_of(state.params, model, batch.x)
    loss, logged = objective(state.params.head, codes, batch)
    found: Metrics = {
        "contrast": loss,
        "accuracy": logged["accuracy"],
        "dead": metrics.dead(codes.reshape(-1, codes.shape[-1])),
    }
    if batch.z is None or not model.z_true:
        return found
    z = batch.z.reshape(-1, batch.z.shape[-1])
    codes = codes.reshape(-1, codes.shape[-1])
    return found | metrics.latent_scores(z, codes)[0] | {"r2": metrics.r2(z, codes)}
