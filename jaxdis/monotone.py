"""Increasing maps of single numbers whose parameters another network gives.

A deep dense sigmoidal flow of two blocks, 1 -> 10 -> 1, with SELU in place of the
sigmoid: positive slopes and convex combinations all the way, so it increases. It is
bounded below by -1.758, so it is not onto by itself; `x + g f(x)` with g >= 0 is.

Source: Huang et al. 2018, "Neural autoregressive flows" (arXiv 1804.00779), the layers;
Li et al. 2025 (arXiv 2503.00639), released code, for the sizes and the SELU.
"""

import math
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis.types import PRNGKey

__all__ = [
    "PARAMETERS",
    "Shared",
    "SharedBlock",
    "ddsf",
    "ddsf_and_slope",
    "init_shared",
]

_WIDTH = 10
_BLOCKS = ((1, _WIDTH), (_WIDTH, 1))  # inputs and outputs of each block
_BOUND = 1e-3  # on the logits that are drawn at the start
# softplus(_SHIFT) is 1, up to the 1e-7 that keeps the logarithm away from its edge.
_SHIFT = math.log(math.expm1(1 - 1e-7))


def _block_size(inputs: int) -> int:
    return 3 * _WIDTH + inputs


PARAMETERS = sum(_block_size(inputs) for inputs, _ in _BLOCKS)
"""Parameters of one map."""


class SharedBlock(NamedTuple):
    """What all maps have in common in one block; i inputs, h hidden units, o outputs.

    Attributes:
      mix_in: U, the logits of the combinations of inputs.
      mix_out: W, the logits of the combinations of hidden units.
    """

    mix_in: Float[Array, "h i"]
    mix_out: Float[Array, "o h"]


Shared: TypeAlias = tuple[SharedBlock, ...]


def init_shared(key: PRNGKey) -> Shared:
    """Logits drawn from U(-1e-3, 1e-3)."""

    def draw(key: PRNGKey, *shape: int) -> Array:
        return jax.random.uniform(key, shape, minval=-_BOUND, maxval=_BOUND)

    keys = jax.random.split(key, (len(_BLOCKS), 2))
    return tuple(
        SharedBlock(draw(first, _WIDTH, inputs), draw(second, outputs, _WIDTH))
        for (first, second), (inputs, outputs) in zip(keys, _BLOCKS, strict=True)
    )


def _block(
    theta: Float[Array, "*n p"], shared: SharedBlock, x: Float[Array, "*n i"]
) -> Float[Array, "*n o"]:
    # Each logit of a map is added to a row or to a column of the shared ones.
    slope, bias, out, inner = jnp.split(
        theta, [_WIDTH, 2 * _WIDTH, 3 * _WIDTH], theta.ndim - 1
    )
    ones = (1,) * (theta.ndim - 1)
    mix_in = shared.mix_in.reshape(*ones, *shared.mix_in.shape)
    mix_out = shared.mix_out.reshape(*ones, *shared.mix_out.shape)
    mix_in = jax.nn.softmax(mix_in + inner[..., None, :])
    mix_out = jax.nn.softmax(mix_out + out[..., None, :])
    seen = jnp.sum(mix_in * x[..., None, :], -1)
    hidden = jax.nn.selu(jax.nn.softplus(slope + _SHIFT) * seen + bias)
    return jnp.sum(mix_out * hidden[..., None, :], -1)


def ddsf(
    theta: Float[Array, "..."], shared: Shared, x: Float[Array, "*n"]
) -> Float[Array, "*n"]:
    """Increasing maps f of single numbers, one map per number.

    In each block, with `theta = (a', b, w, u)` of the map and U, W of all maps,

    `out = softmax(W + w) selu(softplus(a' + log(e - 1)) (softmax(U + u) in) + b)`,

    softmax over hidden units and over inputs. `f' > 0`, with jumps of a factor 1.67
    where a SELU changes sign.

    Args:
      theta: 71 parameters of each map [*n, 71], 31 of the first block and 40 of the
        second.
      shared: parameters that all maps share; see `init_shared`.
      x: one number for each map.

    Raises:
      ValueError: for another number of parameters, or of maps than numbers.

    Note: distrax has no such flow.
    """
    if theta.shape[-1] != PARAMETERS or theta.shape[:-1] != x.shape:
        raise ValueError(
            f"theta must be [*n, {PARAMETERS}] for x [*n], got {theta.shape} for "
            f"{x.shape}"
        )
    first = _block_size(_BLOCKS[0][0])
    hidden = _block(theta[..., :first], shared[0], x[..., None])
    return _block(theta[..., first:], shared[1], hidden)[..., 0]


def ddsf_and_slope(
    theta: Float[Array, "*n p"], shared: Shared, x: Float[Array, "*n"]
) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """`f(x)` and `f'(x)` of `ddsf`; no map sees another's number: one tangent does.

    Args:
      theta: parameters of each map.
      shared: parameters that all maps share.
      x: one number for each map.
    """
    return jax.jvp(lambda x: ddsf(theta, shared, x), (x,), (jnp.ones_like(x),))
