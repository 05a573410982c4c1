"""How a later loss of the heads is differentiated in the features that fitted them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from jaxdis.heads.implicit import newton
from jaxdis.heads.problem import Problem, with_gram

__all__ = ["GRADIENTS", "IMPLICIT", "STOP_GRADIENT", "UNROLL", "Gradient"]


class Gradient(NamedTuple):
    """One way to differentiate a fit. None of its functions changes a value.

    Attributes:
      features: the features, as the problem takes them.
      problem: the problem, as the solver takes it.
      solution: `(problem, prices, v) -> v`, the solution with its derivative.
    """

    features: Callable[[Array], Array]
    problem: Callable[[Problem], Problem]
    solution: Callable[[Problem, Array, Array], Array]


def _same(x: Array) -> Array:
    return x


def _as_solved(
    problem: Problem, prices: Float[Array, "t p"], v: Float[Array, "t p c"]
) -> Float[Array, "t p c"]:
    return v


def _implicitly(
    problem: Problem, prices: Float[Array, "t p"], v: Float[Array, "t p c"]
) -> Float[Array, "t p c"]:
    v, prices = jax.lax.stop_gradient((v, prices))
    return newton(problem, prices, v)


STOP_GRADIENT = Gradient(jax.lax.stop_gradient, jax.lax.stop_gradient, _as_solved)
"""Heads are constants, which is exact for the regularised optimum itself."""

IMPLICIT = Gradient(_same, jax.lax.stop_gradient, _implicitly)
"""The derivative of the solution given its prices, exact where beta = 0."""

UNROLL = Gradient(_same, with_gram, _as_solved)
"""The derivative of the solver's steps, which are in all unknowns at once."""

GRADIENTS = {
    "stop_gradient": STOP_GRADIENT,
    "implicit": IMPLICIT,
    "unroll": UNROLL,
}
