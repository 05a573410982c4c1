"""The fused Gumbel-sigmoid layer in XLA: a few latents at a time.

A loop over groups of latents keeps what is `[b, k, n]` to the size of a group, small
enough for a core's cache and large enough to keep the products busy.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdis.kernels import Form, recomputed
from jaxdis.kernels.gumbel_mask import ref
from jaxdis.kernels.gumbel_mask.ref import Arguments, Setting

__all__ = ["FORM", "GROUP", "latents_of_a_group"]

GROUP = 2**17  # masks of a group: 512 KiB


def latents_of_a_group(b: int, k: int, n: int) -> int:
    """A divisor of k.

    Args:
      b: the number of rows.
      k: the number of latents.
      n: the number of inputs.
    """
    fit = [d for d in range(1, k + 1) if k % d == 0 and d * b * n <= GROUP]
    return max(fit, default=1)


def _some(
    first: Int[Array, ""],
    arguments: Arguments,
    setting: Setting,
    latents: int,
    x: Float[Array, "b n"],
    weight: Float[Array, "g n h"],
    log_alpha: Float[Array, "g n"],
    temperature: Float[Array, ""],
) -> Float[Array, "g b h"]:
    """The product of a group of latents, of which `first` is the first."""
    b, n = x.shape

    def one(
        weight: Float[Array, "n h"],
        log_alpha: Float[Array, "n"],
        latent: Int[Array, ""],
    ) -> Float[Array, "b h"]:
        index = ref.numbers((b, n), (latents, n), (0, latent, 0))
        of = Arguments(x, weight, log_alpha[None], temperature, arguments.words)
        return ref.block(of, setting, index)

    return jax.vmap(one)(weight, log_alpha, first + jnp.arange(len(weight)))


def _forward(arguments: Arguments, setting: Setting) -> Float[Array, "k b h"]:
    """`ref.masked_product`, group by group."""
    x, weight, log_alpha, temperature, _ = arguments
    k = len(weight)
    size = latents_of_a_group(len(x), k, x.shape[1])

    def group(at: tuple[Array, Array, Array]) -> Float[Array, "g b h"]:
        first, weight, log_alpha = at
        return _some(first, arguments, setting, k, x, weight, log_alpha, temperature)

    groups = (jnp.arange(0, k, size), *_split(size, weight, log_alpha))
    return jax.lax.map(group, groups).reshape(k, len(x), -1)


def _backward(
    arguments: Arguments, setting: Setting, g: Float[Array, "k b h"]
) -> Arguments:
    """The gradients, with masks drawn anew."""
    x, weight, log_alpha, temperature, words = arguments
    k = len(weight)
    size = latents_of_a_group(len(x), k, x.shape[1])

    def group(
        sums: tuple[Array, Array], at: tuple[Array, ...]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        first, weight, log_alpha, g = at
        product = partial(_some, first, arguments, setting, k)
        _, pull = jax.vjp(product, x, weight, log_alpha, temperature)
        dx, dw, da, dt = pull(g)
        return (sums[0] + dx.astype(jnp.float32), sums[1] + dt), (dw, da)

    zeros = (jnp.zeros(x.shape, jnp.float32), jnp.zeros_like(temperature))
    groups = (jnp.arange(0, k, size), *_split(size, weight, log_alpha, g))
    (dx, dt), (dw, da) = jax.lax.scan(group, zeros, groups)
    dw, da = dw.reshape(weight.shape), da.reshape(log_alpha.shape)
    none: Any = np.zeros(words.shape, jax.dtypes.float0)
    return Arguments(dx.astype(x.dtype), dw, da, dt, none)


def _split(size: int, *arrays: Array) -> tuple[Array, ...]:
    return tuple(a.reshape(-1, size, *a.shape[1:]) for a in arrays)


FORM = Form(recomputed(_forward, _backward), lambda sizes: None)
