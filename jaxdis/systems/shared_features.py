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

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxdis import heads, metrics, nets
from jaxdis.data import tasks
from jaxdis.data.tasks import HeldOut, Spec, Tasks, load, make_spec, sampler
from jaxdis.optimise import in_one_pass, minimise
from jaxdis.types import Metrics, Params, Preset, PRNGKey, Scalar, System, TrainState

__all__ = [
    "PRESETS",
    "Config",
    "Hyper",
    "check",
    "default_hyper",
    "load",
    "make",
    "make_spec",
    "sampler",
    "shared_features_loss",
]

MOMENTUM = 0.9  # of the running mean and variance of the features
LEAKY_SLOPE = 0.1
REPORT_ROUNDS, REPORT_ITERS = 12, 60  # converged, where training is not
ADAPT_ITERS = 500
USED = 0.01  # share of all weight that a feature must have to count as used


@dataclass(frozen=True)
class Config:
    """What is compiled in; the defaults are the toy's.

    Attributes:
      features: M, at least the number of true factors where that is known.
      encoder: "mlp", "conv" (images whose sides are multiples of 16) or "linear".
      hidden: widths of the MLP's hidden layers.
      width: of the convolutions.
      convolutions: "matmul" or "lax", the same function; see `nets.CONVOLUTIONS`.
      solver: "reweighted_fista", with exact zeros, or "adam".
      outer: derivative of the fitted heads in the features, as `gradient` of
        `heads.fit_heads`; "unroll" is for tests.
      rounds, iters: of the solver in a step; 4 x 30 are not converged, and need not be.
      relative: alpha counts in units of the smallest alpha that empties a head.
      batch: tasks in a step.
      precision: of matrix products; heads are always fitted in float32.
    """

    features: int = 10
    encoder: Literal["mlp", "conv", "linear"] = "mlp"
    hidden: tuple[int, ...] = (128, 128)
    width: int = 32
    convolutions: Literal["matmul", "lax"] = "matmul"
    solver: heads.Solver = "reweighted_fista"
    outer: heads.Gradient = "stop_gradient"
    rounds: int = 4
    iters: int = 30
    relative: bool = False
    batch: int = 16
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: of Adam, at the start.
      decay_steps: steps in which it falls to 0 along a cosine.
      alpha: sparsity, the weight of `|w_t|_1` of a task.
      beta: sharing, the weight of the entropy of the features' usage; 0 is off.
      warmup: steps in which beta rises from 0 along a line; 0 is none. Pressed from
        the start, some seeds merge factors that they cannot tell apart yet.
      ridge: of the heads' fit.
      usage_decay: share of past steps in the usage, for few tasks a step; 0 is off.
      adapt_alpha: alpha of the sparse heads of new tasks in the report.
    """

    learning_rate: Scalar
    decay_steps: Scalar
    alpha: Scalar
    beta: Scalar
    warmup: Scalar
    ridge: Scalar
    usage_decay: Scalar
    adapt_alpha: Scalar


class Extra(NamedTuple):
    """What the gradient does not move.

    Attributes:
      moments: running mean and standard deviation of the features.
      usage: running usage of the features.
      hyper: for the heads of the report.
    """

    moments: heads.Standard
    usage: Float[Array, "m"]
    hyper: Hyper


def check(config: Config, spec: Spec) -> None:
    """Raises ValueError, naming the field, unless the config fits the data."""
    if not spec.shape:
        raise ValueError(tasks.NO_FILE)
    for name in ("features", "batch", "rounds", "iters", "width"):
        if getattr(config, name) < 1:
            raise ValueError(
                f"config.{name} must be at least 1, got {getattr(config, name)}"
            )
    if config.features < spec.factors:
        raise ValueError(
            f"config.features must be at least the {spec.factors} factors of the data, "
            f"got {config.features}"
        )
    if any(width < 1 for width in config.hidden):
        raise ValueError(f"config.hidden must be positive widths, got {config.hidden}")
    image = len(spec.shape) == 3
    if config.encoder == "conv" and not image:
        raise ValueError(
            f"config.encoder='conv' needs images [h, w, c], the data have {spec.shape}"
        )
    if config.encoder == "conv" and (spec.shape[0] % 16 or spec.shape[1] % 16):
        raise ValueError(
            "config.encoder='conv' needs sides that are multiples of 16, the data have "
            f"{spec.shape}"
        )


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Regression: alpha = beta = .05; classification: .04 and .06."""
    alpha, beta = (0.05, 0.05) if spec.classes is None else (0.04, 0.06)
    return Hyper(
        learning_rate=1e-3,
        decay_steps=float(steps),
        alpha=alpha,
        beta=beta,
        warmup=0.0,
        ridge=1e-3 if spec.classes is None else 0.0,
        usage_decay=0.0,
        adapt_alpha=alpha,
    )


def _network(config: Config) -> nn.Module:
    if config.encoder == "conv":
        return nets.MergingConvEncoder(
            config.features, config.width, config.convolutions, config.precision
        )
    # A bias at the end would be taken out by the standardisation.
    return nets.MLP(
        config.hidden if config.encoder == "mlp" else (),
        config.features,
        config.precision,
        LEAKY_SLOPE,
        "he_normal",
        final_bias=False,
    )


def features(
    params: Params, config: Config, spec: Spec, x: Array
) -> Float[Array, "*b m"]:
    """The encoder's output, not standardised; bytes are scaled to [0, 1]."""
    x = x / 255.0 if x.dtype == jnp.uint8 else x
    if config.encoder != "conv" and len(spec.shape) > 1:
        x = x.reshape(*x.shape[: -len(spec.shape)], -1)
    return nets.apply(_network(config), params, x)


def _fit(
    config: Config,
    spec: Spec,
    hyper: Hyper,
    seen: Array,
    batch: Tasks,
    key: PRNGKey | None,
    usage: Array | None,
) -> heads.HeadFit:
    return heads.fit_heads(
        seen,
        batch.y[:, : seen.shape[1]],
        alpha=hyper.alpha,
        beta=hyper.beta,
        classes=spec.classes,
        class_mask=batch.allowed,
        ridge=hyper.ridge,
        relative=config.relative,
        solver=config.solver,
        gradient=config.outer,
        rounds=config.rounds,
        iters=config.iters,
        key=key,
        past_usage=usage,
        decay=hyper.usage_decay,
    )


def shared_features_loss(
    params: Params,
    config: Config,
    spec: Spec,
    batch: Tasks,
    hyper: Hyper,
    key: PRNGKey | None = None,
    usage: Float[Array, "m"] | None = None,
) -> tuple[Float[Array, ""], tuple[heads.HeadFit, heads.Standard]]:
    """Loss of the fitted heads on samples that did not fit them.

    `L = 1/t sum_t l_t(w_t, b_t; F^Q, y^Q)` without penalties, where `(w, b)` minimise J
    of `heads` on the support samples and F is the encoder's output, standardised over
    tasks and samples of support and query together.

    Args:
      params, config, spec, hyper: model.
      batch: tasks; the first `spec.support` samples of each fit its head.
      key: for the solver "adam".
      usage: of past steps.

    Returns:
      L, and the heads and the moments of the features.
    """
    seen, moments = heads.standardise(features(params, config, spec, batch.x))
    fit = _fit(config, spec, hyper, seen[:, : spec.support], batch, key, usage)
    query, y = seen[:, spec.support :], batch.y[:, spec.support :]
    loss = heads.head_loss(fit.w, fit.b, query, y, spec.classes, batch.allowed)
    return loss.mean(), (fit, moments)


def _follow(old: heads.Standard, new: heads.Standard, first: Array) -> heads.Standard:
    """Running moments; the first batch's own at the start."""
    share = jnp.where(first, 0.0, MOMENTUM)
    mean = share * old.mean + (1 - share) * new.mean
    variance = share * old.std**2 + (1 - share) * new.std**2
    return heads.Standard(mean, jnp.sqrt(variance))


def optimiser(hyper: Hyper) -> optax.GradientTransformation:
    """Adam with a rate that falls to 0 along a cosine."""

    def rate(count: Array) -> Array:
        done = jnp.minimum(count / jnp.maximum(hyper.decay_steps, 1.0), 1.0)
        return hyper.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * done))

    return in_one_pass(optax.adam(rate))


def make(config: Config, spec: Spec) -> System:
    """Builds the system for tasks of the given shape.

    `encode` returns features before standardisation, which is an affine map of each.

    Raises:
      ValueError: a config that does not fit the data; see `check`.
    """
    check(config, spec)

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        m = config.features
        shape = spec.shape if config.encoder == "conv" else (math.prod(spec.shape),)
        params = _network(config).init(key, jnp.zeros((1, *shape)))
        hyper = jax.tree.map(lambda h: jnp.asarray(h, float), hyper)
        moments = heads.Standard(jnp.zeros(m), jnp.ones(m))
        extra = Extra(moments, jnp.zeros(m), hyper)
        state = optimiser(hyper).init(params)
        return TrainState(params, state, extra, jnp.zeros((), int))

    def loss(
        params: Params, state: TrainState, batch: Tasks, hyper: Hyper, key: PRNGKey
    ) -> tuple[Array, tuple[Extra, Metrics]]:
        first = state.step == 0
        risen = jnp.minimum(1.0, (state.step + 1) / jnp.maximum(hyper.warmup, 1.0))
        hyper = hyper._replace(
            beta=hyper.beta * risen,
            # There is no past usage in the first step.
            usage_decay=jnp.where(first, 0.0, hyper.usage_decay),
        )
        value, (fit, moments) = shared_features_loss(
            params, config, spec, batch, hyper, key, state.extra.usage
        )
        running = _follow(state.extra.moments, moments, first)
        extra = jax.lax.stop_gradient(Extra(running, fit.usage, state.extra.hyper))
        figures = {
            "density": metrics.head_density(fit.w),
            "usage_entropy": metrics.usage_entropy(fit.w),
            "kkt": fit.kkt.max(),
            "objective": fit.objectives[-1],
            "clipped": fit.clipped.astype(float),
        }
        return value, (extra, jax.lax.stop_gradient(figures))

    def encode(params: Params, x: Array) -> Array:
        return features(params, config, spec, x)

    return System(
        init, minimise(loss, optimiser), encode, partial(report, config, spec)
    )


def report(
    config: Config, spec: Spec, state: TrainState, batch: HeldOut, key: PRNGKey
) -> Metrics:
    """Scores of one seed on held-out samples and new tasks.

    Features are standardised by the running moments. The heads of the new tasks are
    fitted with the penalties of training, to convergence, and judged by other samples.

    Returns:
      Where the factors are known `mcc`, `dci_d`, `dci_c`, `dci_i`, `dead`, and
      `dci_d_used`, DCI-D of the features with at least 1 % of the heads' weight; of
      the new tasks `query_loss`, `score`, `head_density`, `usage_entropy`, `kkt`; and
      for every head and number of shots `few_shot_HEAD_SHOTS`, for raw observations
      `raw_HEAD_SHOTS`. Arrays for pictures: `correlation`, `heads` and `usage` with
      the features matched to the factors first, `true_supports`, `few_shot`,
      `true_raw`.
    """
    code = features(state.params, config, spec, batch.x)
    figures: Metrics = {}
    order = None
    if batch.z is not None:
        scored, order = _factor_scores(batch.z, code)
        figures |= scored
    raw = features(state.params, config, spec, batch.tasks.x)
    seen = heads.apply_standard(state.extra.moments, raw)
    scored, columns = _task_scores(
        config, spec, state.extra.hyper, batch.tasks, seen, order
    )
    figures |= scored
    if batch.z is not None:
        kept = code[:, columns] * (figures["usage"] >= USED)[None]
        figures["dci_d_used"] = metrics.dci_linear(batch.z, kept).disentanglement
    few = _few_shot(spec, state.extra.hyper, batch.tasks, seen)
    figures["few_shot"] = few
    figures |= _named("few_shot", spec.methods, spec.shots, few)
    if batch.raw is not None:
        figures["true_raw"] = batch.raw
        figures |= _named("raw", spec.raw_methods, spec.shots, batch.raw)
    return figures


def _named(
    kind: str, methods: tuple[str, ...], shots: tuple[int, ...], table: Array
) -> Metrics:
    return {
        f"{kind}_{method}_{k}": table[i, j]
        for i, method in enumerate(methods)
        for j, k in enumerate(shots)
    }


def _factor_scores(
    z: Float[Array, "r d"], code: Float[Array, "r m"]
) -> tuple[Metrics, Int[Array, "d"]]:
    correlation = metrics.correlation_matrix(z, code)
    order = metrics.assign(correlation)
    dci = metrics.dci_linear(z, code)
    scores = {
        "mcc": metrics.mcc(z, code),
        "dci_d": dci.disentanglement,
        "dci_c": dci.completeness,
        "dci_i": dci.informativeness,
        "dead": metrics.dead(code),
        "correlation": correlation[:, order],
    }
    return scores, order


def _judges(spec: Spec, new: Tasks, seen: Float[Array, "t n m"]) -> Any:
    """What no head was fitted on, as `heads.scores` takes it."""
    most = max(spec.shots) * spec.shot_size
    return seen[:, most:], new.y[:, most:], spec.classes, new.allowed


def _task_scores(
    config: Config,
    spec: Spec,
    hyper: Hyper,
    new: Tasks,
    seen: Float[Array, "t n m"],
    order: Int[Array, "d"] | None,
) -> tuple[Metrics, Int[Array, "m"]]:
    """What the heads of new tasks look like, how well they do, and features in order.

    Features that are matched to factors come first, the others by how much they are
    used.
    """
    most = max(spec.shots) * spec.shot_size
    fit = heads.fit_heads(
        seen[:, :most],
        new.y[:, :most],
        alpha=hyper.alpha,
        beta=hyper.beta,
        classes=spec.classes,
        class_mask=new.allowed,
        ridge=hyper.ridge,
        relative=config.relative,
        rounds=REPORT_ROUNDS,
        iters=REPORT_ITERS,
    )
    rest = _judges(spec, new, seen)
    used = jnp.abs(fit.w).mean((0, 2))
    rank = used if order is None else used.at[order].set(jnp.inf)
    columns = jnp.argsort(-rank)
    if order is not None:
        columns = columns.at[: order.shape[0]].set(order)
    share = used / jnp.maximum(used.sum(), 1e-12)
    figures = {
        "query_loss": heads.head_loss(fit.w, fit.b, *rest).mean(),
        "score": heads.scores(fit.w, fit.b, *rest).mean(),
        "head_density": metrics.head_density(fit.w),
        "usage_entropy": metrics.usage_entropy(fit.w),
        "kkt": fit.kkt.max(),
        "heads": jnp.abs(fit.w).max(2)[:, columns],
        "usage": share[columns],
    }
    if new.uses is not None:
        figures["true_supports"] = new.uses
    return figures, columns


def _few_shot(
    spec: Spec, hyper: Hyper, new: Tasks, seen: Float[Array, "t n m"]
) -> Float[Array, "methods shots"]:
    """Mean score of new tasks by head and by the samples that fit it.

    Sparse heads, and with scikit-learn's default penalties ridge and, for classes,
    logistic regression.
    """
    rest = _judges(spec, new, seen)
    fit = partial(
        heads.fit_heads,
        classes=spec.classes,
        class_mask=new.allowed,
        rounds=1,
        iters=ADAPT_ITERS,
    )

    def one(method: str, k: int) -> Array:
        few, y = seen[:, :k], new.y[:, :k]
        if method == "ridge":
            head = heads.ridge_heads(few, y, 1.0 / k, spec.classes, new.allowed)
        elif method == "logistic":
            # scikit-learn has one logit for two classes; two share its weight.
            one_logit = 2.0 if spec.classes == 2 else 1.0
            head = fit(few, y, alpha=0.0, ridge=one_logit / k)[:2]
        else:
            head = fit(few, y, alpha=hyper.adapt_alpha, ridge=hyper.ridge)[:2]
        return heads.scores(*head, *rest).mean()

    table = [[one(m, k * spec.shot_size) for k in spec.shots] for m in spec.methods]
    return jnp.asarray(table)


_TOY_SCORES = (
    "mcc", "dci_d", "dci_d_used", "dci_c", "head_density", "usage_entropy", "score",
    "few_shot_sparse_5", "few_shot_ridge_5",
)  # fmt: skip
_SHOT_SCORES = (
    "few_shot_sparse_5", "few_shot_ridge_5", "few_shot_logistic_5", "raw_ridge_5",
    "raw_logistic_5", "head_density", "usage_entropy", "score",
)  # fmt: skip
# No penalty, sparsity alone, and sparsity with sharing.
_ABLATION = (
    {"alpha": 0.0, "beta": 0.0},
    {"alpha": 0.05, "beta": 0.0},
    {"alpha": 0.05, "beta": 0.05},
)
_OURS = "this library"


def _images(name: tasks.Name, m: int, labels: tasks.Labels) -> Preset:
    """20,000 steps as the peer's; never run here."""
    return Preset(
        config=Config(features=m, encoder="conv"),
        data=tasks.Config(name=name, labels=labels, support=25, query=25),
        steps=20_000,
        hyper={},
        source=_OURS,
        cost="not run",
        expects="not run",
        scores=_TOY_SCORES,
    )


PRESETS: dict[str, Preset] = {
    "quickstart": Preset(
        config=Config(),
        data=tasks.Config(),
        steps=1_000,
        hyper={},
        points=_ABLATION,
        source=_OURS,
        cost="1 min for 3 x 5 seeds on 2 cores",
        expects="MCC .997, DCI-D .90; no sharing .56; no penalty MCC .69",
        seeds=5,
        chunk=250,
        scores=_TOY_SCORES,
    ),
    "classification": Preset(
        config=Config(iters=25),
        data=tasks.Config(labels="classification"),
        steps=800,
        # Without it one seed of five merged two factors, MCC .69.
        hyper={"warmup": 400.0},
        source=_OURS,
        cost="1 min for 5 seeds on 2 cores",
        expects="MCC .98, DCI-D .55, of the features in use .88",
        seeds=5,
        chunk=200,
        scores=_TOY_SCORES,
    ),
    "digits": Preset(
        config=Config(features=20),
        data=tasks.Config(
            name="digits",
            labels="classification",
            support=25,
            query=25,
            shots=(1, 5, 10),
            test_tasks=60,
            test_query=100,
        ),
        steps=1_000,
        hyper={},
        points=({"alpha": 0.0, "beta": 0.0}, {"alpha": 0.04, "beta": 0.06}),
        source=_OURS,
        cost="1 min for 2 x 5 seeds on 2 cores",
        expects="accuracy from 5 shots .76, no penalty .78, pixels .65",
        seeds=5,
        chunk=250,
        scores=_SHOT_SCORES,
    ),
    "linear_probe": Preset(
        config=Config(features=32, encoder="linear", batch=8),
        data=tasks.Config(
            name="features",
            labels="classification",
            support=50,
            query=50,
            shots=(1, 5, 10),
            test_tasks=20,
            test_query=200,
        ),
        steps=1_000,
        hyper={},
        source=_OURS,
        cost="depends on the file",
        expects="depends on the file",
        seeds=5,
        chunk=250,
        scores=_SHOT_SCORES,
    ),
    "dsprites": _images("dsprites", 10, "regression"),
    "dsprites_classification": _images("dsprites", 10, "classification"),
    "shapes3d": _images("shapes3d", 12, "regression"),
    "shapes3d_classification": _images("shapes3d", 12, "classification"),
    "smallnorb": _images("smallnorb", 8, "regression"),
    "smallnorb_classification": _images("smallnorb", 8, "classification"),
    "cars3d": _images("cars3d", 6, "regression"),
}
