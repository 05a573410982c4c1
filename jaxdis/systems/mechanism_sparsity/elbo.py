"""The autoencoder whose prior sees the parents of latents through masks; its ELBO."""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxdis import gaussian, losses, parallel
from jaxdis.data.colours import unit
from jaxdis.gaussian import Posterior
from jaxdis.systems.mechanism_sparsity.build import (
    Model,
    ModelParams,
    inverse_softplus,
)
from jaxdis.systems.mechanism_sparsity.edges import Graphs
from jaxdis.types import PRNGKey, Rows

__all__ = [
    "Noise",
    "Terms",
    "decode",
    "draw_noise",
    "elbo_terms",
    "mean_terms",
    "numbers",
    "posterior",
    "transition_prior",
    "with_time",
]

POSTERIOR_FLOOR = 1e-4  # variances and standard deviations never fall below these
PRIOR_FLOOR = 1e-6
DECODER_FLOOR = 1e-4


_Value = TypeVar("_Value", bound=Array | parallel.Draws)


def _present(*values: _Value | None) -> tuple[_Value, ...]:
    return tuple(v for v in values if v is not None)


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
    b, t = rows.x.shape[:2]
    noise = model.mask_draws.noise
    drawn = Graphs(
        z=None if logits.z is None else noise(z_key, logits.z),
        a=None if logits.a is None else noise(a_key, logits.a),
    )
    normal = jax.random.normal(posterior_key, (b, t, model.config.z_dim))
    return Noise(normal, drawn)


def with_time(rows: Rows, axes: int = 1) -> Rows:
    """Rows whose x and z have a time axis; x without one are sequences of one step.

    Latents without one hold for every step of a sequence.

    Args:
      rows: the rows.
      axes: the number of axes of one observation, 1 for vectors and 3 for images.
    """
    x, z = rows.x, rows.z
    if x.ndim == axes + 1:
        x = x[:, None]
    if z is not None and z.ndim == 2:
        z = jnp.broadcast_to(z[:, None], (len(z), x.shape[1], z.shape[1]))
    return rows._replace(x=x, z=z)


def numbers(model: Model, x: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """Vectors as they are, images as numbers in [0, 1]."""
    return x if len(model.shape) == 1 else unit(x)


def posterior(params: ModelParams, model: Model, x: Shaped[Array, "..."]) -> Posterior:
    """Mean and variance of q(z | x), `var = softplus(raw) + 1e-4`.

    Args:
      params: the parameters.
      model: networks and sizes.
      x: the observations, with any axes in front.
    """
    seen = numbers(model, x)
    out = model.encoder.over(params.encoder, seen, len(model.shape))
    mean, raw = jnp.split(out, 2, axis=-1)
    return Posterior(mean, jax.nn.softplus(raw) + POSTERIOR_FLOOR)


def decode(
    params: ModelParams, model: Model, z: Float[Array, "*b z"]
) -> Float[Array, "..."]:
    """The mean of p(x | z), with the axes of the latents in front.

    Args:
      params: the parameters.
      model: networks and sizes.
      z: the latents.
    """
    return model.decoder.over(params.decoder, z, 1)


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
    """The parts of the negative ELBO in nats per observed number, and the shift.

    Attributes:
      reconstruction: -log p(x | z) of each example, or its mean over the batch.
      kl: the divergence of the posterior from the prior, likewise.
      shift: what is added to the raw variance of the "dependent" prior.
    """

    reconstruction: Float[Array, "*b"]
    kl: Float[Array, "*b"]
    shift: Float[Array, ""]


class _Coded(NamedTuple):
    """What the ELBO takes from the autoencoder, in nats and not yet scaled.

    Attributes:
      reconstruction: -log p(x | z) of each example.
      first: the divergence of the first step of each example, 0 without a past.
      past: the latents of the steps before, None without a past.
      q: the posterior of the steps that have a transition.
    """

    reconstruction: Float[Array, "b"]
    first: Float[Array, "b"]
    past: Float[Array, "n z"] | None
    q: Posterior


def _coded(
    params: ModelParams, model: Model, rows: Rows, noise: Float[Array, "b t z"]
) -> _Coded:
    x, (b, t) = numbers(model, rows.x), rows.x.shape[:2]
    q = posterior(params, model, x)
    z = gaussian.sample(q, noise)
    d, after = z.shape[-1], int(model.past)  # the first step that has a step before it

    std = jnp.exp(0.5 * params.decoder_log_variance) + DECODER_FLOOR
    decoded, flat = decode(params, model, z), (b, t, model.x_dim)
    reconstruction = losses.gaussian_reconstruction(
        x.reshape(flat), decoded.reshape(flat), std
    ).sum(1)

    first = jnp.zeros(b, z.dtype)
    if params.first_mean is not None and params.first_raw_variance is not None:
        first_var = jax.nn.softplus(params.first_raw_variance) + PRIOR_FLOOR
        first = gaussian.kl(
            q.mean[:, 0], q.var[:, 0], params.first_mean[None], first_var[None]
        ).sum(1)
    return _Coded(
        reconstruction,
        first,
        z[:, :-1].reshape(-1, d) if model.past else None,
        Posterior(*(part[:, after:].reshape(-1, d) for part in q)),
    )


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
    `sum_t KL(q(z^t | x^t) || p(z^t | z^{t-1}, a))` of every step but the first and
    `KL(q(z^0 | x^0) || p(z^0))`; without a past, `KL(q(z | x) || p(z | a))`. The prior
    sees a sample of the step before.

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
    coded, (b, t) = _coded(params, model, rows, noise), rows.x.shape[:2]
    action = rows.a if model.a_dim else None
    prior_mean, raw = transition_prior(params, model, coded.past, action, sampled)
    start = inverse_softplus(model.config.prior_variance_init)
    raw, shift = model.prior_variance.shifted(raw, start, shift, measure_shift)
    prior_var = jax.nn.softplus(raw) + PRIOR_FLOOR
    kl = gaussian.kl(*coded.q, prior_mean, prior_var).sum(1).reshape(b, -1).sum(1)
    scale = t * model.x_dim
    return Terms(coded.reconstruction / scale, (kl + coded.first) / scale, shift)


def _divergence(
    out: Float[Array, "n o"], own: tuple[Posterior, Float[Array, ""]]
) -> Float[Array, ""]:
    """The divergence of all transitions of one latent; its network gives the mean."""
    q, raw = own
    prior_var = jax.nn.softplus(raw) + PRIOR_FLOOR
    return gaussian.kl(*q, out[:, 0], jnp.full_like(q.var, prior_var)).sum()


def mean_terms(
    params: ModelParams,
    model: Model,
    rows: Rows,
    noise: Float[Array, "b t z"],
    sampled: Graphs,
    shift: Float[Array, ""],
    measure_shift: Bool[Array, ""] | bool = False,
) -> Terms:
    """The means over the batch of `elbo_terms`, and their slopes in less time.

    Where the variance of the prior is not the networks' business, the divergence is a
    sum of one of each latent, whose slopes are found together with its value.

    Args:
      params: the parameters.
      model: networks and sizes.
      rows: the rows, with a time axis.
      noise, sampled, shift, measure_shift: as of `elbo_terms`.
    """
    if model.prior_variance.free is None:
        terms = elbo_terms(params, model, rows, noise, sampled, shift, measure_shift)
        return Terms(terms.reconstruction.mean(), terms.kl.mean(), terms.shift)
    coded, (b, t) = _coded(params, model, rows, noise), rows.x.shape[:2]
    of_latents = Posterior(coded.q.mean.T, coded.q.var.T)
    kl = parallel.total(
        params.transition,
        _present(coded.past, rows.a if model.a_dim else None),
        _present(*sampled),
        (of_latents, model.prior_variance.free(params)),
        _divergence,
        precision=model.config.precision,
    )
    scale = t * model.x_dim
    kl = (kl / b + coded.first.mean()) / scale
    return Terms(coded.reconstruction.mean() / scale, kl, shift)
