"""Kernel ridge regression of factors on codes, scored on rows that did not fit."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float, Int

from jaxdis.metrics.columns import standardise
from jaxdis.metrics.inputs import Key, halves
from jaxdis.metrics.least_squares import determination

__all__ = ["held_out_r2", "split_rows"]

FIT_ROWS, JUDGE_ROWS = 512, 2048  # at most
KERNEL_RIDGE = 0.1
CG_STEPS = 300

Indices = Int[np.ndarray | Array, "_"]
Rows = tuple[Indices, Indices]


def split_rows(n: int, key: Key = None) -> Rows:
    """The rows that fit and those that judge: a random half each, or as many as fit.

    At random, because data may come sorted, or in turns, by domain.

    Args:
      n: the number of rows.
      key: draws the halves; None is the key 0.

    Raises:
      ValueError: for fewer than 4 rows.
    """
    fit, judge = halves(key, n)
    return fit[:FIT_ROWS], judge[:JUDGE_ROWS]


def _not_negative(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """A maximum that keeps NaN, which XLA's on CPUs need not."""
    return jnp.where(x < 0, 0.0, x)


def _kernel(
    a: Float[Array, "m k"], b: Float[Array, "n k"], gamma: Float[Array, ""]
) -> Float[Array, "m n"]:
    products = jnp.matmul(a, b.T, precision="highest")
    distances = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * products
    return jnp.exp(-gamma * _not_negative(distances))


@jax.jit
def held_out_r2(
    z: Float[Array, "n d"],
    codes: Float[Array, "n k"],
    masks: Float[Array, "m k"],
    rows: Rows,
) -> Float[Array, "m d"]:
    """R2 of each factor on the codes of each mask; 0 if it does not vary where judged.

    Args:
      z: factors.
      codes: codes of the same samples.
      masks: 1 for codes that are seen.
      rows: those that fit, and those that judge.
    """
    fit, judge = rows
    z, codes = standardise(z), standardise(codes)

    def ridged(gram: Array, w: Array) -> Array:
        return jnp.matmul(gram, w, precision="highest") + KERNEL_RIDGE * w

    def one(used: Float[Array, "k"]) -> Float[Array, "d"]:
        seen, gamma = codes * used[None], 1 / jnp.maximum(used.sum(), 1.0)
        gram = _kernel(seen[fit], seen[fit], gamma)
        # A tenth of the time of elimination: the ridge keeps it well conditioned.
        weights, _ = cg(partial(ridged, gram), z[fit], tol=1e-6, maxiter=CG_STEPS)
        across = _kernel(seen[judge], seen[fit], gamma)
        fitted = jnp.matmul(across, weights, precision="highest")
        return jnp.asarray(determination(z[judge], fitted))

    return jax.lax.map(one, masks)  # one at a time: seeds multiply the kernels
