"""Settings that compile in seconds and together take every branch of the method."""

from dataclasses import replace

from jaxdis.data.domains.toy import ToyMixing
from jaxdis.data.processes import CausalProcess
from jaxdis.data.sequences.stills import DigitSequences
from jaxdis.systems.ivae import Config

SMALL = Config(z_dim=3, encoder=(8,), decoder=(8,), prior_net=(4,), channels=2, batch=8)
TOY = ToyMixing(samples=20, valid_samples=4, test_samples=4, worlds=2)

TINY = {
    "actions": (
        replace(SMALL, encoding="joint"),
        CausalProcess(z_dim=3, x_dim=4, samples=200),
        {},
    ),
    "domains": (replace(SMALL, prior="variance"), TOY, {}),
    "images": (
        SMALL,
        DigitSequences(size=8, steps=2, valid_rows=6, test_rows=6, fit_rows=6),
        {"beta": 2.0},
    ),
}
SLOW = {"images", "domains"}
"""Settings that take long to compile."""
ELSEWHERE = {"reconstructions", "traversals"}  # of "images"
