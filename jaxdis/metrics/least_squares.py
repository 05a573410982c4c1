"""Least squares of factors on codes: known values on the host, traced ones in JAX.

The host factors the codes' correlations once for all factors (Cholesky with pivoting,
float64), and goes to an orthogonal basis of the codes where these nearly depend on each
other. JAX takes the inverse once, and refines; see `linalg` for why no LAPACK.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxdis.linalg import solve
from jaxdis.metrics.columns import standardise
from jaxdis.metrics.inputs import is_known, standardised
from jaxdis.metrics.moments import Columns, as_columns, signed

__all__ = [
    "Basis",
    "basis",
    "determination",
    "explained",
    "solve_lower",
    "traced_correlation",
    "weights",
]

DEPENDENT = 1e-13  # share of a code's variance below which the rest is rounding
NEARLY = 1e-9  # below which correlations have lost what an orthogonal basis keeps
REFINEMENTS = 3


class Basis(NamedTuple):
    """Codes of which none depends on the others, and a root of their correlations.

    Attributes:
      kept: which codes.
      lower: L, with L L' the correlations of those kept.
    """

    kept: Int[np.ndarray, "r"]
    lower: Float[np.ndarray, "r r"]


def basis(codes: Columns, gram: Float[np.ndarray, "k k"] | None = None) -> Basis:
    """A basis of the codes, those that depend on others left out.

    Args:
      codes: finite columns.
      gram: their correlations, if known.
    """
    from scipy.linalg import lapack, qr  # here: slow to import

    gram = signed(codes, codes) if gram is None else gram
    lower, pivots, rank, _ = lapack.dpstrf(gram, tol=DEPENDENT, lower=1)
    kept, lower = pivots[:rank] - 1, np.asfortranarray(np.tril(lower[:rank, :rank]))
    if rank and lower.diagonal().min() ** 2 < NEARLY:
        columns = standardised(codes.values[:, kept]) / np.sqrt(len(codes.values))
        upper = qr(columns, mode="r", overwrite_a=True, check_finite=False)[0][:rank]
        lower = np.asfortranarray(upper.T)
    return Basis(kept, lower)


def solve_lower(
    base: Basis, right: Float[np.ndarray, "r d"], *, transposed: bool = False
) -> Float[np.ndarray, "r d"]:
    """L^-1 b, or L^-T b, of a basis that is not empty.

    Args:
      base: the basis.
      right: b.
      transposed: whether L is.
    """
    from scipy.linalg import blas  # here: slow to import

    b = np.asfortranarray(right)
    return blas.dtrsm(1.0, base.lower, b, lower=1, trans_a=int(transposed))


def _shares(base: Basis, cross: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "r d"]:
    """L^-1 b: how a factor of variance 1 shares it among the directions of a basis."""
    if not base.kept.size:
        return np.zeros((0, cross.shape[1]))
    return solve_lower(base, cross[base.kept])


def explained(
    z: Columns, codes: Columns, mask: Bool[np.ndarray, "d k"] | None = None
) -> Float[np.ndarray, "d"]:
    """R2 of the least squares of each factor on its codes, in sample; 0 for constants.

        R2 = |L^-1 b|^2,   b the correlations with the codes, L L' those of the codes

    A sum of squares keeps its digits near 0.

    Args:
      z: factors.
      codes: codes of the same samples; a broken one makes all scores NaN.
      mask: which codes each factor sees; by default all.
    """
    d = len(z.std)
    if not np.isfinite(codes.std).all():
        return np.full(d, np.nan)
    cross = signed(codes, z)
    if mask is None:
        shares = _shares(basis(codes), cross)
        return np.clip((shares**2).sum(0), 0, 1)
    gram, found = signed(codes, codes), np.zeros(d)
    for used in np.unique(mask, axis=0):
        at, of = np.flatnonzero(used), np.flatnonzero((mask == used).all(1))
        if at.size:
            some = Columns(codes.values[:, at], codes.mean[at], codes.std[at])
            shares = _shares(basis(some, gram[np.ix_(at, at)]), cross[np.ix_(at, of)])
            found[of] = (shares**2).sum(0)
    return np.clip(found, 0, 1)


def determination(
    truth: Shaped[np.ndarray | Array, "j t"], fits: Shaped[np.ndarray | Array, "j t"]
) -> Float[np.ndarray | Array, "t"]:
    """R2 of each column on rows that judge a probe; 0 for those that do not vary there.

        R2 = 1 - sum (t - fit)^2 / sum (t - mean t)^2

    Args:
      truth: the columns.
      fits: what the probe makes of them.
    """
    numpy = np if is_known(truth, fits) else jnp
    # Their sum of squares may be a rounding, by which nothing is to be divided.
    flat = truth.max(0) == truth.min(0)
    total = ((truth - truth.mean(0)[None]) ** 2).sum(0)
    share = 1 - ((truth - fits) ** 2).sum(0) / numpy.where(flat, 1.0, total)
    return numpy.where(flat, 0.0, share)


def _traced_weights(
    z: Float[Array, "n d"], codes: Float[Array, "n k"]
) -> Float[Array, "k d"]:
    """The Gram matrix of duplicated codes is singular, so it gets a ridge of a few
    roundings; the refinements then take the bias of the ridge away.
    """
    n, k = codes.shape
    matmul = partial(jnp.matmul, precision="highest")
    gram = matmul(codes.T, codes) / n
    eye = jnp.eye(k, dtype=gram.dtype)
    # A code that is 0 throughout keeps an equation of its own, w = 0.
    dead = (gram.diagonal() == 0).astype(gram.dtype)
    ridge = 8 * k * jnp.finfo(gram.dtype).eps
    inverse = solve(gram + (dead + ridge)[:, None] * eye, eye)
    found = jnp.zeros((k, z.shape[1]), gram.dtype)
    for _ in range(REFINEMENTS):
        slope = matmul(codes.T, z - matmul(codes, found)) / n
        found += matmul(inverse, slope)
    return found


def weights(
    z: Shaped[np.ndarray | Array, "n d"], codes: Shaped[np.ndarray | Array, "n k"]
) -> Float[np.ndarray | Array, "k d"]:
    """Coefficients of least squares of columns that are centred.

        argmin_W |z - c W|^2;   codes that depend on others may have 0

    Args:
      z: factors, centred.
      codes: codes, standardised; NaN in them makes all coefficients NaN.
    """
    if not (isinstance(z, np.ndarray) and isinstance(codes, np.ndarray)):
        return _traced_weights(jnp.asarray(z), jnp.asarray(codes))
    own, seen = as_columns(z), as_columns(codes)
    found = np.zeros((codes.shape[1], z.shape[1]))
    if not np.isfinite(seen.std).all():
        return found + np.nan
    base = basis(seen)
    if base.kept.size:
        shares = _shares(base, signed(seen, own))
        solved = solve_lower(base, shares, transposed=True)
        # Of the columns as they came, not of the standardised ones.
        scale = np.where(own.std > 0, _std(z), 0.0) / _std(codes[:, base.kept])[:, None]
        found[base.kept] = solved * scale
    return found


def _std(x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "k"]:
    return np.sqrt((x**2).mean(0) - x.mean(0) ** 2)


@jax.jit
def traced_correlation(
    z: Float[Array, "n d"], codes: Float[Array, "n k"]
) -> Float[Array, "d"]:
    """sqrt(R2_i), as the correlation of z_i with its fit.

    For least squares that is the root of 1 - RSS / TSS, without its loss of digits near
    0, and it lies in [0, 1] whatever the rounding.

    Args:
      z: standardised factors.
      codes: standardised codes.
    """
    fit = standardise(jnp.matmul(codes, _traced_weights(z, codes), precision="highest"))
    return jnp.clip((z * fit).mean(0), 0.0, 1.0)
