"""SlowVAE: latents that move sparsely, by a Laplace prior of the step between frames.

A frame's latents are standard normal, and given them those of the next frame are
`p(z_t | z_{t-1}) = prod_i rate / 2 exp(-rate |z_t,i - z_{t-1},i|)`. That law has the
axes for its favourites, unlike a Gaussian one, so that rotations of the latents cost.

Source: Klindt et al. 2021, "Towards Nonlinear Disentanglement in Natural Data with
Temporal Sparse Coding" (arXiv 2007.10930).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxdis import check, losses, optimise, vae
from jaxdis.gaussian import Posterior
from jaxdis.optimise import minimise
from jaxdis.systems.slow_vae.config import Config, Hyper, default_hyper
from jaxdis.systems.slow_vae.scores import report
from jaxdis.systems.slow_vae.transition import TRANSITIONS
from jaxdis.types import Metrics, PRNGKey, Rows, Scalar, Spec, System, TrainState
from jaxdis.vae import Model, ModelParams, adam

__all__ = [
    "Config",
    "Extra",
    "Hyper",
    "adam",
    "default_hyper",
    "make",
    "objective",
    "pairs",
]


class Extra(NamedTuple):
    """What the gradient does not move: hyper-parameters, for the report.

    Attributes:
      noise_std: that of the decoder's noise.
      rate: that of the transition prior.
    """

    noise_std: Scalar
    rate: Scalar


def pairs(x: Shaped[Array, "b t ..."], key: PRNGKey) -> Shaped[Array, "b 2 ..."]:
    """Two consecutive frames of each sequence, from a uniform start.

    Args:
      x: sequences of at least 2 frames.
      key: draws the starts.
    """
    start = jax.random.randint(key, (len(x),), 0, x.shape[1] - 1)
    return jax.vmap(partial(jax.lax.dynamic_slice_in_dim, slice_size=2))(x, start)


def objective(
    params: ModelParams,
    model: Model,
    x: Shaped[Array, "b 2 ..."],
    noise: Float[Array, "b 2 z"],
    hyper: Hyper,
) -> tuple[Float[Array, ""], Metrics]:
    """What is minimised, of two frames x and x' in both directions:

        -log p(x | z) - log p(x' | z') + beta KL(q || N(0, 1)) + gamma T(q, q')

    with the mean of KL over both frames, and T the mean over both directions of
    `E_q(z) KL(q(z' | x') || p(z' | z))`, for beta = gamma = 1 a bound.

    Args:
      params: the parameters.
      model: networks and sizes.
      x: pairs of frames.
      noise: standard normal, for the draws of z.
      hyper: the hyper-parameters.

    Returns:
      The loss in nats per pair, and what is logged.

    Source: Klindt et al. 2021, the bound; weights as in the released program.
    """
    frames = vae.observations(model, x)
    flat = noise.reshape(len(frames), -1)
    terms, q = vae.elbo_terms(params, model, frames, flat, hyper.noise_std)
    reconstruction = 2 * terms.reconstruction.mean()
    kl = terms.kl.sum(-1).mean()
    first, second = (
        Posterior(*(part.reshape(noise.shape)[:, t] for part in q)) for t in (0, 1)
    )
    move = TRANSITIONS[cast(Config, model.config).transition]
    transition = move(first, second, hyper.rate).sum(-1).mean()
    loss = losses.negative_elbo(reconstruction, kl, hyper.beta)
    logged = {"reconstruction": reconstruction, "kl": kl, "transition": transition}
    return loss + hyper.gamma * transition, logged


def make(
    config: Config,
    spec: Spec,
    *,
    encoder: object = None,
    decoder: object = None,
    optimiser: object = None,
    loss: Callable[..., tuple[Array, Metrics]] | None = None,
) -> System:
    """Builds the system for sequences of observations of the given shape.

    It minimises `objective` by Adam, on two consecutive frames of each sequence.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of that of the config; see `vae.build`.
      decoder: likewise.
      optimiser: an optimiser, or a function of the hyper-parameters that gives one, in
        place of `adam`.
      loss: what is minimised in place of `objective`, with the same arguments and
        results.

    Raises:
      ValueError: a config or networks that do not fit, or sequences of one step.
    """
    check.one_of("config.transition", config.transition, TRANSITIONS)
    if spec.steps is None or spec.steps < 2:
        found = "no axis of time" if spec.steps is None else f"{spec.steps} step"
        raise ValueError(
            "slow_vae needs sequences of at least 2 steps; observations of this data "
            f"set have {found}"
        )
    model = vae.build(config, spec, encoder=encoder, decoder=decoder)
    tx = optimise.optimiser(optimiser, adam)
    minimised = objective if loss is None else loss

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        params = vae.init_params(key, model)
        kept = (jnp.asarray(h, float) for h in (hyper.noise_std, hyper.rate))
        return TrainState(
            params, tx(hyper).init(params), Extra(*kept), jnp.zeros((), int)
        )

    def evaluate(
        params: ModelParams, state: TrainState, batch: Rows, hyper: Hyper, key: PRNGKey
    ) -> tuple[Array, tuple[Extra, Metrics]]:
        pair_key, noise_key = jax.random.split(key)
        x = pairs(batch.x, pair_key)
        noise = jax.random.normal(noise_key, (*x.shape[:2], model.config.z_dim))
        value, metrics = minimised(params, model, x, noise, hyper)
        return value, (state.extra, metrics)

    return System(
        init=init,
        step=minimise(evaluate, tx),
        encode=lambda params, x: vae.posterior(params, model, x).mean,
        decode=lambda params, z: vae.decode(params, model, z),
        report=partial(report, model),
    )
