"""The definition of the fused Gumbel-sigmoid layer, one latent and one block of rows.

    e   = log u - log(1 - u),  u uniform from the random bits of (row, latent, input)
    m   = sample(log_alpha, e, tau),  a relaxation of `masks`
    out = (m o x) W

The bits are those of `jax.random.bits(key, (b, k, n))`: Threefry-2x32 with 20 rounds of
the element's number, whose two words are added without carry. Any block of them can
thus be made anew from the key, which is what lets the backward pass store none.
"""

from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped, UInt32

from jaxdis import masks

__all__ = [
    "Arguments",
    "Mask",
    "Setting",
    "Words",
    "block",
    "logistic",
    "masked_product",
    "numbers",
    "threefry",
]

Mask: TypeAlias = Literal["soft", "straight_through", "hard_concrete"]
Words: TypeAlias = tuple[UInt32[Array, ""], UInt32[Array, ""]]
"""The two words of a key of Threefry."""

PARITY = 0x1BD11BDA  # of the key schedule
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
TINY = 1.1754943508222875e-38  # smallest normal float32, so that no noise is infinite


class Arguments(NamedTuple):
    """The arrays of the layer.

    Attributes:
      x: the inputs.
      weight: the weights of all latents, of the type of the inputs.
      log_alpha: the logits of the masks.
      temperature: the temperature tau of the relaxation.
      words: the two words of the key of the noise.
    """

    x: Float[Array, "b n"]
    weight: Float[Array, "k n h"]
    log_alpha: Float[Array, "k n"]
    temperature: Float[Array, ""]
    words: UInt32[Array, "2"]


class Setting(NamedTuple):
    """What is static.

    Attributes:
      mask: the relaxation, a key of `masks.RELAXATIONS`.
      precision: the precision of the matrix products, which are summed in float32.
    """

    mask: Mask
    precision: jax.lax.PrecisionLike


def threefry(
    key: Words, x0: UInt32[Array, "*s"], x1: UInt32[Array, "*s"]
) -> tuple[UInt32[Array, "*s"], UInt32[Array, "*s"]]:
    """Two random words for each pair of counters.

    Args:
      key: the two words of the key.
      x0: the first counter of each pair.
      x1: the second one.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    keys = (*key, key[0] ^ key[1] ^ jnp.uint32(PARITY))
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for i in range(5):
        for r in ROTATIONS[i % 2]:
            x0 = x0 + x1
            x1 = (x1 << jnp.uint32(r)) | (x1 >> jnp.uint32(32 - r))
            x1 = x1 ^ x0
        x0 = x0 + keys[(i + 1) % 3]
        x1 = x1 + keys[(i + 2) % 3] + jnp.uint32(i + 1)
    return x0, x1


def logistic(key: Words, index: UInt32[Array, "*s"]) -> Float[Array, "*s"]:
    """Standard logistic noise of each element, `jax.random.logistic` to rounding.

    Uses no operation that compiled kernels lack: 23 random bits go through an integer,
    and 1 - u is exact, so that its logarithm needs no log1p.
    """
    first, second = threefry(key, jnp.zeros_like(index), index)
    bits = (first ^ second) >> jnp.uint32(9)
    u = bits.astype(jnp.int32).astype(jnp.float32) * jnp.float32(2.0**-23)
    return jnp.log(jnp.maximum(u, TINY)) - jnp.log(1.0 - u)


def numbers(
    shape: tuple[int, int],
    whole: tuple[int, int],
    first: tuple[Shaped[Array, ""] | int, ...],
) -> UInt32[Array, "b n"]:
    """The number of each element of a block in the whole `[b, k, n]`, rows first.

    Args:
      shape: the rows and inputs of the block.
      whole: how many latents and inputs there are, `(k, n)`.
      first: the first row of the block, its latent, and its first input.
    """
    row, latent, column = (jnp.asarray(i, jnp.uint32) for i in first)
    latents, inputs = (jnp.uint32(size) for size in whole)

    def count(axis: int) -> UInt32[Array, "b n"]:
        return jax.lax.broadcasted_iota(jnp.int32, shape, axis).astype(jnp.uint32)

    return ((row + count(0)) * latents + latent) * inputs + (column + count(1))


def block(
    arguments: Arguments, setting: Setting, index: UInt32[Array, "b n"]
) -> Float[Array, "b h"]:
    """One latent's masked product for a block of rows, in float32.

    Products are taken in the type of x and summed in float32. Those of bfloat16 numbers
    are exact in float32, and TPUs refuse a higher precision for them.

    Args:
      arguments: a block of rows and one latent's weights `[n, h]` and logits `[1, n]`;
        a temperature that broadcasts to these; words that may be a tuple.
      setting: what is static.
      index: `numbers` of the block.
    """
    x, weight, log_alpha, temperature, words = arguments
    noise = logistic((words[0], words[1]), index)
    sample = masks.RELAXATIONS[setting.mask].sample
    seen = (sample(log_alpha, noise, temperature) * x).astype(x.dtype)
    precision = setting.precision if x.dtype == jnp.float32 else "default"
    return jnp.matmul(
        seen, weight, precision=precision, preferred_element_type=jnp.float32
    )


def masked_product(arguments: Arguments, setting: Setting) -> Float[Array, "k b h"]:
    """All latents, unfused: noise and masks `[k, b, n]` are arrays."""
    (b, n), k = arguments.x.shape, len(arguments.weight)

    def one(
        weight: Float[Array, "n h"],
        log_alpha: Float[Array, "n"],
        latent: Int[Array, ""],
    ) -> Float[Array, "b h"]:
        of = arguments._replace(weight=weight, log_alpha=log_alpha[None])
        return block(of, setting, numbers((b, n), (k, n), (0, latent, 0)))

    return jax.vmap(one)(arguments.weight, arguments.log_alpha, jnp.arange(k))
