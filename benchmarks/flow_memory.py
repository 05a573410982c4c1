"""What memory does a step of the published flow presets need, in slices and at once?

XLA's analysis of the program of a chunk of steps of one seed, compiled for the device
that is there and not run: its temporaries, and its state with the batch beside it.
All frames at once are only compiled for the smallest.

    python -m benchmarks.flow_memory            # two CPU cores: 5 minutes
"""

import time
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from benchmarks.timing import finish
from jaxdis.nets import slices
from jaxdis.systems.flow_factorized import METHOD, networks
from jaxdis.systems.flow_factorized.build import build
from jaxdis.types import Rows

STEPS = 5
EVERYTHING = 2**62
CASES = (
    ("MNIST", EVERYTHING),
    ("MNIST", slices.LIMIT),
    ("Shapes3D", slices.LIMIT),
    ("Falcor3D", slices.LIMIT),
)


def measure(name: str, limit: int) -> dict[str, Any]:
    """One line of the table.

    Args:
      name: the preset.
      limit: bytes that a slice may keep.
    """
    preset = METHOD.presets[name]
    config: Any = preset.config
    spec, b = preset.data.spec(), config.batch
    hyper = METHOD.default_hyper(config, spec, STEPS)
    hyper = jax.tree.map(jnp.float32, hyper)
    system, model = METHOD.make(config, spec), build(config, spec)
    key = jax.random.key(0)
    state = jax.eval_shape(system.init, key, hyper)
    frames = jax.ShapeDtypeStruct((b, spec.steps or 1, *spec.shape), jnp.float32)
    rows = Rows(frames, k=jax.ShapeDtypeStruct((b,), int))
    latents = jax.ShapeDtypeStruct((b * (spec.steps or 1), model.z_dim), jnp.float32)

    def chunk(state: Any, rows: Rows, key: Any) -> Any:
        keys = jax.random.split(key, STEPS)
        return jax.lax.scan(lambda s, k: system.step(s, rows, hyper, k), state, keys)

    with mock.patch.object(slices, "LIMIT", limit):
        parameters: networks.ModelParams = state.params
        one = slices.size(model.decoder.apply, parameters.decoder, latents)
        began = time.perf_counter()
        compiled = jax.jit(chunk, donate_argnums=0).lower(state, rows, key).compile()
    found = compiled.memory_analysis()
    return {
        "preset": name,
        "images": latents.shape[0],
        "images_of_a_slice": one,
        "temporaries_gb": found.temp_size_in_bytes / 1e9,
        "state_and_batch_gb": found.argument_size_in_bytes / 1e9,
        "compile_s": time.perf_counter() - began,
    }


if __name__ == "__main__":
    finish("flow_memory", [measure(*case) for case in CASES])
