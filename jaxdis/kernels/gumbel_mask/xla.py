"""The fused Gumbel-sigmoid layer in XLA: a few latents at a time.

A loop over groups of latents keeps what is `[b, k, n]` to the size of a group, small
enough for a core's cache and large enough to keep the products busy.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from jaxdis.kernels.gumbel_mask import ref
from jaxdis.kernels.gumbel_mask.ref import Mask

GROUP = 2**17  # masks of a group: 512 KiB


def _group(b: int, k: int, n: int) -> int:
    """Latents of a group: a divisor of k."""
    fit = [d for d in range(1, k + 1) if k % d == 0 and d * b * n <= GROUP]
    return max(fit, default=1)


def _some(
    first: Array,
    words: UInt32[Array, "2"],
    mask: Mask,
    precision: jax.lax.PrecisionLike,
    latents: int,
    x: Float[Array, "b n"],
    weight: Float[Array, "g n h"],
    log_alpha: Float[Array, "g n"],
    temperature: Array,
) -> Float[Array, "g b h"]:
    """The product of a group of latents, of which `first` is the first."""

    def one(weight: Array, log_alpha: Array, latent: Array) -> Array:
        index = ref.numbers(x.shape[0], x.shape[1], latents, 0, latent)
        key = (words[0], words[1])
        return ref.block(
            x, weight, log_alpha[None], temperature, key, index, mask, precision
        )

    return jax.vmap(one)(weight, log_alpha, first + jnp.arange(len(weight)))


def forward(
    x: Float[Array, "b n"],
    weight: Float[Array, "k n h"],
    log_alpha: Float[Array, "k n"],
    temperature: Array,
    words: UInt32[Array, "2"],
    mask: Mask,
    precision: jax.lax.PrecisionLike,
) -> Float[Array, "k b h"]:
    """`ref.masked_product`, group by group."""
    k = len(weight)
    size = _group(len(x), k, x.shape[1])

    def group(at: tuple[Array, Array, Array]) -> Array:
        first, weight, log_alpha = at
        return _some(
            first, words, mask, precision, k, x, weight, log_alpha, temperature
        )

    groups = (jnp.arange(0, k, size), *_split(size, weight, log_alpha))
    return jax.lax.map(group, groups).reshape(k, len(x), -1)


def backward(
    x: Float[Array, "b n"],
    weight: Float[Array, "k n h"],
    log_alpha: Float[Array, "k n"],
    temperature: Array,
    words: UInt32[Array, "2"],
    g: Float[Array, "k b h"],
    mask: Mask,
    precision: jax.lax.PrecisionLike,
) -> tuple[Array, Array, Array, Array]:
    """Gradients in x, weight, log_alpha and temperature, masks drawn anew."""
    k = len(weight)
    size = _group(len(x), k, x.shape[1])

    def group(
        sums: tuple[Array, Array], at: tuple[Array, ...]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        first, weight, log_alpha, g = at
        product = partial(_some, first, words, mask, precision, k)
        _, pull = jax.vjp(product, x, weight, log_alpha, temperature)
        dx, dw, da, dt = pull(g)
        return (sums[0] + dx.astype(jnp.float32), sums[1] + dt), (dw, da)

    zeros = (jnp.zeros(x.shape, jnp.float32), jnp.zeros_like(temperature))
    groups = (jnp.arange(0, k, size), *_split(size, weight, log_alpha, g))
    (dx, dt), (dw, da) = jax.lax.scan(group, zeros, groups)
    dw, da = dw.reshape(weight.shape), da.reshape(log_alpha.shape)
    return dx.astype(x.dtype), dw, da, dt


def _split(size: int, *arrays: Array) -> tuple[Array, ...]:
    return tuple(a.reshape(-1, size, *a.shape[1:]) for a in arrays)
