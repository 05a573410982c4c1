"""One small MLP per latent, stacked on a leading axis, as plain pytrees.

All nets share their inputs up to a mask: net k sees `mask[k] * inputs`. A mask shared
by the batch is folded into the first-layer weights, since
`(x * m_k) @ W_k = x @ (m_k[:, None] * W_k)`, so that no masked copy of the inputs
(batch x nets x inputs) is ever made. Masks of each example are drawn where they are
used, by a fused kernel, to the same end.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis.kernels import gumbel_mask
from jaxdis.types import PRNGKey, Scalar

LARGE = 2**26  # multiply-adds of a layer that keeps all CPU cores busy by itself


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


# Start of the first layer, folded weights, hidden weights, output weight and bias.
_Net: TypeAlias = tuple[Array, tuple[Array, ...], tuple[Array, ...], Array, Array]


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


def _product_of_examples(
    x: Array, weight: Array, mask: Array | Draws, precision: jax.lax.PrecisionLike
) -> Float[Array, "k b h"]:
    """A group's product where every example has masks of its own."""
    if isinstance(mask, Draws):
        logits, key, temperature, kind = mask
        return gumbel_mask.masked_product(
            x, weight, logits, key, temperature, mask=kind, precision=precision
        )
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
    start = params.bias[:, None, :]
    seen, folded = [], []
    for x, weight, mask in zip(inputs, params.inputs, masks, strict=True):
        if isinstance(mask, Draws) or mask.ndim == 3:
            start = start + _product_of_examples(x, weight, mask, precision)
        else:
            seen.append(x)
            folded.append(mask[:, :, None] * weight)

    def net(of: _Net) -> Float[Array, "b o"]:
        start, folded, hidden, out, out_bias = of
        dot = partial(jnp.matmul, precision=precision)
        h = sum(map(dot, seen, folded), start)
        for weight in hidden:
            h = dot(jax.nn.leaky_relu(h, slope), weight)
        return dot(jax.nn.leaky_relu(h, slope), out) + out_bias[None]

    nets = (start, tuple(folded), params.hidden, params.out, params.out_bias)
    rows = len(inputs[0])
    large = any(rows * w[0].size >= LARGE for w in params.hidden)
    if large and jax.default_backend() == "cpu":
        # One after the other: their layers stay in the cores' caches.
        stacked = jax.lax.map(net, nets)
    else:
        stacked = jax.vmap(net)(nets)
    return stacked.swapaxes(0, 1)
