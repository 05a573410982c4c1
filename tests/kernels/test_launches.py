"""Seeds and hyper-parameters are axes of a kernel's grid: one launch for all of them.

A temperature for each seed is what a grid of hyper-parameters makes of the layer.
"""

from functools import partial

import jax
import pytest

from benchmarks.kernels import flow_arguments, layer_arguments, passes
from jaxdis.kernels import gumbel_mask, potential_flow
from tests.kernels.launches import launches

compiled = pytest.mark.parametrize("impl", ["pallas_tpu", "pallas_gpu"], indirect=True)


def of_seeds(shapes, *seeds):
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((*seeds, *a.shape), a.dtype), shapes
    )


def layer(floats, key, impl):
    *others, temperature = floats
    return gumbel_mask.masked_product(*others, key, temperature, impl=impl)


@compiled
def test_layer_of_seeds_and_temperatures(impl):
    """Three launches: the layer, and gradients of its weights and of its inputs."""
    *floats, key, temperature = jax.eval_shape(partial(layer_arguments, 70, 5, 3, 513))
    given = of_seeds(((*floats, temperature), key), 4, 2)
    function = jax.vmap(jax.vmap(passes(partial(layer, impl=impl))))
    assert launches(function, *given) == 3


@compiled
def test_layer_shares_what_settings_share(impl):
    """Weights of each seed and setting, points of each seed: still three."""
    *floats, key, temperature = jax.eval_shape(partial(layer_arguments, 70, 5, 3, 4))
    x, *weights = floats
    given = (of_seeds(x, 4), *of_seeds(weights, 4, 2), of_seeds(temperature, 2), key)

    def one(x, weight, log_alpha, temperature, key):
        floats = (x, weight, log_alpha, temperature)
        return passes(partial(layer, impl=impl))(floats, key)

    settings = jax.vmap(one, (None, 0, 0, 0, None))
    function = jax.vmap(settings, (0, 0, 0, None, None))
    assert launches(function, *given) == 3


@pytest.mark.parametrize(
    ("impl", "sizes", "expected"),
    [
        ("pallas_gpu", (70, 64, 2, 64), 2),
        ("pallas_gpu", (3, 66, 2, 8), 24),
        ("pallas_tpu", (1021, 66, 2, 65), 2),
        ("pallas_tpu", (3, 1024, 2, 1024), 24),
    ],
    indirect=["impl"],
    ids=str,
)
def test_potentials_of_seeds(impl, sizes, expected):
    """Two launches, or one for each of the 8 products and two more in reverse."""
    given = of_seeds(jax.eval_shape(partial(flow_arguments, *sizes)), 4)

    def flow(given):
        return potential_flow.derivatives(*given, head="tanh", impl=impl)

    assert launches(jax.vmap(passes(flow)), given) == expected
