"""Products below float32: how far they move a loss, and what they never touch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.precision import rounded_products
from jaxdis.data import domains, synthetic
from jaxdis.systems import mechanism_sparsity, sparse_mixing

BATCH = 64
CASES = {
    "mechanism_sparsity": (
        mechanism_sparsity,
        mechanism_sparsity.Config(
            z_dim=4, encoder=(32, 32), decoder=(32, 32), transition=(16, 16),
            batch=BATCH, decoder_log_variance_init=-2.0, prior_variance_init=0.1,
        ),
        synthetic.Config("ActionNonDiag", z_dim=4, x_dim=6, samples=400),
    ),
    "sparse_mixing": (
        sparse_mixing,
        sparse_mixing.Config(batch=BATCH),
        domains.Config(),
    ),
}  # fmt: skip


def losses(name, precision):
    """The loss before and after a step."""
    system, config, data_config = CASES[name]
    config = dataclasses.replace(config, precision=precision)
    spec, data = system.load(data_config)
    made = system.make(config, spec)
    hyper = jax.tree.map(jnp.float32, system.default_hyper(config, spec, 100))
    batch = system.sampler(data.train, config.batch)(jax.random.key(1))
    state, step, found = made.init(jax.random.key(0), hyper), jax.jit(made.step), []
    for _ in range(2):
        state, metrics = step(state, batch, hyper, jax.random.key(2))
        found.append(metrics["loss"])
    return np.array(found)


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
