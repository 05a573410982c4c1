"""Linear probes of factors: least squares and the lasso.

Known values are fitted in float64 by LAPACK; traced ones in a program of JAX.
"""

import math
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdis.linalg import solve
from jaxdis.metrics.columns import standardise
from jaxdis.metrics.inputs import standardised
from jaxdis.metrics.labels import Labels, Part
from jaxdis.metrics.lasso import exact_lasso, least_norm, traced_lasso
from jaxdis.metrics.least_squares import determination

__all__ = [
    "FORMS",
    "Form",
    "Solve",
    "Target",
    "accuracy",
    "centred",
    "in_order",
    "linear_probe",
    "part_scores",
    "targets",
]

REFINEMENTS = 20
Numbers: TypeAlias = Array | np.ndarray
Solve: TypeAlias = Callable[..., Numbers]
"""Weights [k, t] of targets [n, t] on codes [n, k], all columns centred."""
_Found: TypeAlias = tuple[Numbers, Numbers]
"""Importances and scores."""


def _standardised(x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """As `inputs.standardised`, faster where no square overflows or vanishes."""
    share = np.full((1, len(x)), 1 / len(x))  # sums of narrow columns are slow
    with np.errstate(invalid="ignore", over="ignore"):
        mean = share @ x
        wide = x - mean
        var = np.einsum("nk,nk->k", wide, wide) / len(x)
        if not ((var > 1e-20 * mean[0] ** 2) & (var > 1e-200) & (var < 1e200)).all():
            return standardised(x)
        wide /= np.sqrt(var)
    return wide


def _exact_least_squares(c: np.ndarray, t: np.ndarray) -> np.ndarray:
    return least_norm(c.T @ c / len(c), c.T @ t / len(c))


def _traced_least_squares(
    codes: Float[Array, "n k"], targets: Float[Array, "n t"]
) -> Float[Array, "k t"]:
    """Least-squares coefficients of least norm, of centred columns.

    The ridge keeps roundings out of the directions that the codes do not span, and the
    refinements take its bias away in those that they do. That of
    `least_squares.weights` is smaller: nearer to the fit of codes that nearly depend on
    each other, farther from the least norm of those that do.
    """
    n, k = codes.shape
    matmul = partial(jnp.matmul, precision="highest")
    gram = matmul(codes.T, codes) / n
    ridge = math.sqrt(jnp.finfo(gram.dtype).eps)
    eye = jnp.eye(k, dtype=gram.dtype)
    inverse = solve(gram + ridge * eye, eye)

    def refine(_: Array, weights: Array) -> Array:
        slope = matmul(codes.T, targets - matmul(codes, weights)) / n
        return weights + matmul(inverse, slope)

    start = jnp.zeros((k, targets.shape[1]), gram.dtype)
    return jax.lax.fori_loop(0, REFINEMENTS, refine, start)


def _exact_sparse(alpha: float) -> Solve:
    def weights(c: Numbers, t: Numbers) -> Numbers:
        c, t = np.asarray(c), np.asarray(t)
        return exact_lasso(c.T @ c / len(c), c.T @ t / len(c), alpha)

    return weights


def _traced_sparse(alpha: float) -> Solve:
    def weights(c: Numbers, t: Numbers) -> Numbers:
        matmul = partial(jnp.matmul, precision="highest")
        return traced_lasso(matmul(c.T, c) / len(c), matmul(c.T, t) / len(c), alpha)

    return weights


def _one_by_one(one: Callable[..., _Found], codes: Numbers) -> _Found:
    importances, scores = zip(*map(one, codes), strict=True)
    return np.stack(importances), np.stack(scores)


def _mapped(one: Callable[..., _Found], codes: Numbers) -> _Found:
    return jax.vmap(one)(codes)


class Form(NamedTuple):
    """One arithmetic: that of the host, or that of a program.

    Attributes:
      xp: numpy or jax.numpy.
      standardise: columns of mean 0 and deviation 1; constants are 0.
      matmul: products that are not rounded.
      over_seeds: what a function gives for the codes of each seed, stacked.
      solvers: by name, a function of alpha that gives one of codes and targets.
    """

    xp: ModuleType
    standardise: Callable[..., Numbers]
    matmul: Callable[..., Numbers]
    over_seeds: Callable[..., _Found]
    solvers: dict[str, Callable[[float], Solve]]


FORMS = {
    True: Form(
        np,
        _standardised,
        np.matmul,
        _one_by_one,
        {"linear": lambda _: _exact_least_squares, "lasso": _exact_sparse},
    ),
    False: Form(
        jnp,
        standardise,
        partial(jnp.matmul, precision="highest"),
        _mapped,
        {"linear": lambda _: _traced_least_squares, "lasso": _traced_sparse},
    ),
}
"""By whether values are known."""


def centred(
    form: Form, x: Float[Numbers, "n k"], part: Part
) -> tuple[Float[Numbers, "f k"], Float[Numbers, "j k"]]:
    """Standardised rows that fit and that judge, centred by the mean of the first.

    Args:
      form: the arithmetic.
      x: columns of all rows.
      part: the rows.
    """
    x = form.standardise(x[np.concatenate([part.fit, part.judge])])
    half = len(part.fit)
    share = form.xp.full((1, half), 1 / half, x.dtype)  # sums of columns are slow
    mean = form.matmul(share, x[:half])
    mean = mean + form.matmul(share, x[:half] - mean)  # the first is off by a rounding
    x = x - mean
    return x[:half], x[half:]


def accuracy(
    form: Form,
    classes: tuple[Int[Numbers, "f"], Int[Numbers, "j"]],
    size: int,
    fits: tuple[Float[Numbers, "f t"], Float[Numbers, "j t"]],
) -> Float[Numbers, ""]:
    """Share of rows whose fit is nearest to the mean fit of their class.

    Args:
      form: the arithmetic.
      classes: of the rows that fit, and of those that judge.
      size: how many classes there are.
      fits: what a probe makes of both.
    """
    xp, (seen, truth), (fit, judge) = form.xp, classes, fits
    members = (seen[:, None] == xp.arange(size)[None]).astype(fit.dtype)
    count = members.sum(0)
    means = form.matmul(members.T, fit) / xp.maximum(count, 1)[:, None]
    # Ties, as of fits that are all 0, go to the most frequent class.
    offset = 1e-9 * count / len(seen) - (means**2).sum(1) / 2
    offset = xp.where(count > 0, offset, -xp.inf)
    nearest = (form.matmul(judge, means.T) + offset[None]).argmax(1)
    varies = (seen != seen[0]).any() | (truth != seen[0]).any()
    return xp.where(varies, (nearest == truth).mean(), 0.0)


def part_scores(
    form: Form,
    sizes: tuple[int, ...],
    classes: tuple[Int[Numbers, "f c"], Int[Numbers, "j c"]],
    truth: Float[Numbers, "j c"],
    fits: tuple[Float[Numbers, "f c"], Float[Numbers, "j c"]],
) -> Float[Numbers, "c"]:
    """Of each column, R2 for numbers and accuracy for classes.

    Args:
      form: the arithmetic.
      sizes: how many classes each column has; 0 for numbers.
      classes: of the rows that fit, and of those that judge.
      truth: standardised values of the rows that judge.
      fits: what a probe makes of the rows that fit and of those that judge.
    """
    found = list(determination(truth, fits[1]))
    for i, size in enumerate(sizes):
        if size:
            own = fits[0][:, i : i + 1], fits[1][:, i : i + 1]
            found[i] = accuracy(form, (classes[0][:, i], classes[1][:, i]), size, own)
    return form.xp.stack(found)


class Target(NamedTuple):
    """What probes of one part fit.

    Attributes:
      part: the rows and the columns.
      sizes: how many classes each of the columns has; 0 for numbers.
      classes: of the rows that fit, and of those that judge.
      values: the same, standardised, with mean 0 among those that fit.
    """

    part: Part
    sizes: tuple[int, ...]
    classes: tuple[Int[Numbers, "f c"], Int[Numbers, "j c"]]
    values: tuple[Float[Numbers, "f c"], Float[Numbers, "j c"]]


def targets(labels: Labels, parts: list[Part], form: Form) -> list[Target]:
    """What probes of each part fit.

    Args:
      labels: the factors.
      parts: of which rows each is fitted and judged.
      form: the arithmetic.
    """
    found = []
    for part in parts:
        sizes = tuple(labels.sizes[j] for j in part.columns)
        some, classes = (x[:, part.columns] for x in (labels.values, labels.classes))
        halves = classes[part.fit], classes[part.judge]
        found.append(Target(part, sizes, halves, centred(form, some, part)))
    return found


def in_order(parts: list[Part]) -> Int[np.ndarray, "d"]:
    """Where each column is among those of the parts, one part after the other.

    Args:
      parts: the parts.
    """
    return np.argsort(np.concatenate([part.columns for part in parts]))


def linear_probe(
    labels: Labels,
    codes: Float[Numbers, "s n k"],
    parts: list[Part],
    form: Form,
    solve: Solve,
) -> tuple[Float[Numbers, "s k d"], Float[Numbers, "s d"]]:
    """Importances of the codes for each factor, and scores on the rows that judge.

    Absolute weights of the standardised factor on the standardised codes; R2 for
    numbers, for classes the accuracy of the nearest mean fit of a class.

    Args:
      labels: the factors.
      codes: the codes of the same rows, of each seed.
      parts: of which rows each factor is fitted and judged.
      form: the arithmetic.
      solve: what gives the weights.
    """
    order, every = in_order(parts), targets(labels, parts, form)

    def one(codes: Float[Numbers, "n k"]) -> _Found:
        weights, scores = [], []
        for part, sizes, classes, (fitted, judged) in every:
            seen, unseen = centred(form, codes, part)
            own = solve(seen, fitted)
            fits = form.matmul(seen, own), form.matmul(unseen, own)
            weights.append(own)
            scores.append(part_scores(form, sizes, classes, judged, fits))
        importance = form.xp.abs(form.xp.concatenate(weights, 1))[:, order]
        return importance, form.xp.concatenate(scores)[order]

    return form.over_seeds(one, codes)
