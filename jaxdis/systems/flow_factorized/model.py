"""Flow-factorized representations: transformations as flows of a latent.

A VAE of image sequences, each under one of K transformations. The first frame gives
the latent; transformation k then moves it along the gradient of its own potential
u^k(z, t), which obeys a Hamilton-Jacobi equation (dynamic optimal transport), and every
latent on the way is decoded to a frame. The density of the posterior is carried along
the flow and compared with a prior that diffuses. Which transformation a sequence shows
is known, or inferred from its frames.

Every term exists as the mathematics has it and as the authors' program computes it
(`terms`); a field of the config chooses. `EXACT` and `FAITHFUL` are the two columns.

Source: Song, Keller, Sebe and Welling 2023, "Flow Factorized Representation Learning"
(arXiv 2309.13167); GitHub KingJamesSong/latent-flow for the released form.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Num

from jaxdis import flows, gaussian, optimise
from jaxdis.optimise import in_one_pass
from jaxdis.systems.flow_factorized import networks
from jaxdis.systems.flow_factorized.build import build
from jaxdis.systems.flow_factorized.config import Config, Hyper
from jaxdis.systems.flow_factorized.networks import Model, ModelParams
from jaxdis.systems.flow_factorized.scores import REPORTS
from jaxdis.types import Metrics, PRNGKey, Rows, Scalar, Spec, System, TrainState

__all__ = [
    "OBJECTIVES",
    "Noise",
    "Objective",
    "Terms",
    "adam",
    "draw_noise",
    "flow_terms",
    "gumbel_index",
    "make",
    "predict",
    "vae_terms",
]


class Noise(NamedTuple):
    """Every random number of one evaluation of the loss.

    Attributes:
      posterior: the standard normal numbers `[b, z]`, of every frame `[b, t, z]` in a
        plain VAE.
      probe: the directions of the log-determinant, None if it needs none.
      gumbel: the Gumbel numbers of the index.
    """

    posterior: Array
    probe: Float[Array, "t b z"] | None
    gumbel: Float[Array, "b k"] | None


class Terms(NamedTuple):
    """The parts of the loss, unweighted.

    They are sums over pixels, dimensions and steps (means over steps for the exact
    Hamilton-Jacobi residual), and means over the batch.

    Attributes:
      reconstruction: the negative log likelihood of all frames.
      kl_start: the divergence of q(z_0 | x_0) from N(0, I).
      kl_path: the divergence along the path.
      hj: the squared residual of the Hamilton-Jacobi equation.
      ic: the initial condition.
      log_det: the mean log change of volume in a step, which is no part of its own.
    """

    reconstruction: Float[Array, ""]
    kl_start: Float[Array, ""]
    kl_path: Float[Array, ""]
    hj: Float[Array, ""]
    ic: Float[Array, ""]
    log_det: Float[Array, ""]


def gumbel_index(
    logits: Float[Array, "b k"], gumbel: Float[Array, "b k"], temperature: Scalar
) -> Float[Array, "b k"]:
    """A one-hot draw whose gradient is that of `softmax((logits + g) / tau)`.

    Args:
      logits: the logits of the indices.
      gumbel: Gumbel numbers g.
      temperature: the temperature tau.

    Source: Jang et al. 2017, "Categorical Reparameterization with Gumbel-Softmax".
    """
    soft = jax.nn.softmax((logits + gumbel) / temperature)
    hard = jax.nn.one_hot(jnp.argmax(soft, -1), soft.shape[-1])
    return hard + (soft - jax.lax.stop_gradient(soft))


def draw_noise(key: PRNGKey, model: Model, batch: int) -> Noise:
    """Draws the random numbers of one evaluation of the loss.

    Args:
      key: a random key.
      model: the sizes.
      batch: the number of sequences.
    """
    posterior_key, probe_key, index_key = jax.random.split(key, 3)
    n, steps = model.z_dim, model.steps
    frames = () if model.flows else (steps + 1,)
    return Noise(
        jax.random.normal(posterior_key, (batch, *frames, n)),
        flows.probe(model.log_det, probe_key, steps, batch, n),
        jax.random.gumbel(index_key, (batch, model.k)),
    )


def flow_terms(
    model: Model,
    params: ModelParams,
    x: Float[Array, "b t1 h w c"],
    y: Float[Array, "b k"],
    noise: Noise,
) -> Terms:
    """The parts of the loss of sequences whose latents flow.

    Args:
      model: the networks and forms of the terms.
      params: the parameters of one seed.
      x: sequences in [0, 1].
      y: the weights of the transformations, one-hot where they are known.
      noise: the random numbers.

    Source: Song et al. 2023, section 3.
    """
    mean, log_var = networks.mean_and_log_var(model, params, x[:, 0])
    z0 = mean + jnp.exp(0.5 * log_var) * noise.posterior
    flow = networks.flow_of(model, params)
    at = networks.times(model, model.steps)
    path = flows.walk(flow, z0, y, at, model.log_det, noise.probe)
    # The scan is over latents alone.
    z = jnp.concatenate([z0[None], path.z])
    error = networks.reconstruction(model, params, z, x.swapaxes(0, 1))
    assert params.prior is not None
    return Terms(
        reconstruction=error / len(x),
        kl_start=jnp.mean(_standard_kl(mean, log_var)),
        kl_path=model.divergence.loss(params.prior, y, mean, log_var, z0, path),
        hj=model.equation.path(y, path),
        ic=model.condition(flow, model.equation, y, z0),
        log_det=jnp.mean(path.log_det),
    )


def _standard_kl(
    mean: Float[Array, "*b z"], log_var: Float[Array, "*b z"]
) -> Float[Array, "*b"]:
    zero, one = jnp.zeros(mean.shape), jnp.ones(mean.shape)
    return jnp.sum(gaussian.kl(mean, jnp.exp(log_var), zero, one), -1)


def vae_terms(
    model: Model, params: ModelParams, x: Float[Array, "b t1 h w c"], noise: Noise
) -> Terms:
    """The parts of the loss of a VAE that sees every frame by itself.

    Args:
      model: the networks.
      params: the parameters of one seed.
      x: sequences in [0, 1].
      noise: the random numbers.
    """
    mean, log_var = networks.mean_and_log_var(model, params, x)
    z = mean + jnp.exp(0.5 * log_var) * noise.posterior
    zero = jnp.zeros(())
    return Terms(
        reconstruction=networks.reconstruction(model, params, z, x) / len(x),
        kl_start=jnp.mean(jnp.sum(_standard_kl(mean, log_var), 1)),
        kl_path=zero,
        hj=zero,
        ic=zero,
        log_det=zero,
    )


Objective = Callable[
    [Model, ModelParams, Array, Rows, Hyper, PRNGKey], tuple[Array, Metrics]
]


def _weighed(terms: Terms, hyper: Hyper) -> tuple[Array, Metrics]:
    """The loss of its parts."""
    total = terms.reconstruction + terms.kl_start + hyper.kl_weight * terms.kl_path
    total += hyper.hj_weight * terms.hj + hyper.ic_weight * terms.ic
    return total, terms._asdict()


def _known(
    model: Model,
    params: ModelParams,
    step: Int[Array, ""],
    batch: Rows,
    hyper: Hyper,
    key: PRNGKey,
) -> tuple[Array, Metrics]:
    noise = draw_noise(key, model, len(batch.x))
    y = jax.nn.one_hot(batch.k, model.k)
    terms = flow_terms(model, params, networks.pixels(batch.x), y, noise)
    return _weighed(terms, hyper)


def _inferred(
    model: Model,
    params: ModelParams,
    step: Int[Array, ""],
    batch: Rows,
    hyper: Hyper,
    key: PRNGKey,
) -> tuple[Array, Metrics]:
    x = networks.pixels(batch.x)
    noise = draw_noise(key, model, len(x))
    logits = networks.index_logits(model, params, x)
    cooled = jnp.exp(-hyper.temperature_rate * step)
    temperature = jnp.maximum(cooled, hyper.temperature_floor)
    assert noise.gumbel is not None
    y = gumbel_index(logits, noise.gumbel, temperature)
    total, metrics = _weighed(flow_terms(model, params, x, y, noise), hyper)
    index = model.index_loss(logits, y, batch.k, hyper.diversity_weight)
    return total + index, metrics | {"index": index, "temperature": temperature}


def _plain(
    model: Model,
    params: ModelParams,
    step: Int[Array, ""],
    batch: Rows,
    hyper: Hyper,
    key: PRNGKey,
) -> tuple[Array, Metrics]:
    noise = draw_noise(key, model, len(batch.x))
    terms = vae_terms(model, params, networks.pixels(batch.x), noise)
    return terms.reconstruction + terms.kl_start, terms._asdict()


OBJECTIVES: dict[str, Objective] = {
    "known": _known,
    "inferred": _inferred,
    "none": _plain,
}
"""The loss by `supervision`: `(model, params, step, rows, hyper, key) -> (loss,
metrics)`."""


def adam(model: Model, hyper: Hyper) -> optax.GradientTransformation:
    """Adam; the released gradient of the prior's scales is a running sum."""
    return model.gradient(in_one_pass(optax.adam(hyper.learning_rate)))


def predict(model: Model, state: TrainState, rows: Rows) -> Float[Array, "n t h w c"]:
    """The next T frames after the last one that is given, T as in training.

    The latent starts at the posterior mean of that frame and flows as from the start of
    a sequence.

    Args:
      model: the networks.
      state: the state of the seed.
      rows: frames `x` `[n, t, h, w, c]`, or single ones `[n, h, w, c]`, and which
        transformations `k` move them: `[n]`, or `[n, j]` for several at once. Where
        transformations are inferred, k counts the model's own; without k it is inferred
        from x, which then are as many frames as in training.

    Returns:
      Frames in [0, 1].

    Raises:
      ValueError: no transformation is given, and none can be inferred.
    """
    x = networks.pixels(rows.x)
    x = x[:, None] if x.ndim == 4 else x
    if rows.k is not None:
        k = rows.k.reshape(len(x), -1)
        y = jax.nn.one_hot(k, model.k).sum(1)
    elif model.index_encoder is not None and x.shape[1] == model.steps + 1:
        likeliest = jnp.argmax(networks.index_logits(model, state.params, x), -1)
        y = jax.nn.one_hot(likeliest, model.k)
    else:
        inferred = f", or x must be {model.steps + 1} frames to infer it from"
        raise ValueError(
            "rows.k must say which transformation moves each row, in 0 .. "
            f"{model.k - 1}{inferred if model.index_encoder is not None else ''}; got "
            f"none with {x.shape[1]} frames"
        )
    z0 = networks.posterior(model, state.params, x[:, -1]).mean
    flow, at = networks.flow_of(model, state.params), networks.times(model, model.steps)
    z = flows.walk(flow, z0, y, at, None).z
    return networks.images(model, state.params, z).swapaxes(0, 1)


def make(
    config: Config,
    spec: Spec,
    *,
    encoder: Any = None,
    decoder: Any = None,
    optimiser: Any = None,
    loss: Objective | None = None,
) -> System:
    """Builds the system for sequences of the given frames and transformations.

    Minimised: `sum_t E[-log p(x_t | z_t)] + KL(q(z_0 | x_0) || N(0, I))
    + w_kl sum_{t >= 1} KL_t + w_hj L_hj + w_ic L_ic`, and where the transformation is
    inferred `terms.INDEX_LOSSES`.

    Args:
      config: the config of the method; what it leaves to the data is `sizes.sized`.
      spec: what is known of the data.
      encoder: a network of one's own, from an image to means and log variances in one
        vector; see `nets.network`.
      decoder: a network of one's own, from a latent to the logits of an image.
      optimiser: an optax transformation, or `hyper -> transformation`, in place of
        `adam`.
      loss: a function with the arguments and results of those in `OBJECTIVES`, in place
        of the one by `config.supervision`.

    Raises:
      ValueError: a config or a part that does not fit the data; see `build.build`.

    Source: Song et al. 2023, section 3.
    """
    model = build(config, spec, encoder, decoder)
    objective = loss or OBJECTIVES[config.supervision or ""]
    tx = optimise.optimiser(optimiser, partial(adam, model))

    def descended(
        params: ModelParams, state: TrainState, batch: Rows, hyper: Hyper, key: PRNGKey
    ) -> tuple[Array, tuple[tuple[()], Metrics]]:
        total, metrics = objective(model, params, state.step, batch, hyper, key)
        return total, ((), metrics)

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        params = networks.init_params(key, model)
        return TrainState(params, tx(hyper).init(params), (), jnp.zeros((), int))

    def encode(params: ModelParams, x: Num[Array, "*b h w c"]) -> Array:
        return networks.posterior(model, params, networks.pixels(x)).mean

    def decode(params: ModelParams, z: Float[Array, "*b z"]) -> Array:
        return networks.images(model, params, z)

    report = partial(REPORTS[config.supervision or ""], model)
    after = partial(predict, model) if model.flows else None
    step = optimise.minimise(descended, tx)
    return System(init, step, encode, decode, report, after, predicts="x")
