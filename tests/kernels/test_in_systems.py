"""Training steps lower with the compiled kernels inside, vmapped over seeds."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from jaxdis import kernels
from jaxdis.systems import flow_factorized, mechanism_sparsity

CALLS = {"tpu": "tpu_custom_call", "cuda": "mosaic_gpu"}


def small(system):
    """A preset for two cores, made smaller, and a mask for each example."""
    preset = system.PRESETS["quickstart"]
    if system is mechanism_sparsity:
        data = dataclasses.replace(preset.data, samples=500)
        return dataclasses.replace(preset.config, mask_draws="example"), data
    data = dataclasses.replace(preset.data, valid_rows=12, test_rows=12, fit_rows=12)
    return dataclasses.replace(preset.config, batch=8), data


@pytest.mark.parametrize("platform", CALLS)
@pytest.mark.parametrize("system", [mechanism_sparsity, flow_factorized])
def test_step_lowers_with_kernels(monkeypatch, system, platform):
    # As if a benchmark had found the kernels to be the fastest.
    fastest = {"cpu": "xla", "tpu": "pallas_tpu", "cuda": "pallas_gpu"}
    monkeypatch.setattr(kernels, "FASTEST", fastest)
    config, data_config = small(system)
    spec, data = system.load(data_config)
    made, sample = system.make(config, spec), system.sampler(data.train, config.batch)
    hyper = jax.tree.map(jnp.float32, system.default_hyper(config, spec, 100))

    def step(words):
        keys = jax.random.wrap_key_data(words)
        batch = sample(keys[0])
        state = jax.vmap(made.init, (0, None))(keys, hyper)
        return jax.vmap(made.step, (0, None, None, 0))(state, batch, hyper, keys)[1]

    words = jax.ShapeDtypeStruct((2, 2), jnp.uint32)
    exported = jax.export.export(jax.jit(step), platforms=[platform])(words)
    assert CALLS[platform] in exported.mlir_module()
