"""What is measured of frames, and of the steps between them."""

import math

import jax
from jaxtyping import Array

from jaxdis import vae
from jaxdis.gaussian import Posterior
from jaxdis.systems.slow_vae.transition import transition_kl
from jaxdis.types import Config, Metrics, PRNGKey, Rows, Score, Spec, TrainState
from jaxdis.vae import Model

__all__ = ["TRANSITION", "report", "scores"]

BLOCK = 256  # frames that are encoded at once

TRANSITION = Score(
    "transition",
    "Transition KL, nats",
    None,
    (0, math.inf),
    "Klindt et al. 2021 (arXiv 2007.10930)",
)


def scores(config: Config, spec: Spec) -> tuple[Score, ...]:
    """Those that `report` returns for a config and a data set, in order of interest.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    return (*vae.scores(config, spec), TRANSITION)


def report(model: Model, state: TrainState, batch: Rows, key: PRNGKey) -> Metrics:
    """Those of `vae.report`, of every frame by itself, and the score `transition`.

    That is the mean over all steps of `E_q(z) KL(q(z' | x') || p(z' | z))`, in nats, at
    the rate of the training.

    Args:
      model: networks and sizes.
      state: the state of one seed.
      batch: the held-out sequences.
      key: a random key for the draws of z.
    """

    def one(x: Array) -> Array:
        q = vae.posterior(state.params, model, x)
        past, now = (Posterior(*(a[s] for a in q)) for s in (slice(-1), slice(1, None)))
        return transition_kl(past, now, state.extra.rate).sum(-1).mean()

    at_once = max(1, BLOCK // batch.x.shape[1])
    steps = jax.lax.map(one, batch.x, batch_size=min(at_once, len(batch.x)))
    return vae.report(model, state, batch, key) | {"transition": steps.mean()}
