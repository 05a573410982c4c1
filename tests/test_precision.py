"""Products below float32: how far they move a loss, and what they never touch."""

import functools
from dataclasses import replace
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.precision import rounded_products
from jaxdis import systems

# A tiny setting of each method, and what of it differs here: a prior that is not so
# narrow that rounding would move its divergence more than its worth.
CASES = {
    "mechanism_sparsity": ("actions", {"prior_variance_init": 0.1}),
    "sparse_mixing": ("worlds", {}),
}


@functools.cache
def setting(name):
    """Method, config, spec and a batch; drawn once, before anything is rounded."""
    method, (variant, changes) = systems.find(name), CASES[name]
    config, data, _ = import_module(f"tests.systems.{name}.tiny").TINY[variant]
    config, spec = replace(config, **changes), data.spec()
    world = () if spec.worlds is None else (jnp.int32(0),)
    batches = method.batches(config, spec, data.load())
    return method, config, spec, batches.sample(jax.random.key(1), *world)


def losses(name, precision):
    """The loss before and after a step."""
    method, config, spec, batch = setting(name)
    made = method.make(replace(config, precision=precision), spec)
    hyper = jax.tree.map(jnp.float32, method.default_hyper(config, spec, 100))

    @jax.jit
    def train(batch):
        def step(state, _):
            state, metrics = made.step(state, batch, hyper, jax.random.key(2))
            return state, metrics["loss"]

        return jax.lax.scan(step, made.init(jax.random.key(0), hyper), length=2)[1]

    return np.asarray(train(batch))


@pytest.mark.claims
@pytest.mark.parametrize("name", CASES)
def test_products_in_bfloat16_move_a_loss_by_little(name):
    """bfloat16 has 8 bits: a product of n terms is off by about 2^-8 of its size."""
    exact = losses(name, "default")  # which a CPU does not round
    with rounded_products():
        rounded = losses(name, "default")
        asked = losses(name, "highest")
    off = np.abs(rounded - exact) / np.abs(exact)
    assert 1e-6 < off.max() < 0.02
    np.testing.assert_allclose(asked, exact, rtol=1e-5)


def test_rounded_products_are_rounded():
    """257 is 256 in bfloat16, and 1.01 is 1.0078125."""
    x, y = jnp.array([[257.0]]), jnp.array([[1.01]])
    with rounded_products():
        assert jnp.matmul(x, y, precision="default") == 256 * 1.0078125
        assert jnp.einsum("ab,bc->ac", x, y) == 256 * 1.0078125
        assert jnp.matmul(x, y, precision="highest") == np.float32(257) * np.float32(
            1.01
        )
        gradient = jax.grad(lambda y: jnp.matmul(x, y).sum())(y)
        assert gradient == 256
    assert jnp.matmul(x, y) == np.float32(257) * np.float32(1.01)
