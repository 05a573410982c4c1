"""Small models and their parameters, which no compilation is needed for."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.systems.sparse_mixing_gan.config import default_hyper
from jaxdis.systems.sparse_mixing_gan.model import build, init
from tests.systems.sparse_mixing_gan.tiny import PATHS, PaintedHalves

SPEC = PaintedHalves().spec()


def drawn(model, hyper):
    """A generator and a discriminator of random parameters, without a compilation."""
    shapes = jax.eval_shape(partial(init, model, hyper=hyper), jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda a: jnp.asarray(rng.normal(size=a.shape), jnp.float32), shapes.params
    )
    w = jnp.array([0.9, 0.6, 1.2, 0.05])
    return params._replace(generator=params.generator._replace(importance=w))


@pytest.fixture(scope="session")
def model():
    """Of the smallest images, with every penalty but that of paths."""
    return build(dataclasses.replace(PATHS, path_part=0), SPEC)


@pytest.fixture(scope="session")
def hyper():
    """Default values as arrays, so that one program serves all values."""
    values = default_hyper(PATHS, SPEC, 10)
    return jax.tree.map(lambda h: jnp.asarray(h, jnp.float32), values)


@pytest.fixture(scope="session")
def params(model, hyper):
    """Parameters at no special values, and a style latent that is off."""
    return drawn(model, hyper)


@pytest.fixture(scope="session")
def large():
    """Of images of two sizes, 8 x 8 and 4 x 4, with four layers that take a style."""
    config = dataclasses.replace(PATHS, widths=(4, 4))
    return build(config, PaintedHalves(side=8).spec())


@pytest.fixture(scope="session")
def large_params(large, hyper):
    """As `params`, of the larger generator."""
    return drawn(large, hyper)
