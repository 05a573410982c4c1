"""Settings that compile in seconds and together take every branch of the method."""

from jaxdis.data.processes import CausalProcess
from jaxdis.systems.baselines import Config

TINY: dict[str, tuple[Config, CausalProcess, dict[str, float]]] = {
    "supervised": (
        Config(z_dim=4, encoder=(8,), batch=16),
        CausalProcess("TimeNonDiag", z_dim=4, x_dim=6, samples=200),
        {},
    ),
    "random": (
        Config(method="random", z_dim=3, encoder=(8,), batch=16),
        CausalProcess("ActionNonDiag", z_dim=4, x_dim=6, samples=200),
        {},
    ),
}
