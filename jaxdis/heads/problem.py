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
    "WIDE",
    "Problem",
    "Targets",
    "as_outputs",
    "curvature",
    "logits",
    "loss",
    "make_problem",
    "matmul",
    "outputs_at",
    "outputs_of",
    "penalty_bound",
    "restrict",
    "slope",
    "slope_at",
    "with_gram",
]

Targets: TypeAlias = Float[Array | np.ndarray, "t n"] | Int[Array | np.ndarray, "t n"]
"""Numbers, or classes 0 .. C - 1, of n samples of t tasks."""

MASKED = -1e9  # logit of a class that a task does not have
WIDE = 100  # rows of unknowns beyond which no Gram matrix of all is made

matmul = partial(jnp.matmul, precision="highest")


class Problem(NamedTuple):
    """The tasks; their unknowns v are `[t, p, c]`, of which the bias is the last row.

    Attributes:
      design: the features, for classification with a column of ones.
      targets: numbers, or one-hot rows.
      allowed: the classes of each task, of one of numbers the first alone; None where
        all tasks are regression.
      numbers: which tasks are regression; None where they are all of one kind.
      ridge: the ridge of every row of v, 0 for the bias.
      gram: `F'F / n`, for regression with the ridge on its diagonal; None where there
        are more than `WIDE` rows of unknowns, which are then worked on in blocks.
      moment: `F'y / n` for regression that has a Gram matrix, else None.
      across: a transposed copy of the design for classification that has a Gram matrix:
        on a CPU products of the copy take half as long.
      rest: outputs of features that are not in the design; None where all are.
    """

    design: Float[Array, "t n p"]
    targets: Float[Array, "t n c"]
    allowed: Bool[Array, "t c"] | None
    numbers: Bool[Array, "t"] | None
    ridge: Float[Array, "#t p"]
    gram: Float[Array, "t p p"] | None = None
    moment: Float[Array, "t p c"] | None = None
    across: Float[Array, "t p n"] | None = None
    rest: Float[Array, "t n c"] | None = None


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
    rows = jnp.full((1, m), ridge, features.dtype)
    if classes is None:
        y = jnp.asarray(targets)[:, :, None]
        made = Problem(features, y, None, None, rows)
    else:
        design = jnp.concatenate([features, jnp.ones((t, n, 1), features.dtype)], -1)
        rows = jnp.pad(rows, ((0, 0), (0, 1)))
        allowed = jnp.ones((t, classes), bool) if mask is None else jnp.asarray(mask)
        if numbers is not None:
            numbers = jnp.asarray(numbers)
            allowed = outputs_of(allowed, numbers)
        y = as_outputs(targets, classes, numbers, features.dtype)
        made = Problem(design, y, allowed, numbers, rows)
    return made if made.design.shape[2] > WIDE else with_gram(made)


def with_gram(problem: Problem) -> Problem:
    """The problem with its Gram matrix, so that all unknowns are worked on at once."""
    if problem.gram is not None:
        return problem
    n, p = problem.design.shape[1:]
    transposed = problem.design.swapaxes(1, 2)
    gram = matmul(transposed, problem.design) / n
    if problem.allowed is not None:
        copy = jax.lax.optimization_barrier(transposed)
        return problem._replace(gram=gram, across=copy)
    y = problem.targets
    if problem.rest is not None:
        y = y - problem.rest
    gram = gram + problem.ridge[:, :, None] * jnp.eye(p, dtype=gram.dtype)[None]
    return problem._replace(gram=gram, moment=matmul(transposed, y) / n)


def restrict(
    problem: Problem,
    rows: Int[Array, "t k"],
    v: Float[Array, "t k c"],
    outputs: Float[Array, "t n c"],
) -> Problem:
    """The problem in some rows of unknowns, while the others stay what they are.

    Args:
      problem: the whole one.
      rows: the rows of each task.
      v: the unknowns in these rows.
      outputs: what all unknowns predict.
    """
    design = jnp.take_along_axis(problem.design, rows[:, None], 2)
    return with_gram(
        problem._replace(
            design=design,
            ridge=jnp.take(problem.ridge[0], rows),
            rest=outputs - matmul(design, v),
        )
    )


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


def outputs_at(problem: Problem, v: Float[Array, "t p c"]) -> Float[Array, "t n c"]:
    """What unknowns predict of every sample."""
    found = matmul(problem.design, v)
    return found if problem.rest is None else found + problem.rest


def logits(problem: Problem, outputs: Float[Array, "t n c"]) -> Float[Array, "t n c"]:
    """Outputs, -1e9 for a class that its task does not have."""
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
    outputs = outputs_at(problem, v)
    if problem.allowed is None:
        value = 0.5 * ((outputs - problem.targets) ** 2).sum(2).mean(1)
    else:
        found = logits(problem, outputs)
        log_p = jax.nn.log_softmax(found)
        value = -(problem.targets * log_p).sum(2).mean(1)
        if problem.numbers is not None:
            square = 0.5 * (_error(problem, found, log_p) ** 2).sum(2).mean(1)
            value = jnp.where(problem.numbers, square, value)
    return value + 0.5 * (problem.ridge[:, :, None] * v**2).sum((1, 2))


def slope_at(
    problem: Problem, v: Float[Array, "t p c"], outputs: Float[Array, "t n c"]
) -> Float[Array, "t p c"]:
    """The gradient of l_t where its outputs are known."""
    if problem.allowed is None:
        wrong = outputs - problem.targets
    else:
        found = logits(problem, outputs)
        wrong = _error(problem, found, jax.nn.softmax(found) - problem.targets)
    across = problem.across
    if across is None:
        across = problem.design.swapaxes(1, 2)
    fit = matmul(across, wrong) / wrong.shape[1]
    return fit + problem.ridge[:, :, None] * v


def slope(problem: Problem, v: Float[Array, "t p c"]) -> Float[Array, "t p c"]:
    """The gradient of l_t."""
    if problem.gram is not None and problem.moment is not None:
        return matmul(problem.gram, v) - problem.moment
    return slope_at(problem, v, outputs_at(problem, v))


def curvature(problem: Problem) -> Float[Array, "t"]:
    """A bound on the second derivatives of l_t, by its Gram matrix.

    A softmax has at most half of the curvature of the Gram matrix, in each logit.
    """
    assert problem.gram is not None
    bound = prox.eigenvalue_bound(problem.gram)
    if problem.allowed is None:
        return bound
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
