"""The smooth part of every task: its loss, gradient and curvature."""

from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdis import prox
from jaxdis.types import Scalar

__all__ = [
    "MASKED",
    "Problem",
    "Targets",
    "as_outputs",
    "curvature",
    "logits",
    "loss",
    "make_problem",
    "matmul",
    "outputs_of",
    "penalty_bound",
    "slope",
]

Targets: TypeAlias = Float[Array | np.ndarray, "t n"] | Int[Array | np.ndarray, "t n"]
"""Numbers, or classes 0 .. C - 1, of n samples of t tasks."""

MASKED = -1e9  # logit of a class that a task does not have

matmul = partial(jnp.matmul, precision="highest")


class Problem(NamedTuple):
    """The tasks; their unknowns v are `[t, p, c]`, of which the bias is the last row.

    Attributes:
      design: the features, for classification with a column of ones.
      targets: numbers, or one-hot rows.
      allowed: the classes of each task, of one of numbers the first alone; None where
        all tasks are regression.
      numbers: which tasks are regression; None where they are all of one kind.
      gram, moment: `F'F / n` and `F'y / n` for regression, else None.
      ridge: the ridge of every row of v, 0 for the bias.
    """

    design: Float[Array, "t n p"]
    targets: Float[Array, "t n c"]
    allowed: Bool[Array, "t c"] | None
    numbers: Bool[Array, "t"] | None
    gram: Float[Array, "t p p"] | None
    moment: Float[Array, "t p c"] | None
    ridge: Float[Array, "p"]


def make_problem(
    features: Float[Array, "t n m"],
    targets: Targets,
    classes: int | None,
    mask: Bool[Array | np.ndarray, "t c"] | None,
    ridge: Scalar,
    numbers: Bool[Array | np.ndarray, "t"] | None = None,
) -> Problem:
    """The problem of tasks that were checked.

    Args:
      features: F.
      targets: floats, or integers in 0 .. classes - 1.
      classes: C; None for regression.
      mask: which of the classes a task has; None for all.
      ridge: the weight of `|w_t|^2 / 2`.
      numbers: which tasks are regression, if they are of both kinds.
    """
    t, n, m = features.shape
    if classes is None:
        y = jnp.asarray(targets)[:, :, None]
        transposed = features.swapaxes(1, 2)
        gram, moment = matmul(transposed, features) / n, matmul(transposed, y) / n
        rows = jnp.full(m, ridge, features.dtype)
        gram = gram + jnp.diag(rows)[None]
        return Problem(features, y, None, None, gram, moment, rows)
    design = jnp.concatenate([features, jnp.ones((t, n, 1), features.dtype)], -1)
    rows = jnp.append(jnp.full(m, ridge, features.dtype), 0.0)
    allowed = jnp.ones((t, classes), bool) if mask is None else jnp.asarray(mask)
    if numbers is not None:
        numbers = jnp.asarray(numbers)
        allowed = outputs_of(allowed, numbers)
    y = as_outputs(targets, classes, numbers, features.dtype)
    return Problem(design, y, allowed, numbers, None, None, rows)


def outputs_of(
    allowed: Bool[Array | np.ndarray, "t c"], numbers: Bool[Array | np.ndarray, "t"]
) -> Bool[Array, "t c"]:
    """The outputs that each task has: its classes, or the first for a number.

    Args:
      allowed: the classes of tasks that have classes.
      numbers: which tasks are regression.
    """
    allowed = jnp.asarray(allowed)
    first = jnp.arange(allowed.shape[1])[None] == 0
    return jnp.where(jnp.asarray(numbers)[:, None], first, allowed)


def as_outputs(
    targets: Targets,
    classes: int,
    numbers: Bool[Array | np.ndarray, "t"] | None,
    dtype: np.dtype,
) -> Float[Array, "t n c"]:
    """What outputs are compared with: one-hot rows, or a number in the first place.

    Args:
      targets: classes, floats where some tasks are regression.
      classes: C.
      numbers: which tasks are regression; None for none.
      dtype: the type of the outputs.
    """
    if numbers is None:
        return jax.nn.one_hot(targets, classes, dtype=dtype)
    y = jnp.asarray(targets).astype(dtype)
    one_hot = jax.nn.one_hot(y.astype(int), classes, dtype=dtype)
    number = y[:, :, None] * (jnp.arange(classes) == 0)[None, None]
    return jnp.where(jnp.asarray(numbers)[:, None, None], number, one_hot)


def logits(problem: Problem, v: Float[Array, "t p c"]) -> Float[Array, "t n c"]:
    """Logits of every sample, -1e9 for a class that its task does not have."""
    outputs = matmul(problem.design, v)
    assert problem.allowed is not None
    return jnp.where(problem.allowed[:, None], outputs, MASKED)


def _error(
    problem: Problem, outputs: Float[Array, "t n c"], classes: Float[Array, "t n c"]
) -> Float[Array, "t n c"]:
    """Of tasks of numbers the outputs less the targets, of the others `classes`."""
    if problem.numbers is None:
        return classes
    assert problem.allowed is not None
    error = jnp.where(problem.allowed[:, None], outputs - problem.targets, 0.0)
    return jnp.where(problem.numbers[:, None, None], error, classes)


def loss(problem: Problem, v: Float[Array, "t p c"]) -> Float[Array, "t"]:
    """l_t, with its ridge."""
    if problem.allowed is None:
        error = matmul(problem.design, v) - problem.targets
        value = 0.5 * (error**2).sum(2).mean(1)
    else:
        found = logits(problem, v)
        log_p = jax.nn.log_softmax(found)
        value = -(problem.targets * log_p).sum(2).mean(1)
        if problem.numbers is not None:
            square = 0.5 * (_error(problem, found, log_p) ** 2).sum(2).mean(1)
            value = jnp.where(problem.numbers, square, value)
    return value + 0.5 * (problem.ridge[None, :, None] * v**2).sum((1, 2))


def slope(problem: Problem, v: Float[Array, "t p c"]) -> Float[Array, "t p c"]:
    """The gradient of l_t."""
    if problem.gram is not None and problem.moment is not None:
        return matmul(problem.gram, v) - problem.moment
    found = logits(problem, v)
    wrong = _error(problem, found, jax.nn.softmax(found) - problem.targets)
    fit = matmul(problem.design.swapaxes(1, 2), wrong) / wrong.shape[1]
    return fit + problem.ridge[None, :, None] * v


def curvature(problem: Problem) -> Float[Array, "t"]:
    """A bound on the second derivatives of l_t.

    A softmax has at most half of the curvature of the Gram matrix, in each logit.
    """
    if problem.gram is not None:
        return prox.eigenvalue_bound(problem.gram)
    n = problem.design.shape[1]
    gram = matmul(problem.design.swapaxes(1, 2), problem.design) / n
    bound = prox.eigenvalue_bound(gram)
    half = 0.5 * bound
    if problem.numbers is not None:
        half = jnp.where(problem.numbers, bound, half)
    return half + problem.ridge.max()


def penalty_bound(
    features: Float[Array, "t n m"],
    targets: Targets,
    classes: int | None = None,
    numbers: Bool[Array | np.ndarray, "t"] | None = None,
) -> Float[Array, "t"]:
    """lambda_max: the smallest alpha for which all weights of a task are 0.

    `max |F'y| / n` for regression; `max |F'(Y - mean Y)| / n` for classification, whose
    bias fits the frequencies of the classes.

    Args:
      features: F, standardised.
      targets: floats, or integers in 0 .. classes - 1.
      classes: the number of classes; None for regression.
      numbers: which tasks are regression, if they are of both kinds.
    """
    y = jnp.asarray(targets)[:, :, None]
    if classes is not None:
        y = as_outputs(targets, classes, numbers, features.dtype)
        y = y - y.mean(1, keepdims=True)
    moment = matmul(features.swapaxes(1, 2), y) / features.shape[1]
    return jnp.abs(moment).max((1, 2))
