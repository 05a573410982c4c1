"""DCI: does a code serve one factor (D), a factor need one code (C), the codes suffice?

Failed runs, dead codes and constant factors are treated as in `columns`.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr
from jaxtyping import Array, ArrayLike, Float, Num

from jaxdis.linalg import solve
from jaxdis.metrics.columns import standardise
from jaxdis.metrics.inputs import Failed, Table, as_float, paired
from jaxdis.types import Score

__all__ = [
    "DCI",
    "DCI_C",
    "DCI_D",
    "DCI_I",
    "dci_from_importance",
    "dci_linear",
    "dci_trees",
]

REFINEMENTS = 20

DCI_D = Score(
    "dci_d",
    "DCI-D",
    "higher",
    (0, 1),
    "Eastwood and Williams 2018",
    truth=True,
    floor=True,
)
DCI_C = DCI_D._replace(name="dci_c", title="DCI-C")
DCI_I = DCI_D._replace(name="dci_i", title="DCI-I", range=(-math.inf, 1))


class DCI(NamedTuple):
    """Scores of each run, higher is better, and the matrix they come from."""

    disentanglement: Float[Array, "*s"]
    completeness: Float[Array, "*s"]
    informativeness: Float[Array, "*s"]
    importance: Float[Array, "*s k d"]


@jax.jit
def _focus(importance: Float[Array, "*s r c"]) -> Float[Array, "*s"]:
    """Mean over rows of 1 - entropy of the row's shares, weighted by row totals."""
    shares = importance + 1e-11
    shares = shares / shares.sum(-1, keepdims=True)
    outcomes = importance.shape[-1]
    base = math.log(outcomes) if outcomes > 1 else 1.0  # one outcome: entropy 0
    focus = jnp.clip(1 - entr(shares).sum(-1) / base, 0.0, 1.0)
    totals = importance.sum(-1)
    total = totals.sum(-1)
    return (focus * totals).sum(-1) / jnp.where(total == 0, 1.0, total)


def dci_from_importance(
    importance: Num[ArrayLike, "*s k d"],
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """Disentanglement and completeness of a matrix of importances.

        D = sum_i (sum_j M_ij / sum M) (1 - H_d(M_i. / sum_j M_ij))
        C = sum_j (sum_i M_ij / sum M) (1 - H_k(M_.j / sum_i M_ij))

    H_b is the entropy to the base b; 1e-11 is added to M before the logarithm. With one
    factor every D_i is 1, with one code every C_j.

    Args:
      importance: M, not negative: of each code (rows) for each factor (columns), with
        any axes of runs in front.

    Returns:
      (D, C), each in [0, 1], higher is better; (0, 0) for M = 0, NaN for M with NaN.

    Raises:
      ValueError: if M has fewer than two axes.

    Source: Eastwood and Williams 2018; the constant: Locatello et al. 2019
      (arXiv 1811.12359).
    """
    m = as_float(importance)
    if m.ndim < 2:
        raise ValueError(
            f"importance has shape {m.shape}; it must be [k, d]: one row per code, one "
            "column per factor"
        )
    return _focus(m), _focus(m.swapaxes(-1, -2))


def _coefficients(
    z: Float[Array, "n d"], codes: Float[Array, "n k"]
) -> Float[Array, "k d"]:
    """Least-squares coefficients of least norm, of centred columns.

    The ridge keeps roundings out of the directions that the codes do not span, and the
    refinements take its bias away in those that they do.
    """
    n, k = codes.shape
    matmul = partial(jnp.matmul, precision="highest")
    gram = matmul(codes.T, codes) / n
    ridge = math.sqrt(jnp.finfo(gram.dtype).eps)
    eye = jnp.eye(k, dtype=gram.dtype)
    inverse = solve(gram + ridge * eye, eye)

    def refine(_: Array, weights: Array) -> Array:
        slope = matmul(codes.T, z - matmul(codes, weights)) / n
        return weights + matmul(inverse, slope)

    start = jnp.zeros((k, z.shape[1]), gram.dtype)
    return jax.lax.fori_loop(0, REFINEMENTS, refine, start)


def _centred_halves(
    x: Float[Array, "n k"],
) -> tuple[Float[Array, "h k"], Float[Array, "m k"]]:
    """Both halves of the rows, centred by the mean of the first."""
    half = len(x) // 2
    for _ in range(2):  # again, as the first mean is off by a rounding
        x = x - x[:half].mean(0)[None, :]
    return x[:half], x[half:]


@jax.jit
def _dci_linear(z: Float[Array, "n d"], codes: Float[Array, "n k"]) -> DCI:
    train, test = _centred_halves(standardise(z))
    codes, test_codes = _centred_halves(standardise(codes))
    weights = _coefficients(train, codes)
    importance = jnp.abs(weights)
    residual = test - jnp.matmul(test_codes, weights, precision="highest")
    flat = (standardise(test) == 0).all(0)
    explained = 1 - (residual**2).mean(0) / jnp.where(flat, 1.0, test.var(0))
    # A factor that varies in the first half alone has no R2: 0, unless the run failed.
    r2 = jnp.where(flat & jnp.isfinite(explained), 0.0, explained)
    return DCI(*dci_from_importance(importance), r2.mean(), importance)


def _check_rows(n: int) -> None:
    if n < 4:
        raise ValueError(
            f"z has {n} rows; at least 4 are needed, to fit on some and test on "
            "the others"
        )


def dci_linear(z: Table, codes: Table, *, failed: Failed = "raise") -> DCI:
    """DCI of a linear probe of the factors on all codes.

        M = |argmin_W ||z~ - c~ W||^2|   on the first half of the rows, W of least norm
        informativeness = mean_j R2_j    of the same W on the second half

    with z~ and c~ the standardised columns; D and C as in `dci_from_importance`. Fast,
    but blind to even functions of a code. Not comparable with `dci_trees`.

    Args:
      z: factors [n, d], rows in random order; constant ones have R2 and importances 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      The scores of each run, and M, [k, d]. D and C lie in [0, 1]; the held-out R2 is
      at most 1, and about -2 (k + 1) / n for useless codes. NaN for a run with a code
      that is not finite.

    Raises:
      ValueError: for a wrong shape, unequal or fewer than 4 rows, or non-finite z.

    Source: Eastwood and Williams 2018, with least squares as the probe.
    """
    z, codes = paired(z, codes, failed)
    _check_rows(len(z))
    if codes.ndim == 3:
        return jax.vmap(_dci_linear, (None, 0))(z, codes)
    return _dci_linear(z, codes)


def _tree_probe(
    factor: np.ndarray, codes: np.ndarray, seed: int
) -> tuple[np.ndarray, float]:
    """Importances of the codes for one factor, and the score on the held-out rows."""
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    cut = 2 * len(factor) // 3
    discrete = factor.dtype.kind == "i"
    if discrete and (factor[:cut] == factor[0]).all():  # the classifier refuses
        return np.zeros(codes.shape[1]), float((factor[cut:] == factor[0]).mean())
    model = GradientBoostingClassifier if discrete else GradientBoostingRegressor
    probe = model(random_state=seed).fit(codes[:cut], factor[:cut])
    score = probe.score(codes[cut:], factor[cut:])
    return probe.feature_importances_, float(score)


def _dci_trees(z: np.ndarray, codes: np.ndarray, seed: int) -> DCI:
    if not np.isfinite(codes).all():
        failed = jnp.asarray(jnp.nan)
        shape = (codes.shape[1], z.shape[1])
        return DCI(failed, failed, failed, jnp.full(shape, jnp.nan))
    columns, scores = zip(*(_tree_probe(f, codes, seed) for f in z.T), strict=True)
    importance = jnp.asarray(np.stack(columns, 1), jnp.float32)
    score = jnp.asarray(scores, jnp.float32).mean()
    return DCI(*dci_from_importance(importance), score, importance)


def dci_trees(
    z: Table,
    codes: Table,
    *,
    seed: int = 0,
    failed: Failed = "raise",
) -> DCI:
    """DCI of gradient-boosted trees: the number of disentanglement_lib.

        M_.j = feature importances of the trees for factor j, which sum to 1

    One scikit-learn model per factor, with its defaults: a classifier for integers, a
    regressor for floats, fitted on the first two thirds of the rows. D and C as in
    `dci_from_importance`. Not comparable with `dci_linear`, whose probe and whose M
    differ. Runs on the host, outside of jit; 10,000 rows take many seconds per factor.

    Args:
      z: factors [n, d], rows in random order: integers (classes) or floats; constant
        ones have importances 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds, one
        after the other.
      seed: the seed of the order in which the trees try the codes, which settles ties.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      The scores of each run, and M, [k, d]. The informativeness is the mean accuracy
      (integer factors) or R2 (floats) on the last third of the rows. NaN for a run with
      a code that is not finite.

    Raises:
      ValueError: for a wrong shape, unequal or fewer than 4 rows, or non-finite z.

    Source: Locatello et al. 2019 (arXiv 1811.12359) and its disentanglement_lib.
    """
    paired(z, codes, failed)
    factors, codes = np.asarray(z), np.asarray(codes)
    _check_rows(len(factors))
    if factors.dtype.kind in "bu":
        factors = factors.astype(int)
    if codes.ndim == 2:
        return _dci_trees(factors, codes, seed)
    runs = [_dci_trees(factors, c, seed) for c in codes]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *runs)
