"""How far two sets of images are from each other, through moments of features."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdis.metrics.inputs import Table, as_float, as_numbers, is_known
from jaxdis.types import Score

__all__ = ["FRECHET", "feature_moments", "frechet_distance"]

FRECHET = Score(
    "frechet",
    "Fréchet distance",
    "lower",
    (0, math.inf),
    "Heusel et al. 2017 (arXiv 1706.08500), equation 6",
)

ITERATIONS = 40
LARGEST = 1e15
SMALLEST = 5e-7  # a pivot, relative to the largest variance


def feature_moments(features: Table) -> tuple[Float[Array, "p"], Float[Array, "p p"]]:
    """Mean and unbiased covariance of rows.

    Args:
      features: a row for each image, [r, p].

    Returns:
      The mean [p] and the covariance [p, p].

    Raises:
      ValueError: for another rank, fewer than two rows; and outside of jit for features
        that are not finite or of which float32 cannot hold the squares.
    """
    features = as_numbers("features", features)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(
            f"features has shape {features.shape}; it must be [rows, features] with at "
            "least 2 rows"
        )
    if is_known(features):
        _check_features(np.asarray(features, np.float64))
    features = as_float(features)
    mean = features.mean(0)
    centred = features - mean[None]
    cov = jnp.einsum("rp,rq->pq", centred, centred, precision="highest")
    return mean, cov / (len(features) - 1)


def _check_features(features: Float[np.ndarray, "r p"]) -> None:
    bad = np.argwhere(~np.isfinite(features))
    if len(bad):
        raise ValueError(
            f"features is NaN or infinite at row {bad[0, 0]}, column {bad[0, 1]}; "
            "leave such rows out"
        )
    largest = np.abs(features).max()
    if largest > LARGEST:
        raise ValueError(
            f"features reach {largest:.2g}, of which float32 cannot hold the squares; "
            f"they must be at most {LARGEST:g}"
        )


def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")


def _root(cov: Float[Array, "p p"]) -> Float[Array, "p p"]:
    """L with L L' = C, for a semi-definite C: Cholesky with the largest pivot first.

    What is left when pivots are rounding errors is dropped.
    """
    floor = SMALLEST * jnp.max(jnp.diagonal(cov))

    def column(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        work, root = carry
        variance = jnp.diagonal(work)
        chosen = jnp.argmax(variance)
        pivot = variance[chosen]
        there = pivot > floor
        scale = jnp.where(there, jax.lax.rsqrt(jnp.where(there, pivot, 1.0)), 0.0)
        entries = scale * work[:, chosen]
        return work - jnp.outer(entries, entries), root.at[:, j].set(entries)

    return jax.lax.fori_loop(0, len(cov), column, (cov, jnp.zeros_like(cov)))[1]


def _nuclear_norm(m: Float[Array, "p p"]) -> Float[Array, ""]:
    """Sum of singular values, `tr(Q' M)` with Q the polar factor by Newton-Schulz.

    `Q <- Q (3 I - Q' Q) / 2` from `M / |M|`. Singular values rise to 1 from below, and
    those too small to arrive add nothing.
    """
    length = jnp.sqrt(jnp.sum(m * m))
    eye = jnp.eye(len(m), dtype=m.dtype)

    def step(_: Array, q: Array) -> Array:
        return _matmul(q, 1.5 * eye - 0.5 * _matmul(q.T, q))

    start = m / jnp.where(length > 0, length, 1.0)
    return jnp.sum(m * jax.lax.fori_loop(0, ITERATIONS, step, start))


def _moment(name: str, value: Table) -> Float[Array, "..."]:
    value = as_numbers(name, value)
    if is_known(value) and not np.isfinite(value.astype(np.float64)).all():
        raise ValueError(f"{name} is NaN or infinite; it must be finite")
    return as_float(value)


def frechet_distance(
    mean1: Table, cov1: Table, mean2: Table, cov2: Table
) -> Float[Array, ""]:
    """`|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`, the squared 2-Wasserstein distance
    of two Gaussians.

    With `C = L L'`, `tr (C1 C2)^(1/2)` is the nuclear norm of `L1' L2`. Covariances may
    be singular.

    Args:
      mean1, cov1: the mean [p] and the covariance [p, p] of one set's features.
      mean2, cov2: those of the other's.

    Returns:
      A distance of at least 0, lower is better.

    Raises:
      ValueError: for shapes that do not fit, and outside of jit for values that are not
        finite.

    With features of a small classifier it is not comparable with the published "FID",
    which takes those of an Inception network trained on photographs; nor are distances
    from different numbers of images, for fewer bias it upwards.

    Source: Heusel et al. 2017 (arXiv 1706.08500), equation 6.
    """
    given = {"mean1": mean1, "cov1": cov1, "mean2": mean2, "cov2": cov2}
    mean1, cov1, mean2, cov2 = (_moment(*item) for item in given.items())
    p = mean1.size
    for name, value, shape in (
        ("mean1", mean1, (p,)),
        ("cov1", cov1, (p, p)),
        ("mean2", mean2, (p,)),
        ("cov2", cov2, (p, p)),
    ):
        if value.shape != shape:
            raise ValueError(
                f"{name} has shape {value.shape}; with {p} features it must be {shape}"
            )
    off = mean1 - mean2
    both = _nuclear_norm(_matmul(_root(cov1).T, _root(cov2)))
    distance = jnp.sum(off * off) + jnp.trace(cov1) + jnp.trace(cov2) - 2.0 * both
    return jnp.maximum(distance, 0.0)
