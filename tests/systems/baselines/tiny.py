"""Settings that compile in seconds and together take every branch of the method."""

from typing import Any

import numpy as np

from jaxdis.data.own import OwnRows
from jaxdis.data.processes import CausalProcess
from jaxdis.systems.baselines import Config
from jaxdis.types import DataSet, Rows


def pictures(rows=100):
    """Images whose brightness and one pixel are the true latents."""
    z: Any = np.random.default_rng(0).uniform(size=(rows, 2)).astype(np.float32)
    x: Any = np.broadcast_to(z[:, 0, None, None, None], (rows, 8, 8, 1)).copy()
    x[:, 3, 3, 0] = z[:, 1]
    return Rows(x, z=z)


TINY: dict[str, tuple[Config, DataSet, dict[str, float]]] = {
    "supervised": (
        Config(z_dim=4, encoder=(8,), batch=16),
        CausalProcess("TimeNonDiag", z_dim=4, x_dim=6, samples=200, worlds=0),
        {},
    ),
    "random": (
        Config(method="random", z_dim=3, encoder=(8,), batch=16),
        CausalProcess("ActionNonDiag", z_dim=4, x_dim=6, samples=200),
        {},
    ),
    "observations": (
        Config(method="observations", z_dim=0, batch=16),
        CausalProcess("TimeNonDiag", z_dim=3, x_dim=5, samples=200),
        {},
    ),
    "images": (
        Config(z_dim=0, channels=2, batch=16),
        OwnRows(pictures()),
        {},
    ),
}
