"""DCI: does a code serve one factor (D), a factor need one code (C), the codes suffice?

Failed runs, dead codes and constant factors are treated as in `columns`.
"""

import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr
from jaxtyping import Array, Float

from jaxdis import check
from jaxdis.metrics.fitted import SHARE, Work, fit_each
from jaxdis.metrics.inputs import Failed, Key, Table, as_float, as_matrix, is_known
from jaxdis.metrics.kinds import Discrete
from jaxdis.metrics.labels import (
    Labels,
    Part,
    each,
    labelled,
    parts,
    permuted,
)
from jaxdis.metrics.linear import FORMS, linear_probe
from jaxdis.probes import TREES, tree_probe
from jaxdis.types import Score

__all__ = [
    "DCI",
    "DCI_C",
    "DCI_D",
    "DCI_I",
    "Probe",
    "dci",
    "dci_from_importance",
    "dci_linear",
    "dci_trees",
]

LINEAR_SHARE = 1 / 2  # of the rows that fit a line; trees want more
NULL = 1.5  # times the largest importance of permuted factors, which counts as 0

Probe: TypeAlias = Literal["gbt", "linear", "lasso", "lightgbm", "hist"]

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
    importance: Table,
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
      ValueError: if M has fewer than two axes, or holds no numbers.

    Source: Eastwood and Williams 2018; the constant: Locatello et al. 2019
      (arXiv 1811.12359).
    """
    m = as_matrix("importance", importance)
    return _focus(m), _focus(m.swapaxes(-1, -2))


class _Asked(NamedTuple):
    """How probes are fitted."""

    probe: Probe
    alpha: float
    key: Key
    jobs: int | None
    progress: bool | None


_Found: TypeAlias = tuple[Array | np.ndarray, Array | np.ndarray]
"""Importances [s, k, d] and the scores [s, d] of the factors."""


def _by_lines(
    labels: Labels, codes: Array | np.ndarray, rows: list[Part], asked: _Asked
) -> _Found:
    known = is_known(labels.values, codes)
    solve = FORMS[known].solvers[asked.probe](asked.alpha)

    return linear_probe(labels, codes, rows, FORMS[known], solve)


def _by_trees(
    labels: Labels, codes: Array | np.ndarray, rows: list[Part], asked: _Asked
) -> _Found:
    if not is_known(labels.values, codes):
        raise ValueError(
            f"dci with probe={asked.probe!r} is computed on the host; call it outside "
            "of jit, or with probe='linear' or 'lasso'"
        )
    work = Work(
        asked.probe,
        asked.key,
        TREES[asked.probe].seconds,
        f"DCI, {asked.probe}",
        asked.jobs,
        asked.progress,
    )
    found = fit_each(tree_probe, labels, np.asarray(codes), rows, work)
    return found[..., :-1].swapaxes(1, 2), found[..., -1]


_PROBES: dict[str, tuple[Callable[..., _Found], float]] = {
    "gbt": (_by_trees, SHARE),
    "linear": (_by_lines, LINEAR_SHARE),
    "lasso": (_by_lines, LINEAR_SHARE),
    "lightgbm": (_by_trees, SHARE),
    "hist": (_by_trees, SHARE),
}
"""What fits the probes of a name, and on which share of the rows."""


def _as_they_are(found: _Found, *_: object) -> _Found:
    return found


def _above_null(
    found: _Found,
    fit: Callable[..., _Found],
    labels: Labels,
    codes: Array | np.ndarray,
    asked: _Asked,
) -> _Found:
    """Importances that permuted factors do not come near; the others are 0."""
    useless = permuted(labels, asked.key)
    rows = parts(useless, asked.key, _PROBES[asked.probe][1])
    least = NULL * fit(useless, codes, rows, asked)[0].max((1, 2))
    return found[0] * (found[0] > least[:, None, None]), found[1]


_NULLS: dict[str | None, Callable[..., _Found]] = {
    None: _as_they_are,
    "permute": _above_null,
}


def _probed(
    labels: Labels,
    codes: Array | np.ndarray,
    asked: _Asked,
    null: str | None,
) -> _Found:
    """Importances [s, k, d] and mean scores [s]; NaN where codes are not finite."""
    fit, share = _PROBES[asked.probe]
    xp = np if is_known(labels.values, codes) else jnp
    alive = xp.isfinite(codes).all((1, 2))
    # LAPACK and trees refuse NaN; a copy takes its time.
    some = codes[alive] if xp is np and not alive.all() else codes
    importance = xp.full((len(codes), codes.shape[2], len(labels.sizes)), xp.nan)
    score = xp.full(len(codes), xp.nan)
    if len(some):
        rows = parts(labels, asked.key, share)
        found = fit(labels, some, rows, asked)
        m, scores = _NULLS[null](found, fit, labels, some, asked)
        if xp is np:
            importance[alive], score[alive] = m, scores.mean(1)
        else:
            importance = jnp.where(alive[:, None, None], m, jnp.nan)
            score = jnp.where(alive, scores.mean(1), jnp.nan)
    return importance, score


def dci(
    z: Table,
    codes: Table,
    probe: Probe = "gbt",
    *,
    discrete: Discrete = "auto",
    mask: Table = None,
    alpha: float = 0.02,
    null: Literal["permute"] | None = None,
    key: Key = None,
    jobs: int | None = None,
    progress: bool | None = None,
    failed: Failed = "raise",
) -> DCI:
    """Disentanglement, completeness and informativeness, by a probe of each factor.

        M[i, j] = importance of code i for a probe of factor j that sees all codes
        informativeness = mean_j score of that probe on rows that it has not seen

    and D and C of M as in `dci_from_importance`. The score is the accuracy for classes
    and R2 for numbers, which may stand side by side. **The probe is part of the
    score**: compare equal ones only.

    - "gbt": scikit-learn's gradient-boosted trees with their defaults, M the feature
      importances, of which each column sums to 1: the number of disentanglement_lib.
      10,000 rows of 10 codes take 10 to 30 seconds a factor.
    - "lightgbm": 100 trees of depth 3 of LightGBM, M their gains, each column of sum 1:
      near "gbt" and 40 times as fast. It takes `pip install "jaxdis[trees]"`.
    - "hist": scikit-learn's histogram-based trees, M the loss of score as a code is
      permuted among the held-out rows, 5 times, at least 0.
    - "linear": least squares of least norm on standardised columns, M = |W|. Classes
      count by their numbers, as if they were in order, and are told by the nearest mean
      fit; give indicators as factors where they are not. Blind to even functions of a
      code.
    - "lasso": the same with the price `alpha` of |W|.

    Args:
      z: factors [n, d], or [s, n, d] if those of the seeds differ, in any order of
        rows. A constant factor scores 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      probe: one of the above. "linear" and "lasso" work within jit and vmap, too.
      discrete: which columns of z are classes; see `kinds.as_factors`. Classes that
        are in order, as positions, may be better served as numbers: `False`.
      mask: where labels are known, [n, d] or [n], true or false.
      alpha: of "lasso"; the objective is that of scikit-learn's Lasso.
      null: "permute" also fits probes to permuted factors, and sets importances below
        1.5 times their largest one to 0: tiny importances of useless codes otherwise
        give D up to 1 with "lasso" and .4 with "hist", as M is normalised.
      key: what the rows are split with, and the seed of the trees; None is key 0.
      jobs: processes of one thread each that fit trees; by default one for each core.
        Little work is done in this process.
      progress: whether a bar shows how many are fitted; by default in a terminal.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      The scores of each run, and M, [k, d]. D and C lie in [0, 1], higher is better; so
      does the accuracy; R2 is at most 1. Trees are fitted on 2/3 of the rows and judged
      on the others, linear probes on 1/2. A class that the rows to judge on lack does
      not count, and one that the rows to fit on lack is never right.

    Raises:
      ValueError: for wrong shapes, fewer than 4 rows or labels of a factor, values that
        are not finite, an unknown probe, or LightGBM if it is not installed.

    Note: Always read D and C beside the informativeness. Duplicated codes share in
      "linear", "lasso" and "gbt" (C falls), and one of them takes all in "lightgbm" and
      "hist" (C stays 1). Forests are not offered: a perfect code has D = .45.

    Source: Eastwood and Williams 2018; "gbt": Locatello et al. 2019 (arXiv 1811.12359)
      and its disentanglement_lib.
    """
    check.one_of("probe", probe, _PROBES)
    check.one_of("null", null, _NULLS)
    check.positive("alpha", alpha)
    if probe == "lightgbm" and find_spec("lightgbm") is None:
        raise ValueError(
            "probe='lightgbm' needs LightGBM, which is not installed: pip install "
            '"jaxdis[trees]"'
        )
    asked = _Asked(probe, alpha, key, jobs, progress)

    def one(z: Table, codes: Table) -> DCI:
        labels, codes = labelled(z, codes, discrete, mask, failed)
        many = codes.ndim == 3
        found = _probed(labels, codes if many else codes[None], asked, null)
        importance, score = (as_float(x if many else x[0]) for x in found)
        return DCI(*dci_from_importance(importance), score, importance)

    return each(one, z, codes)


def dci_linear(
    z: Table, codes: Table, *, key: Key = None, failed: Failed = "raise"
) -> DCI:
    """DCI of a linear probe, all factors taken for numbers.

        dci(z, codes, "linear", discrete=False)

    Fast, and within jit, too; but blind to even functions of a code. Not comparable
    with `dci_trees`, whose probe and whose M differ.

    Args:
      z: factors [n, d]; constant ones have R2 and importances 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      key: what the rows are split with; None is key 0.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      See `dci`. The held-out R2 is about -2 (k + 1) / n for useless codes.

    Raises:
      ValueError: as `dci`.

    Source: Eastwood and Williams 2018, with least squares as the probe.
    """
    return dci(z, codes, "linear", discrete=False, key=key, failed=failed)


def dci_trees(
    z: Table,
    codes: Table,
    *,
    discrete: Discrete = "auto",
    key: Key = None,
    failed: Failed = "raise",
) -> DCI:
    """DCI of gradient-boosted trees: the number of disentanglement_lib.

        dci(z, codes, "gbt")

    Args:
      z: factors [n, d].
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      discrete: which columns of z are classes; see `kinds.as_factors`.
      key: what the rows are split with, and the seed of the trees; None is key 0.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      See `dci`.

    Raises:
      ValueError: as `dci`.

    Source: Locatello et al. 2019 (arXiv 1811.12359) and its disentanglement_lib.
    """
    return dci(z, codes, "gbt", discrete=discrete, key=key, failed=failed)
