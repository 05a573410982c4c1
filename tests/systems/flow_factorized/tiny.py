"""Settings that compile in seconds and take every branch of the method."""

from dataclasses import replace
from typing import Any

import numpy as np

from jaxdis.data.own import OwnRows
from jaxdis.data.sequences import BlobSequences, DigitSequences
from jaxdis.systems.flow_factorized import FAITHFUL, Config
from jaxdis.types import Names, Rows

__all__ = ["SLOW", "TINY", "own_rows"]


def own_rows(count: int = 60, known: bool = False) -> Rows:
    """Frames of 6 x 5: a bright row that goes down, or a column that goes right.

    Args:
      count: the number of sequences.
      known: whether it is told which.
    """
    rng = np.random.default_rng(0)
    k, start = rng.integers(0, 2, count), rng.integers(0, 3, count)
    at = start[:, None] + np.arange(3)
    down = np.arange(6)[None, None, :, None] == at[:, :, None, None]
    right = np.arange(5)[None, None, None] == at[:, :, None, None]
    x = np.where(k[:, None, None, None] == 0, down, right)
    names = Names(k=("down", "right") if known else ())
    frames = (x * 255)[..., None].astype(np.uint8)
    index: Any = k if known else None
    return Rows(frames, k=index, names=names)


_MLP: dict[str, Any] = {"z_dim": 4, "vae": "mlp", "width": 8, "depth": 1, "batch": 6}
_ROWS: dict[str, Any] = {"valid_rows": 6, "test_rows": 6, "fit_rows": 12}

_OWN = Config(supervision=None, z_dim=4, vae=None, width=8, depth=1, batch=6)

TINY = {
    "own": (_OWN, OwnRows(own_rows()), {"learning_rate": 1e-3}),
    "convolutions": (
        Config(z_dim=4, width=2, batch=6),
        BlobSequences(size=8, steps=3, **_ROWS),
        {"learning_rate": 1e-3},
    ),
    "released": (
        replace(FAITHFUL, supervision="inferred", **_MLP),
        BlobSequences(size=8, steps=3, index_per="batch", **_ROWS),
        {"learning_rate": 1e-3, "kl_weight": 1.0},
    ),
    "inferred": (
        Config(supervision="inferred", **_MLP),
        DigitSequences(size=8, steps=2, **_ROWS),
        {"learning_rate": 1e-3},
    ),
    "plain": (
        Config(supervision="none", **_MLP),
        DigitSequences(size=8, steps=2, held_out_classes=(9,), **_ROWS),
        {"learning_rate": 1e-3},
    ),
}
SLOW = {"convolutions"}
"""Settings that take long to compile."""
