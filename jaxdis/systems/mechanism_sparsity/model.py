"""Mechanism sparsity: latents identified by sparse causal graphs.

A VAE whose prior p(z^t | z^{t-1}, a) factorises over latents, each with its own small
network that sees its inputs through a learned binary mask: the rows of G^z (past
latents) and of G^a (actions). Few edges make the latents identifiable up to
permutation, if the true graph satisfies a criterion (`identifiability`).

Source: Lachapelle et al. 2022, "Disentanglement via Mechanism Sparsity Regularization"
(arXiv 2107.10098), extended by arXiv 2401.04890.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import losses, masks, optimise
from jaxdis.optimise import cosine, minimise
from jaxdis.systems.mechanism_sparsity.build import (
    Model,
    ModelParams,
    build,
    init_params,
)
from jaxdis.systems.mechanism_sparsity.config import Config, Hyper, default_hyper
from jaxdis.systems.mechanism_sparsity.edges import (
    Graphs,
    Limits,
    edge_pressure,
    effective_logits,
    is_pressed,
)
from jaxdis.systems.mechanism_sparsity.elbo import (
    Noise,
    decode,
    draw_noise,
    mean_terms,
    posterior,
    with_time,
)
from jaxdis.systems.mechanism_sparsity.scores import report
from jaxdis.types import Metrics, PRNGKey, Rows, Scalar, Spec, System, TrainState

__all__ = [
    "Config",
    "Extra",
    "Hyper",
    "adam",
    "default_hyper",
    "draw_masks",
    "limits",
    "make",
    "objective",
]


class Extra(NamedTuple):
    """What the gradient does not move.

    Attributes:
      multipliers: the dual variables of the edge bounds.
      shift: what centres the "dependent" raw variance on its initial value; measured on
        the first batch.
      temperature: the hyper-parameter, for the edge probabilities of the report.
      pressed: whether a penalty or a bound makes each graph sparse, for the report:
        without it the graph is not learned.
    """

    multipliers: Graphs
    shift: Array
    temperature: Array
    pressed: Graphs


def limits(model: Model, hyper: Hyper) -> Graphs:
    """What keeps each graph sparse; the penalty of an edge is divided by x_dim."""
    return Graphs(
        z=Limits(hyper.coeff_z / model.x_dim, hyper.bound_z),
        a=Limits(hyper.coeff_a / model.x_dim, hyper.bound_a),
    )


def draw_masks(
    model: Model, logits: Graphs, noise: Graphs, temperature: Scalar
) -> Graphs:
    """Both masks: sampled, or, one per example, to be drawn where they are used.

    Args:
      model: networks and sizes.
      logits: the logits of the edges.
      noise: the masks' part of `draw_noise`.
      temperature: the temperature of the relaxation.
    """
    drawn = [
        None if m is None else model.mask_draws.mask(m, e, temperature, kind)
        for m, e, kind in zip(logits, noise, [model.config.mask] * 2, strict=True)
    ]
    return Graphs(*drawn)


def objective(
    params: ModelParams,
    model: Model,
    rows: Rows,
    noise: Noise,
    extra: Extra,
    step: Array,
    hyper: Hyper,
) -> tuple[Float[Array, ""], tuple[Extra, Metrics]]:
    """What is minimised over everything but the multipliers.

    `E[-ELBO] / (t D) + (c_z r_z + c_a r_a) / D + mu_z (r_z - b_z) + mu_a (r_a - b_a)`
    with D = x_dim, r the expected edges of a graph and b its bound, which falls from
    all cells to the target.

    Args:
      params: the parameters.
      model: networks and sizes.
      rows: the rows, with a time axis.
      noise: every random number.
      extra: multipliers and shift before the step.
      step: the number of steps taken so far.
      hyper: the hyper-parameters.

    Returns:
      The loss, and `extra` after the step with what is logged.
    """
    logits = _pressed(model, params.masks, step, hyper)
    sampled = draw_masks(model, logits, noise.masks, hyper.temperature)
    terms = mean_terms(
        params,
        model,
        rows,
        noise.posterior,
        sampled,
        extra.shift,
        measure_shift=step == 0,
    )
    nll = losses.negative_elbo(terms.reconstruction, terms.kl, hyper.beta)
    pressures, multipliers, edges = _pressures(model, logits, extra, step, hyper)
    metrics = {
        "nll": nll,
        "reconstruction": terms.reconstruction,
        "kl": terms.kl,
        **{f"edges_{name}": r for name, r in edges.items()},
    }
    extra = extra._replace(multipliers=multipliers, shift=terms.shift)
    return sum(pressures, start=nll), (extra, metrics)


def _pressed(model: Model, logits: Graphs, step: Array, hyper: Hyper) -> Graphs:
    """The logits of a step: frozen at 1 for graphs that nothing presses on."""
    frozen = model.warmup_masks(step, hyper.warmup)
    return Graphs(
        *(
            None if m is None else effective_logits(m, limit, frozen)
            for m, limit in zip(logits, limits(model, hyper), strict=True)
        )
    )


def _pressures(
    model: Model, logits: Graphs, extra: Extra, step: Array, hyper: Hyper
) -> tuple[list[Array], Graphs, dict[str, Array]]:
    """What the graphs add to the loss, the next multipliers, the expected edges."""
    limit = limits(model, hyper)
    pressures: list[Array] = []
    multipliers, edges = {}, {}
    for name, log_alpha in logits._asdict().items():
        if log_alpha is None:
            continue
        edges[name] = masks.expected_size(
            model.relaxation.probability(log_alpha, hyper.temperature)
        )
        pressure, multipliers[name] = edge_pressure(
            edges[name],
            log_alpha.size,
            step,
            limit._asdict()[name],
            extra.multipliers._asdict()[name],
            warmup=hyper.warmup,
            descent=hyper.descent,
            dual_rate=hyper.dual_rate * model.dual_scale,
        )
        pressures.append(pressure)
    return pressures, extra.multipliers._replace(**multipliers), edges


def adam(hyper: Hyper) -> optimise.Careful:
    """Adam, its rate constant before it decays."""
    falling = cosine(hyper.learning_rate, hyper.decay)

    def rate(count: Array) -> Array:
        return falling(jnp.maximum(count - hyper.decay_start, 0))

    return optimise.adam(rate)


def make(
    config: Config,
    spec: Spec,
    *,
    encoder: object = None,
    decoder: object = None,
    optimiser: object = None,
    loss: Callable[..., tuple[Array, tuple[Extra, Metrics]]] | None = None,
) -> System:
    """Builds the system for data of the given sizes and graphs.

    It minimises `objective` by Adam; the multipliers ascend on the defects and restart
    at 0 as soon as a bound holds.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of the one by the shape of x; see `build`.
      decoder: likewise.
      optimiser: an optimiser, or a function of the hyper-parameters that gives one, in
        place of `adam`.
      loss: what is minimised in place of `objective`, with the same arguments and
        results.

    Raises:
      ValueError: data without actions and pairs, or a config or networks that do not
        fit.

    Source: Lachapelle et al. 2022, section 4; the constraint of arXiv 2401.04890.
    """
    model = build(config, spec, encoder=encoder, decoder=decoder)
    minimised = objective if loss is None else loss
    tx = optimise.optimiser(optimiser, adam)
    axes = len(model.shape)

    def evaluate(
        params: ModelParams, state: TrainState, batch: Rows, hyper: Hyper, key: PRNGKey
    ) -> tuple[Array, tuple[Extra, Metrics]]:
        rows = with_time(batch, axes)
        noise = draw_noise(key, model, params.masks, rows)
        return minimised(params, model, rows, noise, state.extra, state.step, hyper)

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        params = init_params(key, model, hyper)
        extra = Extra(
            multipliers=jax.tree.map(lambda _: jnp.zeros(()), params.masks),
            shift=jnp.zeros(()),
            temperature=jnp.asarray(hyper.temperature, float),
            pressed=Graphs(
                *(
                    None if m is None else is_pressed(limit, m.size)
                    for m, limit in zip(params.masks, limits(model, hyper), strict=True)
                )
            ),
        )
        opt_state = tx(hyper).init(params)
        return TrainState(params, opt_state, extra, jnp.zeros((), int))

    return System(
        init=init,
        step=minimise(evaluate, tx),
        encode=lambda params, x: posterior(params, model, x).mean,
        decode=lambda params, z: decode(params, model, z),
        report=partial(report, model),
    )
