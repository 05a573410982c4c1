"""Settings that compile in seconds and together take every branch of the method."""

import numpy as np

from jaxdis.data.domains.toy import ToyMixing
from jaxdis.data.own import OwnRows
from jaxdis.systems.tcl import Config
from jaxdis.types import DataSet, Label, Names, Rows

SMALL = Config(z_dim=2, encoder=(8,), channels=2, batch=8)


def classified(rows=60):
    """Images with a number and a class, which some lack."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(rows, 8, 8, 1)).astype(np.float32)
    bright = (x[:, 0, 0, 0] > 0.5).astype(np.float32)
    bright[::7] = np.nan
    y = np.stack([x.mean((1, 2, 3)), bright], 1)
    names = Names(y=(Label("mean"), Label("bright", 2)))
    return Rows(x, y=y, names=names)  # type: ignore[arg-type]


TINY: dict[str, tuple[Config, DataSet, dict[str, float]]] = {
    "worlds": (
        Config(z_dim=0, encoder=(8,), batch=8),
        ToyMixing(samples=20, valid_samples=4, test_samples=4, worlds=2),
        {},
    ),
    "images": (
        Config(z_dim=2, channels=2, statistics="absolute", batch=8),
        OwnRows(classified()),
        {},
    ),
}
