"""Rows of a run on devices: how they are spread, padded and taken back."""

import os
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

__all__ = ["place", "seed_mesh", "shardings", "take", "use_all_cores"]


def use_all_cores() -> None:
    """Makes one JAX device of every CPU core, so that seeds spread over the cores.

    XLA runs the batched products of small networks on one core, so on a CPU this is the
    difference between one core and all. Call it before JAX is used for the first time;
    a number of devices that was set by hand stays, and other platforms do not notice.
    """
    by_hand = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not by_hand and getattr(jax.config, "jax_num_cpu_devices", -1) < 1:
        # Not every system can tell the cores that this process may use.
        may_use = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
        try:
            jax.config.update("jax_num_cpu_devices", len(may_use(0)))
        except RuntimeError:
            warnings.warn(
                "JAX was used before, so that it keeps one CPU device and one core; "
                "call jaxdis.use_all_cores() first for all of them",
                stacklevel=2,
            )


def seed_mesh(rows: int) -> Mesh:
    """A mesh with the one axis "seed" over as many devices as there are rows."""
    devices = jax.local_devices()[:rows]
    return Mesh(np.array(devices), ("seed",), axis_types=(AxisType.Auto,))


def shardings(mesh: Mesh) -> tuple[NamedSharding, NamedSharding]:
    """Rows spread over the mesh, and what all devices hold whole."""
    row = NamedSharding(mesh, PartitionSpec("seed"))
    return row, NamedSharding(mesh, PartitionSpec())


def place(rows: Any, mesh: Mesh) -> Any:
    """Lays rows out over the mesh, repeating some to give devices equal shares."""
    n = jax.tree.leaves(rows)[0].shape[0]
    padded = -(-n // mesh.size) * mesh.size
    if padded != n:
        rows = jax.tree.map(lambda a: a[jnp.arange(padded) % n], rows)
    return jax.device_put(rows, shardings(mesh)[0])


def take(tree: Any, n: int) -> Any:
    """The first n rows, without a copy if that is all of them."""
    return jax.tree.map(lambda a: a if a.shape[0] == n else a[:n], tree)
