"""Sparse and shared features: latents identified by many supervised tasks.

Each task needs a few unknown factors. An encoder whose features let every task be
solved by a linear head on few features (sufficiency), with tasks that need the same
factor using the same feature (minimality), recovers the factors up to order and scale
(`identifiability.support_variability` says of which tasks this holds). The problem has
two levels: in every step the heads of fresh tasks are fitted (`heads.fit_heads`), and
the encoder follows the loss of these heads on other samples of the same tasks.

Source: Fumero et al. 2023, "Leveraging sparse and shared feature activations for
disentangled representation learning" (arXiv 2304.07939). No code of it is public, and
its tables and settings were not available: nothing here reproduces a table of it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import check, heads, metrics, nets, optimise
from jaxdis.optimise import Careful, Rule, cosine, minimise, ramp
from jaxdis.systems.shared_features.columns import Columns
from jaxdis.systems.shared_features.config import Config, Hyper
from jaxdis.systems.shared_features.encoder import built_in
from jaxdis.systems.shared_features.label_heads import (
    LabelHeads,
    follow,
    no_heads,
    predictions,
)
from jaxdis.systems.shared_features.targets import Tasks
from jaxdis.systems.shared_features.tasks import KINDS, Kind, Measure, check_tasks
from jaxdis.types import Metrics, Params, PRNGKey, Rows, Spec, TrainState

__all__ = [
    "Extra",
    "Model",
    "build",
    "default_hyper",
    "features",
    "init",
    "optimiser",
    "predict",
    "shared_features_loss",
    "step",
]

Objective: TypeAlias = Callable[..., Any]
"""`(model, params, tasks, hyper, key, usage) -> (loss, (heads, moments))`."""
Optimiser: TypeAlias = Callable[[Hyper], Rule]

MOMENTUM = 0.9  # of the running mean and variance of the features


class Extra(NamedTuple):
    """What the gradient does not move.

    Attributes:
      moments: the running mean and standard deviation of the features.
      usage: the running usage of the features.
      hyper: the hyper-parameters, for the heads of the report.
      labels: the heads of label columns, for `predict`; None where tasks are others.
    """

    moments: heads.Standard
    usage: Float[Array, "z"]
    hyper: Hyper
    labels: LabelHeads | None


class Model(NamedTuple):
    """What is known before any parameter.

    Attributes:
      config: the settings.
      encoder: the encoder.
      kind: the kind of tasks.
      measure: how new tasks are judged.
      columns: the label columns that are tasks; None where tasks are others.
      classes: the number of classes of a task; None for regression.
      shot_size: the number of samples in one shot.
      known: whether the true factors are known.
      solver: what fits the heads of a step.
      gradient: how the loss of the fitted heads is differentiated in the features.
    """

    config: Config
    encoder: nets.Bound
    kind: Kind
    measure: Measure
    columns: Columns | None
    classes: int | None
    shot_size: int
    known: bool
    solver: heads.Solver
    gradient: heads.Gradient


def _own(encoder: Any, z_dim: int, shape: tuple[int, ...]) -> nets.Bound:
    meaning = "the config.z_dim features of each observation"
    return nets.bound(nets.checked(encoder, "encoder", shape, (z_dim,), meaning), shape)


def build(config: Config, spec: Spec, encoder: Any = None) -> Model:
    """Networks and sizes.

    Args:
      config: the settings.
      spec: what is known of the data.
      encoder: a network of a user's own; None for that of the config.

    Raises:
      ValueError: a config that does not fit the data; names the field.
    """
    for name in ("z_dim", "rounds", "iters", "width"):
        check.at_least(f"config.{name}", getattr(config, name), 1)
    check.widths("config.encoder", config.encoder)
    check.one_of("config.solver", config.solver, heads.SOLVERS)
    check.one_of("config.outer", config.outer, heads.GRADIENTS)
    check_tasks(config, spec)
    if config.z_dim < spec.z_dim:
        raise ValueError(
            f"config.z_dim must be at least the {spec.z_dim} factors of the data, got "
            f"{config.z_dim}"
        )
    kind = KINDS[config.tasks]
    return Model(
        config=config,
        encoder=(
            built_in(config, spec.shape)
            if encoder is None
            else _own(encoder, config.z_dim, spec.shape)
        ),
        kind=kind,
        measure=kind.measure(spec),
        columns=kind.columns(spec),
        classes=kind.classes(spec),
        shot_size=kind.shot_size(spec),
        known=spec.z_dim > 0,
        solver=heads.SOLVERS[config.solver],
        gradient=heads.GRADIENTS[config.outer],
    )


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Regression: alpha = beta = .05; classification: .04 and .06.

    Args:
      config: the settings.
      spec: what is known of the data.
      steps: the number of steps.
    """
    check.one_of("config.tasks", config.tasks, KINDS)
    regression = KINDS[config.tasks].classes(spec) is None
    alpha, beta = (0.05, 0.05) if regression else (0.04, 0.06)
    return Hyper(
        learning_rate=1e-3,
        decay_steps=float(steps),
        alpha=alpha,
        beta=beta,
        warmup=0.0,
        ridge=1e-3 if regression else 0.0,
        usage_decay=0.0,
        adapt_alpha=alpha,
    )


def features(model: Model, params: Params, x: Array) -> Float[Array, "*b z"]:
    """The encoder's output, not standardised; bytes are scaled to [0, 1].

    Args:
      model: the networks.
      params: their parameters.
      x: observations, with any axes in front.
    """
    return model.encoder.apply(params, x / 255.0 if x.dtype == jnp.uint8 else x)


def shared_features_loss(
    model: Model,
    params: Params,
    batch: Tasks,
    hyper: Hyper,
    key: PRNGKey | None = None,
    usage: Float[Array, "z"] | None = None,
) -> tuple[Float[Array, ""], tuple[heads.HeadFit, heads.Standard]]:
    """Loss of the fitted heads on samples that did not fit them.

    `L = 1/t sum_t l_t(w_t, b_t; F^Q, y^Q)` without penalties, where `(w, b)` minimise J
    of `heads` on the support samples and F is the encoder's output, standardised over
    tasks and samples of support and query together.

    Args:
      model: the networks and sizes.
      params: the parameters of the encoder.
      batch: tasks; the first `config.support` samples of each fit its head.
      hyper: the penalties of the heads.
      key: the key of the solver "adam".
      usage: the usage of past steps.

    Returns:
      L, and the heads and the moments of the features.
    """
    config, support = model.config, model.config.support
    seen, moments = heads.standardise(features(model, params, batch.x))
    fit = heads.fit_heads(
        seen[:, :support],
        batch.y[:, :support],
        alpha=hyper.alpha,
        beta=hyper.beta,
        classes=model.classes,
        class_mask=batch.allowed,
        ridge=hyper.ridge,
        relative=config.relative,
        solver=model.solver,
        gradient=model.gradient,
        rounds=config.rounds,
        iters=config.iters,
        key=key,
        past_usage=usage,
        decay=hyper.usage_decay,
        numbers=batch.numbers,
    )
    query, y = seen[:, support:], batch.y[:, support:]
    loss = heads.head_loss(
        fit.w, fit.b, query, y, model.classes, batch.allowed, batch.numbers
    )
    return loss.mean(), (fit, moments)


def _follow(old: heads.Standard, new: heads.Standard, first: Array) -> heads.Standard:
    """Running moments; the first batch's own at the start."""
    share = jnp.where(first, 0.0, MOMENTUM)
    mean = share * old.mean + (1 - share) * new.mean
    variance = share * old.std**2 + (1 - share) * new.std**2
    return heads.Standard(mean, jnp.sqrt(variance))


def optimiser(hyper: Hyper) -> Careful:
    """Adam with a rate that falls to 0 along a cosine."""
    return optimise.adam(cosine(hyper.learning_rate, hyper.decay_steps))


def init(
    model: Model, key: PRNGKey, hyper: Hyper, tx: Optimiser = optimiser
) -> TrainState:
    """The state of one seed at the start.

    Args:
      model: the networks and sizes.
      key: draws the parameters.
      hyper: the hyper-parameters, kept for the report.
      tx: `hyper -> optimiser`.
    """
    params = model.encoder.init(key)
    hyper = jax.tree.map(lambda h: jnp.asarray(h, float), hyper)
    zeros = jnp.zeros(model.config.z_dim)
    moments = heads.Standard(zeros, jnp.ones_like(zeros))
    labels = None
    if model.columns is not None:
        labels = no_heads(model.columns, model.config.z_dim)
    extra = Extra(moments, zeros, hyper, labels)
    state = tx(hyper).init(params)
    return TrainState(params, state, extra, jnp.zeros((), int))


def _loss(
    model: Model,
    objective: Objective,
    params: Params,
    state: TrainState,
    batch: Tasks,
    hyper: Hyper,
    key: PRNGKey,
) -> tuple[Array, tuple[Extra, Metrics]]:
    first = state.step == 0
    hyper = hyper._replace(
        beta=hyper.beta * ramp(state.step + 1, hyper.warmup),
        # There is no past usage in the first step.
        usage_decay=jnp.where(first, 0.0, hyper.usage_decay),
    )
    value, (fit, moments) = objective(
        model, params, batch, hyper, key, state.extra.usage
    )
    running = _follow(state.extra.moments, moments, first)
    labels = state.extra.labels
    if labels is not None and batch.column is not None:
        labels = follow(labels, fit.w, fit.b, batch.column)
    extra = jax.lax.stop_gradient(Extra(running, fit.usage, state.extra.hyper, labels))
    seen = {
        "density": metrics.head_density(fit.w),
        "usage_entropy": metrics.usage_entropy(fit.w),
        "kkt": fit.kkt.max(),
        "objective": fit.objectives[-1],
        "clipped": fit.clipped.astype(float),
    }
    return value, (extra, jax.lax.stop_gradient(seen))


def step(
    model: Model, objective: Objective | None = None, tx: Optimiser = optimiser
) -> Callable[[TrainState, Tasks, Hyper, PRNGKey], tuple[TrainState, Metrics]]:
    """The training step.

    Args:
      model: the networks and sizes.
      objective: the loss, by default `shared_features_loss`.
      tx: `hyper -> optimiser`.
    """
    return minimise(partial(_loss, model, objective or shared_features_loss), tx)


def predict(model: Model, state: TrainState, rows: Rows) -> Float[Array, "..."]:
    """What the heads of the label columns say of rows; see `label_heads.predictions`.

    Args:
      model: the networks and the label columns.
      state: the state of the seed, with the running means of the heads.
      rows: the rows, of which x is looked at.
    """
    assert model.columns is not None
    seen = features(model, state.params, rows.x)
    seen = heads.apply_standard(state.extra.moments, seen)
    return predictions(model.columns, state.extra.labels, seen)
