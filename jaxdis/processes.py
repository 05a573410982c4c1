"""Processes of one job: rows never meet, so they need to know their number alone."""

import os

import jax
import numpy as np
from jax.sharding import Mesh

from jaxdis import log

__all__ = ["connect", "local_mesh", "many", "share"]

SWITCHES = {
    "jax_enable_preemption_service": False,
    "jax_cpu_collectives_implementation": None,
}
PATIENCE = 300
"""Seconds in which all processes must have started."""


def many() -> bool:
    """Whether `jax.distributed` made this one of several processes."""
    return jax.process_count() > 1


def _given(names: tuple[str, ...]) -> int | None:
    """The number in the first environment variable that is set."""
    words = [os.environ[name] for name in names if os.environ.get(name)]
    try:
        return int(words[0]) if words else None
    except ValueError:
        raise ValueError(f"{names[0]} must be a number, got {words[0]!r}") from None


def connect() -> tuple[int, int]:
    """Meets the other processes, learns which this one is, and hangs up.

    Where they are is found by `jax.distributed.initialize`, or said by the variables
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. The service by which
    they met would end every process when one dies, and all of them when that of number
    0 does. No array is shared, so nobody needs it any more as soon as all know
    their devices.

    Returns:
      The number of this process, from 0, and the number of processes.

    Raises:
      ValueError: it cannot be found where they are, or they do not come.
    """
    # The first would catch the signal of a scheduler in the place of the run; by the
    # second even the devices of one process would ask the service for each other.
    for name, value in SWITCHES.items():
        if hasattr(jax.config, name):
            jax.config.update(name, value)
    try:
        jax.distributed.initialize(
            num_processes=_given(("JAX_NUM_PROCESSES", "JAX_PROCESS_COUNT")),
            process_id=_given(("JAX_PROCESS_ID", "JAX_PROCESS_INDEX")),
            initialization_timeout=PATIENCE,
        )
        jax.local_devices()  # is when processes tell each other of their devices
        jax.distributed.shutdown()  # waits until all are here
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"distributed: the processes of this job did not meet ({_first(error)}); "
            "start one on every machine at the same time, on a cluster that JAX knows, "
            "or with JAX_COORDINATOR_ADDRESS=HOST:PORT, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID set"
        ) from error
    return jax.process_index(), jax.process_count()


def _first(error: Exception) -> str:
    return log.reason(error)[:200]


def share(rows: int, mesh: Mesh | None) -> slice:
    """Which rows this process computes: its part of what all have, or all it was given.

    Args:
      rows: their number.
      mesh: where they lie; None for all devices of all processes. On devices of this
        process alone all rows are its own.
    """
    if mesh is not None and all(_is_local(device) for device in mesh.devices.flat):
        return slice(0, rows)
    index, count = jax.process_index(), jax.process_count()
    if rows < count:
        raise ValueError(
            f"keys must be at least as many as the processes, {count}; got {rows}"
        )
    return slice(index * rows // count, (index + 1) * rows // count)


def _is_local(device: jax.Device) -> bool:
    return bool(device.process_index == jax.process_index())


def local_mesh(mesh: Mesh) -> Mesh:
    """The devices of a mesh that are of this process.

    Args:
      mesh: one with the axis "seed".

    Raises:
      ValueError: there are none.
    """
    devices = [device for device in mesh.devices.flat if _is_local(device)]
    if not devices:
        raise ValueError("mesh must have devices of every process, this one too")
    if len(devices) == mesh.size:
        return mesh
    return Mesh(np.array(devices), mesh.axis_names, axis_types=mesh.axis_types)
