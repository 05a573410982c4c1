"""Settings that compile in seconds and together take every branch of the method."""

from jaxdis.data.processes import CausalProcess
from jaxdis.data.sparse_steps import SparseSteps
from jaxdis.systems.pcl import Config
from jaxdis.types import DataSet

SMALL = Config(z_dim=3, encoder=(8,), head=(4,), batch=8)

TINY: dict[str, tuple[Config, DataSet, dict[str, float]]] = {
    "worlds": (SMALL, SparseSteps(3, 4, samples=64, test_samples=40, worlds=2), {}),
    "laplace": (
        Config(z_dim=0, encoder=(), form="laplace", batch=8),
        CausalProcess("TimeDiag", z_dim=3, x_dim=4, samples=400),
        {},
    ),
}
