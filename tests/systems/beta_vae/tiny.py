"""Settings that compile in seconds and together take every branch of the method."""

from dataclasses import replace

from jaxdis.data.domains.toy import ToyMixing
from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.data.sequences.stills import DigitSequences
from jaxdis.systems.beta_vae import Config

SMALL = Config(z_dim=3, encoder=(8,), decoder=(8,), channels=2, batch=8)
IMAGES = replace(SMALL, likelihood="bernoulli", constraint="capacity")
TOY = ToyMixing(samples=20, valid_samples=4, test_samples=4, worlds=2)

TINY = {
    "source": (SMALL, MixedFactors(z_dim=2, x_dim=4, test_rows=40), {}),
    "worlds": (SMALL, TOY, {}),
    "sequences": (
        IMAGES,
        DigitSequences(size=8, steps=2, valid_rows=6, test_rows=6, fit_rows=6),
        {"beta": 10.0},
    ),
}
SLOW = {"sequences"}
"""Settings that take long to compile."""
ELSEWHERE = {"reconstructions", "traversals"}  # of "sequences"
