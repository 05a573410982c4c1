"""Explicitness: can a linear probe of all codes tell the values of a factor apart?"""

import numpy as np
from jaxtyping import Array, Float

from jaxdis.metrics.fitted import SHARE, Work, fit_each
from jaxdis.metrics.inputs import Failed, Key, Table, as_float, check_known
from jaxdis.metrics.kinds import Discrete
from jaxdis.metrics.labels import each, labelled, parts
from jaxdis.probes import explicit_probe
from jaxdis.types import Score

__all__ = ["EXPLICITNESS", "explicitness"]

EXPLICITNESS = Score(
    "explicitness",
    "Explicitness",
    "higher",
    (0, 1),
    "Ridgeway and Mozer 2018 (arXiv 1802.05312)",
    truth=True,
    floor=True,
)


def explicitness(
    z: Table,
    codes: Table,
    *,
    discrete: Discrete = "auto",
    mask: Table = None,
    key: Key = None,
    jobs: int | None = None,
    progress: bool | None = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """How well linear probes of all codes rank unseen samples by each factor.

        E = (1/d) sum_j A_j

    - of classes, A_j is the mean over classes of the area under the ROC curve of one
      against the others, by a logistic regression (C = 1) on standardised codes;
    - of numbers, the share of pairs with different numbers whose order least squares
      gets right, which is the same for numbers of two values.

    Args:
      z: factors [n, d], or [s, n, d], in any order of rows. A constant factor scores 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      discrete: which columns of z are classes; see `kinds.as_factors`.
      mask: where labels are known, [n, d] or [n], true or false.
      key: what rows are split with, 2/3 to fit on; None is key 0.
      jobs: processes of one thread each; by default one for each core, where it pays.
      progress: whether a bar shows how many are fitted; by default in a terminal.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score for each run, higher is better: 1 is perfect, **.5 is useless**.

    Raises:
      ValueError: for wrong shapes, values that are not finite, fewer than 4 rows or
        labels of a factor, or within jit.

    Note: Rotated codes score as the factors themselves do: it asks whether, not where.
      A class that the rows to judge on lack does not count; one that the rows to fit on
      lack counts .5.

    Source: Ridgeway and Mozer 2018 (arXiv 1802.05312); the probe: Locatello et al. 2019
      (arXiv 1811.12359).
    """
    check_known("explicitness", z, codes)

    def one(z: Table, codes: Table) -> Float[Array, "*s"]:
        labels, read = labelled(z, codes, discrete, mask, failed)
        runs = np.asarray(read).reshape(-1, *read.shape[-2:])
        work = Work("logistic", key, 2e-6, "explicitness", jobs, progress)
        rows = parts(labels, key, SHARE)
        found = fit_each(explicit_probe, labels, runs, rows, work)
        return as_float(found.mean((1, 2)).reshape(read.shape[:-2]))

    return each(one, z, codes)
