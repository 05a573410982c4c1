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
from jaxtyping import Array, Float

from jaxdis import check
from jaxdis.data.rows import VALID_ROWS, resident
from jaxdis.systems.shared_features.config import Config
from jaxdis.systems.shared_features.drawn import (
    classes_of_factors,
    classes_of_latents,
    factor_tasks,
    latent_tasks,
    regression_of_factors,
    regression_of_latents,
)
from jaxdis.systems.shared_features.labelled import label_tasks
from jaxdis.systems.shared_features.targets import BITS, Tasks
from jaxdis.types import Batches, Sampler, Spec, Splits

__all__ = [
    "ACCURACY",
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
    """

    x: Array
    z: Float[Array, "r z"] | None
    tasks: Tasks
    raw: Float[Array, "h k"] | None


# What new tasks are tried with.


def _ridge() -> Any:
    from sklearn.linear_model import Ridge

    return Ridge()


def _ridge_classifier() -> Any:
    from sklearn.linear_model import RidgeClassifier

    return RidgeClassifier()


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


class RawHead(NamedTuple):
    """A head of scikit-learn on raw observations.

    Attributes:
      name: the name in scores.
      make: a new one, not fitted.
    """

    name: str
    make: Callable[[], Any]


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


R2 = Measure("R²", (-math.inf, 1.0), ("sparse", "ridge"), (RawHead("ridge", _ridge),))
"""Of numbers."""

ACCURACY = Measure(
    "Accuracy",
    (0.0, 1.0),
    ("sparse", "ridge", "logistic"),
    (RawHead("ridge", _ridge_classifier), RawHead("logistic", _logistic)),
)
"""Of classes."""


# Kinds of tasks.


class Kind(NamedTuple):
    """One kind of tasks.

    Attributes:
      needs: the field of the rows that targets are made of, as `Spec.offers` names it.
      measure: how new tasks are judged.
      classes: `spec -> C`; None for regression.
      shot_size: `spec -> the number of samples in one shot`.
      fits: `(config, spec) -> None`; ValueError where they do not fit.
      draw: `(config, spec, splits) -> (sample, valid, test)`: the sampler of training
        tasks, and new tasks.
    """

    needs: str
    measure: Measure
    classes: Callable[[Spec], int | None]
    shot_size: Callable[[Spec], int]
    fits: Callable[[Config, Spec], None]
    draw: Callable[[Config, Spec, Splits], tuple[Sampler, Tasks, Tasks]]


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


def _equal_classes(config: Config, spec: Spec) -> None:
    _all_classes(config, spec)
    counts = sorted({label.classes or 0 for label in spec.labels})
    if len(counts) > 1 or counts[0] < 2:
        raise ValueError(
            f"config.tasks={config.tasks!r} needs label columns with the same "
            f"number of classes, at least 2; the data have {counts}"
        )


def _label_classes(spec: Spec) -> int:
    return spec.labels[0].classes or 0


KINDS = {
    "regression": Kind(
        needs="z",
        measure=R2,
        classes=lambda _: None,
        shot_size=_one,
        fits=_fits,
        draw=partial(latent_tasks, regression_of_latents),
    ),
    "thresholds": Kind(
        needs="z",
        measure=ACCURACY,
        classes=lambda _: 4,
        shot_size=_one,
        fits=_two_latents,
        draw=partial(latent_tasks, classes_of_latents),
    ),
    "factor_regression": Kind(
        needs="y",
        measure=R2,
        classes=lambda _: None,
        shot_size=_one,
        fits=_all_classes,
        draw=partial(factor_tasks, regression_of_factors),
    ),
    "factor_classes": Kind(
        needs="y",
        measure=ACCURACY,
        classes=lambda _: 2**BITS,
        shot_size=_one,
        fits=_all_classes,
        draw=partial(factor_tasks, classes_of_factors),
    ),
    "labels": Kind(
        needs="y",
        measure=ACCURACY,
        classes=_label_classes,
        shot_size=_label_classes,
        fits=_equal_classes,
        draw=label_tasks,
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
    for name in ("batch", "support", "query", "test_tasks", "test_query"):
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
    kind.fits(config, spec)


def raw_heads(config: Config, spec: Spec) -> tuple[RawHead, ...]:
    """The heads on raw observations that new tasks are tried with; none on images.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    return () if len(spec.shape) == 3 else KINDS[config.tasks].measure.raw


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
    size, numbers = kind.shot_size(spec), kind.classes(spec) is None
    most = max(config.shots) * size
    x = np.asarray(new.x).reshape(*new.y.shape, -1)
    y = np.asarray(new.y)
    table = []
    for head in heads:
        pipe = make_pipeline(StandardScaler(), head.make())
        line = []
        for k in [shots * size for shots in config.shots]:
            scores = [
                pipe.fit(a[:k], b[:k]).score(a[most:], b[most:])
                for a, b in zip(x, y, strict=True)
                if numbers or len(np.unique(b[:k])) > 1
            ]
            line.append(np.mean(scores) if scores else np.nan)
        table.append(line)
    return jnp.asarray(table, float)


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
    sample, *new = KINDS[config.tasks].draw(config, spec, splits)
    x, z = jax.tree.map(lambda a: a[:VALID_ROWS], (splits.valid.x, splits.valid.z))
    valid = HeldOut(x, z, new[0], None)
    raw = raw_scores(config, spec, new[1])
    test = HeldOut(splits.test.x, splits.test.z, new[1], raw)
    return Batches(sample, valid, test)
