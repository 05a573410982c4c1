"""Training steps lower with the compiled kernels inside, vmapped over seeds."""

from importlib import import_module

import jax
import jax.numpy as jnp
import pytest

from jaxdis import experiment, kernels

CALLS = {"tpu": "tpu_custom_call", "cuda": "mosaic_gpu"}
# Methods with a kernel, and a tiny setting that has use for it: for mechanism sparsity
# a mask for each example.
SETTINGS = {"mechanism_sparsity": "time", "flow_factorized": "inferred"}


@pytest.fixture(scope="module", params=SETTINGS)
def step(request):
    """A step of two seeds of a tiny setting, traced."""
    name = request.param
    config, data, _ = import_module(f"tests.systems.{name}.tiny").TINY[SETTINGS[name]]
    preset = f"{name}/quickstart"
    plan = experiment.plan(preset, seeds=2, steps=100, config=config, data=data)
    made = experiment.prepare(plan)

    def step(words):
        keys = jax.random.wrap_key_data(words)
        batch = made.batches.sample(keys[0])
        state = jax.vmap(made.system.init)(keys, made.hyper)
        each = jax.vmap(made.system.step, (0, None, 0, 0))
        return each(state, batch, made.hyper, keys)[1]

    # As if a benchmark had found the kernels to be the fastest.
    fastest = {"cpu": "xla", "tpu": "pallas_tpu", "cuda": "pallas_gpu"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "FASTEST", fastest)
        return jax.jit(step).trace(jax.ShapeDtypeStruct((2, 2), jnp.uint32))


@pytest.mark.parametrize("platform", CALLS)
def test_step_lowers_with_kernels(request, step, platform):
    if platform == "cuda":
        request.getfixturevalue("mosaic")
    program = step.lower(lowering_platforms=(platform,)).as_text()
    assert [word in program for word in CALLS.values()] == [
        name == platform for name in CALLS
    ]
