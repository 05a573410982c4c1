"""How many kernels a program launches, and over which grids."""

import jax
from jax.extend import core

KERNELS = ("pallas_call", "core_map", "mpmd_map")

__all__ = ["launches"]


def launches(function, *given):
    """The number of launches in a function's program."""
    return _count(jax.make_jaxpr(function)(*given).jaxpr)


def _count(jaxpr):
    """Of a program and those inside of it, but not of those inside of kernels."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in KERNELS:
            total += 1
            continue
        inside = jax.tree.leaves(
            equation.params,
            is_leaf=lambda a: isinstance(a, core.Jaxpr | core.ClosedJaxpr),
        )
        for found in inside:
            if isinstance(found, core.ClosedJaxpr):
                total += _count(found.jaxpr)
            elif isinstance(found, core.Jaxpr):
                total += _count(found)
    return total
