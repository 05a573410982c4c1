"""Convolutions in both forms, against scipy."""

import re
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import nets

LAYERS = ["halve", "double", "smooth", "merge"]
SIZE = {"halve": 4, "double": 4, "smooth": 3, "merge": 2}  # of the kernels


SIDES = {"double": (5, 7), "smooth": (5, 7)}
FORMS = [
    *((layer, nets.CONVOLUTIONS["matmul"]) for layer in LAYERS),
    ("double", SimpleNamespace(double=nets.spread)),
]


def image_and_kernel(layer, seeds=()):
    """Three channels to five, of images that are not square."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(*seeds, 2, *SIDES.get(layer, (6, 10)), 3))
    kernel = rng.normal(size=(*seeds, SIZE[layer], SIZE[layer], 3, 5))
    return np.float32(x), np.float32(kernel)


@pytest.mark.parametrize(("layer", "form"), FORMS)
def test_forms_of_a_convolution(layer, form, convolved, close):
    x, kernel = image_and_kernel(layer)
    expected = convolved(layer, x, kernel)
    weights = np.cos(np.arange(expected.size)).reshape(expected.shape)

    def value_and_gradients(form):
        function = getattr(form, layer)
        value, pull = jax.vjp(lambda x, k: function(x, k, "highest"), x, kernel)
        return value, *pull(jnp.float32(weights))

    ours, theirs = (
        jax.jit(partial(value_and_gradients, one))()
        for one in (form, nets.CONVOLUTIONS["lax"])
    )
    close(ours[0], expected)
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)


def test_few_outputs_are_spread_after_the_product():
    auto = nets.CONVOLUTIONS["auto"].double
    for outputs, narrow in ((3, True), (4, False)):
        shapes = (2, 5, 5, 12), (4, 4, 12, outputs)
        program = str(
            jax.make_jaxpr(lambda x, k: auto(x, k, "highest"))(
                *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
            )
        )
        assert program.count("dot_general") == (1 if narrow else 2)


@pytest.mark.parametrize("layer", LAYERS)
def test_seeds_of_matrix_products_are_no_grouped_convolutions(layer):
    seeds = 7
    arguments = image_and_kernel(layer, seeds=(seeds,))

    def lowered(form):
        function = getattr(nets.CONVOLUTIONS[form], layer)

        def loss(x, kernel):
            return (function(x, kernel, "highest") ** 2).sum()

        step = jax.vmap(jax.value_and_grad(loss, (0, 1)))
        return jax.jit(step).lower(*arguments).as_text()

    grouped = lowered("lax")
    assert "stablehlo.convolution" in grouped
    assert str(seeds) in re.findall(r"feature_group_count = (\d+)", grouped)
    products = lowered("matmul")
    assert "stablehlo.dot_general" in products
    assert "stablehlo.convolution" not in products
