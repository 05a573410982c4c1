"""Which factor was held fixed? Scores that a code earns by giving the answer.

Both hold one factor and let the others vary, many times, and ask of the codes which one
it was. From data alone, `factor_vae_score(z, codes)`, rows that share a value of the
factor are taken from those given. Where factors can be drawn and encoded,
`sampled_factor_vae_score(sample_factors, codes_of)` draws them anew, as the papers do.
"""

import warnings
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from jaxdis import check
from jaxdis.metrics.fitted import bounded
from jaxdis.metrics.groups import (
    BINS,
    as_groups,
    check_shared,
    of_halves,
    take_batches,
    take_pairs,
)
from jaxdis.metrics.inputs import (
    Failed,
    Key,
    Table,
    as_key,
    as_numbers,
    check_known,
    is_known,
    paired,
    raw_pair,
    standardised,
)
from jaxdis.metrics.kinds import Discrete
from jaxdis.metrics.runs import in_threads, over_seeds
from jaxdis.types import PRNGKey, Score

__all__ = [
    "BETA_VAE_SCORE",
    "FACTOR_VAE_SCORE",
    "beta_vae_score",
    "check_sizes",
    "factor_vae_score",
    "majority_vote",
    "told_apart",
]

FACTOR_VAE_SCORE = Score(
    "factor_vae_score",
    "FactorVAE score",
    "higher",
    (0, 1),
    "Kim and Mnih 2018 (arXiv 1802.05983)",
    truth=True,
    floor=True,
)
BETA_VAE_SCORE = FACTOR_VAE_SCORE._replace(
    name="beta_vae_score",
    title="beta-VAE score",
    source="Higgins et al. 2017 (OpenReview Sy2fzU9gl)",
)

TRAIN, TEST, BATCH = 10_000, 5_000, 64
THRESHOLD = 0.05  # standard deviation of a code in use
AT_ONCE = 2**22  # numbers that are gathered at a time


def factor_vae_score(
    z: Table,
    codes: Table,
    *,
    discrete: Discrete = "auto",
    bins: int = BINS,
    mask: Table = None,
    threshold: float = THRESHOLD,
    train: int = TRAIN,
    test: int = TEST,
    batch: int = BATCH,
    key: Key = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """FactorVAE score: does the code that varies least tell which factor is held?

        vote = argmin over codes in use of var(c_i | f_j = v) / var(c_i)

    for a random factor j and the value v of a random row, over `batch` rows that have
    it. Each code stands for the factor that most of its training votes are for; the
    score is the accuracy of this rule on the test votes. Chance is 1/d.

    Args:
      z: factors [n, d], or [s, n, d]; those that are no classes are binned.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      discrete: which factors are classes; see `kinds.as_factors`.
      bins: bins of equal width of all other factors.
      mask: where labels are known, [n, d] or [n]; by default all are.
      threshold: the least standard deviation of a code in use, in the units of codes.
      train: votes that make the rule, of one half of the rows.
      test: votes that judge it, of the other half.
      batch: rows of a vote, taken with replacement.
      key: what votes are drawn with; see `inputs.as_key`.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; 0 if no code is in use.

    Raises:
      ValueError: for a wrong shape, unequal rows, non-finite z, a factor of which no
        two rows share a value, and within jit where discrete does not say how many
        classes there are.

    Note:
      The threshold is absolute, so that codes of a small scale count as dead; 0 keeps
      all that vary. A rotated code may score .9. Other factors are as dependent on the
      one held as they are in the rows.

    Source: Kim and Mnih 2018 (arXiv 1802.05983); Locatello et al. 2019 (arXiv
    1811.12359) and its disentanglement_lib, of which the code has threshold 0.
    """
    sizes = check_sizes(train, test, batch, threshold)
    groups = as_groups(z, discrete, bins, mask)
    narrow = paired(groups.classes, codes, failed)[1]
    if is_known(z, codes, mask):
        check_shared(np.asarray(groups.classes))
        wide = bounded(np.asarray(as_numbers("codes", codes), np.float64))
        with np.errstate(invalid="ignore", over="ignore"):
            used = jnp.asarray(wide.std(-2, ddof=1, keepdims=True) >= threshold)
    else:
        used = narrow.std(-2, ddof=1, keepdims=True) >= threshold
    # An unused code is one that does not vary; a broken one must stay so.
    narrow = jnp.where(used | ~jnp.isfinite(narrow), narrow, 0.0)
    return _factor_vae(
        jnp.asarray(groups.classes), narrow, as_key(key), groups.size, *sizes
    )


def beta_vae_score(
    z: Table,
    codes: Table,
    *,
    discrete: Discrete = "auto",
    bins: int = BINS,
    mask: Table = None,
    faithful: bool = False,
    train: int = TRAIN,
    test: int = TEST,
    batch: int = BATCH,
    key: Key = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """beta-VAE score: does a linear classifier tell which factor two samples share?

        x = mean over pairs of |c - c'|,   the pairs equal in one random factor j

    over `batch` pairs of rows. The score is the accuracy of a logistic regression that
    predicts j from x. Chance is 1/d.

    Args:
      z: factors [n, d], or [s, n, d]; those that are no classes are binned.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      discrete: which factors are classes; see `kinds.as_factors`.
      bins: bins of equal width of all other factors.
      mask: where labels are known, [n, d] or [n]; by default all are.
      faithful: leaves x as it is, as the published programs do. The penalty of the
        regression then makes the score depend on the scale of the codes: a perfect one
        times .01 scores .17 in place of 1. By default x is standardised.
      train: points that fit the regression, of one half of the rows.
      test: points that judge it, of the other half.
      batch: pairs of a point; the two rows of a pair differ.
      key: what pairs are drawn with; see `inputs.as_key`.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better.

    Raises:
      ValueError: as `factor_vae_score`, and within jit: the regression is of
        scikit-learn (C = 1).

    Note:
      A rotated code may score above .9.

    Source: Higgins et al. 2017 (OpenReview Sy2fzU9gl); Locatello et al. 2019 (arXiv
    1811.12359) and its disentanglement_lib.
    """
    sizes = check_sizes(train, test, batch)
    check_known("this score", z, codes, mask)
    groups = as_groups(z, discrete, bins, mask)
    wide = raw_pair(groups.classes, codes, failed)[1]
    check_shared(np.asarray(groups.classes))
    with np.errstate(invalid="ignore"):
        wide = bounded(wide)
        centred = wide - wide.mean(-2, keepdims=True)
    used = jnp.asarray(centred if faithful else standardised(wide), jnp.float32)
    held, points = _differences(
        jnp.asarray(groups.classes), used, as_key(key), groups.size, *sizes
    )
    return told_apart(np.asarray(held), np.asarray(points), train, faithful)


def check_sizes(
    train: int, test: int, batch: int, threshold: float = 0.0
) -> tuple[int, int, int]:
    """The numbers of votes and of rows, after checks.

    Args:
      train: votes that make a rule.
      test: votes that judge it.
      batch: rows of a vote, at least 2.
      threshold: a standard deviation.

    Raises:
      ValueError: for what is no such number.
    """
    for name, value in (("train", train), ("test", test), ("batch", batch)):
        check.count(name, value)
    check.at_least("batch", batch, 2)
    check.at_least("threshold", threshold, 0.0)
    return train, test, batch


def _in_parts(
    score: Callable[[Array], Array], rows: Int[Array, "v ..."], numbers: int
) -> Num[Array, "v ..."]:
    """`score` of every vote, so many at once that memory suffices.

    Args:
      score: of one.
      rows: its argument for each vote.
      numbers: what one gathers.
    """
    size = max(1, min(len(rows), AT_ONCE // numbers))
    return jax.lax.map(score, rows, batch_size=size)


@partial(jax.jit, static_argnames=("size", "train", "test", "batch"))
def _factor_vae(
    classes: Int[Array, "*t n d"],
    codes: Float[Array, "*s n k"],
    key: PRNGKey,
    size: int,
    train: int,
    test: int,
    batch: int,
) -> Float[Array, "*s"]:
    """Codes that are not in use do not vary."""

    def score(classes: Int[Array, "n d"], codes: Float[Array, "n k"]) -> Array:
        take = partial(take_batches, batch=batch)
        held, rows = of_halves(take, key, classes, size, (train, test))
        unit = codes.var(0)
        used = unit > 0

        def vote(rows: Int[Array, "b"]) -> Int[Array, ""]:
            off = codes[rows]
            off = off - off[:1]  # after which equal codes vary by exactly 0
            relative = off.var(0) / jnp.where(used, unit, 1.0)
            return jnp.where(used, relative, jnp.inf).argmin()

        lowest = _in_parts(vote, rows, batch * n_numbers)
        found = majority_vote(held, lowest, classes.shape[1], codes.shape[1], train)
        found = jnp.where(used.any(), found, 0.0)
        return jnp.where(jnp.isfinite(codes).all(), found, jnp.nan)

    n_numbers = codes.size // codes.shape[-2]  # a row of all seeds
    return over_seeds(score, classes, codes)


def majority_vote(
    held: Int[Array | np.ndarray, "v"],
    lowest: Int[Array | np.ndarray, "v"],
    d: int,
    k: int,
    train: int,
) -> Float[Array, ""]:
    """Accuracy on later votes of the factor that most of the first are for.

    Args:
      held: the factor of each vote.
      lowest: the code of each vote.
      d: the number of factors.
      k: the number of codes.
      train: so many votes come first.
    """
    table = jnp.zeros((k, d), jnp.int32).at[lowest[:train], held[:train]].add(1)
    rule = table.argmax(1)
    return (rule[lowest[train:]] == held[train:]).mean()


@partial(jax.jit, static_argnames=("size", "train", "test", "batch"))
def _differences(
    classes: Int[Array, "*t n d"],
    codes: Float[Array, "*s n k"],
    key: PRNGKey,
    size: int,
    train: int,
    test: int,
    batch: int,
) -> tuple[Int[Array, "*s v"], Float[Array, "*s v k"]]:
    """The factors held, and mean differences of pairs that share them."""

    def score(
        classes: Int[Array, "n d"], codes: Float[Array, "n k"]
    ) -> tuple[Int[Array, "v"], Float[Array, "v k"]]:
        take = partial(take_pairs, batch=batch)
        held, pairs = of_halves(take, key, classes, size, (train, test))

        def difference(pair: Int[Array, "2 b"]) -> Float[Array, "k"]:
            return jnp.abs(codes[pair[0]] - codes[pair[1]]).mean(0)

        return held, _in_parts(difference, pairs, 2 * batch * n_numbers)

    n_numbers = codes.size // codes.shape[-2]
    return over_seeds(score, classes, codes)


def told_apart(
    held: Int[np.ndarray, "*t v"],
    points: Float[np.ndarray, "*s v k"],
    train: int,
    faithful: bool,
) -> Float[Array, "*s"]:
    """Accuracy on later points of a logistic regression of the first; seeds in threads.

    Args:
      held: what it predicts.
      points: from what.
      train: so many points come first.
      faithful: whether points stay as they are; else they are standardised.

    Returns:
      An accuracy for each run, NaN where a point is not finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    *seeds, v, k = points.shape
    labels = np.broadcast_to(held, (*seeds, v)).reshape(-1, v)

    def accuracy(labels: np.ndarray, x: np.ndarray) -> float:
        if not np.isfinite(x).all():
            return np.nan
        y = labels[:train]
        if (y == y[0]).all():  # one factor, which needs no regression
            return float((labels[train:] == y[0]).mean())
        x = x.astype(np.float64)
        if not faithful:
            std = x[:train].std(0)
            x = (x - x[:train].mean(0)) / np.where(std > 0, std, 1.0)
        model = LogisticRegression()
        with warnings.catch_warnings():
            # The published score is that of a hundred iterations.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(x[:train], y).score(x[train:], labels[train:])

    found = in_threads(accuracy, labels, points.reshape(-1, v, k))
    return jnp.asarray(np.reshape(found, seeds), jnp.float32)
