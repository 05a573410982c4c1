"""Settings that compile in seconds and together take every branch of the method."""

import numpy as np

from jaxdis.data.domains import DenseShift, ToyMixing
from jaxdis.data.own import OwnRows
from jaxdis.systems.sparse_mixing.config import Config
from jaxdis.types import Rows

_SIZES = {"samples": 40, "valid_samples": 8, "test_samples": 20}

_RNG = np.random.default_rng(0)

# Of one's own: nothing is known but the domains.
TABLE = Rows(_RNG.normal(size=(60, 5)).astype(np.float32), u=np.arange(60) % 3)
IMAGES = Rows(_RNG.integers(0, 256, (60, 4, 4, 1), np.uint8), u=np.arange(60) % 3)

TINY = {
    # Two latents under a dense mask need five domains: theory leaves a block.
    "worlds": (
        Config(encoder=(8,), decoder=(8,), bins=3, embedding=2, batch=16),
        ToyMixing(mask="dense", z_dim=2, tall=True, domains=3, worlds=2, **_SIZES),
        {},
    ),
    # All seeds see the same rows.
    "columns": (
        Config(
            encoder=(8,), decoder=(8,), prior="ddsf", embedding=2, jac="columns",
            batch=16,
        ),
        DenseShift(z_dim=2, changing=1, domains=2, worlds=1, **_SIZES),
        # Adam makes full steps of what is rounding in gradients that are nearly 0.
        {"learning_rate": 1e-6},
    ),
    "differences": (
        Config(
            encoder=(8,), decoder=(8,), prior="affine", embedding=2, z_dim=3,
            jac="differences", jac_scale="none", batch=16,
        ),
        DenseShift(z_dim=2, changing=1, domains=5, worlds=2, **_SIZES),
        {"conditioning": 0.5},
    ),
    "table": (
        Config(encoder=(8,), decoder=(8,), prior="affine", embedding=2, batch=16),
        OwnRows(TABLE),
        {},
    ),
    "images": (
        Config(
            channels=2, prior="affine", embedding=2, z_dim=2, jac="columns", batch=16
        ),
        OwnRows(IMAGES),
        {"learning_rate": 1e-6},
    ),
}  # fmt: skip
