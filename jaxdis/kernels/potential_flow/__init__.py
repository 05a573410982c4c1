"""Stacked potentials u^k(z, t) with all the derivatives that a flow needs.

`derivatives` is the operation: value, time derivative, gradient and Hessian-vector
product of every potential in one pass, from closed forms, so that training
differentiates once, in reverse, and never nests autodiff. `clock` computes what
depends on time alone, once for all steps. Float32 throughout.

Source: Song et al. 2023, "Flow Factorized Representation Learning" (arXiv 2309.13167),
for the networks; the closed forms are worked out in `ref`.
"""

from jaxtyping import Array, Float

from jaxdis.kernels import Impl, choose
from jaxdis.kernels.potential_flow import mosaic_gpu, pallas, ref
from jaxdis.kernels.potential_flow.ref import (
    Clock,
    Derivatives,
    Head,
    Potentials,
    check_sizes,
    clock,
    hessian,
    init,
    value,
)

__all__ = [
    "Clock",
    "Derivatives",
    "Head",
    "Potentials",
    "check_sizes",
    "clock",
    "derivatives",
    "hessian",
    "hessian_diagonal",
    "init",
    "value",
]


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
      params: k networks.
      at: `clock` of one time, `[k, h]`.
      z: points.
      v: a direction for every point, or None for no product.
      head: "linear" or "tanh".
      impl: which form runs; see `jaxdis.kernels`.

    Returns:
      Arrays `[k, b]` and `[k, b, n]`, differentiable, in reverse, in all arguments.

    Raises:
      ValueError: a kernel on a platform that has none.
    """
    k, n, h = params.w1.shape
    on_gpu = mosaic_gpu.refusal(len(z), n, k, h, z.dtype)
    refusals = {"tpu": _refusal(params, z), "gpu": on_gpu}
    form = choose(impl, "potential_flow", refusals)
    if form == "xla":
        return ref.derivatives(params, at, z, v, head)
    if form == "pallas_gpu":
        return mosaic_gpu.derivatives(params, at, z, v, head)
    interpret = form == "interpret"
    return pallas.derivatives(params, at, z, v, head, interpret=interpret)


def hessian_diagonal(
    params: Potentials,
    beta: Float[Array, "k h"],
    z: Float[Array, "b n"],
    head: Head,
    *,
    impl: Impl | None = None,
) -> Float[Array, "k b n"]:
    """The diagonal of the Hessian of all potentials, without the Hessian.

    Args:
      params: k networks.
      beta: of `clock` at one time.
      z: points.
      head: "linear" or "tanh".
      impl: which form runs; see `jaxdis.kernels`.

    Returns:
      `[k, b, n]`, differentiable, in reverse, in all arguments.

    Raises:
      ValueError: a kernel on a platform that has none.
    """
    form = choose(impl, "potential_flow", {"tpu": _refusal(params, z)})
    if form == "xla":
        return ref.hessian_diagonal(params, beta, z, head)
    interpret = form == "interpret"
    return pallas.hessian_diagonal(params, beta, z, head, interpret=interpret)


def _refusal(params: Potentials, z: Float[Array, "b n"]) -> str | None:
    _, n, h = params.w1.shape
    return pallas.refusal(len(z), n, h, z.dtype)
