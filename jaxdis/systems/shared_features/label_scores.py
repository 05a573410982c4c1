"""The heads of label columns, fitted when training is over, and how well they do."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from jaxdis import heads
from jaxdis.systems.shared_features.columns import (
    Columns,
    columns_of,
    labelled,
    targets_of,
)
from jaxdis.systems.shared_features.config import Config, Hyper
from jaxdis.types import Metrics, Rows, Score, Spec, Splits

__all__ = [
    "REPORT_ITERS",
    "REPORT_ROUNDS",
    "LabelFit",
    "LabelRows",
    "label_figures",
    "label_rows",
    "label_scores",
]

FITTED_ROWS = 2_000  # training rows that the heads are fitted on
ROWS_OF_COLUMN = 500  # those of one column
REPORT_ROUNDS, REPORT_ITERS = 12, 60  # converged, where training is not

_ACCURACY = Score("label_accuracy", "Accuracy of label columns", "higher", (0.0, 1.0))
_R2 = Score("label_r2", "R² of label columns", "higher", (-math.inf, 1.0))


class LabelRows(NamedTuple):
    """Rows that the heads of the label columns are fitted on, and held-out labels.

    Attributes:
      x: the observations of some training rows.
      at: rows of x that have the label of each column; in turns where they are few.
      y: their labels.
      held_out: the labels of held-out rows, NaN where one is missing.
    """

    x: Num[Array, "n ..."]
    at: Int[Array, "l s"]
    y: Num[Array, "l s"]
    held_out: Float[Array, "r l"]


class LabelFit(NamedTuple):
    """How the heads are fitted.

    Attributes:
      hyper: the penalties of training.
      relative: whether alpha counts in units of the smallest that empties a head.
    """

    hyper: Hyper
    relative: bool


def label_scores(columns: Columns) -> tuple[Score, ...]:
    """The scores that a report has of label columns, on held-out rows.

    Args:
      columns: the columns.
    """
    classes, numbers = any(columns.sizes), 0 in columns.sizes
    return (*(_ACCURACY,) * classes, *(_R2,) * numbers)


def label_rows(config: Config, spec: Spec, splits: Splits) -> LabelRows:
    """Training rows that the heads of all label columns are fitted on in the report.

    Args:
      config: the seed of what is drawn.
      spec: the labels.
      splits: the rows, which `label_tasks` has checked.
    """
    train, columns = splits.train, columns_of(spec)
    assert isinstance(train, Rows)
    assert splits.test.y is not None
    every, count = np.asarray(train.y), len(columns.names)
    order = np.random.default_rng(config.seed).permutation(len(every))
    chosen = order[:FITTED_ROWS]
    for i in range(count):
        if not labelled(every[chosen], i).any():  # its labels are rare
            rare = order[labelled(every[order], i)]
            chosen = np.concatenate([chosen, rare[:ROWS_OF_COLUMN]])
    some = every[chosen]
    there = [np.flatnonzero(labelled(some, i)) for i in range(count)]
    size = min(ROWS_OF_COLUMN, max(map(len, there)))
    at = np.stack([np.resize(rows, size) for rows in there])
    y = targets_of(some, columns)[at, np.arange(len(at))[:, None]]
    return LabelRows(
        jnp.asarray(train.x[chosen]),
        jnp.asarray(at),
        jnp.asarray(y),
        jnp.asarray(splits.test.y, float),
    )


def label_figures(
    columns: Columns,
    how: LabelFit,
    rows: LabelRows,
    fitted: Float[Array, "n m"],
    judges: Float[Array, "r m"],
) -> Metrics:
    """The heads of all label columns on training rows, and their scores on others.

    Args:
      columns: the columns.
      how: the penalties.
      rows: which rows have which labels.
      fitted: the features of the rows to fit on, standardised.
      judges: those of held-out rows.

    Returns:
      `label_heads`, their weights; `label_scores`, the accuracy or R² of every column,
      NaN without labels; and means over the columns of either kind.
    """
    fit = heads.fit_heads(
        fitted[rows.at],
        rows.y,
        alpha=how.hyper.alpha,
        beta=how.hyper.beta,
        classes=columns.classes,
        class_mask=columns.allowed,
        ridge=how.hyper.ridge,
        relative=how.relative,
        rounds=REPORT_ROUNDS,
        iters=REPORT_ITERS,
        numbers=columns.numbers,
    )
    stacked = jnp.broadcast_to(judges[None], (len(columns.names), *judges.shape))
    outputs = heads.predict(fit.w, fit.b, stacked)
    y = rows.held_out.T
    there = ~jnp.isnan(y)
    count = there.sum(1)
    y = jnp.where(there, y, 0.0)
    numbers = jnp.asarray(columns.of_numbers)
    answers = heads.answers(outputs, columns.of_classes, numbers)
    right = (jnp.argmax(answers, -1) == y) & there
    mean = y.sum(1) / count
    error = (jnp.where(there, outputs[..., 0] - y, 0.0) ** 2).sum(1)
    spread = (jnp.where(there, y - mean[:, None], 0.0) ** 2).sum(1)
    explained = 1 - error / jnp.maximum(spread, 1e-12)
    found = jnp.where(numbers, explained, right.sum(1) / count)
    found = jnp.where(count > 0, found, jnp.nan)
    figures = {"label_heads": fit.w, "label_scores": found}
    for score, kind in ((_ACCURACY, ~columns.of_numbers), (_R2, columns.of_numbers)):
        if kind.any():
            figures[score.name] = jnp.nanmean(found[kind])
    return figures
