"""Settings that compile in seconds and together take every branch of the method."""

from dataclasses import replace

import numpy as np

from jaxdis.data.own import OwnRows
from jaxdis.data.processes import CausalProcess
from jaxdis.systems.mechanism_sparsity import Config
from jaxdis.types import Rows

SMALL = Config(
    z_dim=4,
    encoder=(8,),
    decoder=(8,),
    transition=(4,),
    channels=2,
    decoder_log_variance_init=-2.0,
    batch=16,
)


def _data(process: str) -> CausalProcess:
    return CausalProcess(process, z_dim=4, x_dim=6, samples=200)


def vectors(rows=400):
    """Six observed variables, and two actions of which one is one of two kinds."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    a = np.stack([rng.normal(size=rows), np.arange(rows) % 2], 1).astype(np.float32)
    return Rows(x, a=a)


def frames(rows=400):
    """Three images in a row, in bytes."""
    rng = np.random.default_rng(0)
    return Rows(rng.integers(0, 256, (rows, 3, 8, 8, 1)).astype(np.uint8))


TINY = {
    "actions": (SMALL, _data("ActionNonDiag"), {"coeff_a": 1.0}),
    "time": (
        replace(
            SMALL,
            mask="hard_concrete",
            mask_draws="example",
            prior_variance="dependent",
        ),
        _data("TimeNonDiag"),
        {},
    ),
    "both": (
        replace(
            SMALL,
            mask="straight_through",
            prior_variance="fixed",
            warmup_masks="frozen",
            warmup=0.5,
            time_graph="dense",
        ),
        _data("InterventionTime"),
        {},
    ),
    "own": (replace(SMALL, z_dim=0), OwnRows(vectors()), {"bound_a": 6.0}),
    "films": (replace(SMALL, z_dim=3), OwnRows(frames()), {"bound_z": 5.0}),
}
