"""SAP: does one code predict a factor much better than any other code alone?"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdis import check
from jaxdis.metrics.columns import standardise
from jaxdis.metrics.correlation import correlations
from jaxdis.metrics.fitted import SHARE, Work, bounded, fit_each, readable
from jaxdis.metrics.inputs import (
    Failed,
    Key,
    Table,
    as_float,
    checked_pair,
    is_known,
    paired,
)
from jaxdis.metrics.kinds import Discrete
from jaxdis.metrics.labels import each, labelled, masked, parts
from jaxdis.metrics.runs import each_run, over_seeds
from jaxdis.probes import single_probe
from jaxdis.types import Score

__all__ = ["SAP", "sap", "sap_matrix"]

SAP = Score(
    "sap",
    "SAP",
    "higher",
    (0, 1),
    "Kumar et al. 2018 (arXiv 1711.00848)",
    truth=True,
    floor=True,
)


class _Asked(NamedTuple):
    """How a matrix is made."""

    kind: str
    discrete: Discrete
    mask: Table
    key: Key
    jobs: int | None
    progress: bool | None
    failed: Failed


@jax.jit
def _squared(
    z: Float[Array, "n d"], codes: Float[Array, "n k"], known: Bool[Array, "n d"]
) -> Float[Array, "k d"]:
    """Squared correlations over the rows where the label is known."""
    matmul = partial(jnp.matmul, precision="highest")
    z, codes = standardise(z), standardise(codes)
    share = known / known.sum(0)[None]
    means = matmul(codes.T, share)
    z = z - (share * z).sum(0)[None]
    moments = matmul(codes.T, share * z)
    spread = matmul((codes**2).T, share) - means**2
    scale = spread * (share * z**2).sum(0)[None]
    flat = scale <= 1e-10
    return jnp.clip(
        jnp.where(flat, 0.0, moments**2 / jnp.where(flat, 1.0, scale)), 0, 1
    )


def _where_known(z: Table, codes: Table, asked: _Asked) -> Float[Array, "*s k d"]:
    z, known = masked(z, asked.mask)
    pattern, pair = jnp.asarray(known), paired(z, codes, asked.failed)
    return over_seeds(lambda z, codes: _squared(z, codes, pattern), *pair)


def _by_correlation(z: Table, codes: Table, asked: _Asked) -> Float[Array, "*s k d"]:
    if asked.mask is not None:
        return each(partial(_where_known, asked=asked), z, codes)
    z, codes = checked_pair(z, codes, asked.failed)
    once = is_known(z, codes) and z.ndim == 2  # known seeds are taken together
    relate = partial(correlations, kind="pearson")
    found = relate(z, codes) if once else each_run(relate, z, codes)
    return as_float(found).swapaxes(-1, -2) ** 2


def _by_probes(z: Table, codes: Table, asked: _Asked) -> Float[Array, "*s k d"]:
    if not is_known(z, codes):
        raise ValueError(
            f"sap with kind={asked.kind!r} is computed on the host; call it outside of "
            "jit, or with kind='continuous'"
        )

    def one(z: Table, codes: Table) -> Float[Array, "*s k d"]:
        labels, read = labelled(z, codes, asked.discrete, asked.mask, asked.failed)
        runs = np.asarray(read).reshape(-1, *read.shape[-2:])
        what, seconds = f"SAP, {asked.kind}", 1e-6
        work = Work(
            asked.kind,
            asked.key,
            seconds,
            what,
            asked.jobs,
            asked.progress,
            _PREPARED[asked.kind],
        )
        rows = parts(labels, asked.key, SHARE)
        found = fit_each(single_probe, labels, runs, rows, work)
        full = np.broadcast_to(found, (*found.shape[:2], runs.shape[-1]))
        return as_float(full.swapaxes(1, 2).reshape(*read.shape[:-2], -1, z.shape[1]))

    return each(one, z, codes)


_PREPARED = {"discrete": bounded, "tree": readable}
"""What becomes of codes first: support vectors depend on their scale."""

_KINDS: dict[str, Callable[[Table, Table, _Asked], Float[Array, "*s k d"]]] = {
    "continuous": _by_correlation,
    "discrete": _by_probes,
    "tree": _by_probes,
}


def sap_matrix(
    z: Table,
    codes: Table,
    kind: Literal["continuous", "discrete", "tree"] = "continuous",
    *,
    discrete: Discrete = "auto",
    mask: Table = None,
    key: Key = None,
    jobs: int | None = None,
    progress: bool | None = None,
    failed: Failed = "raise",
) -> Float[Array, "*s k d"]:
    """How well each code alone predicts each factor.

    - "continuous": the squared correlation of all rows; every factor counts as numbers.
    - "discrete": of classes, the accuracy on held-out rows of a linear support vector
      machine (C = .01, classes balanced) on the code as it is: its scale matters. Of
      numbers, the squared correlation.
    - "tree": of classes the accuracy, of numbers R2 (at least 0), on held-out rows, of
      a decision tree of depth 5.

    Args:
      z: factors [n, d], or [s, n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      kind: one of the three. The first works within jit and vmap, too.
      discrete: which columns of z are classes; see `kinds.as_factors`. Of no meaning
        for "continuous".
      mask: where labels are known, [n, d] or [n], true or false.
      key: what rows are split with, 2/3 to fit on; None is key 0.
      jobs: processes of one thread each; by default one for each core, where it pays.
      progress: whether a bar shows how many are fitted; by default in a terminal.
      failed: "raise" refuses codes that are not finite, "nan" gives their seed NaN.

    Returns:
      S, [k, d], in [0, 1].

    Raises:
      ValueError: for wrong shapes, an unknown kind, values that are not finite, or
        fewer than 4 rows or labels of a factor for held-out rows.

    Source: Kumar et al. 2018 (arXiv 1711.00848); the settings of the first two:
      Locatello et al. 2019 (arXiv 1811.12359).
    """
    check.one_of("kind", kind, _KINDS)
    asked = _Asked(kind, discrete, mask, key, jobs, progress, failed)
    return _KINDS[kind](z, codes, asked)


@jax.jit
def _gap(matrix: Float[Array, "*s k d"]) -> Float[Array, "*s"]:
    """Mean over factors of the best code's score without the next one's."""
    if matrix.shape[-2] == 1:
        return matrix[..., 0, :].mean(-1)
    best = jnp.sort(matrix, axis=-2)
    return (best[..., -1, :] - best[..., -2, :]).mean(-1)


def sap(
    z: Table,
    codes: Table,
    kind: Literal["continuous", "discrete", "tree"] = "continuous",
    *,
    discrete: Discrete = "auto",
    mask: Table = None,
    key: Key = None,
    jobs: int | None = None,
    progress: bool | None = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """Separated attribute predictability: the gap between the two best codes.

        SAP = (1/d) sum_j (S_(1)j - S_(2)j),   S = `sap_matrix`

    the two largest over codes; with one code, S itself.

    Args:
      z: factors [n, d], or [s, n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      kind: how a code predicts a factor; see `sap_matrix`. Scores of two kinds do not
        compare.
      discrete: which columns of z are classes; see `kinds.as_factors`.
      mask: where labels are known, [n, d] or [n], true or false.
      key: what rows are split with; None is key 0.
      jobs: processes of one thread each; by default one for each core, where it pays.
      progress: whether a bar shows how many are fitted; by default in a terminal.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; 0 for duplicated codes.

    Raises:
      ValueError: as `sap_matrix`.

    Note: **A perfect code has .2 with "discrete"**, where factors have 4 to 15 classes:
      a linear rule on one code cannot find the middle ones. "tree" can.

    Source: Kumar et al. 2018 (arXiv 1711.00848).
    """
    return _gap(
        sap_matrix(
            z,
            codes,
            kind,
            discrete=discrete,
            mask=mask,
            key=key,
            jobs=jobs,
            progress=progress,
            failed=failed,
        )
    )
