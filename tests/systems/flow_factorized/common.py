"""What the tests of this method share: small data, and programs compiled once."""

import functools
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from jaxdis.data.sequences import BlobSequences
from jaxdis.systems.flow_factorized import FAITHFUL, METHOD, Config
from jaxdis.systems.flow_factorized.build import build

DATA = BlobSequences(size=8, steps=4, valid_rows=8, test_rows=12, fit_rows=40)
SPEC = DATA.spec()
NAMES = SPEC.transformations
TINY = Config(z_dim=4, vae="mlp", width=12, batch=6)
SIZES: dict[str, Any] = {"z_dim": 4, "vae": "mlp", "width": 12, "batch": 6}
RELEASED = replace(FAITHFUL, **SIZES)


def variant(**changes):
    return replace(TINY, **changes)


@functools.cache
def splits():
    return DATA.load()


@functools.cache
def batches(config):
    return METHOD.batches(config, SPEC, splits())


@functools.cache
def program(config, spec=SPEC):
    """The report, compiled once."""
    return jax.jit(METHOD.make(config, spec).report)


def reported(config, state, rows, spec=SPEC):
    return program(config, spec)(state, rows, jax.random.key(1))


@functools.cache
def initial(config, spec=SPEC):
    """The state of a seed before it is trained."""
    hyper = METHOD.default_hyper(config, spec, 10)
    hyper = jax.tree.map(jnp.float32, hyper)
    return jax.jit(METHOD.make(config, spec).init)(jax.random.key(0), hyper)


def flat(config):
    """An initial state whose potentials and forces are 0: nothing moves."""
    state, model = initial(config), build(config, SPEC)
    zero = {"w3": jnp.zeros((model.k, model.hidden)), "b3": jnp.zeros(model.k)}
    params = state.params._replace(
        potentials=state.params.potentials._replace(**zero),
        forces=state.params.forces._replace(**zero),
    )
    return state._replace(params=params)
