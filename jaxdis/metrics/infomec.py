"""InfoMEC: modularity, compactness and explicitness in one unit, information.

Failed runs and constant columns are treated as in `columns`.
"""

import math
import warnings
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdis import check
from jaxdis.metrics.estimates import Asked, Null
from jaxdis.metrics.inputs import (
    Failed,
    Key,
    Table,
    check_known,
    standardised,
)
from jaxdis.metrics.kinds import Discrete, RawFactors
from jaxdis.metrics.least_squares import explained
from jaxdis.metrics.measured import OnHost, code_classes, measured_on_host
from jaxdis.metrics.moments import as_columns
from jaxdis.types import Score

__all__ = ["INFOC", "INFOE", "INFOM", "InfoMEC", "infomec"]

Active: TypeAlias = Literal["range/20", "range/8", "quartiles/10", "all"]

ITERATIONS = 100  # of the logistic regression, as published

INFOM = Score(
    "infom",
    "InfoM",
    "higher",
    (0, 1),
    "Hsu et al. 2023 (arXiv 2305.18378)",
    truth=True,
    floor=True,
)
INFOC = INFOM._replace(name="infoc", title="InfoC")
INFOE = INFOM._replace(name="infoe", title="InfoE", range=(-math.inf, 1))


class InfoMEC(NamedTuple):
    """Scores of each run, higher is better, and what they come from.

    Attributes:
      infom: modularity: does an active code know of one factor only?
      infoc: compactness: is a factor known of by one active code only?
      infoe: explicitness: do linear probes of all codes find the factors?
      matrix: N, normalised information of each code and each factor, in [0, 1].
      active: which codes vary enough to count.
    """

    infom: Float[Array, "*s"]
    infoc: Float[Array, "*s"]
    infoe: Float[Array, "*s"]
    matrix: Float[Array, "*s k d"]
    active: Bool[Array, "*s k"]


def _range(codes: np.ndarray) -> np.ndarray:
    return codes.max(0) - codes.min(0)


def _quartiles(codes: np.ndarray) -> np.ndarray:
    low, high = np.quantile(codes, [0.25, 0.75], axis=0)
    return high - low


class _Rule(NamedTuple):
    """A code is active if it spreads more than a share of the code that spreads most.

    Attributes:
      spread: of each code.
      share: of the largest spread.
    """

    spread: Callable[[np.ndarray], np.ndarray]
    share: float


_ACTIVE = {
    "range/20": _Rule(_range, 1 / 20),
    "range/8": _Rule(_range, 1 / 8),
    "quartiles/10": _Rule(_quartiles, 1 / 10),
    "all": _Rule(_range, 0.0),
}


def _is_active(
    codes: Float[np.ndarray, "n k"], discrete: list[bool], rule: _Rule
) -> Bool[np.ndarray, "k"]:
    """Of classes, those that vary; of numbers, as the rule says."""
    numbers = ~np.array(discrete)
    codes = np.ldexp(codes, -np.frexp(np.abs(codes).max())[1] - 1)  # of finite ranges
    spread = rule.spread(codes)
    return np.where(numbers, spread > rule.share * spread.max(), _range(codes) > 0)


def _focus(shares: Float[np.ndarray, "r c"]) -> float:
    """Mean over rows of largest entry / sum: 0 for even rows, 1 for one entry each."""
    rows, c = shares.shape
    if c < 2 or rows == 0:
        return 0.0
    total = shares.sum(1)
    # A row of zeros is even.
    share = np.where(total > 0, shares.max(1) / np.where(total > 0, total, 1.0), 1 / c)
    return float((share.mean() - 1 / c) / (1 - 1 / c))


def _of_classes(x: np.ndarray, y: Int[np.ndarray, "n"]) -> float:
    """1 - CE / CE0 of a logistic regression in which all classes weigh the same."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    classes = len(np.unique(y))
    if classes < 2:
        return 0.0
    # C = inf: without a penalty, in every version of scikit-learn.
    probe = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        p = probe.fit(x, y).predict_proba(x)
    right = p[np.arange(len(y)), np.searchsorted(probe.classes_, y)]
    # The floor of scikit-learn's log_loss; without codes p is 1 / classes.
    loss = -np.log(np.maximum(right, np.finfo(np.float64).eps)).mean()
    return float(1 - loss / math.log(classes))


def _of_numbers(x: np.ndarray, y: Float[np.ndarray, "n"]) -> float:
    """R2 of least squares."""
    return float(explained(as_columns(y[:, None]), as_columns(x))[0])


def _features(
    codes: Float[np.ndarray, "n k"], classes: list[np.ndarray | None]
) -> Float[np.ndarray, "n f"]:
    """Standardised numbers, and a column for each class."""
    numbers = [i for i, labels in enumerate(classes) if labels is None]
    columns = [standardised(codes[:, numbers])] if numbers else []
    columns += [np.eye(y.max() + 1)[y] for y in classes if y is not None]
    return np.concatenate(columns, 1)


def _explicitness(
    run: RawFactors, codes: np.ndarray, classes: list[np.ndarray | None]
) -> float:
    x = _features(codes, classes)
    scores = []
    for j, size in enumerate(run.sizes):
        rows = np.s_[:] if run.mask is None else run.mask[:, j]
        score, y = (_of_classes, run.classes) if size else (_of_numbers, run.values)
        scores.append(score(x[rows], y[rows, j]))
    return float(np.mean(scores))


class _OfRun(NamedTuple):
    infom: float
    infoc: float
    infoe: float
    active: Bool[np.ndarray, "k"]


def _of_run(
    run: RawFactors,
    codes: Float[np.ndarray, "n k"],
    matrix: Float[np.ndarray, "k d"],
    discrete: Discrete | None,
    rule: _Rule,
) -> _OfRun:
    k = codes.shape[1]
    if not np.isfinite(codes).all():
        return _OfRun(np.nan, np.nan, np.nan, np.zeros(k, bool))
    rows = np.ascontiguousarray(codes.T)
    classes = code_classes(rows, "auto" if discrete is None else discrete, k)
    active = _is_active(codes, [c is not None for c in classes], rule)
    shares = matrix[active]
    explicit = _explicitness(run, codes, classes)
    return _OfRun(_focus(shares), _focus(shares.T), explicit, active)


def _scores(found: OnHost, discrete: Discrete | None, rule: _Rule) -> InfoMEC:
    """Of all runs."""
    h = found.entropies[..., None, :]
    matrix = np.clip(found.information / np.where(h > 0, h, 1.0), 0.0, 1.0)
    shape, runs = found.codes.shape[:-2], found.runs
    codes = found.codes.reshape(-1, *found.codes.shape[-2:]).astype(np.float64)
    matrices = matrix.reshape(-1, *matrix.shape[-2:])
    scores = [
        _of_run(runs[i % len(runs)], c, m, discrete, rule)
        for i, (c, m) in enumerate(zip(codes, matrices, strict=True))
    ]

    def stacked(values: tuple) -> Array:
        x = np.stack(values)
        return jnp.asarray(x.reshape(shape + x.shape[1:]))

    infom, infoc, infoe, active = map(stacked, zip(*scores, strict=True))
    return InfoMEC(infom, infoc, infoe, jnp.asarray(matrix), active)


def infomec(
    z: Table,
    codes: Table,
    *,
    discrete: Discrete = "auto",
    mask: Table = None,
    discrete_codes: Discrete | None = None,
    active: Active = "range/20",
    neighbours: int = 10,
    bins: int = 20,
    null: Null = None,
    key: Key = None,
    failed: Failed = "raise",
) -> InfoMEC:
    """InfoM, InfoC and InfoE: modularity, compactness and explicitness by information.

        N_ij  = I(c_i; f_j) / H(f_j)                        by nearest neighbours
        InfoM = (mean_i max_j N_ij / sum_j N_ij - 1/d) / (1 - 1/d)      i active
        InfoC = (mean_j max_i N_ij / sum_i N_ij - 1/|A|) / (1 - 1/|A|)  i active
        InfoE = mean_j 1 - CE_j / CE0_j

    CE_j is the cross entropy, on the rows that it is fitted on, of a logistic
    regression of f_j on all standardised codes without a penalty, in which all classes
    weigh the same; CE0_j that without codes. For a factor that is a number InfoE takes
    the R2 of least squares, and H is the entropy of its bins, to which I is cut.

    Runs on the host, outside of jit.

    Args:
      z: factors [n, d], or [s, n, d] if those of the seeds differ.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      discrete: which factors are classes; see `mutual_information`.
      mask: where labels are known, [n, d] or [n].
      discrete_codes: which codes are classes: "auto", the default (at most 50 distinct
        values), or true or false for each. Their I is that of counts, and InfoE sees a
        column for each class.
      active: which codes that are numbers count: those of a range above a 20th
        ("range/20") or an 8th ("range/8") of the largest, of a distance of quartiles
        above a 10th ("quartiles/10"), or all that vary ("all"). Classes count if they
        vary.
      neighbours: the number of neighbours.
      bins: how many bins of equal width H takes of a factor that is a number.
      null: "permute" sets I to 0 below what a useless code would get; see
        `mutual_information`.
      key: what the rows are permuted with; None is key 0.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      The scores of each run, N, [k, d], and which codes are active. InfoM and InfoC lie
      in [0, 1], and are 0 for rows of zeros, for one factor and for one active code;
      InfoE is at most 1, and 0 for a constant factor.

    Raises:
      ValueError: as `mutual_information`, within jit, and for an unknown rule.

    Note:
      Without a null InfoM of useless codes is .4 to .8, ratios of noise. The ranges of
      the codes decide which count. InfoE is not held out: many codes score high.

    Source: Hsu et al. 2023 (arXiv 2305.18378); "quartiles/10" Hsu et al. 2024
      (arXiv 2404.10282).
    """
    check.one_of("active", active, _ACTIVE)
    check_known("infomec", z, codes, mask)
    asked = Asked(
        discrete,
        mask,
        "knn",
        bins,
        neighbours=neighbours,
        discrete_codes=discrete_codes,
        null=null,
        key=key,
        failed=failed,
    )
    return _scores(measured_on_host(z, codes, asked), discrete_codes, _ACTIVE[active])
