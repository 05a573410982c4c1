"""Stacked potentials u^k(z, t) with all the derivatives that a flow needs.

`derivatives` is the operation: value, time derivative, gradient and Hessian-vector
product of every potential in one pass, from closed forms, so that training
differentiates once, in reverse, and never nests autodiff. `clock` computes what
depends on time alone, once for all steps. Float32 throughout.

Source: Song et al. 2023, "Flow Factorized Representation Learning" (arXiv 2309.13167),
for the networks; the closed forms are worked out in `ref`.
"""

from jaxtyping import Array, Float

from jaxdis import kernels
from jaxdis.kernels import Form, Impl, Sizes
from jaxdis.kernels.potential_flow import mosaic_gpu, pallas, xla
from jaxdis.kernels.potential_flow.initial import check_sizes, init
from jaxdis.kernels.potential_flow.ref import (
    Arguments,
    Clock,
    Derivatives,
    Head,
    Potentials,
    clock,
    hessian,
    value,
)

__all__ = [
    "FORMS",
    "Clock",
    "Derivatives",
    "Head",
    "Potentials",
    "check_sizes",
    "clock",
    "derivatives",
    "hessian",
    "init",
    "value",
]

FORMS: dict[str, Form] = {
    "xla": xla.FORM,
    "pallas_tpu": pallas.COMPILED,
    "pallas_gpu": mosaic_gpu.COMPILED,
    "interpret": pallas.INTERPRETED,
}


def derivatives(
    params: Potentials,
    at: Clock,
    z: Float[Array, "b n"],
    v: Float[Array, "b n"] | None,
    head: Head,
    *,
    impl: Impl | None = None,
) -> Derivatives:
    """Value, time derivative, gradient and Hessian-vector product of all potentials.

    `u^k`, `d u^k / d t`, `grad u^k` and `(grad grad' u^k) v` at every point.

    Args:
      params: the k networks.
      at: `clock` of one time, `[k, h]`.
      z: the points.
      v: a direction for every point, or None for no product.
      head: what the networks end with, "linear" or "tanh".
      impl: which form runs; see `jaxdis.kernels`.

    Returns:
      Arrays `[k, b]` and `[k, b, n]`, differentiable, in reverse, in all arguments.

    Raises:
      ValueError: a kernel on a platform that has none.
    """
    k, n, h = params.w1.shape
    arguments, sizes = Arguments(params, at, z, v), Sizes(len(z), n, k, h, z.dtype)
    return kernels.run("potential_flow", FORMS, arguments, head, sizes, impl)
