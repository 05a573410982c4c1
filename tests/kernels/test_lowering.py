"""Programs with kernels, for accelerators that are not there, and what they hold."""

import re
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.kernels import (
    FLOW_SIZES,
    MASK_SIZES,
    flow_arguments,
    layer_arguments,
    passes,
    unfused,
)
from jaxdis.kernels import gumbel_mask, potential_flow

CALLS = {"pallas_tpu": "tpu_custom_call", "pallas_gpu": "mosaic_gpu_v2"}
PLATFORMS = {"pallas_tpu": "tpu", "pallas_gpu": "cuda"}


def layer(floats, key, product=gumbel_mask.masked_product, **options):
    """The masked layer of all arguments but the key."""
    *others, temperature = floats
    return product(*others, key, temperature, **options)


def layer_shapes(*sizes):
    *floats, key, temperature = jax.eval_shape(partial(layer_arguments, *sizes))
    return (*floats, temperature), key


def exported(function, given, platform, seeds=()):
    """Value and gradients of a function, as a program for a platform."""
    given = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((*seeds, *a.shape), a.dtype), given
    )
    many = jax.vmap(passes(function)) if seeds else passes(function)
    lowered = jax.export.export(jax.jit(many), platforms=[platform])(*given)
    gradients = [a.shape for a in jax.tree.leaves(given[0])]
    assert [a.shape for a in lowered.out_avals] == [seeds, *gradients]
    return lowered.mlir_module()


@pytest.mark.parametrize("impl", CALLS, indirect=True)
@pytest.mark.parametrize(
    ("sizes", "dtype", "seeds"),
    [
        (MASK_SIZES[0], "float32", (4,)),
        (MASK_SIZES[1], "bfloat16", (4,)),
        ((1024, 64, 64, 512), "float32", ()),
        ((24, 10, 3, 70), "float32", (4,)),
        ((24, 10, 3, 70), "bfloat16", ()),
    ],
    ids=str,
)
def test_layer_lowers_for_accelerators(impl, sizes, dtype, seeds):
    given = layer_shapes(*sizes, dtype)
    text = exported(partial(layer, impl=impl), given, PLATFORMS[impl], seeds)
    assert text.count(CALLS[impl]) == 3


@pytest.mark.parametrize(
    ("impl", "sizes", "head", "directed", "seeds"),
    [
        ("pallas_tpu", FLOW_SIZES[2], "tanh", True, ()),
        ("pallas_tpu", FLOW_SIZES[2], "tanh", False, (4,)),
        ("pallas_tpu", (24, 12, 3, 7), "linear", True, (4,)),
        ("pallas_tpu", (24, 12, 3, 7), "linear", False, ()),
        ("pallas_tpu", (128, 324, 5, 324), "tanh", True, ()),
        ("pallas_gpu", FLOW_SIZES[2], "tanh", True, ()),
        ("pallas_gpu", (24, 12, 3, 7), "linear", False, (4,)),
    ],
    indirect=["impl"],
    ids=str,
)
def test_flow_lowers_for_accelerators(impl, sizes, head, directed, seeds):
    *given, v = jax.eval_shape(partial(flow_arguments, *sizes))

    def flow(given):
        return potential_flow.derivatives(*given, head, impl=impl)

    given = ((*given, v if directed else None),)
    text = exported(flow, given, PLATFORMS[impl], seeds)
    assert text.count(CALLS[impl]) == 2


LARGE = [
    ("pallas_tpu", (128, 1024, 3, 1024)),
    ("pallas_gpu", (128, 324, 5, 324)),
]


@pytest.mark.parametrize(("impl", "sizes"), LARGE, indirect=["impl"], ids=str)
def test_large_potentials_lower_product_by_product(impl, sizes):
    """One program for each shape of a product, of four seeds and all potentials."""
    given = (jax.eval_shape(partial(flow_arguments, *sizes)),)

    def flow(given):
        return potential_flow.derivatives(*given, "tanh", impl=impl)

    text = exported(flow, given, PLATFORMS[impl], (4,))
    assert 0 < text.count(CALLS[impl]) < 10  # of 24 launches


@pytest.mark.usefixtures("mosaic")
def test_no_array_is_as_large_as_all_masks():
    b, n, k, h = 2048, 256, 64, 32
    given = layer_shapes(b, n, k, h)

    def largest(function):
        text = exported(function, given, "cuda")
        shapes = re.findall(r"tensor<((?:\d+x)+)[a-z]", text)
        return max(np.prod([int(d) for d in s.split("x")[:-1]]) for s in shapes)

    assert largest(partial(layer, impl="pallas_gpu")) <= b * k * n / 4
    assert largest(partial(layer, product=unfused)) == b * k * n


def test_memory_of_the_layer_is_a_fraction_of_the_unfused_ones():
    """Forward and backward at batch 1024, 64 latents, 64 inputs and hidden 512."""
    b, n, k, h = 1024, 64, 64, 512
    given = layer_shapes(b, n, k, h)

    def needed(function):
        def both(floats, key, g):
            out, pull = jax.vjp(lambda floats: function(floats, key), floats)
            return out, pull(g)

        g = jax.ShapeDtypeStruct((k, b, h), jnp.float32)
        return jax.jit(both).lower(*given, g).compile().memory_analysis()

    fused, plain = map(
        needed, (partial(layer, impl="xla"), partial(layer, product=unfused))
    )
    # Results of 143 MB, which both write, are no temporaries.
    assert fused.temp_size_in_bytes <= plain.temp_size_in_bytes / 8
