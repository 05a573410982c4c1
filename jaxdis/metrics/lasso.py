"""The lasso of many targets on the same codes, from second moments."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdis import prox

__all__ = ["exact_lasso", "least_norm", "traced_lasso"]

STEPS = 3000  # of a program; exact solutions take as many blocks as they need
BLOCK, BLOCKS = 50, 400
TOLERANCE = 1e-10  # of the optimality conditions, in units of a correlation
REGULAR = 1e-4  # least pivot of a regular matrix, relative to the largest
CUT = 1e-12  # of eigenvalues, relative to the largest: roundings of float32 codes


def _factor(
    gram: Float[np.ndarray, "k k"],
) -> tuple[Float[np.ndarray, "k k"], bool] | None:
    """The Cholesky factor of a matrix that is far from singular; None of another."""
    from scipy.linalg import cho_factor  # here: slow to import

    try:
        lower, is_lower = cho_factor(gram, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    pivots = np.diag(lower)
    regular = pivots.min() > REGULAR * pivots.max()
    return (lower, is_lower) if regular else None


def least_norm(
    gram: Float[np.ndarray, "k k"], cross: Float[np.ndarray, "k t"]
) -> Float[np.ndarray, "k t"]:
    """`gram^+ cross`, in float64: least squares of least norm.

    Args:
      gram: second moments of the codes. Directions with less than 1e-12 of the largest
        eigenvalue, as of codes that depend on others, are left out.
      cross: moments of codes and targets.
    """
    from scipy.linalg import cho_solve  # here: slow to import

    factor = _factor(gram)
    if factor is not None:
        return cho_solve(factor, cross)
    values, vectors = np.linalg.eigh(gram)
    kept = values > CUT * values[-1]
    inverse = np.where(kept, 1 / np.where(kept, values, 1.0), 0.0)

    def solve(slope: np.ndarray) -> np.ndarray:
        return vectors @ (inverse[:, None] * (vectors.T @ slope))

    weights = solve(cross)
    return weights + solve(cross - gram @ weights)  # what small eigenvalues lost


def _on_support(
    gram: Float[np.ndarray, "k k"],
    cross: Float[np.ndarray, "k"],
    signs: Float[np.ndarray, "k"],
    alpha: float,
) -> Float[np.ndarray, "k"]:
    """The optimum if these are its signs; of least norm where codes are dependent."""
    used = np.flatnonzero(signs)
    found = np.zeros_like(cross)
    if used.size:
        right = (cross - alpha * signs)[used, None]
        found[used] = least_norm(gram[np.ix_(used, used)], right)[:, 0]
    return found


def _solved(
    gram: Float[np.ndarray, "k k"],
    cross: Float[np.ndarray, "k t"],
    weights: Float[np.ndarray, "k t"],
    tried: Bool[np.ndarray, "t"],
    alpha: float,
) -> tuple[Float[np.ndarray, "k t"], Bool[np.ndarray, "t"]]:
    """Optima on the supports of the weights, and for which targets these are optimal.

    Proximal steps find the support long before the weights.
    """
    signs, found = np.sign(weights), weights.copy()
    for j in np.flatnonzero(tried):
        found[:, j] = _on_support(gram, cross[:, j], signs[:, j], alpha)
    slope = gram @ found - cross
    idle = (np.abs(slope) <= alpha + TOLERANCE).all(0)
    active = (signs == 0) | (np.abs(slope + alpha * signs) <= TOLERANCE)
    return found, tried & idle & active.all(0) & (found * signs >= 0).all(0)


def exact_lasso(
    gram: Float[np.ndarray, "k k"], cross: Float[np.ndarray, "k t"], alpha: float
) -> Float[np.ndarray, "k t"]:
    """argmin_w w'Gw / 2 - w'b + alpha |w|_1 of each target, in float64 on the host.

    FISTA with restart in float64; as soon as the signs of a target solve its optimality
    conditions, its weights are solved for. Codes that are equal share alike, where
    coordinate descent gives all to one.

    Args:
      gram: G, second moments of the codes.
      cross: b, moments of codes and targets, one column a target.
      alpha: the price of a weight.
    """
    from threadpoolctl import threadpool_limits  # here: slow to import

    with threadpool_limits(limits=1, user_api="blas"):  # many small systems
        return _fista(gram, cross, alpha)


def _fista(
    gram: Float[np.ndarray, "k k"], cross: Float[np.ndarray, "k t"], alpha: float
) -> Float[np.ndarray, "k t"]:
    step = 1 / max(np.linalg.eigvalsh(gram)[-1], 1e-300)
    done = np.zeros_like(cross)
    left = np.arange(cross.shape[1])
    w = ahead = before = np.zeros_like(cross)
    q = np.ones(cross.shape[1])
    for _ in range(BLOCKS):
        steady = (np.sign(w) == np.sign(before)).all(0)
        found, optimal = _solved(gram, cross[:, left], w, steady, alpha)
        done[:, left] = np.where(optimal[None], found, w)
        left, q = left[~optimal], q[~optimal]
        before = w = w[:, ~optimal]
        ahead = ahead[:, ~optimal]
        if not left.size:
            break
        some = step * cross[:, left]
        for _ in range(BLOCK):
            u = ahead - step * (gram @ ahead) + some
            new = np.sign(u) * np.maximum(np.abs(u) - step * alpha, 0)
            uphill = ((ahead - new) * (new - w)).sum(0) > 0
            q_new = np.where(uphill, 1.0, (1 + np.sqrt(1 + 4 * q**2)) / 2)
            momentum = np.where(uphill, 0.0, (q - 1) / q_new)
            w, ahead, q = new, new + momentum * (new - w), q_new
    return done


def traced_lasso(
    gram: Float[Array, "k k"], cross: Float[Array, "k t"], alpha: float
) -> Float[Array, "k t"]:
    """As `exact_lasso`, within jit: a fixed number of steps of FISTA.

    Args:
      gram: second moments of the codes.
      cross: moments of codes and targets.
      alpha: the price of a weight.
    """

    def slope(w: Float[Array, "t k"]) -> Float[Array, "t k"]:
        return jnp.matmul(w, gram, precision="highest") - cross.T

    curvature = prox.eigenvalue_bound(gram[None])
    price = jnp.full((1, 1), alpha, cross.dtype)
    return prox.fista(slope, price, curvature, jnp.zeros_like(cross.T), STEPS).T
