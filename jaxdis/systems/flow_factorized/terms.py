"""The terms of the loss, each as the mathematics has it and as it was released.

Every alternative is an entry in a table of functions, by the word that the config has
for it: `DIVERGENCES` (`kl`), `EQUATIONS` (`hj`), `CONDITIONS` (`ic`), `INDEX_LOSSES`
(`index_loss`), `GRADIENTS` (`prior_gradient`), `CLOCKS` (`clock`).

Source: Song et al. 2023, section 3; GitHub KingJamesSong/latent-flow, 6952c93.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxdis import flows, gaussian, losses
from jaxdis.kernels import potential_flow
from jaxdis.types import Scalar

__all__ = [
    "CLOCKS",
    "CONDITIONS",
    "DIVERGENCES",
    "EQUATIONS",
    "GRADIENTS",
    "INDEX_LOSSES",
    "Condition",
    "Divergence",
    "Equation",
    "IndexLoss",
    "heat_variance",
    "path_kl",
    "released_log_densities",
    "softmax_kl",
]

RELEASED_FLOOR = 1e-5  # added to the released prior's variances
RELEASED_LOG_FLOOR = 1e-20  # added to probabilities in the released index losses

Prior = Float[Array, "k"] | Float[Array, "k t"]
Densities = tuple[Float[Array, "t b z"], Float[Array, "t b z"]]


# The prior, and the divergence from it along the path.


class Divergence(NamedTuple):
    """A prior of the path, and the posterior's divergence from it.

    Attributes:
      initial: `(K, T) -> prior`, its parameters at the start.
      loss: `(prior, y, mean, log_var, z0, path) -> sum_t KL_t`, mean over the batch.
      rates: `prior -> d`, with D_k = softplus(d_k) the rate at which it diffuses.
      densities: `(prior, y, mean, log_var, z0, path)` to the prior's and posterior's
        log densities per dimension, where these are not the densities of scores.
    """

    initial: Callable[[int, int], Array]
    loss: Callable[[Array, Array, Array, Array, Array, flows.Path], Array]
    rates: Callable[[Array], Array]
    densities: (
        Callable[[Array, Array, Array, Array, Array, flows.Path], Densities] | None
    )


def heat_variance(
    rates: Float[Array, "k"], y: Float[Array, "b k"], steps: int
) -> Float[Array, "t b"]:
    """The variance of a prior that diffuses after 1 .. T steps, `1 + 2 D t`.

    Args:
      rates: d of every transformation, D_k = softplus(d_k).
      y: the weights of the transformations.
      steps: the number T of steps.
    """
    return flows.heat_variance(jnp.arange(1.0, steps + 1), y @ jax.nn.softplus(rates))


def path_kl(
    rates: Float[Array, "k"],
    y: Float[Array, "b k"],
    log_var: Float[Array, "b z"],
    path: flows.Path,
) -> Float[Array, ""]:
    """`sum_t E_q[log q_t(z_t) - log p_t(z_t)]`, mean over the batch, in nats.

    `-1/2 sum_i (1 + log s_i^2) - sum_{r <= t} log det_r + |z_t|^2 / (2 v_t)
    + (n / 2) log v_t` with v_t the heat prior's variance; the entropy of q_0 is taken
    in closed form, which has the gradient of its sample with less noise.

    Args:
      rates: d of every transformation; see `heat_variance`.
      y: the weights of the transformations.
      log_var: the log variances of q_0.
      path: the latents and log-determinants of the steps.
    """
    steps, _, n = path.z.shape
    entropy = 0.5 * jnp.sum(1.0 + log_var, -1)
    variance = heat_variance(rates, y, steps)
    carried = jnp.cumsum(path.log_det, 0)
    square = jnp.sum(path.z**2, -1)
    kl = square / (2.0 * variance) + 0.5 * n * jnp.log(variance) - carried
    return jnp.sum(jnp.mean(kl - entropy[None], 1))


def released_log_densities(
    scales: Float[Array, "k t"],
    y: Float[Array, "b k"],
    mean: Float[Array, "b z"],
    log_var: Float[Array, "b z"],
    z0: Float[Array, "b z"],
    path: flows.Path,
) -> Densities:
    """Prior's and posterior's log densities per dimension, as released.

    `rho_p -= log |1 + h_t|` with h_1 = 1 and h_t = 1 / (s_{k,t}^2 + 1e-5), and
    `rho_q -= log |1 + (H 1)_i|`, both from densities at z_0.

    Args:
      scales: s of every transformation and step.
      y: the weights of the transformations.
      mean: the means of q_0.
      log_var: the log variances of q_0.
      z0: the latents at the start.
      path: the row sums of the steps.
    """
    h = 1.0 / (scales**2 + RELEASED_FLOOR)
    h = jnp.concatenate([jnp.ones((len(h), 1)), h[:, 1:]], 1)
    spread = jnp.cumsum(jnp.log(jnp.abs(1.0 + y @ h)), 1).T
    prior = gaussian.log_prob(z0, jnp.zeros(z0.shape), jnp.ones(z0.shape))
    posterior = gaussian.log_prob(z0, mean, jnp.exp(log_var))
    return (
        prior[None] - spread[..., None],
        posterior[None] - jnp.cumsum(path.log_det, 0),
    )


def softmax_kl(
    log_p: Float[Array, "t b z"], log_q: Float[Array, "t b z"]
) -> Float[Array, ""]:
    """`sum_t mean_b sum_i P_i (log P_i - log Q_i)`, as released.

    P and Q are softmaxes over the dimensions of the densities `exp(log_p)` and
    `exp(log_q)`; a divergence of the prior from the posterior, of no densities.
    """
    log_p, log_q = (jax.nn.log_softmax(jnp.exp(a)) for a in (log_p, log_q))
    return jnp.sum(jnp.mean(jnp.sum(jnp.exp(log_p) * (log_p - log_q), -1), 1))


def _density_loss(
    prior: Array, y: Array, mean: Array, log_var: Array, z0: Array, path: flows.Path
) -> Array:
    return path_kl(prior, y, log_var, path)


def _softmax_loss(
    prior: Array, y: Array, mean: Array, log_var: Array, z0: Array, path: flows.Path
) -> Array:
    return softmax_kl(*released_log_densities(prior, y, mean, log_var, z0, path))


DIVERGENCES = {
    "density": Divergence(
        lambda k, steps: jnp.zeros(k), _density_loss, lambda prior: prior, None
    ),
    # Free scales have no rate; scores take that at which heat priors start.
    "softmax_dims": Divergence(
        lambda k, steps: jnp.ones((k, steps)),
        _softmax_loss,
        lambda prior: jnp.zeros(len(prior)),
        released_log_densities,
    ),
}


# The Hamilton-Jacobi equation and its initial condition.


class Equation(NamedTuple):
    """How the residuals of samples become a loss.

    Attributes:
      path: `(y, path) -> loss`, of the equation along the path.
      start: `(y, |grad u|^2, f, n) -> loss`, of no gradient and no force at time 0.
    """

    path: Callable[[Array, flows.Path], Array]
    start: Callable[[Array, Array, Array, int], Array]


def _sample_path(y: Float[Array, "b k"], path: flows.Path) -> Float[Array, ""]:
    residual = losses.hamilton_jacobi_residual(path.time, path.speed, path.force)
    return jnp.mean(jnp.einsum("bk,tkb->tb", y, residual**2))


def _sample_start(
    y: Float[Array, "b k"],
    square: Float[Array, "k b"],
    force: Float[Array, "k b"],
    n: int,
) -> Float[Array, ""]:
    return jnp.mean(jnp.einsum("bk,kb->b", y, square + force**2))


def _batch_path(y: Float[Array, "b k"], path: flows.Path) -> Float[Array, ""]:
    n = path.z.shape[-1]
    time = jnp.sum(path.time, -1, keepdims=True)
    speed = jnp.mean(path.speed, -1, keepdims=True) / n
    time, speed = (jnp.broadcast_to(a, path.force.shape) for a in (time, speed))
    residual = losses.hamilton_jacobi_residual(time, speed, path.force)
    return jnp.sum(jnp.mean(residual**2, -1) @ y.mean(0))


def _batch_start(
    y: Float[Array, "b k"],
    square: Float[Array, "k b"],
    force: Float[Array, "k b"],
    n: int,
) -> Float[Array, ""]:
    return (jnp.mean(square, -1) / n + jnp.mean(force**2, -1)) @ y.mean(0)


EQUATIONS = {
    "sample": Equation(_sample_path, _sample_start),
    "batch": Equation(_batch_path, _batch_start),
}
"""The squared residual R of the equation, and of its initial condition.

- "sample": `mean_t mean_b sum_k y_bk R_kb^2`, and
  `mean_b sum_k y_bk (|grad u^k(z_0, 0)|^2 + f^k(z_0, 0)^2)`.
- "batch", as released: `sum_t sum_k mean_b(y_bk) mean_b(R_kb^2)` with the time
  derivative summed over the batch and the speed averaged over batch and dimensions
  inside R; the gradient of the condition is a mean over dimensions as well.
"""

Condition = Callable[
    [flows.Flow, Equation, Float[Array, "b k"], Float[Array, "b z"]], Array
]


def _every_condition(
    flow: flows.Flow,
    equation: Equation,
    y: Float[Array, "b k"],
    z0: Float[Array, "b z"],
) -> Float[Array, ""]:
    zero = jnp.zeros(1)
    clock = jax.tree.map(lambda a: a[0], potential_flow.clock(flow.potentials, zero))
    beta = potential_flow.clock(flow.forces, zero).beta[0]
    gradient = potential_flow.derivatives(
        flow.potentials, clock, z0, None, flow.head
    ).gradient
    force = potential_flow.value(flow.forces, beta, z0, flow.head)
    return equation.start(y, jnp.sum(gradient**2, -1), force, z0.shape[-1])


def _last_condition(
    flow: flows.Flow,
    equation: Equation,
    y: Float[Array, "b k"],
    z0: Float[Array, "b z"],
) -> Float[Array, ""]:
    last = jnp.arange(y.shape[-1]) == y.shape[-1] - 1
    return _every_condition(flow, equation, y * last[None], z0)


def _no_condition(
    flow: flows.Flow,
    equation: Equation,
    y: Float[Array, "b k"],
    z0: Float[Array, "b z"],
) -> Float[Array, ""]:
    return jnp.zeros(())


CONDITIONS: dict[str, dict[str, Condition]] = {
    "known": {
        "all_k": _every_condition,
        "last_k": _every_condition,
        "off": _no_condition,
    },
    "inferred": {
        "all_k": _every_condition,
        "last_k": _last_condition,
        "off": _no_condition,
    },
}
CONDITIONS["none"] = CONDITIONS["known"]
"""The initial condition, no gradient and no force at time 0, by supervision and `ic`:
`(flow, equation, y, z0) -> loss`. The released program forgets all but the last
transformation where it infers them."""


# Inferred transformations.

IndexLoss = Callable[[Array, Array, Array | None, Scalar], Array]


def _uniform_kl(
    logits: Float[Array, "b k"],
    y: Float[Array, "b k"],
    truth: Int[Array, "b"] | None,
    diversity_weight: Scalar,
) -> Float[Array, ""]:
    average = jnp.log(jnp.mean(jax.nn.softmax(logits), 0))
    every = jnp.mean(losses.index_kl(logits))
    return every + diversity_weight * losses.index_kl(average)


def _batch_consistency(
    logits: Float[Array, "b k"],
    y: Float[Array, "b k"],
    truth: Int[Array, "b"] | None,
    diversity_weight: Scalar,
) -> Float[Array, ""]:
    return -jnp.log(jnp.max(jnp.mean(y, 0)) + RELEASED_LOG_FLOOR)


def _true_label(
    logits: Float[Array, "b k"],
    y: Float[Array, "b k"],
    truth: Int[Array, "b"] | None,
    diversity_weight: Scalar,
) -> Float[Array, ""]:
    assert truth is not None
    own = jnp.take_along_axis(y, truth[:, None], 1)[:, 0]
    return -jnp.mean(jnp.log(own + RELEASED_LOG_FLOOR))


INDEX_LOSSES: dict[str, IndexLoss] = {
    "uniform_kl": _uniform_kl,
    "batch_consistency": _batch_consistency,
    "true_label": _true_label,
}
"""What an inferred transformation adds to the loss:
`(logits, y, truth, diversity_weight) -> loss`.

- "uniform_kl": `mean_b KL(q_b || uniform) + w KL(mean_b q_b || uniform)`.
- "batch_consistency", as released: `-log(max_k mean_b y_bk + 1e-20)`, which assumes
  batches of one transformation and is least for an index that never changes.
- "true_label", as first released: `-mean_b log(y_b,true + 1e-20)`, which needs the
  label that it is meant to do without.
"""


# How the prior's scales are moved, and when a step is.


def _running_sum(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    def labels(params: Any) -> Any:
        kept = jax.tree.map(lambda _: "fresh", params)
        return kept._replace(prior=jax.tree.map(lambda _: "sum", params.prior))

    sums = {"fresh": optax.identity(), "sum": optax.trace(decay=1.0)}
    return optax.chain(optax.partition(sums, labels), tx)


GRADIENTS: dict[
    str, Callable[[optax.GradientTransformation], optax.GradientTransformation]
] = {"fresh": lambda tx: tx, "accumulate": _running_sum}
"""What an optimiser sees: gradients, or of the prior's scales their running sum."""

CLOCKS = {"end": 1.0, "start": 0.0}
"""The time that the first step sees."""
