"""Settings that compile in seconds and together take every branch of the method."""

import numpy as np

from jaxdis.data.domains.toy import ToyMixing
from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.data.own import OwnRows
from jaxdis.systems.linear import Config
from jaxdis.types import Rows


def pictures(rows=60):
    """Images of two steps without latents, as bytes."""
    x = np.random.default_rng(0).integers(0, 256, (rows, 2, 4, 4, 1)).astype(np.uint8)
    return Rows(x)  # type: ignore[arg-type]


TINY = {
    "source": (Config(rows=64), MixedFactors(z_dim=2, x_dim=4, test_rows=40), {}),
    "worlds": (
        Config(codes="pca", z_dim=5),
        ToyMixing(samples=20, valid_samples=4, test_samples=4, worlds=2, tall=True),
        {},
    ),
    "images": (Config(z_dim=3, rows=40), OwnRows(pictures()), {"alpha": 2.0}),
}
