"""The derivative of a lasso's solution, by the implicit function theorem."""

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Bool, Float

from jaxdis import linalg
from jaxdis.heads.problem import Problem, logits, matmul, outputs_at, slope

__all__ = ["CG_STEPS", "DENSE_UNKNOWNS", "newton"]

DENSE_UNKNOWNS = 128  # beyond it conjugate gradients replace elimination
CG_STEPS = 64


def _hessian(problem: Problem, v: Float[Array, "t p c"]) -> Float[Array, "t u u"]:
    """Second derivatives of l_t in all unknowns, rows of v one after the other."""
    t, p, c = v.shape
    if problem.gram is not None:
        eye = jnp.eye(c, dtype=v.dtype)
        dense = problem.gram[:, :, None, :, None] * eye[None, None, :, None]
        return dense.reshape(t, p * c, p * c)
    probability = jax.nn.softmax(logits(problem, outputs_at(problem, v)))
    # diag(q) - q q' of every sample.
    inner = probability[..., None] * jnp.eye(c, dtype=v.dtype)[None, None]
    inner = inner - probability[..., None] * probability[:, :, None]
    if problem.numbers is not None:  # their one output has a second derivative of 1
        first = jnp.diag(jnp.arange(c) == 0).astype(v.dtype)[None, None]
        inner = jnp.where(problem.numbers[:, None, None, None], first, inner)
    f = problem.design
    spread = jnp.einsum("tni,tnj,tncd->ticjd", f, f, inner, precision="highest")
    dense = spread.reshape(t, p * c, p * c) / f.shape[1]
    return dense + jnp.diag(jnp.repeat(problem.ridge[0], c))[None]


@jax.custom_vjp
def _attach(
    solution: Float[Array, "t p c"],
    hessian: Float[Array, "t u u"],
    residual: Float[Array, "t p c"],
) -> Float[Array, "t p c"]:
    """`solution`, with the derivative `-hessian^-1 d residual`."""
    return solution


def _attach_forward(
    solution: Array, hessian: Array, residual: Array
) -> tuple[Array, Array]:
    return solution, hessian


def _attach_backward(hessian: Array, u: Array) -> tuple[None, None, Array]:
    t, size, _ = hessian.shape
    if size <= DENSE_UNKNOWNS:
        solved = jax.vmap(linalg.solve)(hessian, u.reshape(t, size, 1))
    else:
        # All tasks are one system. Steps after convergence would let rounding grow.
        def product(x: Array) -> Array:
            return matmul(hessian, x)

        solved = cg(product, u.reshape(t, size, 1), tol=1e-6, maxiter=CG_STEPS)[0]
    return None, None, -solved.reshape(u.shape)


_attach.defvjp(_attach_forward, _attach_backward)


def _shifts(
    allowed: Bool[Array, "t c"],
    support: Float[Array, "t p c"],
    hessian: Float[Array, "t u u"],
) -> Float[Array, "t u u"]:
    """What to add to second derivatives so that they see a shift of all logits.

    Losses do not, wherever a row of weights has no zero. Directions that no gradient
    has may be as stiff as the others; left out, rounding would fill them.
    """
    t, p, c = support.shape
    classes = allowed.astype(support.dtype)
    whole = (support == classes[:, None]).all(2).astype(support.dtype)
    eye = jnp.eye(p, dtype=support.dtype)
    shift = jnp.einsum("tp,pq,tc,td->tpcqd", whole, eye, classes, classes)
    size = jnp.trace(hessian, axis1=1, axis2=2) / (p * c)
    return shift.reshape(t, p * c, p * c) * size[:, None, None]


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
    t, p, c = v.shape
    frozen = jax.lax.stop_gradient(problem)
    support = (v != 0).astype(v.dtype)
    hessian = _hessian(frozen, v)
    if problem.allowed is not None:
        support = support.at[:, -1].set(problem.allowed.astype(v.dtype))
        shifts = _shifts(problem.allowed, support, hessian)
        if problem.numbers is not None:  # a number is not a logit
            shifts = jnp.where(problem.numbers[:, None, None], 0.0, shifts)
        hessian = hessian + shifts
    flat = support.reshape(t, p * c)
    hessian = hessian * flat[:, :, None] * flat[:, None]
    # Features may depend on each other: without this the system would be singular.
    damping = 1e-6 * jnp.trace(hessian, axis1=1, axis2=2) / (p * c)
    diagonal = 1 - flat + damping[:, None]
    hessian = hessian + diagonal[:, :, None] * jnp.eye(p * c, dtype=v.dtype)[None]
    residual = (slope(problem, v) + prices[:, :, None] * jnp.sign(v)) * support
    return _attach(v, hessian, residual)
