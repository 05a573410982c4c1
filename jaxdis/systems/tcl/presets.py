"""Small settings: a toy with known latents, and data of one's own."""

from jaxdis.data.domains import Segments
from jaxdis.data.own import OwnFile
from jaxdis.systems.tcl.config import Config
from jaxdis.types import Preset

__all__ = ["PRESETS"]

_SOURCE = "this library"
_COST = "minutes for 8 seeds on 2 cores"

PRESETS: dict[str, Preset] = {
    # Latents whose means and variances differ between domains.
    "quickstart": Preset(
        config=Config(),
        data=Segments(),
        steps=5_000,
        source=_SOURCE,
        cost=_COST,
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
