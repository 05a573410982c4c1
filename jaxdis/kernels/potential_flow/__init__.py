"""Stacked potentials u^k(z, t) with all the derivatives that a flow needs.

`derivatives` is the operation: value, time derivative, gradient and Hessian-vector
product of every potential in one pass, from closed forms, so that training
differentiates once, in reverse, and never nests autodiff. `clock` computes what
depends on time alone, once for all steps. Float32 throughout.

Source: Song et al. 2023, "Flow Factorized Representation Learning" (arXiv 2309.13167),
for the networks; the closed forms are worked out in `ref`.
"""

from jaxdis.kernels.potential_flow.ref import (
    Clock,
    Derivatives,
    Head,
    Potentials,
    check_sizes,
    clock,
    derivatives,
    hessian,
    hessian_diagonal,
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
