"""Mutual information of codes and factors, and what MIG and modularity make of it.

Failed runs and constant columns are treated as in `columns`.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis.metrics.counts import Binning
from jaxdis.metrics.estimates import Asked, Kind, Null
from jaxdis.metrics.inputs import Failed, Key, Table, as_float, as_matrix, as_numbers
from jaxdis.metrics.kinds import Discrete
from jaxdis.metrics.measured import entropies_of, measured
from jaxdis.types import Score

__all__ = [
    "MIG",
    "MODULARITY",
    "MUTUAL_INFORMATION",
    "factor_entropies",
    "mig",
    "mig_from_information",
    "modularity",
    "modularity_from_information",
    "mutual_information",
]

NO_INFORMATION = 1e-5  # nats: what roundings leave of a dead code

MUTUAL_INFORMATION = Score(
    "mutual_information",
    "Mutual information",
    "higher",
    (0, math.inf),
    "Shannon 1948",
    truth=True,
    floor=True,
)
MIG = Score(
    "mig",
    "MIG",
    "higher",
    (0, 1),
    "Chen et al. 2018 (arXiv 1802.04942)",
    truth=True,
    floor=True,
)
MODULARITY = Score(
    "modularity",
    "Modularity",
    "higher",
    (0, 1),
    "Ridgeway and Mozer 2018 (arXiv 1802.05312)",
    truth=True,
    floor=True,
)


def mutual_information(
    z: Table,
    codes: Table,
    *,
    discrete: Discrete = "auto",
    mask: Table = None,
    kind: Kind = "bins",
    bins: int = 20,
    binning: Binning = "width",
    neighbours: int = 3,
    discrete_codes: Discrete | None = None,
    samples: int | None = None,
    null: Null = None,
    key: Key = None,
    failed: Failed = "raise",
) -> Float[Array, "*s k d"]:
    """Mutual information of each code and each factor.

        I[i, j] = I(c_i; f_j) = sum p log(p / (p_c p_f))

    - "bins": of the joint counts, after columns of numbers are cut into bins. With the
      same bins it is that of scikit-learn and of numpy's histogram. It is too large by
      about (B - 1)(K - 1) / (2 n) for a code of B bins and a factor of K classes.
    - "knn": a number and a class by Ross (2014), two numbers by Kraskov et al. (2004),
      two classes by their counts; as scikit-learn's estimates, of whose jitter only
      numbers that tie get any. Of 10,000 samples a pair takes 2 to 20 ms; within jit
      two numbers take n^2 steps. See `samples`.

    Values that are known are counted on the host, in float64; within jit and vmap it is
    a program of JAX, in which `discrete` must say how many classes each factor has.

    Args:
      z: factors [n, d], or [s, n, d] if those of the seeds differ.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      discrete: which factors are classes: "auto" (whole numbers that repeat, or few
        distinct values), true or false or the number of classes of each. The others
        are numbers, which "bins" cuts into bins as it does codes.
      mask: where labels are known, [n, d] or [n]; each factor is compared on the rows
        where it is.
      kind: "bins" or "knn".
      bins: how many bins, at least 2.
      binning: "width" for bins as wide as each other between the least and the largest
        value, "quantile" for as many samples in each, which no increasing map of a
        column changes.
      neighbours: the number of neighbours of "knn".
      discrete_codes: which codes are classes, which are not binned: "auto" (at most 50
        distinct values), or as `discrete`. By default none with "bins"; with "knn"
        "auto", or none within jit.
      samples: use at most this many rows, drawn by the key.
      null: "permute" sets to 0 what is below 1.5 times the largest I of the run after
        the rows of the factors are permuted: what a useless code would get.
      key: what rows are drawn and permuted with; None is key 0.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      I, [k, d] for each run, in nats, at least 0; NaN for a run with a code that is not
      finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, an unknown word, or a known label
        that is not finite.

    Warns:
      UserWarning: if "auto" takes factors for numbers, which are then binned.

    Note:
      With "knn" numbers that tie are told apart by noise of 1e-10, as in scikit-learn;
      within jit, where float32 would lose it, they are each other's neighbours (Gao et
      al. 2017).

    Source: bins: Locatello et al. 2019 (arXiv 1811.12359); Ross 2014
      (doi 10.1371/journal.pone.0087357); Kraskov et al. 2004 (arXiv cond-mat/0305641).
    """
    asked = Asked(
        discrete,
        mask,
        kind,
        bins,
        binning,
        neighbours,
        discrete_codes,
        samples,
        null,
        key,
        failed,
    )
    return measured(z, codes, asked).information


def factor_entropies(
    z: Table,
    *,
    discrete: Discrete = "auto",
    mask: Table = None,
    bins: int = 20,
    binning: Binning = "width",
) -> Float[Array, "*t d"]:
    """Entropy of each factor, after columns of numbers are cut into bins.

        H[j] = - sum_v p(f_j = v) log p(f_j = v)

    Args:
      z: factors [n, d], or [s, n, d] with an axis of seeds.
      discrete: which factors are classes; see `mutual_information`.
      mask: where labels are known, [n, d] or [n].
      bins: how many bins a column of numbers has.
      binning: "width" or "quantile".

    Returns:
      H, [d] for each run, in nats; 0 for a constant factor.

    Raises:
      ValueError: as `mutual_information`.

    Source: Shannon 1948.
    """
    return entropies_of(z, Asked(discrete, mask, bins=bins, binning=binning))


@jax.jit
def _mig(
    information: Float[Array, "*s k d"], entropies: Float[Array, "*t d"]
) -> Float[Array, "*s"]:
    entropies = jnp.broadcast_to(entropies, information[..., 0, :].shape)
    alone = information.shape[-2] == 1
    best = jnp.sort(information, -2)
    gap = best[..., -1, :] - (0.0 if alone else best[..., -2, :])
    share = gap / jnp.where(entropies > 0, entropies, 1.0)
    return jnp.where(entropies > 0, share, 0.0 * gap).mean(-1)


def mig_from_information(information: Table, entropies: Table) -> Float[Array, "*s"]:
    """Mutual information gap of a matrix of information.

        MIG = mean_j (I_(1)j - I_(2)j) / H_j

    with the two largest entries of each column.

    Args:
      information: I, of each code (rows) and each factor (columns), with any axes of
        runs in front.
      entropies: H, of each factor, with the same axes of runs or none.

    Returns:
      A score in [0, 1] for each run; factors of entropy 0 count 0.

    Raises:
      ValueError: if the shapes do not fit.

    Source: Chen et al. 2018 (arXiv 1802.04942).
    """
    i = as_matrix("information", information)
    h = as_float(as_numbers("entropies", entropies))
    if h.shape not in (i.shape[-1:], i.shape[:-2] + i.shape[-1:]):
        raise ValueError(
            f"entropies has shape {h.shape}; it must be one for each of the "
            f"{i.shape[-1]} factors"
        )
    return _mig(i, h)


@jax.jit
def _modularity(information: Float[Array, "*s k d"]) -> Float[Array, "*s"]:
    d = information.shape[-1]
    squares = jnp.where(information < NO_INFORMATION, 0.0, information) ** 2
    best = squares.max(-1)
    spread = (squares.sum(-1) - best) / (jnp.where(best > 0, best, 1.0) * max(d - 1, 1))
    alive = (best > 0) | jnp.isnan(best)
    return jnp.where(alive & (d > 1), 1 - spread, 0.0 * best).mean(-1)


def modularity_from_information(
    information: Table,
) -> Float[Array, "*s"]:
    """Modularity of a matrix of information.

        mean_i 1 - (sum_j I_ij^2 - t_i) / (t_i (d - 1)),   t_i = max_j I_ij^2

    Args:
      information: I, of each code (rows) and each factor (columns), with any axes of
        runs in front; entries below 1e-5 count as 0.

    Returns:
      A score in [0, 1] for each run; codes without information count 0, and so do all
      if there is one factor, of which no code can be more or less.

    Raises:
      ValueError: if the matrix has fewer than two axes.

    Source: Ridgeway and Mozer 2018 (arXiv 1802.05312).
    """
    return _modularity(as_matrix("information", information))


def mig(
    z: Table,
    codes: Table,
    *,
    discrete: Discrete = "auto",
    mask: Table = None,
    bins: int = 20,
    binning: Binning = "width",
    discrete_codes: Discrete | None = None,
    null: Null = None,
    key: Key = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """Mutual information gap: does one code know more of a factor than all others?

        MIG = mean_j (I(c_(1); f_j) - I(c_(2); f_j)) / H(f_j)

    with the two codes that know most of the factor, I by bins. Two codes of one factor
    score 0 for it. For other estimates of I see `mig_from_information`.

    Args:
      z: factors [n, d], or [s, n, d] if those of the seeds differ.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      discrete: which factors are classes; see `mutual_information`. Numbers are binned
        as the codes are, and H is that of the bins.
      mask: where labels are known, [n, d] or [n].
      bins: how many bins.
      binning: "width", or "quantile" for the same score after an increasing map of a
        code.
      discrete_codes: which codes are classes, which are not binned; by default none.
      null: "permute" counts as 0 what a useless code would get.
      key: what the rows are permuted with; None is key 0.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; constant factors count 0.

    Raises:
      ValueError: as `mutual_information`.

    Note:
      Scores of different bins do not compare. With "width" it is not invariant to
      monotone maps: a Gaussian code scores .98, its cube .30.

    Source: Chen et al. 2018 (arXiv 1802.04942); the bins: Locatello et al. 2019
      (arXiv 1811.12359).
    """
    found = measured(
        z,
        codes,
        Asked(
            discrete,
            mask,
            bins=bins,
            binning=binning,
            discrete_codes=discrete_codes,
            null=null,
            key=key,
            failed=failed,
        ),
    )
    return mig_from_information(found.information, found.entropies)


def modularity(
    z: Table,
    codes: Table,
    *,
    discrete: Discrete = "auto",
    mask: Table = None,
    bins: int = 20,
    binning: Binning = "width",
    discrete_codes: Discrete | None = None,
    null: Null = None,
    key: Key = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """Does each code know of one factor only?

        mean_i 1 - (sum_j m_ij^2 - t_i) / (t_i (d - 1)),   m_ij = I(c_i; f_j)

    with t_i = max_j m_ij^2 and I by bins. For other estimates of I see
    `modularity_from_information`.

    Args:
      z: factors [n, d], or [s, n, d] if those of the seeds differ.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      discrete: which factors are classes; see `mutual_information`. Numbers are binned
        as the codes are.
      mask: where labels are known, [n, d] or [n].
      bins: how many bins.
      binning: "width" or "quantile".
      discrete_codes: which codes are classes, which are not binned; by default none.
      null: "permute" counts as 0 what a useless code would get.
      key: what the rows are permuted with; None is key 0.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; dead codes count 0.

    Raises:
      ValueError: as `mutual_information`.

    Note:
      Without a null useless codes score .6 to .7 where the factors differ in their
      numbers of classes, as the bias of I does.

    Source: Ridgeway and Mozer 2018 (arXiv 1802.05312), as in Locatello et al. 2019
      (arXiv 1811.12359).
    """
    found = measured(
        z,
        codes,
        Asked(
            discrete,
            mask,
            bins=bins,
            binning=binning,
            discrete_codes=discrete_codes,
            null=null,
            key=key,
            failed=failed,
        ),
    )
    return modularity_from_information(found.information)
