"""Rows of a run on devices: how they are spread, padded and taken back."""

import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

__all__ = [
    "check_platform",
    "cores",
    "default_mesh",
    "place",
    "seed_mesh",
    "shardings",
    "take",
    "use_all_cores",
]

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def _own_groups(groups: Path, own: Path) -> Iterator[Path]:
    """The control groups that this process is in, and those around them."""
    for line in own.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            top = groups / ("cpu" if controllers else "")  # cgroup 1 or 2
            # Inside a container the group may be named as it is outside: then only the
            # top is there, which is the container's own.
            inner = top / path.strip("/")
            yield from (p for p in (inner, *inner.parents) if p.is_relative_to(top))


def _shares(folder: Path) -> float:
    """The CPU time that a control group may use in a second, in seconds."""
    try:
        if (folder / "cpu.max").exists():  # cgroup 2: "200000 100000" or "max 100000"
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text()
        share = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such group, or no limit
        return math.inf
    return share if share > 0 else math.inf  # -1 is no limit


def cores(groups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """How many CPU cores this process may use: by its affinity and a container's quota.

    Args:
      groups: where the system has its control groups.
      own: the file that names those of this process.
    """
    # Not every system can tell the cores that this process may use.
    may_use = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    try:
        quota = min(map(_shares, _own_groups(groups, own)), default=math.inf)
    except (OSError, ValueError):  # no control groups
        quota = math.inf
    n = len(may_use(0))
    return n if quota > n else max(1, math.ceil(quota))


def use_all_cores() -> None:
    """Makes one JAX device of every CPU core, so that seeds spread over the cores.

    XLA runs the batched products of small networks on one core, so on a CPU this is the
    difference between one core and all. Call it before JAX is used for the first time;
    a number of devices that was set by hand stays, and other platforms do not notice.
    A container that may use the time of some cores counts as many.
    """
    by_hand = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if by_hand or getattr(jax.config, "jax_num_cpu_devices", -1) >= 1:
        return
    try:
        jax.config.update("jax_num_cpu_devices", max(2, cores()))
    except RuntimeError:
        if jax.default_backend() == "cpu" and cores() > jax.local_device_count():
            warnings.warn(
                "JAX was used before, so that it keeps one CPU device and one core; "
                "call jaxdis.use_all_cores() first for all of them",
                stacklevel=2,
            )


def check_platform() -> None:
    """Whether JAX finds the devices that it is asked for.

    Raises:
      ValueError: JAX_PLATFORMS names what is not there or not installed.
    """
    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:  # jax 0.10 asserts it
        asked = getattr(jax.config, "jax_platforms", None)
        reason = f" ({error})" if str(error) else ""
        raise ValueError(
            f"JAX_PLATFORMS: there is no device of {asked!r} that JAX can use{reason}; "
            "leave it unset for what there is, or install JAX for that platform"
        ) from error


def seed_mesh(rows: int) -> Mesh:
    """A mesh with the one axis "seed" over as many devices as there are rows."""
    devices = jax.local_devices()[:rows]
    return Mesh(np.array(devices), ("seed",), axis_types=(AxisType.Auto,))


def default_mesh(rows: int) -> Mesh:
    """The devices of a run: as many as it has rows, and on a CPU at least two.

    XLA compiles a program of one CPU device otherwise than one of several, so that it
    rounds elsewhere. A device without a row does nothing.
    """
    least = 2 if jax.default_backend() == "cpu" else 1
    return seed_mesh(max(rows, least))


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
