"""Linear codes: principal components, and independent components by FastICA.

What can be had without a network. Both are batch algorithms, and a step is one of their
iterations on the same rows: of orthogonal iteration for the principal components, and
of FastICA's fixed point on the whitened ones.

Source: Hyvärinen 1999, "Fast and Robust Fixed-Point Algorithms for Independent
Component Analysis" (IEEE Transactions on Neural Networks 10).

Note: scikit-learn's `PCA` and `FastICA` find the same components, and the tests compare
  with them; here all seeds and worlds are fitted in one program, on any device.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import linalg

__all__ = ["CODES", "Codes", "Params", "fixed_point", "principal", "whitened"]

FLAT = 1e-4  # deviations, as a share of the largest, of directions that hold nothing


class Params(NamedTuple):
    """The linear map of one seed.

    Attributes:
      mean: the mean of x.
      directions: the principal directions, orthonormal.
      scale: the deviation of x along each.
      rotation: the rows are the directions of the independent components among the
        whitened principal ones.
    """

    mean: Float[Array, "x"]
    directions: Float[Array, "x k"]
    scale: Float[Array, "k"]
    rotation: Float[Array, "k k"]


def principal(
    directions: Float[Array, "x k"], x: Float[Array, "n x"], precision: str
) -> tuple[Float[Array, "x k"], Float[Array, "k"]]:
    """One orthogonal iteration with Rayleigh and Ritz's step.

    `Q <- orthonormal(C Q)`, then the eigenvectors of `Q^T C Q`; C the covariance. What
    is left of other directions shrinks by `lambda_{k+1} / lambda_i` in each.

    Args:
      directions: Q.
      x: centred rows.
      precision: the precision of matrix products.

    Returns:
      The directions, the largest variance first, and the deviations along them.
    """

    def dot(a: Array, b: Array) -> Array:
        return jnp.matmul(a, b, precision=precision)

    q = linalg.orthonormal(dot(x.T, dot(x, directions)) / len(x))
    seen = dot(x, q)
    variances, turn = linalg.eigh(dot(seen.T, seen) / len(x))
    return dot(q, turn), jnp.sqrt(jnp.maximum(variances, 0.0))


def whitened(
    x: Float[Array, "*n x"], params: Params, precision: str
) -> Float[Array, "*n k"]:
    """Centred rows along the principal directions, each of variance 1.

    Directions along which x does not vary are 0.

    Args:
      x: centred rows.
      params: the directions and deviations.
      precision: the precision of matrix products.
    """
    there = params.scale > FLAT * params.scale.max()
    weight = jnp.where(there, 1 / jnp.where(there, params.scale, 1.0), 0.0)
    return jnp.matmul(x, params.directions * weight[None], precision=precision)


def fixed_point(
    rotation: Float[Array, "k k"],
    white: Float[Array, "n k"],
    alpha: Float[Array, ""],
    precision: str,
) -> Float[Array, "k k"]:
    """One iteration of symmetric FastICA: all components at once.

        w+ = mean(v g(w.v)) - mean(g'(w.v)) w,   W <- (W+ W+^T)^(-1/2) W+

    with `g(s) = tanh(alpha s)`. A component that comes out negated is turned back.

    Args:
      rotation: W, its rows orthonormal.
      white: whitened rows v.
      alpha: the steepness of g.
      precision: the precision of matrix products.

    Source: Hyvärinen 1999, the fixed point with symmetric decorrelation.
    """

    def dot(a: Array, b: Array) -> Array:
        return jnp.matmul(a, b, precision=precision)

    g = jnp.tanh(alpha * dot(white, rotation.T))
    slope = alpha * (1 - g**2).mean(0)
    new = dot(g.T, white) / len(white) - slope[:, None] * rotation
    values, vectors = linalg.eigh(dot(new, new.T))
    root = 1 / jnp.sqrt(jnp.maximum(values, jnp.finfo(values.dtype).tiny))
    new = dot(dot(vectors * root[None], vectors.T), new)
    return new * jnp.where(jnp.sum(new * rotation, 1) < 0, -1.0, 1.0)[:, None]


class Codes(NamedTuple):
    """What the codes are.

    Attributes:
      turn: `(rotation, white, alpha, precision) -> rotation`, one iteration.
      encode: `(params, x, precision) -> codes` of centred rows.
      decode: `(params, codes, precision) -> x`, centred.
    """

    turn: Callable[[Array, Array, Array, str], Array]
    encode: Callable[[Params, Array, str], Array]
    decode: Callable[[Params, Array, str], Array]


def _stay(rotation: Array, white: Array, alpha: Array, precision: str) -> Array:
    return rotation


def _principal(params: Params, x: Array, precision: str) -> Array:
    return jnp.matmul(x, params.directions, precision=precision)


def _from_principal(params: Params, codes: Array, precision: str) -> Array:
    return jnp.matmul(codes, params.directions.T, precision=precision)


def _independent(params: Params, x: Array, precision: str) -> Array:
    white = whitened(x, params, precision)
    return jnp.matmul(white, params.rotation.T, precision=precision)


def _from_independent(params: Params, codes: Array, precision: str) -> Array:
    back = (params.directions * params.scale[None]).T
    white = jnp.matmul(codes, params.rotation, precision=precision)
    return jnp.matmul(white, back, precision=precision)


CODES: dict[str, Codes] = {
    "ica": Codes(fixed_point, _independent, _from_independent),
    "pca": Codes(_stay, _principal, _from_principal),
}
"""Independent components of variance 1 in no order, or principal components with the
variances that they have, the largest first."""
