"""Settings that compile in seconds and together take every branch of the method."""

import numpy as np

from jaxdis.data.domains.toy import ToyMixing
from jaxdis.data.own import OwnRows
from jaxdis.data.processes import CausalProcess
from jaxdis.systems.gcl import Config
from jaxdis.types import DataSet, Label, Names, Rows

SMALL = Config(z_dim=2, encoder=(8,), head=(4,), channels=2, batch=8)


def labelled(rows=60):
    """Images with a class and a number, some of them missing."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(rows, 8, 8, 1)).astype(np.float32)
    number = x.mean((1, 2, 3))
    number[::7] = np.nan
    y = np.stack([(x[:, 0, 0, 0] > 0.5).astype(np.float32), number], 1)
    names = Names(y=(Label("bright", 2), Label("mean")))
    return Rows(x, y=y, names=names)  # type: ignore[arg-type]


TINY: dict[str, tuple[Config, DataSet, dict[str, float]]] = {
    "actions": (
        SMALL,
        CausalProcess("InterventionTime", z_dim=3, x_dim=4, samples=200),
        {},
    ),
    "worlds": (
        Config(z_dim=0, encoder=(8,), head=(4,), form="quadratic", batch=8),
        ToyMixing(samples=20, valid_samples=4, test_samples=4, worlds=2),
        {},
    ),
    "images": (SMALL, OwnRows(labelled()), {}),
}
