"""A small model and a state of it, compiled once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.systems.sparse_mixing_gan.model import build, default_hyper, init
from tests.systems.sparse_mixing_gan.tiny import PATHS, PaintedHalves

SPEC = PaintedHalves().spec()


@pytest.fixture(scope="session")
def model():
    """With every penalty but that of paths."""
    return build(dataclasses.replace(PATHS, path_part=0), SPEC)


@pytest.fixture(scope="session")
def hyper():
    """Default values as arrays, so that one program serves all values."""
    values = default_hyper(PATHS, SPEC, 10)
    return jax.tree.map(lambda h: jnp.asarray(h, float), values)


@pytest.fixture(scope="session")
def initial(model, hyper):
    """The state at the start."""
    return jax.jit(lambda key, hyper: init(model, key, hyper))(jax.random.key(0), hyper)


@pytest.fixture(scope="session")
def start(initial):
    """A state in which noise, biases and maps are not at the special values of init."""

    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda a: a + 0.3 * rng.normal(size=a.shape).astype(np.float32),
        jax.device_get(initial.params),
    )
    w = jnp.array([0.9, 0.6, 1.2, 0.05])
    return initial._replace(
        params=params._replace(generator=params.generator._replace(importance=w))
    )
