"""What is measured of the bound, the codes and the latents on held-out rows."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxdis import gaussian, losses, metrics
from jaxdis.data.colours import unit
from jaxdis.gaussian import Posterior
from jaxdis.types import Config, Metrics, PRNGKey, Rows, Score, Spec, TrainState
from jaxdis.vae.model import (
    Model,
    ModelParams,
    Terms,
    decode,
    elbo_terms,
    observations,
    posterior,
)

__all__ = [
    "ARRAYS",
    "DEAD_KL",
    "KL",
    "RECONSTRUCTION",
    "Extra",
    "latent_scores",
    "measure",
    "pictures",
    "report",
    "scores",
]

HIGGINS = "Higgins et al. 2017, equation 4"
RECONSTRUCTION = Score(
    "reconstruction", "Reconstruction, nats", "lower", source=HIGGINS
)
KL = Score("kl", "KL, nats", None, (0, math.inf), HIGGINS)
DEAD_KL = 1e-2
"""A latent whose mean divergence is lower, in nats, tells nothing: it is the prior."""

# The matched code of each true latent is as many as latents; of all codes there may be
# more, so that they have another name.
ARRAYS = {
    "correlation": "seed latent match",
    "kl_per_code": "seed code",
    "originals": "example height width channel",
    "reconstructions": "seed example height width channel",
    "traversals": "seed shown value height width channel",
}

BLOCK = 256  # observations that are decoded at once: images of many seeds are large
EXAMPLES = 8  # reconstructions that are kept
SHOWN = 6  # latents that are traversed
REACH, VALUES = 2.0, 7  # of a traversal, in standard deviations of the prior


class Extra(NamedTuple):
    """What the gradient does not move.

    Attributes:
      noise_std: the hyper-parameter, for the bound of the report.
    """

    noise_std: Float[Array, ""]


def scores(config: Config, spec: Spec) -> tuple[Score, ...]:
    """Those that `report` returns for a config and a data set, in order of interest.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    latents = (
        metrics.MCC,
        metrics.R2,
        metrics.R,
        metrics.DCI_D,
        metrics.DCI_C,
        metrics.DCI_I,
    )
    always = (metrics.ELBO, RECONSTRUCTION, KL, metrics.DEAD)
    return (*latents, *always) if spec.z_dim else always


def report(model: Model, state: TrainState, batch: Rows, key: PRNGKey) -> Metrics:
    """Scores of one seed on held-out rows; codes are the means of the posterior.

    Args:
      model: networks and sizes.
      state: the state of one seed.
      batch: the held-out rows.
      key: a random key for the draws of z.

    Returns:
      The scalars `reconstruction`, `kl` and `elbo` (beta = 1), in nats per observation,
      the number of `dead` codes, and `kl_per_code`. Where the true latents are known
      `mcc`, `r`, `r2`, DCI of a linear probe, and the matrix `correlation`. Of images
      `originals`, `reconstructions` and `traversals`.

    Note: The codes of latents that tell less than `DEAD_KL` count as constant. Their
      means still move by a thousandth with x, which a metric that standardises its
      columns, but nobody who draws from the posterior, could read.
    """
    x = observations(model, batch.x)
    noise = jax.random.normal(key, (len(x), model.config.z_dim))
    z = None if batch.z is None else batch.z.reshape(-1, batch.z.shape[-1])

    def bound(x: Array, noise: Array) -> tuple[Terms, Posterior]:
        return elbo_terms(state.params, model, x, noise, state.extra.noise_std)

    def standard(q: Posterior) -> Posterior:
        return gaussian.standard(q.mean[0])

    return measure(state.params, model, bound, (x, noise), z, standard)


def measure(
    params: ModelParams,
    model: Model,
    bound: Callable[..., tuple[Terms, Posterior]],
    inputs: tuple[Array, ...],
    z: Float[Array, "b d"] | None,
    law: Callable[[Posterior], Posterior],
) -> Metrics:
    """What `report` returns, of a bound of any kind.

    Args:
      params: the parameters of encoder and decoder.
      model: networks and sizes.
      bound: of some rows of the inputs, the terms of the negative ELBO, and the
        posteriors whose means are the codes.
      inputs: observations, and whatever else `bound` takes, row by row.
      z: the true latents.
      law: from all posteriors `[b, z]` the law `[z]` of the latents of all rows, which
        tells how far a posterior is from knowing nothing of its row.
    """

    def one(row: tuple[Array, ...]) -> tuple[Array, ...]:
        terms, q = bound(*(a[None] for a in row))
        return terms.reconstruction[0], terms.kl[0], q.mean[0], q.var[0]

    x = inputs[0]
    errors, kl, *parts = jax.lax.map(one, inputs, batch_size=min(BLOCK, len(x)))
    q = Posterior(*parts)
    prior = law(q)
    tells = gaussian.kl(*q, *(part[None] for part in prior)).mean(0)
    per_code, error = kl.mean(0), errors.mean()
    codes = jnp.where((tells < DEAD_KL)[None], 0.0, q.mean)
    found: Metrics = {
        "reconstruction": error,
        "kl": per_code.sum(),
        "elbo": -losses.negative_elbo(error, per_code.sum()),
        "dead": metrics.dead(codes),
        "kl_per_code": per_code,
    }
    if len(model.shape) == 3:
        found |= pictures(params, model, x, tells, prior)
    if z is None or not model.z_true:
        return found
    return found | latent_scores(z, codes)


def latent_scores(z: Float[Array, "b d"], codes: Float[Array, "b z"]) -> Metrics:
    """MCC, R, R2 and DCI of a linear probe, and the matrix `correlation`.

    Args:
      z: the true latents.
      codes: the codes of the same rows.
    """
    found, _ = metrics.latent_scores(z, codes)
    dci = metrics.dci_linear(z, codes)
    return found | {
        "r2": metrics.r2(z, codes),
        "dci_d": dci.disentanglement,
        "dci_c": dci.completeness,
        "dci_i": dci.informativeness,
    }


def pictures(
    params: ModelParams,
    model: Model,
    x: Shaped[Array, "b ..."],
    kl: Float[Array, "z"],
    prior: Posterior,
) -> Metrics:
    """Some images, what is made of them, and of the first one with a latent moved.

    The latents that are moved are those that tell most, in order.

    Args:
      params: the parameters.
      model: networks and sizes.
      x: images.
      kl: what each latent tells.
      prior: the law `[z]` of each latent, in whose deviations it is moved.

    Returns:
      `originals`, `reconstructions` and `traversals`.
    """
    chosen = jnp.linspace(0, len(x) - 1, EXAMPLES).astype(int)
    some = x[chosen]
    codes = posterior(params, model, some).mean
    moved = jnp.argsort(-kl)[:SHOWN]
    values = jnp.linspace(-REACH, REACH, VALUES)
    start = jnp.broadcast_to(codes[0][None, None], (len(moved), VALUES, len(kl)))
    at = jnp.arange(len(kl))[None, None] == moved[:, None, None]
    steps = prior.mean[None] + jnp.sqrt(prior.var)[None] * values[:, None]
    walks = jnp.where(at, steps[None], start)
    return {
        "originals": unit(some),
        "reconstructions": decode(params, model, codes),
        "traversals": decode(params, model, walks),
    }
