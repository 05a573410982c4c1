"""One small MLP per latent, stacked on a leading axis, as plain pytrees.

All nets share their inputs up to a mask: net k sees `mask[k] * inputs`. A mask shared
by the batch is folded into the first-layer weights, since
`(x * m_k) @ W_k = x @ (m_k[:, None] * W_k)`, so that no masked copy of the inputs
(batch x nets x inputs) is ever made. Masks of each example are drawn where they are
used, by a fused kernel, to the same end.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis.kernels import gumbel_mask
from jaxdis.types import PRNGKey, Scalar


class ParallelMLP(NamedTuple):
    """Parameters of k stacked networks.

    Attributes:
      inputs: one first-layer weight `[k, n, h]` per group of inputs; the products of
        the groups are summed.
      bias: the first layer's bias `[k, h]`.
      hidden: weights `[k, h, h']` of the following hidden layers, without bias.
      out: output weight `[k, h, o]`.
      out_bias: `[k, o]`.
    """

    inputs: tuple[Float[Array, "k n h"], ...]
    bias: Float[Array, "k h"]
    hidden: tuple[Float[Array, "k h h2"], ...]
    out: Float[Array, "k h o"]
    out_bias: Float[Array, "k o"]


class Draws(NamedTuple):
    """A mask for each example and net, to be drawn: `gumbel_mask.masked_product`.

    Attributes:
      log_alpha: logits of the masks.
      key: of their noise.
      temperature: of the relaxation.
      mask: the relaxation, a key of `masks.RELAXATIONS`.
    """

    log_alpha: Float[Array, "k n"]
    key: PRNGKey
    temperature: Scalar
    mask: gumbel_mask.Mask


def init(
    key: PRNGKey, nets: int, inputs: Sequence[int], hidden: Sequence[int], out: int
) -> ParallelMLP:
    """Weights and output bias U(+-1/sqrt(fan_in)), first-layer bias 0.

    Args:
      key: random key.
      nets: number of networks k.
      inputs: sizes of the input groups; each group has its own fan-in.
      hidden: widths of the hidden layers, at least one.
      out: outputs of each network.
    """
    if not hidden:
        raise ValueError("hidden must name at least one layer width, got ()")
    keys = iter(jax.random.split(key, len(inputs) + len(hidden) + 1))

    def weight(fan_in: int, shape: tuple[int, ...]) -> Array:
        bound = fan_in**-0.5
        return jax.random.uniform(next(keys), shape, minval=-bound, maxval=bound)

    first, last = hidden[0], hidden[-1]
    return ParallelMLP(
        inputs=tuple(weight(n, (nets, n, first)) for n in inputs),
        bias=jnp.zeros((nets, first)),
        hidden=tuple(weight(n, (nets, n, m)) for n, m in pairwise(hidden)),
        out=weight(last, (nets, last, out)),
        out_bias=weight(last, (nets, out)),
    )


def _masked_product(
    x: Array, weight: Array, mask: Array | Draws, precision: jax.lax.PrecisionLike
) -> Array:
    if isinstance(mask, Draws):
        logits, key, temperature, kind = mask
        return gumbel_mask.masked_product(
            x, weight, logits, key, temperature, mask=kind, precision=precision
        )
    if mask.ndim == 2:
        folded = mask[:, :, None] * weight
        return jnp.einsum("bn,knh->kbh", x, folded, precision=precision)
    masked = mask * x[:, None, :]
    return jnp.einsum("bkn,knh->kbh", masked, weight, precision=precision)


def apply(
    params: ParallelMLP,
    inputs: Sequence[Float[Array, "b n"]],
    masks: Sequence[Float[Array, "k n"] | Float[Array, "b k n"] | Draws],
    *,
    slope: float = 0.2,
    precision: jax.lax.PrecisionLike = "highest",
) -> Float[Array, "b k o"]:
    """Evaluates all networks on masked inputs.

    `out_k = MLP_k(sum_g (mask_gk * x_g) W_gk + bias_k)`, leaky ReLU in between.

    Args:
      params: stacked parameters.
      inputs: one array per input group.
      masks: one mask per group: `[k, n]` shared by the batch, `[b, k, n]` per example,
        or `Draws` of one per example, of which no array is made.
      slope: of the leaky ReLU.
      precision: of the matrix products.

    Returns:
      `[b, k, o]`.
    """
    products = (
        _masked_product(x, w, m, precision)
        for x, w, m in zip(inputs, params.inputs, masks, strict=True)
    )
    h = sum(products) + params.bias[:, None, :]
    for weight in params.hidden:
        h = jax.nn.leaky_relu(h, slope)
        h = jnp.einsum("kbh,khm->kbm", h, weight, precision=precision)
    h = jax.nn.leaky_relu(h, slope)
    out = jnp.einsum("kbh,kho->bko", h, params.out, precision=precision)
    return out + params.out_bias[None]
