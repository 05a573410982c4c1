"""Are blocks of factors recovered by blocks of codes, whatever happens within a block?

Failed runs, dead codes and constant factors are treated as in `columns`.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Shaped

from jaxdis import check
from jaxdis.metrics.assignment import pairing, taken
from jaxdis.metrics.columns import standardise
from jaxdis.metrics.correlation import correlations
from jaxdis.metrics.inputs import (
    Failed,
    Key,
    Table,
    checked_pair,
    halves,
    is_known,
    narrowed,
    paired,
    standardised,
)
from jaxdis.metrics.kernel import held_out_r2, split_rows
from jaxdis.metrics.least_squares import determination, weights
from jaxdis.metrics.regression import R2, as_links
from jaxdis.metrics.runs import each_run, over_seeds

__all__ = [
    "BLOCK_R2",
    "SUBSPACE_R2",
    "SUBSPACE_R2_OFF",
    "SubspaceR2",
    "block_r2",
    "subspace_r2",
]

Blocks = Sequence[Sequence[int]]

BLOCK_R2 = R2._replace(name="block_r2", title="R² of blocks", source="")
SUBSPACE_R2 = R2._replace(
    name="subspace_r2",
    title="R² of own blocks",
    range=(-math.inf, 1),
    source="von Kügelgen et al. 2021 (arXiv 2106.04619)",
)
SUBSPACE_R2_OFF = SUBSPACE_R2._replace(
    name="subspace_r2_off",
    title="R² of other blocks, largest",
    better="lower",
    floor=False,
)


class SubspaceR2(NamedTuple):
    """What blocks of codes say of blocks of factors, for each run.

    Attributes:
      own: the mean over blocks of factors of R2 on their own block of codes; higher is
        better.
      off: the largest R2 on another block; lower is better. 0 where there is none.
      matrix: R2 of each block of factors (rows) on each block of codes (columns).
    """

    own: Float[Array, "*s"]
    off: Float[Array, "*s"]
    matrix: Float[Array, "*s b c"]


def _allowed(
    links: Float[Array, "b d"],
    z: Shaped[np.ndarray | Array, "n d"],
    codes: Shaped[np.ndarray | Array, "n k"],
) -> Float[Array, "b k"]:
    """Which codes each row sees: those assigned to the factors it is linked to."""
    order = jnp.asarray(pairing(correlations(z, codes, "pearson")))
    return links @ jax.nn.one_hot(order, codes.shape[1])


def block_r2(
    z: Table,
    codes: Table,
    pattern: Shaped[ArrayLike, "d d"],
    *,
    key: Key = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """Mean share of the variance of a factor that its block of codes explains.

        (1/d) sum_i max(0, R2 of z_i on {c_pi(j): C[i, j] = 1}),   pi as in `mcc`

    By kernel ridge regression, scored out of sample: whether blocks of latents are
    recovered up to non-linear maps within each. `block_r2(z, codes, 1 - pattern)` is
    what the other codes say of a factor: 0 if latents are independent, but domains that
    move several latents make these dependent.

    At most 512 rows fit and 2048 others judge. The larger a block, the harder the
    regression: strongly curved maps of four latents reach about .95. Compare scores of
    one pattern, not of a smaller one with a larger one.

    Args:
      z: factors [n, d]; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      pattern: C, [d, d] of 0/1, such as `block` of `identifiability.mixing_report`.
      key: draws the rows that fit; None is the key 0.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; NaN for a run with a code that
      is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, fewer than 4 rows, non-finite z, or a
        pattern that is not 0/1.

    Note: Columns are standardised; then, with b the number of codes, it is
      scikit-learn's `KernelRidge(kernel="rbf", gamma=1 / b, alpha=0.1)`.

    Source: defined here, as `r_con` with the kernel regression of `r2`.
    """
    z, codes = paired(z, codes, failed)
    rows = split_rows(z.shape[-2], key)
    links = as_links(pattern, z.shape[-1])

    def score(z: Array, codes: Array) -> Array:
        found = held_out_r2(z, codes, _allowed(links, z, codes), rows).diagonal()
        return jnp.where(found < 0, 0.0, found).mean()

    return over_seeds(score, z, codes)


def _as_masks(name: str, blocks: Blocks, columns: int) -> Bool[np.ndarray, "b k"]:
    """One row per block: which columns belong to it."""
    masks = np.zeros((len(blocks), columns), bool)
    for row, block in zip(masks, blocks, strict=True):
        for column in block:
            check.whole(f"a column in {name}", column)
            if not 0 <= column < columns:
                raise ValueError(
                    f"{name} names column {column}; the last one is {columns - 1}"
                )
            row[column] = True
    if not len(masks) or not masks.any(1).all() or (masks.sum(0) > 1).any():
        raise ValueError(
            f"{name} must be lists of columns, none of them empty and no column in two "
            f"of them, got {blocks!r}"
        )
    return masks


def _linear(z: Any, codes: Any, masks: Any, key: Key) -> Any:
    """Held-out R2 of each factor by least squares on each block of codes."""
    fit, judge = halves(key, len(z))
    known = is_known(z, codes, masks)
    scaled = standardised if known else standardise
    z, codes = scaled(z), scaled(codes)
    codes = codes - codes[fit].mean(0)[None]
    mean = z[fit].mean(0)[None]

    def one(used: Any) -> Any:
        seen = codes[:, used > 0] if known else codes * used[None]
        fitted = mean + seen[judge] @ weights(z[fit] - mean, seen[fit])
        return determination(z[judge], fitted)

    if not known:
        return jax.lax.map(one, masks)
    # A broken code fails the run, whatever its block.
    return np.stack([one(m) for m in masks]) + 0 * codes.sum()


def _kernel(z: Any, codes: Any, masks: Any, key: Key) -> Any:
    rows = split_rows(len(z), key)
    masks = jnp.asarray(masks, jnp.float32)
    return held_out_r2(narrowed(z), narrowed(codes), masks, rows)


_PROBES = {"linear": _linear, "kernel": _kernel}


def subspace_r2(
    z: Table,
    codes: Table,
    blocks: Blocks,
    code_blocks: Blocks | None = None,
    *,
    probe: Literal["linear", "kernel"] = "linear",
    match: bool = True,
    key: Key = None,
    failed: Failed = "raise",
) -> SubspaceR2:
    """Which blocks of factors can be read from which blocks of codes.

        M[b, b'] = mean over i in block b of R2(z_i | c_b'), on rows that did not fit
        own = mean_b M[b, pi(b)],   off = the largest other entry of M

    Blocks are recovered up to maps within them if own is near 1, by the probe that fits
    the maps, and they are apart if off is near 0.

    Args:
      z: factors [n, d]; constant ones have R2 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      blocks: the columns of z in each block, such as [[0, 1], [2, 3, 4]].
      code_blocks: the columns of codes in each block. By default a block of factors has
        the codes that `mcc` assigns to its factors, and is paired with these.
      probe: "linear" for least squares, fitted on one half of the rows; "kernel" as in
        `r2`.
      match: whether code_blocks are in any order, and pi is the assignment that makes
        own largest; or else in the order of blocks.
      key: draws the rows that fit; None is the key 0.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      The scores of each run, at most 1, and M. Useless codes score about
      -(codes of a block) / n. NaN for a run with a code that is not finite.

    Raises:
      ValueError: for a wrong shape, unequal rows, fewer than 4 rows, non-finite z, an
        unknown probe, or blocks that overlap, are empty, or name no column.

    Note: Factors that depend on each other keep off above 0 for a perfect code: compare
      it with `subspace_r2(z, z, blocks, blocks, match=False).off`.

    Source: von Kügelgen et al. 2021 (arXiv 2106.04619), with one table for all blocks.
    """
    check.one_of("probe", probe, _PROBES)
    z, codes = checked_pair(z, codes, failed)
    of_factors = _as_masks("blocks", blocks, z.shape[-1])
    given = None
    if code_blocks is not None:
        given = _as_masks("code_blocks", code_blocks, codes.shape[-1])
        if not match and len(given) != len(of_factors):
            raise ValueError(
                f"code_blocks holds {len(given)} blocks and blocks {len(of_factors)}; "
                "without match=True they are paired in order"
            )
    means = of_factors / of_factors.sum(1, keepdims=True)
    in_order = given is None or not match

    def score(z: Any, codes: Any) -> SubspaceR2:
        masks: Any = given
        if masks is None:
            masks = _allowed(jnp.asarray(of_factors, jnp.float32), z, codes)
            masks = np.asarray(masks) if is_known(masks) else masks
        matrix = means @ _PROBES[probe](z, codes, masks, key).T
        pi = np.arange(len(means)) if in_order else pairing(matrix)
        return _summary(matrix, pi)

    return each_run(score, z, codes)


def _summary(matrix: Any, pi: Any) -> SubspaceR2:
    numpy = np if is_known(matrix, pi) else jnp
    apart = pi[:, None] != numpy.arange(matrix.shape[1])[None]
    off = numpy.where(apart, matrix, -numpy.inf).max()
    off = numpy.where(numpy.isfinite(off), off, 0.0) + 0 * matrix.sum()
    return SubspaceR2(taken(matrix, pi).mean(), off, matrix)
