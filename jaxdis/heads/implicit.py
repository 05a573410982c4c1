"""The derivative of a lasso's solution, by the implicit function theorem."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import linalg
from jaxdis.heads.problem import Problem, logits, outputs_at, slope, slope_at

__all__ = ["STEPS", "TOLERANCE", "newton"]

STEPS, TOLERANCE = 100, 1e-6  # of conjugate gradients; a task that is solved stops
DAMPING = 1e-6  # of the mean second derivative


def _diagonal(problem: Problem, v: Float[Array, "t p c"]) -> Float[Array, "t p c"]:
    """Second derivatives of l_t in every unknown."""
    if problem.allowed is None:
        spread = jnp.ones_like(problem.targets)
    else:
        p = jax.nn.softmax(logits(problem, outputs_at(problem, v)))
        spread = p * (1 - p)
        if problem.numbers is not None:  # their one output is the first
            spread = jnp.where(
                problem.numbers[:, None, None], problem.allowed[:, None], spread
            )
    squares = problem.design[..., None] ** 2 * spread[:, :, None]
    return squares.mean(1) + problem.ridge[:, :, None]


def _hessian(
    problem: Problem, support: Float[Array, "t p c"], v: Float[Array, "t p c"]
) -> Callable[[Float[Array, "t u"]], Float[Array, "t u"]]:
    """Products with the second derivatives of l_t in the support.

    Losses do not see a shift of all logits, wherever a row of weights has no zero.
    Directions that no gradient has may be as stiff as the others; left out, rounding
    would fill them. And features may depend on each other: without damping the system
    would be singular.
    """
    _, product = jax.linearize(lambda v: slope(problem, v), v)
    diagonal = _diagonal(problem, v)
    damping = DAMPING * (support * diagonal).mean((1, 2))
    stiff = jnp.zeros(v.shape[:2], v.dtype)
    if problem.allowed is not None:
        whole = (support == problem.allowed[:, None]).all(2)
        if problem.numbers is not None:  # a number is not a logit
            whole = whole & ~problem.numbers[:, None]
        stiff = whole * diagonal.mean((1, 2))[:, None]

    def of(x: Float[Array, "t u"]) -> Float[Array, "t u"]:
        x = x.reshape(v.shape)
        shift = stiff * x.sum(2)
        out = support * (product(x) + shift[:, :, None])
        return (out + damping[:, None, None] * x).reshape(len(x), -1)

    return of


@jax.custom_vjp
def _attach(
    solution: Float[Array, "t p c"],
    residual: Float[Array, "t p c"],
    problem: Problem,
    support: Float[Array, "t p c"],
) -> Float[Array, "t p c"]:
    """`solution`, with the derivative `-hessian^-1 d residual`."""
    return solution


def _attach_forward(
    solution: Array, residual: Array, problem: Problem, support: Array
) -> tuple[Array, tuple[Problem, Array, Array]]:
    return solution, (problem, support, solution)


def _attach_backward(
    saved: tuple[Problem, Array, Array], u: Array
) -> tuple[None, Array, None, None]:
    problem, support, v = saved
    right = (support * u).reshape(len(u), -1)
    solved = linalg.conjugate_gradients(
        _hessian(problem, support, v), right, STEPS, TOLERANCE
    )
    return None, -solved.reshape(u.shape), None, None


_attach.defvjp(_attach_forward, _attach_backward)


def newton(
    problem: Problem, prices: Float[Array, "t p"], v: Float[Array, "t p c"]
) -> Float[Array, "t p c"]:
    """v with the derivative of the lasso's solution, prices held fixed.

    Where v is not 0, `grad l + price sign(v) = 0` defines it implicitly; where it is 0
    it stays 0. One Newton step `-(S H S + 1 - S)^-1 S (grad l + price sign v)`, S the
    support, has that derivative; its value is left out.

    Args:
      problem: the tasks, with their dependence on the features.
      prices: the L1 weight of every row of v, a constant.
      v: the solution, a constant.
    """
    support = (v != 0).astype(v.dtype)
    if problem.allowed is not None:
        support = support.at[:, -1].set(problem.allowed.astype(v.dtype))
    # By samples: the derivative of a Gram matrix would cost more than the solution.
    found = slope_at(problem, v, outputs_at(problem, v))
    residual = (found + prices[:, :, None] * jnp.sign(v)) * support
    return _attach(v, residual, jax.lax.stop_gradient(problem), support)
