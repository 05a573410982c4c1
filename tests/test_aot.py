"""Real compilation for a TPU and a Hopper GPU, on a machine that has neither.

Lowering checks shapes and operations; only a compiler says whether a kernel fits into
the memory of a core. Not part of an ordinary run, for which the compilers are missing:

    pip install -e ".[test,aot-tpu]" && pytest -m aot_tpu tests/test_aot.py
    pip install -e ".[test,aot-cuda]" && pytest -m aot_cuda tests/test_aot.py
"""

import functools
import os
from functools import partial

os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxdis import experiment
from jaxdis.kernels import gumbel_mask, potential_flow

TPU = "v5e:2x2"
SHARED = 232_448  # bytes of a Hopper core's shared memory that a block may take

# What XLA's compiler wants to know of an H100.
HOPPER = {
    "threads_per_block_limit": 1024,
    "threads_per_warp": 32,
    "shared_memory_per_block": 49_152,
    "shared_memory_per_core": 233_472,
    "threads_per_core_limit": 2048,
    "core_count": 132,
    "fpus_per_core": 128,
    "block_dim_limit_x": 2_147_483_647,
    "block_dim_limit_y": 65_535,
    "block_dim_limit_z": 65_535,
    "memory_bandwidth": 3_352_320_000_000,
    "l2_cache_size": 52_428_800,
    "clock_rate_ghz": 1.98,
    "device_memory_size": 84_929_347_584,
    "shared_memory_per_block_optin": SHARED,
    "registers_per_core_limit": 65_536,
    "registers_per_block_limit": 65_536,
}
_HOPPER = " ".join(f"{name}: {value}" for name, value in HOPPER.items())
CUDA = (
    f"gpu_device_info {{ {_HOPPER} cuda_compute_capability {{ major: 9 }} }} "
    "platform_name: 'CUDA' dnn_version_info { major: 9 minor: 28 } "
    "runtime_version { major: 12 minor: 9 } "
    "device_description_str: 'NVIDIA H100 80GB HBM3'"
)


@functools.cache  # devices of two descriptions are never the same
def device(platform):
    """One device of a machine that is not there."""
    if platform == "cuda":
        described = topologies.get_topology_desc(
            platform="cuda", topology_name="", topology="1x1x4", target_config=CUDA
        )
    else:
        described = topologies.get_topology_desc(platform="tpu", topology_name=TPU)
    return described.devices[0]


def compiled(platform, function, *shapes):
    """The program of a function whose keys are given as their words."""
    mesh = Mesh(np.array([device(platform)]), ("seed",), axis_types=(AxisType.Auto,))
    there = NamedSharding(mesh, PartitionSpec())
    placed = jax.jit(function, in_shardings=there, out_shardings=there)
    lowered = placed.trace(*shapes).lower(lowering_platforms=(platform,))
    return lowered.compile()


def masked_layer(impl, b, n, k, h, dtype):
    """Value and gradients of the masked layer, and their arguments' shapes."""

    def passes(x, weight, log_alpha, temperature, words, g):
        def layer(*arguments):
            *arrays, temperature = arguments
            key = jax.random.wrap_key_data(words)
            return gumbel_mask.masked_product(*arrays, key, temperature, impl=impl)

        out, pull = jax.vjp(layer, x, weight, log_alpha, temperature)
        return out, pull(g)

    single = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    of = partial(jax.ShapeDtypeStruct, dtype=dtype)
    words, g = jax.ShapeDtypeStruct((2,), jnp.uint32), single((k, b, h))
    return passes, of((b, n)), of((k, n, h)), single((k, n)), single(()), words, g


def flow(impl, b, n, k, h, head):
    """Value and gradients of all derivatives of potentials, and the shapes."""

    def passes(params, at, z, v):
        def total(arguments):
            found = potential_flow.derivatives(*arguments, head, impl=impl)
            return sum(jnp.sum(a**2) for a in jax.tree.leaves(found))

        return jax.value_and_grad(total)((params, at, z, v))

    key = jax.random.key(0)
    params = jax.eval_shape(partial(potential_flow.init, key, k, n, h))
    row = jax.ShapeDtypeStruct((k, h), jnp.float32)
    points = jax.ShapeDtypeStruct((b, n), jnp.float32)
    return passes, params, potential_flow.Clock(row, row), points, points


# The published sizes, a small one, and an odd one of several parts along each axis.
LAYERS = [
    (1024, 10, 10, 512),
    (1024, 64, 64, 512),
    (24, 10, 3, 7),
    (2048, 256, 16, 512),
    (1021, 900, 2, 1000),
]
# The last are those of the published images, and more than one program holds.
FLOWS = [(32, 12, 3, 32), (512, 64, 4, 64), (128, 324, 5, 324), (128, 1024, 3, 1024)]


@pytest.mark.aot_tpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", LAYERS, ids=str)
def test_masked_layer_compiles_for_a_tpu(size, dtype):
    program = compiled("tpu", *masked_layer("pallas_tpu", *size, dtype))
    assert program.as_text().count("tpu_custom_call") >= 3


@pytest.mark.aot_tpu
@pytest.mark.parametrize("head", ["linear", "tanh"])
@pytest.mark.parametrize("size", FLOWS, ids=str)
def test_flow_compiles_for_a_tpu(size, head):
    program = compiled("tpu", *flow("pallas_tpu", *size, head))
    assert program.as_text().count("tpu_custom_call") >= 2


@pytest.mark.aot_cuda
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", LAYERS, ids=str)
def test_masked_layer_compiles_for_a_gpu(size, dtype):
    program = compiled("cuda", *masked_layer("pallas_gpu", *size, dtype))
    assert "mosaic_gpu" in program.as_text()


@pytest.mark.aot_cuda
def test_masked_layer_takes_little_memory_beside_its_arguments_and_results():
    arrays, kernels = (
        compiled("cuda", *masked_layer(impl, 1024, 64, 64, 512, "float32"))
        for impl in ("xla", "pallas_gpu")
    )
    needed = kernels.memory_analysis().temp_size_in_bytes
    assert needed < arrays.memory_analysis().temp_size_in_bytes / 4


@pytest.mark.aot_cuda
@pytest.mark.parametrize("head", ["linear", "tanh"])
@pytest.mark.parametrize("size", FLOWS, ids=str)
def test_flow_compiles_for_a_gpu(size, head):
    program = compiled("cuda", *flow("pallas_gpu", *size, head))
    assert "mosaic_gpu" in program.as_text()


def training_step(draws):
    """One step of four seeds of the quickstart, and its arguments' shapes."""
    plan = experiment.plan(
        "mechanism_sparsity/quickstart",
        seeds=4,
        config={"mask_draws": draws},
        data={"samples": 1_000, "worlds": 1},
    )
    made = experiment.prepare(plan)

    def start(words):
        return jax.vmap(made.system.init)(jax.random.wrap_key_data(words), made.hyper)

    def step(state, batch, words):
        keys = jax.random.wrap_key_data(words)
        each = jax.vmap(made.system.step, (0, None, 0, 0))
        return each(state, batch, made.hyper, keys)

    words = jax.ShapeDtypeStruct((4, 2), jnp.uint32)
    batch = jax.eval_shape(made.batches.sample, made.keys[0])
    return step, jax.eval_shape(start, words), batch, words


@pytest.mark.parametrize(
    "platform",
    [
        pytest.param("tpu", marks=pytest.mark.aot_tpu),
        pytest.param("cuda", marks=pytest.mark.aot_cuda),
    ],
)
@pytest.mark.parametrize("draws", ["batch", "example"])
def test_training_step_compiles(platform, draws):
    """In 1/100 of a device's memory."""
    memory = compiled(platform, *training_step(draws)).memory_analysis()
    needed = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
    )
    assert needed < 16e9 / 100


@pytest.mark.aot_tpu
def test_what_is_not_cut_does_not_fit(monkeypatch):
    """What tiles are for."""
    from jaxdis.kernels.gumbel_mask import pallas

    for name in ("ROWS", "INPUTS", "UNITS"):
        monkeypatch.setattr(pallas, name, 8192)
    monkeypatch.setattr(pallas, "VECTOR_MEMORY", 2**40)
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"(?i)vmem|memory"):
        compiled("tpu", *masked_layer("pallas_tpu", 8192, 512, 2, 4096, "float32"))
