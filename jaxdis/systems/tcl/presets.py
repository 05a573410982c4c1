"""Small settings: a toy with known latents, and data of one's own."""

from jaxdis.data.domains import Segments
from jaxdis.data.own import OwnFile
from jaxdis.systems.tcl.config import Config
from jaxdis.types import Expectation, Preset

__all__ = ["PRESETS"]

_SOURCE = "this library"
_COST = "1 to 2 min for 8 seeds on 2 cores"

PRESETS: dict[str, Preset] = {
    # Latents whose means and variances differ between domains.
    "quickstart": Preset(
        config=Config(),
        data=Segments(),
        steps=5_000,
        source=_SOURCE,
        cost=_COST,
        # Where a seed fails it has learned the size of a latent, and not its sign.
        expects=(
            Expectation("mcc", 0.973, 0.051),
            Expectation("r2", 0.968, 0.040),
            Expectation("contrast", 1.987, 0.072),
            Expectation("accuracy", 0.391, 0.015),
        ),
        seeds=8,
        scores=("mcc", "r2", "contrast", "accuracy"),
    ),
    # Data of one's own: with domains, segments of a series, or classes.
    "own": Preset(
        config=Config(),
        data=OwnFile(),
        steps=0,
        source=_SOURCE,
        cost=_COST,
        seeds=8,
        scores=("contrast", "accuracy"),
    ),
}
