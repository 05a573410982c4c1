"""Settings that compile in seconds and take every branch of the method."""

from dataclasses import replace
from typing import Any

from jaxdis.data.sequences import BlobSequences, DigitSequences
from jaxdis.systems.flow_factorized import FAITHFUL, Config

__all__ = ["SLOW", "TINY"]

_MLP: dict[str, Any] = {"z_dim": 4, "vae": "mlp", "width": 8, "depth": 1, "batch": 6}
_ROWS: dict[str, Any] = {"valid_rows": 6, "test_rows": 6, "fit_rows": 12}

TINY = {
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
