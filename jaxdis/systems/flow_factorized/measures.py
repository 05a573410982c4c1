"""What is measured on each held-out sequence, some rows at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import flows, gaussian, losses, metrics
from jaxdis.systems.flow_factorized import networks, terms
from jaxdis.systems.flow_factorized.heldout import HeldOut
from jaxdis.systems.flow_factorized.networks import Model, ModelParams

__all__ = [
    "BLOCK",
    "FlowScores",
    "MovedRows",
    "PairScores",
    "PlainScores",
    "in_blocks",
    "score_flow",
    "score_plain",
]

BLOCK = 32  # held-out rows that are scored at once


class FlowScores(NamedTuple):
    """What is measured on each held-out row of a model whose latents flow.

    Attributes:
      error: the L1 error of each frame, and of those beyond T where there are any.
      static: the same of a latent that does not move.
      elbo: the lower bound of each frame, in nats.
      iwae: the importance-weighted bound of each frame, in nats.
      compat: the ELBO of each frame with the sign that was released.
      released: the released figure of frames 1 .. T; None without released densities.
      residual: the mean square of the Hamilton-Jacobi residual.
      invertible: the share of steps with a positive definite I + H.
      frames: the model's frames.
      pairs: the scores of pairs of transformations; None without pairs.
    """

    error: Float[Array, "b t"]
    static: Float[Array, "b t"]
    elbo: Float[Array, "b t"]
    iwae: Float[Array, "b t"]
    compat: Float[Array, "b t"]
    released: Float[Array, "b t"] | None
    residual: Float[Array, "b"]
    invertible: Float[Array, "b"]
    frames: Float[Array, "b t h w c"]
    pairs: "PairScores | None"


class PairScores(NamedTuple):
    """Errors of sequences of two transformations, summed over frames 1 .. T.

    Attributes:
      superposed: the error of both at once.
      first: the error of the first one alone.
      second: the error of the second one alone.
      still: the error of a latent that does not move.
      switched: the error of one after the other with a clock that goes on.
      restarted: the error of one after the other with a clock that starts again.
      switched_still: the error there of a latent that does not move.
      superposed_frames: the model's frames of both at once.
      switched_frames: the model's frames of one after the other.
    """

    superposed: Float[Array, "b"]
    first: Float[Array, "b"]
    second: Float[Array, "b"]
    still: Float[Array, "b"]
    switched: Float[Array, "b"]
    restarted: Float[Array, "b"]
    switched_still: Float[Array, "b"]
    superposed_frames: Float[Array, "b t h w c"]
    switched_frames: Float[Array, "b t h w c"]


class PlainScores(NamedTuple):
    """What is measured on each held-out row of a plain VAE.

    Attributes:
      error: the L1 error of each frame, of linear steps.
      static: the same of a latent that does not move.
      elbo: the lower bound of each frame, in nats, of a posterior that sees it.
      frames: the frames of linear steps.
    """

    error: Float[Array, "b t"]
    static: Float[Array, "b t"]
    elbo: Float[Array, "b t"]
    frames: Float[Array, "b t h w c"]


class MovedRows(NamedTuple):
    """Held-out rows and how to move them.

    Attributes:
      data: the rows.
      y: the transformation of each, as weights.
      first: the learned index of its true transformation.
      second: the learned index of its true second transformation.
      eps: the standard normal numbers of the samples of its latent.
    """

    data: HeldOut
    y: Float[Array, "b k"]
    first: Float[Array, "b k"]
    second: Float[Array, "b k"]
    eps: Float[Array, "b s z"]


def in_blocks(f: Callable[[Any], Any], rows: Any) -> Any:
    """Applies `f` to blocks of rows in turn: all at once would fill the memory."""
    n = len(jax.tree.leaves(rows)[0])
    size = min(n, BLOCK)
    blocks = -(-n // size)
    padded = jnp.arange(blocks * size) % n
    split = jax.tree.map(lambda a: a[padded].reshape(blocks, size, *a.shape[1:]), rows)
    out = jax.lax.map(f, split)
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:n], out)


def score_flow(model: Model, params: ModelParams, rows: MovedRows) -> FlowScores:
    """Scores of a block of rows. Sample 0 of the latents is the one that is shown.

    Args:
      model: the networks and forms of the terms.
      params: the parameters of one seed.
      rows: the rows and how to move them.
    """
    data, steps, n = rows.data, model.steps, model.z_dim
    flow, at = networks.flow_of(model, params), networks.times(model, model.steps)
    batch, samples = rows.eps.shape[:2]
    mean, log_var = networks.mean_and_log_var(model, params, data.x[:, 0])
    z0 = mean[None] + jnp.exp(0.5 * log_var)[None] * rows.eps.swapaxes(0, 1)
    y = jnp.broadcast_to(rows.y, (samples, *rows.y.shape)).reshape(-1, rows.y.shape[1])
    path = flows.walk(flow, z0.reshape(-1, n), y, at, "exact")
    z = jnp.concatenate([z0[None], path.z.reshape(steps, samples, batch, n)])
    decoded = networks.images(model, params, z)  # [t, s, b, ...]

    x = data.x.swapaxes(0, 1)[:, None]
    log_x = metrics.unit_gaussian(jnp.broadcast_to(x, decoded.shape), decoded)
    log_p = _prior_density(model, params, rows.y, z)
    start = gaussian.log_prob(z0, mean[None], jnp.exp(log_var)[None]).sum(-1)
    carried = jnp.cumsum(path.log_det, 0).reshape(steps, samples, batch)
    log_q = start[None] - jnp.concatenate([jnp.zeros((1, samples, batch)), carried])

    def bound(f: Callable[..., Array]) -> Float[Array, "b t"]:
        return jax.vmap(f)(log_x, log_p, log_q).T

    frames = decoded[:, 0].swapaxes(0, 1)
    truth, moved = data.x, frames
    if data.longer is not None:
        more = networks.times(model, data.longer.shape[1], first=steps + 1)
        beyond = flows.walk(flow, z[-1, 0], rows.y, more, None).z
        beyond = networks.images(model, params, beyond).swapaxes(0, 1)
        truth = jnp.concatenate([truth, data.longer], 1)
        moved = jnp.concatenate([moved, beyond], 1)
    residual = losses.hamilton_jacobi_residual(path.time, path.speed, path.force)
    square = jnp.einsum("bk,tkb->b", y, residual**2) / steps
    return FlowScores(
        error=metrics.frame_error(moved, truth),
        static=metrics.frame_error(jnp.broadcast_to(frames[:, :1], truth.shape), truth),
        elbo=bound(metrics.elbo),
        iwae=bound(metrics.iwae),
        compat=bound(metrics.compat_loglik),
        released=_released(model, params, rows, mean, log_var, z0[0], log_x[:, 0]),
        residual=square.reshape(samples, batch).mean(0),
        invertible=flows.is_invertible(flow, z[:-1, 0], rows.y, at).mean(0),
        frames=frames,
        pairs=None if data.other is None else _score_pairs(model, params, rows),
    )


def _prior_density(
    model: Model,
    params: ModelParams,
    y: Float[Array, "b k"],
    z: Float[Array, "t s b z"],
) -> Float[Array, "t s b"]:
    """The heat prior's log density of latents at times 0 .. T."""
    batch = len(y)
    assert params.prior is not None
    rates = model.divergence.rates(params.prior)
    variance = terms.heat_variance(rates, y, model.steps)
    variance = jnp.concatenate([jnp.ones((1, batch)), variance])[:, None, :, None]
    variance = jnp.broadcast_to(variance, z.shape)
    return gaussian.log_prob(z, jnp.zeros(z.shape), variance).sum(-1)


def _released(
    model: Model,
    params: ModelParams,
    rows: MovedRows,
    mean: Float[Array, "b z"],
    log_var: Float[Array, "b z"],
    z0: Float[Array, "b z"],
    log_x: Float[Array, "t b"],
) -> Float[Array, "b steps"] | None:
    """The released figure of frames 1 .. T, from the released densities."""
    densities = model.divergence.densities
    if densities is None:
        return None
    assert params.prior is not None
    flow, at = networks.flow_of(model, params), networks.times(model, model.steps)
    ones = jnp.ones((model.steps, *z0.shape))
    path = flows.walk(flow, z0, rows.y, at, model.log_det, ones)
    both = densities(params.prior, rows.y, mean, log_var, z0, path)
    log_p, log_q = (density.sum(-1) for density in both)
    return metrics.compat_loglik(log_x[None, 1:], log_p[None], log_q[None]).T


def _score_pairs(model: Model, params: ModelParams, rows: MovedRows) -> PairScores:
    """Two transformations that training showed apart, at once and in turn."""
    data, steps = rows.data, model.steps
    assert data.superposed is not None
    assert data.switched is not None
    flow, at = networks.flow_of(model, params), networks.times(model, steps)

    def start(x: Float[Array, "b t h w c"]) -> Float[Array, "b z"]:
        mean, log_var = networks.mean_and_log_var(model, params, x[:, 0])
        return mean + jnp.exp(0.5 * log_var) * rows.eps[:, 0]

    def go(z: Array, y: Array, at: Array) -> Float[Array, "b t h w c"]:
        z = jnp.concatenate([z[None], flows.walk(flow, z, y, at, None).z])
        return networks.images(model, params, z).swapaxes(0, 1)

    def error(frames: Array, truth: Array) -> Float[Array, "b"]:
        return metrics.frame_error(frames, truth)[:, 1:].sum(1)

    z = start(data.superposed)
    both = go(z, rows.first + rows.second, at)
    alone = [error(go(z, y, at), data.superposed) for y in (rows.first, rows.second)]
    still = jnp.broadcast_to(both[:, :1], both.shape)

    z, half = start(data.switched), steps // 2
    in_turn = jnp.stack([rows.first] * half + [rows.second] * (steps - half))
    again = [networks.times(model, half), networks.times(model, steps - half)]
    switched = go(z, in_turn, at)
    stands = jnp.broadcast_to(switched[:, :1], switched.shape)
    return PairScores(
        superposed=error(both, data.superposed),
        first=alone[0],
        second=alone[1],
        still=error(still, data.superposed),
        switched=error(switched, data.switched),
        restarted=error(go(z, in_turn, jnp.concatenate(again)), data.switched),
        switched_still=error(stands, data.switched),
        superposed_frames=both,
        switched_frames=switched,
    )


def score_plain(
    model: Model,
    params: ModelParams,
    steps: Float[Array, "k t e z"],
    rows: tuple[HeldOut, Float[Array, "b t1 z"]],
) -> PlainScores:
    """Scores of a block of rows, whose latents stand still or take linear steps.

    Args:
      model: the networks.
      params: the parameters of one seed.
      steps: the linear steps of every transformation.
      rows: held-out rows, and a standard normal number for every latent.
    """
    data, eps = rows
    mean, log_var = networks.mean_and_log_var(model, params, data.x)
    z = mean + jnp.exp(0.5 * log_var) * eps
    zero, one = jnp.zeros(z.shape), jnp.ones(z.shape)
    log_x = metrics.unit_gaussian(data.x, networks.images(model, params, z))
    log_p = gaussian.log_prob(z, zero, one).sum(-1)
    log_q = gaussian.log_prob(z, mean, jnp.exp(log_var)).sum(-1)
    moved = jax.vmap(metrics.linear_steps)(mean[:, 0], steps[data.k])
    moved = jnp.concatenate([mean[:, :1], moved], 1)
    frames = networks.images(model, params, moved)
    still = jnp.broadcast_to(frames[:, :1], frames.shape)
    return PlainScores(
        error=metrics.frame_error(frames, data.x),
        static=metrics.frame_error(still, data.x),
        elbo=metrics.elbo(log_x[None], log_p[None], log_q[None]),
        frames=frames,
    )
