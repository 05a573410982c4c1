"""Tiled products against numpy's, and potentials that are made of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.kernels import flow_arguments
from jaxdis.kernels.potential_flow import products, ref
from jaxdis.kernels.potential_flow.products import Turned
from tests.kernels.launches import launches


@pytest.fixture(params=["tpu", "gpu"])
def product(request, monkeypatch):
    """A kernel, interpreted, of tiles that are smaller than the matrices."""
    if request.param == "tpu":
        monkeypatch.setattr(products, "SIDE", 128)
        return partial(products.tpu, interpret=True)
    request.getfixturevalue("mosaic")
    from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

    return partial(products.hopper, interpret=InterpretGPUParams())


def operands(m, i, j, turned, *seeds):
    """Of a product of `[m, i]` and `[i, j]`, as it takes them."""
    draw = np.random.default_rng(0).normal
    left, right = draw(size=(*seeds, m, i)), draw(size=(i, j))
    left = np.swapaxes(left, -1, -2) if turned.left else left
    return jnp.float32(left), jnp.float32(right.T if turned.right else right)


@pytest.mark.parametrize("turned", [Turned(), Turned(left=True), Turned(right=True)])
def test_product_of_odd_sizes(product, turned):
    """Several tiles along each axis, the last ones padded; two seeds, one launch."""
    a, b = operands(70, 133, 150, turned, 2)
    together = jax.vmap(partial(product, turned=turned), (0, None))
    assert launches(together, a, b) == 1
    found = jax.jit(together)(a, b)
    expected = np.float64(np.swapaxes(a, 1, 2) if turned.left else a) @ (
        np.float64(b.T if turned.right else b)
    )
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-6 * np.abs(expected).max()


def by_xla(left, right, turned):
    left, right = (
        a.T if turn else a for a, turn in zip((left, right), turned, strict=True)
    )
    return jnp.matmul(left, right, precision="highest")


@pytest.mark.parametrize("name", ref.Products._fields)
def test_derivatives_of_products_are_products(name):
    """Against autodiff."""
    x, w = operands(3, 4, 5, Turned(right=name == "transposed"))

    def both(product):
        _, pull = jax.vjp(product, x, w)
        return pull(jnp.float32(np.arange(15).reshape(3, 5)))

    ours = getattr(products.differentiable(by_xla), name)
    theirs = partial(by_xla, turned=Turned(right=name == "transposed"))
    for found, expected in zip(both(ours), both(theirs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("head", ["linear", "tanh"])
def test_potentials_made_of_products(head):
    """Values and gradients, with every product taken by what is given."""
    asked = []

    def counted(left, right, turned):
        asked.append(turned)
        return by_xla(left, right, turned)

    arguments = ref.Arguments(*flow_arguments(5, 4, 2, 3))

    @partial(jax.jit, static_argnums=0)
    def passes(given):
        def total(arguments):
            found = ref.derivatives(arguments, head, *given)
            return sum((a**3).sum() for a in found)

        return jax.value_and_grad(total)(arguments)

    found, expected = passes((products.differentiable(counted),)), passes(())
    assert len(asked) == 24  # 8, and two for each in reverse
    for ours, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
