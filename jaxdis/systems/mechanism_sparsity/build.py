"""The networks and sizes of the model, and its parameters."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jaxdis import masks, nets, parallel
from jaxdis.systems.mechanism_sparsity.config import (
    Config,
    Hyper,
    check_data,
    check_values,
    has_past,
    sized,
)
from jaxdis.systems.mechanism_sparsity.edges import (
    MASK_DRAWS,
    STARTS,
    WARMUP_MASKS,
    Graphs,
    MaskDraws,
)
from jaxdis.types import Params, PRNGKey, Scalar, Spec

__all__ = [
    "PRIOR_VARIANCES",
    "Model",
    "ModelParams",
    "PriorVariance",
    "build",
    "init_params",
    "inverse_softplus",
]

PUBLISHED = 20  # observed variables of the paper's data


class ModelParams(NamedTuple):
    """The parameters of one seed.

    Attributes:
      encoder: the parameters of the encoder.
      decoder: the parameters of the decoder.
      decoder_log_variance: v in `sd_x = exp(v / 2) + 1e-4`.
      transition: the parameters of `parallel.apply`; input groups are z and a, as far
        as present.
      prior_raw_variance: s `[z]` in `var_p = softplus(s) + 1e-6`.
      first_mean: the mean of the prior of z^0 `[z]`, None without a past.
      first_raw_variance: the raw variance of the prior of z^0 `[z]`, likewise.
      masks: the logits of the edges.
    """

    encoder: Params
    decoder: Params
    decoder_log_variance: Array
    transition: parallel.ParallelMLP
    prior_raw_variance: Array
    first_mean: Array | None
    first_raw_variance: Array | None
    masks: Graphs


class PriorVariance(NamedTuple):
    """Where the variance of z^t given its parents comes from.

    Attributes:
      outputs: the number of outputs of each transition network.
      raw: `(params, output [b, z, o]) -> s`, that broadcasts to `[b, z]`.
      free: `params -> s [z]`, where it does not depend on the networks' outputs; None
        where it does.
      shifted: `(s, start, shift, measure) -> (s + shift, shift)`; `measure` replaces
        the shift by the one that makes the mean of s its start.
    """

    outputs: int
    raw: Callable[[ModelParams, Array], Array]
    free: Callable[[ModelParams], Array] | None
    shifted: Callable[[Array, float, Array, Bool[Array, ""] | bool], tuple]


def _free(params: ModelParams) -> Array:
    return params.prior_raw_variance


def _held(params: ModelParams) -> Array:
    return jax.lax.stop_gradient(params.prior_raw_variance)


def _whatever_the_output(
    of: Callable[[ModelParams], Array], params: ModelParams, out: Array
) -> Array:
    return of(params)[None]


def _second_output(params: ModelParams, out: Array) -> Array:
    return out[..., 1]


def _unshifted(
    raw: Array, start: float, shift: Array, measure: Bool[Array, ""] | bool
) -> tuple[Array, Array]:
    return raw, shift


def _centred(
    raw: Array, start: float, shift: Array, measure: Bool[Array, ""] | bool
) -> tuple[Array, Array]:
    measured = jax.lax.stop_gradient(start - raw.mean())
    shift = jnp.where(measure, measured, shift)
    return raw + shift, shift


PRIOR_VARIANCES = {
    "independent": PriorVariance(
        1, partial(_whatever_the_output, _free), _free, _unshifted
    ),
    "fixed": PriorVariance(1, partial(_whatever_the_output, _held), _held, _unshifted),
    "dependent": PriorVariance(2, _second_output, None, _centred),
}
"""One free variance per latent, the same held at its start, or a network's output."""


class Model(NamedTuple):
    """Networks and sizes, built once from a config and the spec of the data.

    Attributes:
      config: the config.
      encoder: from an observation to mean and raw variance of each latent.
      decoder: from latents to the mean of an observation.
      shape: the shape of one observation.
      x_dim: the number of observed variables.
      a_dim: the number of actions; 0 for none.
      past: whether G^z exists: sequences of at least two steps.
      z_true: the number of true latents; 0 where they are not known.
      truth: the true graphs of those that the model has, as far as they are known.
      relaxation: the relaxation of the edges.
      mask_draws: how often masks are drawn.
      warmup_masks: when masks are 1 in the warm-up.
      prior_variance: where the variance of the prior comes from.
      dual_scale: what the step of the multipliers is multiplied by: 1 for vectors, as
        published. Of images, whose loss per number is that much smaller, 20 / x_dim.
    """

    config: Config
    encoder: nets.Network
    decoder: nets.Network
    shape: tuple[int, ...]
    x_dim: int
    a_dim: int
    past: bool
    z_true: int
    truth: Graphs
    relaxation: masks.Relaxation
    mask_draws: MaskDraws
    warmup_masks: Callable[[Array, Scalar], Bool[Array, ""]]
    prior_variance: PriorVariance
    dual_scale: float


_WORDS: dict[str, Mapping[str, object]] = {
    "time_graph": STARTS,
    "action_graph": STARTS,
    "mask": masks.RELAXATIONS,
    "mask_draws": MASK_DRAWS,
    "prior_variance": PRIOR_VARIANCES,
    "warmup_masks": WARMUP_MASKS,
}


def build(
    config: Config, spec: Spec, *, encoder: object = None, decoder: object = None
) -> Model:
    """Networks and sizes.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of the built-in one, as `nets.network` takes it, with
        mean and raw variance of each latent as its outputs `[b, 2 z_dim]`.
      decoder: likewise, from `[b, z_dim]` to observations `[b, ...]`.

    Raises:
      ValueError: data without actions and pairs, a config that does not fit, or
        networks with outputs of another shape.
    """
    check_data(spec)
    config, shape = sized(config, spec), spec.shape
    check_values(config, spec, _WORDS)
    x_dim, d = math.prod(shape), config.z_dim
    past, actions = has_past(spec), spec.a_dim > 0
    return Model(
        config=config,
        encoder=nets.encoder_for(
            shape,
            2 * d,
            hidden=config.encoder,
            channels=config.channels,
            precision=config.precision,
            given=encoder,
            meaning="mean and raw variance of each of the config.z_dim latents",
        ),
        decoder=nets.decoder_for(
            shape,
            d,
            hidden=config.decoder,
            channels=config.channels,
            precision=config.precision,
            given=decoder,
            meaning="the mean of x",
        ),
        shape=shape,
        x_dim=x_dim,
        a_dim=spec.a_dim,
        past=past,
        z_true=spec.z_dim,
        truth=Graphs(
            z=spec.truth.gz if past else None, a=spec.truth.ga if actions else None
        ),
        relaxation=masks.RELAXATIONS[config.mask],
        mask_draws=MASK_DRAWS[config.mask_draws],
        warmup_masks=WARMUP_MASKS[config.warmup_masks],
        prior_variance=PRIOR_VARIANCES[config.prior_variance],
        dual_scale=1.0 if len(shape) == 1 else PUBLISHED / x_dim,
    )


def inverse_softplus(x: float) -> float:
    """`log(exp(x) - 1)`."""
    return float(np.log(np.expm1(x)))


def init_params(key: PRNGKey, model: Model, hyper: Hyper) -> ModelParams:
    """The initial parameters of one seed.

    Args:
      key: a random key.
      model: networks and sizes.
      hyper: the hyper-parameters, for the temperature.
    """
    encoder_key, decoder_key, transition_key = jax.random.split(key, 3)
    config, past, a_dim = model.config, model.past, model.a_dim
    d = config.z_dim
    initial = model.relaxation.initial(hyper.temperature)
    start_z, start_a = STARTS[config.time_graph], STARTS[config.action_graph]
    return ModelParams(
        encoder=model.encoder.init(encoder_key, jnp.zeros(model.shape)),
        decoder=model.decoder.init(decoder_key, jnp.zeros(d)),
        decoder_log_variance=jnp.asarray(config.decoder_log_variance_init),
        transition=parallel.init(
            transition_key,
            nets=d,
            inputs=[d] * past + [a_dim] * (a_dim > 0),
            hidden=config.transition,
            out=model.prior_variance.outputs,
        ),
        prior_raw_variance=jnp.full(d, inverse_softplus(config.prior_variance_init)),
        first_mean=jnp.zeros(d) if past else None,
        first_raw_variance=jnp.full(d, inverse_softplus(1.0)) if past else None,
        masks=Graphs(
            z=start_z((d, d), initial, model.truth.z) if past else None,
            a=start_a((d, a_dim), initial, model.truth.a) if a_dim else None,
        ),
    )
