"""Probes of scikit-learn and LightGBM for one factor. Without JAX, as many processes
begin with this module."""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Num

__all__ = [
    "TREES",
    "Importances",
    "Task",
    "explicit_probe",
    "single_probe",
    "tree_probe",
]

DEPTH = 5  # of a tree on one code
TINIEST = np.finfo(np.float64).tiny  # a number of which 1 / x is finite
REPEATS = 5  # permutations of each code, where importances are those of permutation


class Task(NamedTuple):
    """One factor that a probe is fitted to.

    Attributes:
      kind: which probe.
      codes: the codes of all rows.
      factor: numbers, or classes from 0.
      is_classes: which of both.
      fit: the rows that the probe is fitted on.
      judge: the rows that it is judged on.
      seed: of what the probe draws.
      threads: that a probe may use; None for its own default.
    """

    kind: str
    codes: Float[np.ndarray, "n k"]
    factor: Num[np.ndarray, "n"]
    is_classes: bool
    fit: Int[np.ndarray, "f"]
    judge: Int[np.ndarray, "j"]
    seed: int
    threads: int | None


Importances: TypeAlias = Float[np.ndarray, "k"]


def _boosted(task: Task) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    model = GradientBoostingClassifier if task.is_classes else GradientBoostingRegressor
    return model(random_state=task.seed)


def _histograms(task: Task) -> Any:
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )

    model = (
        HistGradientBoostingClassifier
        if task.is_classes
        else HistGradientBoostingRegressor
    )
    return model(random_state=task.seed)


def _lightgbm(task: Task) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    model = LGBMClassifier if task.is_classes else LGBMRegressor
    return model(
        n_estimators=100,
        max_depth=3,
        importance_type="gain",
        random_state=task.seed,
        n_jobs=task.threads,
        verbose=-1,
    )


def _own(model: Any, _: Task) -> Importances:
    """What the model says itself, of sum 1 unless it used nothing."""
    found = np.asarray(model.feature_importances_, np.float64)
    return found / max(found.sum(), 1e-300)


def _by_permutation(model: Any, task: Task) -> Importances:
    """How much the score falls as a code is permuted among the rows that judge."""
    from sklearn.inspection import permutation_importance

    found = permutation_importance(
        model,
        task.codes[task.judge],
        task.factor[task.judge],
        n_repeats=REPEATS,
        random_state=task.seed,
    )
    return np.maximum(found.importances_mean, 0.0)


class _Trees(NamedTuple):
    """One kind of boosted trees.

    Attributes:
      model: what is fitted.
      importances: of the codes, of a fitted model.
      seconds: about how long a fit takes, for one row, code and class.
    """

    model: Callable[[Task], Any]
    importances: Callable[[Any, Task], Importances]
    seconds: float


TREES = {
    "gbt": _Trees(_boosted, _own, 5e-5),
    "hist": _Trees(_histograms, _by_permutation, 5e-6),
    "lightgbm": _Trees(_lightgbm, _own, 1.5e-6),
}


def _determination(truth: np.ndarray, fits: np.ndarray) -> float:
    total = ((truth - truth.mean()) ** 2).sum()
    return float(1 - ((truth - fits) ** 2).sum() / total) if total > 0 else 0.0


def _scored(task: Task, fits: np.ndarray) -> float:
    """Accuracy for classes, R2 for numbers."""
    truth = task.factor[task.judge]
    return (
        float((fits == truth).mean())
        if task.is_classes
        else _determination(truth, fits)
    )


def _without_fit(task: Task) -> float | None:
    """The score where the rows to fit on do not vary; None where they do.

    It is 0 if no row varies, and else that of always saying the one class.
    """
    seen, truth = task.factor[task.fit], task.factor[task.judge]
    if (seen != seen[0]).any():
        return None
    hits = (truth == seen[0]).mean()
    return float(hits) if task.is_classes and hits < 1 else 0.0


def tree_probe(task: Task) -> Float[np.ndarray, "m"]:
    """Importances of the codes for one factor, then the score on the rows that judge.

    A factor that does not vary scores 0; where it varies among the rows that judge
    only, nothing is important.

    Args:
      task: the factor and the codes.
    """
    score = _without_fit(task)
    if score is not None:
        return np.append(np.zeros(task.codes.shape[1]), score)
    trees = TREES[task.kind]
    with warnings.catch_warnings():
        # Classes with few rows, and tables without names, are known of here.
        warnings.simplefilter("ignore", UserWarning)
        model = trees.model(task).fit(task.codes[task.fit], task.factor[task.fit])
        score = _scored(task, model.predict(task.codes[task.judge]))
        return np.append(trees.importances(model, task), score)


def _support_vectors(task: Task) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(C=0.01, class_weight="balanced", random_state=task.seed)


def _shallow_tree(task: Task) -> Any:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    model = DecisionTreeClassifier if task.is_classes else DecisionTreeRegressor
    return model(max_depth=DEPTH, random_state=task.seed)


def _squared_correlations(task: Task) -> Importances:
    rows = np.concatenate([task.fit, task.judge])
    codes, factor = task.codes[rows], task.factor[rows]
    codes, factor = codes - codes.mean(0), factor - factor.mean()
    codes = codes / np.maximum(np.abs(codes).max(0), TINIEST)  # squares would vanish
    norms = (codes**2).sum(0) * (factor**2).sum()
    return (factor @ codes) ** 2 / np.where(norms > 0, norms, np.inf)


def _one_by_one(model: Callable[[Task], Any]) -> Callable[[Task], Importances]:
    def scores(task: Task) -> Importances:
        seen, y, found = task.codes[task.fit], task.factor[task.fit], []
        for i in range(task.codes.shape[1]):
            own = model(task).fit(seen[:, i : i + 1], y)
            fits = own.predict(task.codes[task.judge, i : i + 1])
            found.append(max(_scored(task, fits), 0.0))
        return np.array(found)

    return scores


SINGLES = {
    ("discrete", True): _one_by_one(_support_vectors),
    ("discrete", False): _squared_correlations,
    ("tree", True): _one_by_one(_shallow_tree),
    ("tree", False): _one_by_one(_shallow_tree),
}
"""Scores of each code alone, by the name of the probe and for classes or numbers."""


def single_probe(task: Task) -> Importances:
    """How well each code alone predicts one factor, on the rows that judge.

    Args:
      task: the factor and the codes.
    """
    score = _without_fit(task)
    if score is not None:
        return np.full(task.codes.shape[1], score)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of convergence
        return SINGLES[task.kind, task.is_classes](task)


def _ranked(positive: np.ndarray, scores: np.ndarray) -> float:
    """The share of pairs, one positive and one not, that the scores put in order."""
    from scipy.stats import rankdata

    ones = int(positive.sum())
    above = rankdata(scores)[positive].sum() - ones * (ones + 1) / 2
    return float(above / (ones * (len(scores) - ones)))


def _of_classes(
    seen: np.ndarray, y: np.ndarray, unseen: np.ndarray, truth: np.ndarray
) -> float:
    """Mean over classes of the area under the curve, against all other classes."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=1000).fit(seen, y)
    chances = model.predict_proba(unseen)
    found = []
    for value in np.unique(truth):
        positive = truth == value
        if positive.all():
            continue
        known = np.flatnonzero(model.classes_ == value)
        found.append(_ranked(positive, chances[:, known[0]]) if known.size else 0.5)
    return float(np.mean(found)) if found else 0.5


def _of_numbers(
    seen: np.ndarray, y: np.ndarray, unseen: np.ndarray, truth: np.ndarray
) -> float:
    """The share of pairs with different numbers that least squares puts in order."""
    from scipy.stats import kendalltau

    design = np.hstack([seen, np.ones((len(seen), 1))])
    weights = np.linalg.lstsq(design, y, rcond=1e-6)[0]
    fits = unseen @ weights[:-1] + weights[-1]
    if (truth == truth[0]).all() or (fits == fits[0]).all():
        return 0.5
    pairs = len(truth) * (len(truth) - 1) / 2
    apart = [pairs - _tied(x) for x in (truth, fits)]
    tau = kendalltau(truth, fits).statistic  # concordance / sqrt of both
    return float(1 + tau * math.sqrt(apart[1] / apart[0])) / 2


def _tied(x: np.ndarray) -> float:
    counts = np.unique(x, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1) / 2).sum())


def explicit_probe(task: Task) -> Float[np.ndarray, "1"]:
    """How well a linear probe of all codes ranks the rows that judge by one factor.

    Args:
      task: the factor and the codes.
    """
    y, truth = task.factor[task.fit], task.factor[task.judge]
    if (y == y[0]).all():
        return np.array([0.0 if (truth == y[0]).all() else 0.5])
    seen = task.codes[task.fit]
    mean, std = seen.mean(0), seen.std(0)
    flat = seen.max(0) == seen.min(0)
    std = np.where(flat | (std == 0), np.inf, std)
    rows = ((seen - mean) / std, (task.codes[task.judge] - mean) / std)
    rank = _of_classes if task.is_classes else _of_numbers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of convergence
        return np.array([rank(rows[0], y, rows[1], truth)])
