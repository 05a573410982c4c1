"""What is measured on held-out rows and new tasks."""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdis import heads, metrics
from jaxdis.systems.shared_features.config import Config, Hyper
from jaxdis.systems.shared_features.label_scores import (
    REPORT_ITERS,
    REPORT_ROUNDS,
    LabelFit,
    label_figures,
    label_scores,
)
from jaxdis.systems.shared_features.model import Model, features
from jaxdis.systems.shared_features.targets import Tasks
from jaxdis.systems.shared_features.tasks import KINDS, HeldOut, raw_heads
from jaxdis.types import Metrics, PRNGKey, Score, Spec, TrainState

__all__ = [
    "ARRAYS",
    "HEADS",
    "few_shot",
    "few_shot_name",
    "raw_name",
    "report",
    "scores",
]

ADAPT_ITERS = 500
USED = 0.01  # share of all weight that a feature must have to count as used

_FACTORS = (
    metrics.MCC,
    metrics.DCI_D,
    metrics.DCI_C,
    metrics.DCI_I,
    metrics.DCI_D._replace(name="dci_d_used", title="DCI-D of used features"),
    metrics.DEAD,
)
_TASKS = (
    Score("query_loss", "Query loss", "lower", (0.0, math.inf)),
    metrics.HEAD_DENSITY,
    metrics.USAGE_ENTROPY,
    Score("kkt", "KKT residual", "lower", (0.0, math.inf)),
)

ARRAYS = {
    "correlation": "seed factor factor",
    "heads": "seed task feature",
    "usage": "seed feature",
    "label_heads": "seed column feature class",
    "label_scores": "seed column",
    "supports": "task factor",
    "few_shot": "seed head shots",
    "raw": "raw_head shots",
    "shots": "shots",
}
"""The arrays of a report; the features that match the factors come first, but in the
heads of label columns, whose features are the codes in their own order."""


def few_shot_name(head: str, shots: int) -> str:
    """The score of new tasks by a head on features.

    Args:
      head: the name of the head.
      shots: the number of shots that fit it.
    """
    return f"few_shot_{head}_{shots}"


def raw_name(head: str, shots: int) -> str:
    """The score of new tasks by a head on raw observations.

    Args:
      head: the name of the head.
      shots: the number of shots that fit it.
    """
    return f"raw_{head}_{shots}"


def scores(config: Config, spec: Spec) -> tuple[Score, ...]:
    """All scores that a report may hold.

    Args:
      config: the settings.
      spec: what is known of the data.
    """
    kind = KINDS[config.tasks]
    measure, columns = kind.measure(spec), kind.columns(spec)
    few = (
        Score(few_shot_name(h, k), f"Few-shot {h} {k}", "higher", measure.range)
        for h in measure.heads
        for k in config.shots
    )
    raw = (
        Score(raw_name(h.name, k), f"Raw {h.name} {k}", "higher", measure.range)
        for h in raw_heads(config, spec)
        for k in config.shots
    )
    overall = Score("score", measure.name, "higher", measure.range)
    labels = () if columns is None else label_scores(columns)
    factors = _FACTORS if spec.z_dim else ()
    return (*factors, *_TASKS, overall, *few, *raw, *labels)


def report(model: Model, state: TrainState, batch: HeldOut, key: PRNGKey) -> Metrics:
    """Scores of one seed on held-out samples and new tasks.

    Features are standardised by the running moments. The heads of the new tasks are
    fitted with the penalties of training, to convergence, and judged by other samples.

    Args:
      model: the networks and sizes.
      state: the state of the seed.
      batch: what training has not seen.
      key: not used.

    Returns:
      What `scores` and `ARRAYS` declare. Where the factors are known `mcc`, DCI, `dead`
      and `dci_d_used`, DCI-D of the features with at least 1 % of the heads' weight; of
      the new tasks `query_loss`, `score`, `head_density`, `usage_entropy`, `kkt`; and
      for every head and number of shots its score on features and on raw observations.
      Where label columns are tasks `label_heads`, and scores of these on held-out rows.
    """
    code = features(model, state.params, batch.x)
    found: Metrics = {}
    order = None
    if batch.z is not None:
        scored, order = _factor_scores(batch.z, code)
        found |= scored
    raw = features(model, state.params, batch.tasks.x)
    seen = heads.apply_standard(state.extra.moments, raw)
    scored, columns = _task_scores(model, state.extra.hyper, batch.tasks, seen, order)
    found |= scored
    if batch.z is not None:
        kept = code[:, columns] * (found["usage"] >= USED)[None]
        found["dci_d_used"] = metrics.dci_linear(batch.z, kept).disentanglement
    measure, shots = model.measure, model.config.shots
    found["shots"] = jnp.array(shots)
    found["few_shot"] = few_shot(model, state.extra.hyper, batch.tasks, seen)
    found |= _named(few_shot_name, measure.heads, shots, found["few_shot"])
    if batch.raw is not None:
        found["raw"] = batch.raw
        names = tuple(head.name for head in measure.raw)
        found |= _named(raw_name, names, shots, batch.raw)
    if batch.labels is not None and model.columns is not None:
        fitted = features(model, state.params, batch.labels.x)
        fitted, judges = (
            heads.apply_standard(state.extra.moments, h) for h in (fitted, code)
        )
        how = LabelFit(state.extra.hyper, model.config.relative)
        found |= label_figures(model.columns, how, batch.labels, fitted, judges)
    return found


def _named(
    name: Callable[[str, int], str],
    rows: tuple[str, ...],
    shots: tuple[int, ...],
    table: Float[Array, "h k"],
) -> Metrics:
    return {
        name(head, k): table[i, j]
        for i, head in enumerate(rows)
        for j, k in enumerate(shots)
    }


def _factor_scores(
    z: Float[Array, "r d"], code: Float[Array, "r z"]
) -> tuple[Metrics, Int[Array, "d"]]:
    correlation = metrics.correlation_matrix(z, code)
    order = metrics.assign(correlation)
    dci = metrics.dci_linear(z, code)
    found = {
        "mcc": metrics.mcc(z, code),
        "dci_d": dci.disentanglement,
        "dci_c": dci.completeness,
        "dci_i": dci.informativeness,
        "dead": metrics.dead(code),
        "correlation": correlation[:, order],
    }
    return found, order


def _task_scores(
    model: Model,
    hyper: Hyper,
    new: Tasks,
    seen: Float[Array, "t n z"],
    order: Int[Array, "d"] | None,
) -> tuple[Metrics, Int[Array, "z"]]:
    """What the heads of new tasks look like, how well they do, and features in order.

    Features that are matched to factors come first, the others by how much they are
    used.
    """
    most = max(model.config.shots) * model.shot_size
    fit = heads.fit_heads(
        seen[:, :most],
        new.y[:, :most],
        alpha=hyper.alpha,
        beta=hyper.beta,
        classes=model.classes,
        class_mask=new.allowed,
        ridge=hyper.ridge,
        relative=model.config.relative,
        rounds=REPORT_ROUNDS,
        iters=REPORT_ITERS,
        numbers=new.numbers,
    )
    # What no head was fitted on.
    rest = seen[:, most:], new.y[:, most:], model.classes, new.allowed, new.numbers
    used = jnp.abs(fit.w).mean((0, 2))
    rank = used if order is None else used.at[order].set(jnp.inf)
    columns = jnp.argsort(-rank)
    if order is not None:
        columns = columns.at[: order.shape[0]].set(order)
    share = used / jnp.maximum(used.sum(), 1e-12)
    found = {
        "query_loss": heads.head_loss(fit.w, fit.b, *rest).mean(),
        "score": heads.scores(fit.w, fit.b, *rest).mean(),
        "head_density": metrics.head_density(fit.w),
        "usage_entropy": metrics.usage_entropy(fit.w),
        "kkt": fit.kkt.max(),
        "heads": jnp.abs(fit.w).max(2)[:, columns],
        "usage": share[columns],
    }
    if new.uses is not None:
        found["supports"] = new.uses
    return found, columns


# Heads on few samples.

_Few = Callable[[Model, Hyper, Array, Tasks], tuple[Array, Array]]


def _adapted(
    model: Model,
    seen: Float[Array, "t k z"],
    new: Tasks,
    alpha: Array | float,
    ridge: Array | float,
) -> tuple[Array, Array]:
    fit = heads.fit_heads(
        seen,
        new.y,
        alpha=alpha,
        ridge=ridge,
        classes=model.classes,
        class_mask=new.allowed,
        rounds=1,
        iters=ADAPT_ITERS,
        numbers=new.numbers,
    )
    return fit.w, fit.b


def _sparse(model: Model, hyper: Hyper, seen: Array, new: Tasks) -> tuple[Array, Array]:
    return _adapted(model, seen, new, hyper.adapt_alpha, hyper.ridge)


def _ridge(model: Model, hyper: Hyper, seen: Array, new: Tasks) -> tuple[Array, Array]:
    penalty = 1.0 / seen.shape[1]
    return heads.ridge_heads(
        seen, new.y, penalty, model.classes, new.allowed, new.numbers
    )


def _logistic(
    model: Model, hyper: Hyper, seen: Array, new: Tasks
) -> tuple[Array, Array]:
    # scikit-learn has one logit for two classes; two share its weight.
    one_logit = 2.0 if model.classes == 2 else 1.0
    return _adapted(model, seen, new, 0.0, one_logit / seen.shape[1])


HEADS: dict[str, _Few] = {"sparse": _sparse, "ridge": _ridge, "logistic": _logistic}
"""Heads for new tasks: `(model, hyper, features, tasks) -> (w, b)`.

Sparse ones, and with scikit-learn's default penalties ridge and logistic regression."""


def few_shot(
    model: Model, hyper: Hyper, new: Tasks, seen: Float[Array, "t n z"]
) -> Float[Array, "h k"]:
    """Mean score of new tasks by head and by the samples that fit it.

    Args:
      model: the networks and sizes.
      hyper: the penalties of the sparse heads.
      new: the tasks.
      seen: their features, standardised.
    """
    shots = [k * model.shot_size for k in model.config.shots]
    most = max(shots)

    def one(head: _Few, k: int) -> Array:
        w, b = head(model, hyper, seen[:, :k], new._replace(y=new.y[:, :k]))
        judges, y = seen[:, most:], new.y[:, most:]
        found = heads.scores(w, b, judges, y, model.classes, new.allowed, new.numbers)
        return found.mean()

    tried = [HEADS[name] for name in model.measure.heads]
    return jnp.asarray([[one(head, k) for k in shots] for head in tried])
