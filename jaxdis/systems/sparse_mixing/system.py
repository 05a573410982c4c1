"""CG-VAE as a system: its state, its step, its batches."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Shaped

from jaxdis import optimise
from jaxdis.data import rows
from jaxdis.optimise import cosine, in_one_pass, ramp
from jaxdis.systems.sparse_mixing.config import Config, Hyper
from jaxdis.systems.sparse_mixing.model import (
    ModelParams,
    build,
    cgvae_loss,
    decode,
    init_params,
    moments,
    observed,
)
from jaxdis.systems.sparse_mixing.scores import report, theory
from jaxdis.types import (
    Batches,
    Metrics,
    PRNGKey,
    Rows,
    Scalar,
    Source,
    Spec,
    Splits,
    System,
    TrainState,
)

__all__ = ["Extra", "adamw", "batches", "make"]


class Extra(NamedTuple):
    """What the gradient does not move.

    Attributes:
      conditioning: that of the hyper-parameters, for the report.
    """

    conditioning: Scalar


def adamw(hyper: Hyper) -> optax.GradientTransformation:
    """AdamW with a rate that falls to 0 along a cosine."""
    rate = cosine(hyper.learning_rate, hyper.decay_steps)
    return in_one_pass(optax.adamw(rate, weight_decay=hyper.weight_decay))


def make(
    config: Config,
    spec: Spec,
    *,
    encoder: Any = None,
    decoder: Any = None,
    optimiser: Any = None,
    loss: Callable[..., Any] | None = None,
) -> System:
    """Builds the system for observations of the given shape.

    Args:
      config: the settings; what they leave to the data is `config.sized`.
      spec: the sizes of the data, the names of the domains, and what is known of the
        mixing.
      encoder: a network of one's own, from x to means and log variances of the latents
        in one vector; see `nets.network`.
      decoder: a network of one's own, from latents to x.
      optimiser: an optax transformation, or `hyper -> transformation`, in place of
        `adamw`.
      loss: a function with the arguments and the results of `model.cgvae_loss`, in its
        place.

    Raises:
      ValueError: a config or a part that does not fit the data; see
        `config.check_config`.
    """
    model = build(config, spec, encoder=encoder, decoder=decoder)
    tx, objective = optimise.optimiser(optimiser, adamw), loss or cgvae_loss

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        params = init_params(model, key)
        extra = Extra(jnp.asarray(hyper.conditioning, float))
        return TrainState(params, tx(hyper).init(params), extra, jnp.zeros((), int))

    def descended(
        params: ModelParams, state: TrainState, batch: Rows, hyper: Hyper, key: PRNGKey
    ) -> tuple[Float[Array, ""], tuple[Extra, Metrics]]:
        assert batch.u is not None
        hyper = hyper._replace(alpha=hyper.alpha * ramp(state.step, hyper.warmup))
        x = observed(batch.x)
        value, (terms, z) = objective(model, params, x, batch.u, hyper, key)
        figures = {**terms._asdict(), "latent_std": jnp.std(z, 0).mean()}
        return value, (state.extra, jax.lax.stop_gradient(figures))

    def encode(params: ModelParams, x: Shaped[Array, "..."]) -> Float[Array, "*b z"]:
        return moments(model, params, observed(x))[0]

    known = theory(spec)

    def measure(state: TrainState, batch: Rows, key: PRNGKey) -> Metrics:
        conditioning = state.extra.conditioning
        return report(model, known, state.params, batch, conditioning, key)

    step = optimise.minimise(descended, tx)
    return System(init, step, encode, partial(decode, model), measure)


def batches(config: Config, spec: Spec, splits: Splits) -> Batches:
    """Uniform draws of `config.batch` rows, and all held-out rows.

    Args:
      config: the settings.
      spec: the names of the domains, and whether there are several worlds.
      splits: rows with x and u, and z where the true latents are known.

    Raises:
      ValueError: as `data.rows.batches`; domains that are not 0 .. D - 1.
    """
    if not isinstance(splits.train, Source):
        _check_domains(splits.train.u, len(spec.domains))
    return rows.batches(config, spec, splits)


def _check_domains(u: Array | np.ndarray | None, domains: int) -> None:
    """Raises ValueError unless u holds each of 0 .. D - 1 and no others."""
    if u is None or not jnp.issubdtype(u.dtype, jnp.integer):
        raise ValueError(f"data.u must be integers, got {getattr(u, 'dtype', None)}")
    there = np.unique(u)
    if not np.array_equal(there, np.arange(domains)):
        few = ", ".join(map(str, there[:10])) + (", ..." if len(there) > 10 else "")
        raise ValueError(
            f"data.u must hold each of the domains 0 .. {domains - 1} and no others, "
            f"got {few}"
        )
