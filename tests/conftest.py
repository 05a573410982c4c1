"""One strict session: eight CPU devices, no silent broadcasting between ranks."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
    + " --xla_backend_optimization_level=0"  # compiling is most of the time
)

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
