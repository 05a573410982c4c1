"""The autoencoder whose prior sees the parents of latents through masks; its ELBO."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdis import gaussian, losses, masks, nets, parallel
from jaxdis.gaussian import Posterior
from jaxdis.systems.mechanism_sparsity.config import (
    Config,
    Hyper,
    check_data,
    check_values,
)
from jaxdis.systems.mechanism_sparsity.edges import (
    MASK_DRAWS,
    STARTS,
    WARMUP_MASKS,
    Graphs,
    MaskDraws,
)
from jaxdis.types import Params, PRNGKey, Rows, Scalar, Spec

__all__ = [
    "PRIOR_VARIANCES",
    "Model",
    "ModelParams",
    "Noise",
    "PriorVariance",
    "Terms",
    "build",
    "decode",
    "draw_noise",
    "elbo_terms",
    "init_params",
    "posterior",
    "transition_prior",
    "with_time",
]

POSTERIOR_FLOOR = 1e-4  # variances and standard deviations never fall below these
PRIOR_FLOOR = 1e-6
DECODER_FLOOR = 1e-4


class ModelParams(NamedTuple):
    """The parameters of one seed.

    Attributes:
      encoder: the parameters of the encoder, a `nets.MLP`.
      decoder: the parameters of the decoder, a `nets.MLP`.
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
      shifted: `(s, start, shift, measure) -> (s + shift, shift)`; `measure` replaces
        the shift by the one that makes the mean of s its start.
    """

    outputs: int
    raw: Callable[[ModelParams, Array], Array]
    shifted: Callable[[Array, float, Array, Bool[Array, ""] | bool], tuple]


def _free(params: ModelParams, out: Array) -> Array:
    return params.prior_raw_variance[None]


def _held(params: ModelParams, out: Array) -> Array:
    return jax.lax.stop_gradient(params.prior_raw_variance)[None]


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
    "independent": PriorVariance(1, _free, _unshifted),
    "fixed": PriorVariance(1, _held, _unshifted),
    "dependent": PriorVariance(2, _second_output, _centred),
}
"""One free variance per latent, the same held at its start, or a network's output."""


class Model(NamedTuple):
    """Networks and sizes, built once from a config and the spec of the data.

    Attributes:
      config: the config.
      encoder: the encoder.
      decoder: the decoder.
      x_dim: the number of observed variables.
      a_dim: the number of actions; 0 for none.
      past: whether G^z exists: sequences of two steps.
      z_true: the number of true latents; 0 where they are not known.
      truth: the true graphs of those that the model has, as far as they are known.
      relaxation: the relaxation of the edges.
      mask_draws: how often masks are drawn.
      warmup_masks: when masks are 1 in the warm-up.
      prior_variance: where the variance of the prior comes from.
    """

    config: Config
    encoder: nets.MLP
    decoder: nets.MLP
    x_dim: int
    a_dim: int
    past: bool
    z_true: int
    truth: Graphs
    relaxation: masks.Relaxation
    mask_draws: MaskDraws
    warmup_masks: Callable[[Array, Scalar], Bool[Array, ""]]
    prior_variance: PriorVariance


_WORDS: dict[str, Mapping[str, object]] = {
    "time_graph": STARTS,
    "action_graph": STARTS,
    "mask": masks.RELAXATIONS,
    "mask_draws": MASK_DRAWS,
    "prior_variance": PRIOR_VARIANCES,
    "warmup_masks": WARMUP_MASKS,
}


def build(config: Config, spec: Spec) -> Model:
    """Networks and sizes.

    Args:
      config: the method's config.
      spec: what is known of the data.

    Raises:
      ValueError: data without actions and pairs, images, or a config that does not fit.
    """
    check_data(spec)
    check_values(config, spec, _WORDS)
    (x_dim,) = spec.shape
    past, actions = spec.steps == 2, spec.a_dim > 0
    return Model(
        config=config,
        encoder=nets.MLP(config.encoder, 2 * config.z_dim, config.precision),
        decoder=nets.MLP(config.decoder, x_dim, config.precision),
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
    )


_Value = TypeVar("_Value", bound=Array | parallel.Draws)


def _inverse_softplus(x: float) -> float:
    return float(np.log(np.expm1(x)))


def _present(*values: _Value | None) -> tuple[_Value, ...]:
    return tuple(v for v in values if v is not None)


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
        encoder=model.encoder.init(encoder_key, jnp.zeros(model.x_dim)),
        decoder=model.decoder.init(decoder_key, jnp.zeros(d)),
        decoder_log_variance=jnp.asarray(config.decoder_log_variance_init),
        transition=parallel.init(
            transition_key,
            nets=d,
            inputs=[d] * past + [a_dim] * (a_dim > 0),
            hidden=config.transition,
            out=model.prior_variance.outputs,
        ),
        prior_raw_variance=jnp.full(d, _inverse_softplus(config.prior_variance_init)),
        first_mean=jnp.zeros(d) if past else None,
        first_raw_variance=jnp.full(d, _inverse_softplus(1.0)) if past else None,
        masks=Graphs(
            z=start_z((d, d), initial, model.truth.z) if past else None,
            a=start_a((d, a_dim), initial, model.truth.a) if a_dim else None,
        ),
    )


class Noise(NamedTuple):
    """Every random number of one evaluation of the loss.

    Attributes:
      posterior: standard normal `[b, t, z]`.
      masks: logistic, of the masks' shape; of masks per example, the keys to draw it.
    """

    posterior: Array
    masks: Graphs


def draw_noise(key: PRNGKey, model: Model, logits: Graphs, rows: Rows) -> Noise:
    """Draws the random numbers of one evaluation of the loss.

    Args:
      key: a random key.
      model: networks and sizes.
      logits: the logits of the edges.
      rows: the rows, with a time axis; only their number matters.
    """
    posterior_key, z_key, a_key = jax.random.split(key, 3)
    b, t, _ = rows.x.shape
    noise = model.mask_draws.noise
    drawn = Graphs(
        z=None if logits.z is None else noise(z_key, logits.z),
        a=None if logits.a is None else noise(a_key, logits.a),
    )
    normal = jax.random.normal(posterior_key, (b, t, model.config.z_dim))
    return Noise(normal, drawn)


def with_time(rows: Rows) -> Rows:
    """Rows whose x and z have a time axis; vectors become sequences of one step."""
    if rows.x.ndim == 3:
        return rows
    z = None if rows.z is None else rows.z[:, None]
    return rows._replace(x=rows.x[:, None], z=z)


def posterior(params: ModelParams, model: Model, x: Float[Array, "*b x"]) -> Posterior:
    """Mean and variance of q(z | x), `var = softplus(raw) + 1e-4`.

    Args:
      params: the parameters.
      model: networks and sizes.
      x: the observations.
    """
    mean, raw = jnp.split(nets.apply(model.encoder, params.encoder, x), 2, axis=-1)
    return Posterior(mean, jax.nn.softplus(raw) + POSTERIOR_FLOOR)


def decode(
    params: ModelParams, model: Model, z: Float[Array, "*b z"]
) -> Float[Array, "*b x"]:
    """The mean of p(x | z).

    Args:
      params: the parameters.
      model: networks and sizes.
      z: the latents.
    """
    return nets.apply(model.decoder, params.decoder, z)


def transition_prior(
    params: ModelParams,
    model: Model,
    past: Float[Array, "b z"] | None,
    action: Float[Array, "b a"] | None,
    sampled: Graphs,
) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
    """Mean and raw variance of `p(z_i^t | G^z_i * z^{t-1}, G^a_i * a)`.

    Args:
      params: the parameters.
      model: networks and sizes.
      past: the latents of the step before, None without a past.
      action: the action, None without actions.
      sampled: the masks, drawn or thresholded.
    """
    out = parallel.apply(
        params.transition,
        _present(past, action),
        _present(*sampled),
        precision=model.config.precision,
    )
    raw = model.prior_variance.raw(params, out)
    return out[..., 0], jnp.broadcast_to(raw, out.shape[:2])


class Terms(NamedTuple):
    """The parts of the negative ELBO in nats per observed number, and the shift."""

    reconstruction: Float[Array, "b"]
    kl: Float[Array, "b"]
    shift: Float[Array, ""]


def elbo_terms(
    params: ModelParams,
    model: Model,
    rows: Rows,
    noise: Float[Array, "b t z"],
    sampled: Graphs,
    shift: Float[Array, ""],
    measure_shift: Bool[Array, ""] | bool = False,
) -> Terms:
    """The parts of the negative ELBO, each divided by `t * x_dim`.

    Reconstruction `sum_t -log N(x^t; f(z^t), sd_x^2)`; divergence
    `KL(q(z^t | x^t) || p(z^t | z^{t-1}, a))` of the last step and, where there is a
    past, `KL(q(z^0 | x^0) || p(z^0))`. The last step's prior sees the sampled z^0.

    Args:
      params: the parameters.
      model: networks and sizes.
      rows: the rows, with a time axis.
      noise: standard normal, for z = mean + sqrt(var) * noise.
      sampled: the masks, drawn or thresholded.
      shift: what is added to the raw variance of the "dependent" prior.
      measure_shift: whether to replace it by the shift that makes the batch's mean raw
        variance that of `prior_variance_init`.
    """
    _, t, x_dim = rows.x.shape
    q = posterior(params, model, rows.x)
    z = gaussian.sample(q, noise)

    std = jnp.exp(0.5 * params.decoder_log_variance) + DECODER_FLOOR
    decoded = decode(params, model, z)
    reconstruction = losses.gaussian_reconstruction(rows.x, decoded, std).sum(1)

    past = z[:, 0] if model.past else None
    action = rows.a if model.a_dim else None
    prior_mean, raw = transition_prior(params, model, past, action, sampled)
    start = _inverse_softplus(model.config.prior_variance_init)
    raw, shift = model.prior_variance.shifted(raw, start, shift, measure_shift)
    prior_var = jax.nn.softplus(raw) + PRIOR_FLOOR
    kl = gaussian.kl(q.mean[:, -1], q.var[:, -1], prior_mean, prior_var).sum(1)
    if params.first_mean is not None and params.first_raw_variance is not None:
        first_var = jax.nn.softplus(params.first_raw_variance) + PRIOR_FLOOR
        first = gaussian.kl(
            q.mean[:, 0], q.var[:, 0], params.first_mean[None], first_var[None]
        )
        kl = kl + first.sum(1)
    return Terms(reconstruction / (t * x_dim), kl / (t * x_dim), shift)
