"""The first layer of many small networks whose inputs are masked at random.

`out_k = (m_k o x) W_k` with `m_bkn = sample(log_alpha_kn, e_bkn, tau)`, a mask for each
example, latent and input, of logistic noise e. Noise, mask and masked inputs are
`[b, k, n]`, often the largest arrays of a step by far. Here none of them is kept: a
block of them is made where it is used, in the forward and again in the backward pass,
from the key.

Sources: Maddison et al. 2017 (arXiv 1611.00712), the relaxation; Lachapelle et al. 2022
(arXiv 2107.10098), masked transition networks.
"""

from typing import get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from jaxdis import kernels
from jaxdis.kernels import Form, Impl, Sizes
from jaxdis.kernels.gumbel_mask import mosaic_gpu, pallas, xla
from jaxdis.kernels.gumbel_mask.ref import Arguments, Mask, Setting
from jaxdis.types import PRNGKey, Scalar

__all__ = ["FORMS", "Mask", "masked_product"]

FORMS: dict[str, Form] = {
    "xla": xla.FORM,
    "pallas_tpu": pallas.COMPILED,
    "pallas_gpu": mosaic_gpu.COMPILED,
    "interpret": pallas.INTERPRETED,
}


def masked_product(
    x: Float[Array, "b n"],
    weight: Float[Array, "k n h"],
    log_alpha: Float[Array, "k n"],
    key: PRNGKey,
    temperature: Scalar,
    *,
    mask: Mask = "soft",
    precision: jax.lax.PrecisionLike = "highest",
    impl: Impl | None = None,
) -> Float[Array, "k b h"]:
    """`out_kb = sum_n m_bkn x_bn W_kn` with masks drawn from the key.

    The noise is that of `jaxdis.masks.logistic_noise(key, (b, k, n))`.

    Args:
      x: the inputs, float32 or bfloat16.
      weight: the weights of all latents, of the same type.
      log_alpha: the logits of the masks.
      key: the key of the noise.
      temperature: the temperature tau of the relaxation.
      mask: the relaxation, a key of `jaxdis.masks.RELAXATIONS`.
      precision: the precision of the matrix products, which are summed in float32.
      impl: which form runs; see `jaxdis.kernels`.

    Returns:
      `[k, b, h]` in float32, differentiable, in reverse, in all float arguments.

    Raises:
      ValueError: sizes or types that do not fit; an unknown mask; 2^32 masks or more in
        a draw; a kernel on a platform that has none.
    """
    _check(x, weight, log_alpha, mask)
    (b, n), (k, _, h) = x.shape, weight.shape
    tau = jnp.asarray(temperature, jnp.float32)
    arguments = Arguments(x, weight, log_alpha, tau, _words(key))
    setting, sizes = Setting(mask, precision), Sizes(b, n, k, h, x.dtype)
    return kernels.run("gumbel_mask", FORMS, arguments, setting, sizes, impl)


def _words(key: PRNGKey) -> UInt32[Array, "2"]:
    """The two words of Threefry's key, drawn if the key is of another generator."""
    if str(jax.random.key_impl(key)) == "threefry2x32":
        return jax.random.key_data(key)
    return jax.random.bits(key, (2,))


def _check(x: Array, weight: Array, log_alpha: Array, mask: str) -> None:
    if mask not in get_args(Mask):
        raise ValueError(f"mask must be one of {', '.join(get_args(Mask))}, got {mask}")
    if x.ndim != 2 or weight.ndim != 3 or x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"x must be [b, n] and weight [k, n, h], got {x.shape} and {weight.shape}"
        )
    if log_alpha.shape != weight.shape[:2]:
        raise ValueError(
            "log_alpha must be [k, n], a row for each latent of weight, "
            f"{weight.shape[:2]}; got {log_alpha.shape}"
        )
    if x.dtype != weight.dtype or x.dtype not in (jnp.float32, jnp.bfloat16):
        raise ValueError(
            "x and weight must both be float32 or both bfloat16, got "
            f"{x.dtype} and {weight.dtype}"
        )
    if x.size * len(weight) >= 2**32:
        raise ValueError(
            "b k n must be below 2^32, the numbers that the noise is counted by; got "
            f"{len(x)} x {len(weight)} x {x.shape[1]}"
        )
