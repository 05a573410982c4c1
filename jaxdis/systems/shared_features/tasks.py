"""What the method makes of rows: tasks of several kinds, and what is held out.

A batch is a number of tasks with samples of each; the first `support` samples fit a
head, the others judge it.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.data.draws import stacked
from jaxdis.data.rows import VALID_ROWS, resident
from jaxdis.systems.shared_features.columns import Columns, columns_of
from jaxdis.systems.shared_features.config import Config
from jaxdis.systems.shared_features.drawn import (
    classes_of_factors,
    classes_of_latents,
    factor_tasks,
    latent_tasks,
    regression_of_factors,
    regression_of_latents,
)
from jaxdis.systems.shared_features.label_scores import LabelRows, label_rows
from jaxdis.systems.shared_features.labelled import label_tasks
from jaxdis.systems.shared_features.targets import BITS, Tasks
from jaxdis.types import Batches, PRNGKey, Sampler, Spec, Splits

__all__ = [
    "ACCURACY",
    "BOTH",
    "KINDS",
    "R2",
    "HeldOut",
    "Kind",
    "Measure",
    "RawHead",
    "batches",
    "check_tasks",
    "raw_heads",
    "raw_scores",
]


class HeldOut(NamedTuple):
    """What training never sees.

    Attributes:
      x: the observations `[r, ...]` that codes are compared on.
      z: their factors; None if they are not known.
      tasks: new tasks; a few samples of each fit a head, the last ones judge it.
      raw: the mean scores of heads on x itself, by head and shots; None if they were
        not asked for.
      labels: rows that the heads of label columns are fitted on, and the labels of x;
        None where tasks are others, or if they were not asked for.
    """

    x: Array
    z: Float[Array, "r z"] | None
    tasks: Tasks
    raw: Float[Array, "*w h k"] | None
    labels: LabelRows | None = None


# What new tasks are tried with.


def _ridge(numbers: bool) -> Any:
    from sklearn.linear_model import Ridge, RidgeClassifier

    return Ridge() if numbers else RidgeClassifier()


def _logistic(numbers: bool) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


class RawHead(NamedTuple):
    """A head of scikit-learn on raw observations.

    Attributes:
      name: the name in scores.
      make: a new one, not fitted, for numbers or for classes.
    """

    name: str
    make: Callable[[bool], Any]


RIDGE, LOGISTIC = RawHead("ridge", _ridge), RawHead("logistic", _logistic)


class Measure(NamedTuple):
    """How new tasks are judged.

    Attributes:
      name: the name of their score.
      range: the least and the largest value of the score.
      heads: the heads on features that are tried, keys of `scores.HEADS`.
      raw: the heads on raw observations that are tried.
    """

    name: str
    range: tuple[float, float]
    heads: tuple[str, ...]
    raw: tuple[RawHead, ...]


R2 = Measure("R²", (-math.inf, 1.0), ("sparse", "ridge"), (RIDGE,))
"""Of numbers."""

ACCURACY = Measure(
    "Accuracy",
    (0.0, 1.0),
    ("sparse", "ridge", "logistic"),
    (RIDGE, LOGISTIC),
)
"""Of classes."""

BOTH = Measure("Accuracy or R²", (-math.inf, 1.0), ("sparse", "ridge"), (RIDGE,))
"""Of tasks of both kinds, each by its own."""


# Kinds of tasks.


class Kind(NamedTuple):
    """One kind of tasks.

    Attributes:
      needs: the field of the rows that targets are made of, as `Spec.offers` names it.
      measure: `spec -> how new tasks are judged`.
      classes: `spec -> C`; None for regression.
      shot_size: `spec -> the number of samples in one shot`.
      fits: `(config, spec) -> None`; ValueError where they do not fit.
      draw: `(config, spec, splits) -> (sample, valid, test)`: the sampler of training
        tasks, and new tasks.
      columns: `spec -> the label columns that are tasks`; None where tasks are drawn.
    """

    needs: str
    measure: Callable[[Spec], Measure]
    classes: Callable[[Spec], int | None]
    shot_size: Callable[[Spec], int]
    fits: Callable[[Config, Spec], None]
    draw: Callable[[Config, Spec, Splits], tuple[Sampler, Tasks, Tasks]]
    columns: Callable[[Spec], Columns | None] = lambda _: None


def _one(spec: Spec) -> int:
    return 1


def _fits(config: Config, spec: Spec) -> None:
    """Nothing to refuse."""


def _two_latents(config: Config, spec: Spec) -> None:
    if spec.z_dim < 2:
        raise ValueError(
            f"config.tasks={config.tasks!r} needs at least 2 latents, for classes of "
            f"two of them; the data have {spec.z_dim}"
        )


def _all_classes(config: Config, spec: Spec) -> None:
    for label in spec.labels:
        if label.classes is None:
            raise ValueError(
                f"config.tasks={config.tasks!r} needs labels that are classes; "
                f"{label.name!r} is a number"
            )


def _varying(config: Config, spec: Spec) -> None:
    for label in spec.labels:
        if label.classes == 1:
            raise ValueError(
                f"config.tasks={config.tasks!r} needs label columns that vary; "
                f"{label.name!r} has one class: leave it out"
            )


def _measured(spec: Spec) -> Measure:
    """How label columns are judged: by accuracy, by R², or each by its own."""
    classes = {label.classes is not None for label in spec.labels}
    return BOTH if len(classes) > 1 else ACCURACY if True in classes else R2


def _samples_of_shot(spec: Spec) -> int:
    return columns_of(spec).outputs


KINDS = {
    "regression": Kind(
        needs="z",
        measure=lambda _: R2,
        classes=lambda _: None,
        shot_size=_one,
        fits=_fits,
        draw=partial(latent_tasks, regression_of_latents),
    ),
    "thresholds": Kind(
        needs="z",
        measure=lambda _: ACCURACY,
        classes=lambda _: 4,
        shot_size=_one,
        fits=_two_latents,
        draw=partial(latent_tasks, classes_of_latents),
    ),
    "factor_regression": Kind(
        needs="y",
        measure=lambda _: R2,
        classes=lambda _: None,
        shot_size=_one,
        fits=_all_classes,
        draw=partial(factor_tasks, regression_of_factors),
    ),
    "factor_classes": Kind(
        needs="y",
        measure=lambda _: ACCURACY,
        classes=lambda _: 2**BITS,
        shot_size=_one,
        fits=_all_classes,
        draw=partial(factor_tasks, classes_of_factors),
    ),
    "labels": Kind(
        needs="y",
        measure=_measured,
        classes=lambda spec: columns_of(spec).classes,
        shot_size=_samples_of_shot,
        fits=_varying,
        draw=label_tasks,
        columns=columns_of,
    ),
}
"""The kinds of tasks by name."""


def check_tasks(config: Config, spec: Spec) -> None:
    """Raises ValueError unless the settings of tasks fit the data.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    check.one_of("config.tasks", config.tasks, KINDS)
    for name in ("batch", "support", "query", "test_tasks"):
        check.at_least(f"config.{name}", getattr(config, name), 1)
    if not config.shots or min(config.shots) < 1:
        raise ValueError(
            f"config.shots must be numbers of samples from 1, got {config.shots}"
        )
    check.at_least("config.noise", config.noise, 0)
    if not 0 <= config.correlation < 1:
        raise ValueError(
            f"config.correlation must lie in [0, 1), got {config.correlation}"
        )
    kind = KINDS[config.tasks]
    check.needs(f"config.tasks={config.tasks!r}", (kind.needs,), spec)
    drawn = kind.needs == "z" or kind.columns(spec) is not None
    if spec.worlds is not None and not drawn:
        raise ValueError(
            f"config.tasks={config.tasks!r} needs data that all seeds see; these have "
            "a draw of their own for each: set data.worlds to 1"
        )
    kind.fits(config, spec)
    least = 1 if kind.columns(spec) is None else 0
    check.at_least("config.test_query", config.test_query, least)


def raw_heads(config: Config, spec: Spec) -> tuple[RawHead, ...]:
    """The heads on raw observations that new tasks are tried with; none on images.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    return () if len(spec.shape) == 3 else KINDS[config.tasks].measure(spec).raw


def raw_scores(config: Config, spec: Spec, new: Tasks) -> Float[Array, "h k"] | None:
    """Mean score over new tasks of heads on the observations themselves.

    scikit-learn's ridge and, for classes, logistic regression, with its default
    penalties, on standardised observations.

    Args:
      config: the method's config.
      spec: what is known of the data.
      new: the tasks.

    Returns:
      Scores by head and shots, NaN where the samples are of one class only; None for
      images.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    heads = raw_heads(config, spec)
    if not heads:
        return None
    kind = KINDS[config.tasks]
    size = kind.shot_size(spec)
    numbers = np.full(len(new.y), kind.classes(spec) is None)
    if new.numbers is not None:
        numbers = np.asarray(new.numbers)
    most = max(config.shots) * size
    x = np.asarray(new.x).reshape(*new.y.shape, -1)
    y = np.asarray(new.y)
    table = []
    for head in heads:
        pipes = [make_pipeline(StandardScaler(), head.make(n)) for n in (False, True)]
        line = []
        for k in [shots * size for shots in config.shots]:
            scores = [
                pipes[int(n)].fit(a[:k], b[:k]).score(a[most:], b[most:])
                for a, b, n in zip(x, y, numbers, strict=True)
                if n or len(np.unique(b[:k])) > 1
            ]
            line.append(np.mean(scores) if scores else np.nan)
        table.append(line)
    return jnp.asarray(table, float)


def _raw_scores(config: Config, spec: Spec, new: Tasks) -> Array | None:
    """Those of every world, where there are several."""
    if spec.worlds is None or not raw_heads(config, spec):
        return raw_scores(config, spec, new)

    def of_world(w: int) -> Array:
        return jnp.asarray(raw_scores(config, spec, jax.tree.map(lambda a: a[w], new)))

    return jnp.stack([of_world(w) for w in range(len(new.x))])


def batches(config: Config, spec: Spec, splits: Splits) -> Batches:
    """Training tasks, and held-out rows with new tasks.

    Args:
      config: the method's config.
      spec: what is known of the data.
      splits: the rows.

    Raises:
      ValueError: settings that do not fit the data, or too few rows.
    """
    check_tasks(config, spec)
    resident(splits, "shared_features")
    if spec.worlds is not None and KINDS[config.tasks].columns(spec) is not None:
        return _of_worlds(config, spec, splits)
    sample, *new = KINDS[config.tasks].draw(config, spec, splits)
    some = (slice(None),) * (spec.worlds is not None) + (slice(VALID_ROWS),)
    x, z = jax.tree.map(lambda a: a[some], (splits.valid.x, splits.valid.z))
    valid = HeldOut(x, z, new[0], None)
    raw = _raw_scores(config, spec, new[1])
    labels = None
    if KINDS[config.tasks].columns(spec) is not None:
        labels = label_rows(config, spec, splits)
    test = HeldOut(splits.test.x, splits.test.z, new[1], raw, labels)
    return Batches(sample, valid, test)


def _of_worlds(config: Config, spec: Spec, splits: Splits) -> Batches:
    """Tasks of the label columns of every world, with an axis of worlds in front."""
    alone = spec._replace(worlds=None)

    def one(world: int) -> Batches:
        own = [jax.tree.map(lambda a: a[world], rows) for rows in splits[:3]]
        return batches(config, alone, Splits(*own))

    every = stacked(one, range(len(splits.valid.x)))
    return every._replace(sample=Partial(_draw_world, every.sample))


def _draw_world(samples: Partial, key: PRNGKey, world: Int[Array, ""]) -> Tasks:
    tasks: Tasks = jax.tree.map(lambda a: a[world], samples)(key)
    return tasks
