"""Settings that compile in seconds and together take every branch of the method."""

from dataclasses import replace

from jaxdis.data.sequences.stills import DigitSequences
from jaxdis.data.sparse_steps import SparseSteps
from jaxdis.systems.slow_vae import Config

SMALL = Config(z_dim=3, encoder=(8,), decoder=(8,), channels=2, batch=8)
STEPS = SparseSteps(z_dim=2, x_dim=4, steps=3, samples=40, test_samples=20, worlds=2)

TINY = {
    "worlds": (SMALL, STEPS, {}),
    "images": (
        replace(SMALL, transition="released"),
        DigitSequences(size=8, steps=2, valid_rows=6, test_rows=6, fit_rows=6),
        {"gamma": 2.0},
    ),
}
SLOW = {"images"}
"""Settings that take long to compile."""
ELSEWHERE = {"reconstructions", "traversals"}  # of "images"
