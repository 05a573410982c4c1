"""One small MLP per latent, stacked on a leading axis, as plain pytrees.

All nets share their inputs up to a mask: net k sees `mask[k] * inputs`. A mask shared
by the batch is folded into the first-layer weights, since
`(x * m_k) @ W_k = x @ (m_k[:, None] * W_k)`, so that no masked copy of the inputs
(batch x nets x inputs) is ever made. Masks of each example are drawn where they are
used, by a fused kernel, to the same end.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxdis import sums
from jaxdis.kernels import gumbel_mask
from jaxdis.types import PRNGKey, Scalar

__all__ = ["LARGE", "Draws", "ParallelMLP", "apply", "init", "total"]

LARGE = 2**26  # multiply-adds of a layer that keeps all CPU cores busy by itself


class ParallelMLP(NamedTuple):
    """Parameters of k stacked networks.

    Attributes:
      inputs: the first layer's weights, one array per group of inputs; the products of
        the groups are summed.
      bias: the first layer's biases.
      hidden: the weights of the following hidden layers, which have no biases.
      out: the output's weights.
      out_bias: the output's biases.
    """

    inputs: tuple[Float[Array, "k n h"], ...]
    bias: Float[Array, "k h"]
    hidden: tuple[Float[Array, "k h h2"], ...]
    out: Float[Array, "k h o"]
    out_bias: Float[Array, "k o"]


class Draws(NamedTuple):
    """A mask for each example and net, to be drawn: `gumbel_mask.masked_product`.

    Attributes:
      log_alpha: the logits of the masks.
      key: the key of their noise.
      temperature: the temperature of the relaxation.
      mask: the relaxation, a key of `masks.RELAXATIONS`.
    """

    log_alpha: Float[Array, "k n"]
    key: PRNGKey
    temperature: Scalar
    mask: gumbel_mask.Mask


class _Nets(NamedTuple):
    """What the networks compute with, once the masks are in the first layer.

    Attributes:
      start: what is added to the first layer: its biases, and the products of groups
        whose masks are of each example; of one row where there are none.
      folded: the first layer's weights times their masks, of all other groups.
      hidden: the weights of the following hidden layers.
      out: the output's weights.
      out_bias: the output's biases.
    """

    start: Float[Array, "k b h"] | Float[Array, "k 1 h"]
    folded: tuple[Float[Array, "k n h"], ...]
    hidden: tuple[Float[Array, "k h h2"], ...]
    out: Float[Array, "k h o"]
    out_bias: Float[Array, "k o"]


_OneNet: TypeAlias = Callable[[_Nets], Float[Array, "b o"]]
_Inputs: TypeAlias = tuple[Float[Array, "b _"], ...]
_Dot: TypeAlias = Callable[[Array, Array], Array]
_Of: TypeAlias = tuple[_Nets, PyTree]  # networks, and what else a loss takes of each
Loss: TypeAlias = Callable[[Float[Array, "b o"], Any], Float[Array, ""]]


def init(
    key: PRNGKey, nets: int, inputs: Sequence[int], hidden: Sequence[int], out: int
) -> ParallelMLP:
    """Weights and output bias U(+-1/sqrt(fan_in)), first-layer bias 0.

    Args:
      key: the random key.
      nets: the number of networks k.
      inputs: the sizes of the input groups; each group has its own fan-in.
      hidden: the widths of the hidden layers, at least one.
      out: the number of outputs of each network.

    Raises:
      ValueError: no hidden layer.
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
    x: Float[Array, "b n"],
    weight: Float[Array, "k n h"],
    mask: Float[Array, "b k n"] | Draws,
    precision: jax.lax.PrecisionLike,
) -> Float[Array, "k b h"]:
    """A group's product where every example has masks of its own."""
    if isinstance(mask, Draws):
        logits, key, temperature, kind = mask
        return gumbel_mask.masked_product(
            x, weight, logits, key, temperature, mask=kind, precision=precision
        )
    masked = mask * x[:, None, :]
    return jnp.einsum("bkn,knh->kbh", masked, weight, precision=precision)


def _folded(
    params: ParallelMLP,
    inputs: Sequence[Float[Array, "b _"]],
    masks: Sequence[Float[Array, "k _"] | Float[Array, "b k _"] | Draws],
    precision: jax.lax.PrecisionLike,
) -> tuple[_Nets, _Inputs]:
    """The networks with their masks inside, and the inputs that they still see."""
    start = params.bias[:, None, :]
    seen, folded = [], []
    for x, weight, mask in zip(inputs, params.inputs, masks, strict=True):
        if isinstance(mask, Draws) or mask.ndim == 3:
            start = start + _product_of_examples(x, weight, mask, precision)
        else:
            seen.append(x)
            folded.append(mask[:, :, None] * weight)
    nets = _Nets(start, tuple(folded), params.hidden, params.out, params.out_bias)
    return nets, tuple(seen)


def _output(of: _Nets, seen: _Inputs, dot: _Dot, slope: float) -> Float[Array, "b o"]:
    """One network."""
    h = sum(map(dot, seen, of.folded), of.start)
    for weight in of.hidden:
        h = dot(jax.nn.leaky_relu(h, slope), weight)
    return dot(jax.nn.leaky_relu(h, slope), of.out) + of.out_bias[None]


def _are_large(params: ParallelMLP, rows: int) -> bool:
    return any(rows * weight[0].size >= LARGE for weight in params.hidden)


def _at_once(net: _OneNet, nets: _Nets) -> Float[Array, "k b o"]:
    """All networks in batched products."""
    found: Array = jax.vmap(net)(nets)
    return found


def _one_by_one(net: _OneNet, nets: _Nets) -> Float[Array, "k b o"]:
    """One network after the other: their layers stay in a CPU's caches."""
    return jax.lax.map(net, nets)


def apply(
    params: ParallelMLP,
    inputs: Sequence[Float[Array, "b _"]],
    masks: Sequence[Float[Array, "k _"] | Float[Array, "b k _"] | Draws],
    *,
    slope: float = 0.2,
    precision: jax.lax.PrecisionLike = "highest",
) -> Float[Array, "b k o"]:
    """Evaluates all networks on masked inputs.

    `out_k = MLP_k(sum_g (mask_gk * x_g) W_gk + bias_k)`, leaky ReLU in between.

    Args:
      params: the stacked parameters.
      inputs: one array per input group.
      masks: one mask per group: `[k, n]` shared by the batch, `[b, k, n]` per example,
        or `Draws` of one per example, of which no array is made.
      slope: the slope of the leaky ReLU below zero.
      precision: the precision of the matrix products.

    Returns:
      `[b, k, o]`.

    Raises:
      ValueError: other groups of inputs or of masks than the networks have.
    """
    nets, seen = _folded(params, inputs, masks, precision)
    dot = partial(jnp.matmul, precision=precision)
    net = partial(_output, seen=seen, dot=dot, slope=slope)
    if _are_large(params, len(inputs[0])):
        stacked = jax.lax.platform_dependent(
            nets, cpu=partial(_one_by_one, net), default=partial(_at_once, net)
        )
    else:
        stacked = _at_once(net, nets)
    return stacked.swapaxes(0, 1)


def total(
    params: ParallelMLP,
    inputs: Sequence[Float[Array, "b _"]],
    masks: Sequence[Float[Array, "k _"] | Float[Array, "b k _"] | Draws],
    own: PyTree[Float[Array, "k ..."]],
    loss: Loss,
    *,
    slope: float = 0.2,
    precision: jax.lax.PrecisionLike = "highest",
) -> Float[Array, ""]:
    """The sum of a loss of each network by itself, `sum_k loss(out_k, own_k)`.

    The same as `apply` and the losses of what it gives. But the slopes of a large
    network are found right after its value, before the next network: on a CPU its
    layers then never leave the caches, where `apply` has to keep those of all networks.

    Args:
      params: the stacked parameters.
      inputs: one array per input group.
      masks: one mask per group, as of `apply`.
      own: arrays with an axis of networks in front, of which a loss takes its own.
      loss: `(out [b, o], own) -> loss`; it reads no other array that is traced.
      slope: the slope of the leaky ReLU below zero.
      precision: the precision of the matrix products.

    Raises:
      ValueError: other groups of inputs or of masks than the networks have.

    Note:
      Of large networks it has derivatives of the first order alone, in reverse mode.
    """
    nets, seen = _folded(params, inputs, masks, precision)

    def of_one(dot: _Dot, seen: _Inputs, of: _Of) -> Float[Array, ""]:
        net, mine = of
        return loss(_output(net, seen, dot, slope), mine)

    usual = partial(of_one, partial(jnp.matmul, precision=precision))
    if not _are_large(params, len(inputs[0])):
        return _sum_at_once(usual, seen, (nets, own))
    in_turn = partial(of_one, partial(_product, precision))
    return _sum(usual, in_turn, seen, (nets, own))


_Term: TypeAlias = sums.Term[_Inputs, _Of]


def _sum_at_once(term: _Term, seen: _Inputs, of: _Of) -> Float[Array, ""]:
    return jax.vmap(term, (None, 0))(seen, of).sum()


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _sum(usual: _Term, in_turn: _Term, seen: _Inputs, of: _Of) -> Float[Array, ""]:
    """The sum over large networks; a CPU takes one after the other."""
    found: Array = jax.lax.platform_dependent(
        seen,
        of,
        cpu=partial(sums.total, in_turn),
        default=partial(_sum_at_once, usual),
    )
    return found


def _sum_and_slopes(usual: _Term, in_turn: _Term, seen: _Inputs, of: _Of) -> Any:
    at_once = partial(_sum_at_once, usual)
    return jax.lax.platform_dependent(
        seen,
        of,
        cpu=partial(sums.total_and_slopes, in_turn),
        default=jax.value_and_grad(at_once, (0, 1)),
    )


_sum.defvjp(_sum_and_slopes, lambda usual, in_turn, slopes, by: sums.scaled(slopes, by))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _product(
    precision: jax.lax.PrecisionLike, x: Float[Array, "b n"], w: Float[Array, "n h"]
) -> Float[Array, "b h"]:
    """A product whose slopes are found by products of rows, which CPUs like best.

    That of the weights sums over the rows of both factors. The smaller one of them is
    transposed before, instead of a product with another loop order.
    """
    return jnp.matmul(x, w, precision=precision)


def _product_and_factors(
    precision: jax.lax.PrecisionLike, x: Array, w: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _product(precision, x, w), (x, w)


def _slopes_of_product(
    precision: jax.lax.PrecisionLike, factors: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    x, w = factors
    dot = partial(jnp.matmul, precision=precision)
    before = jax.lax.optimization_barrier
    if x.shape[1] <= w.shape[1]:
        of_weights = dot(before(x.T), slope)
    else:
        of_weights = dot(before(slope.T), x).T
    return dot(slope, w.T), of_weights


_product.defvjp(_product_and_factors, _slopes_of_product)
