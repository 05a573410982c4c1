"""Small settings: a toy with known latents, and data of one's own."""

from jaxdis.data.own import OwnFile
from jaxdis.data.sparse_steps import SparseSteps
from jaxdis.systems.pcl.config import Config
from jaxdis.types import Expectation, Preset

__all__ = ["PRESETS"]

_SOURCE = "this library"

PRESETS: dict[str, Preset] = {
    "quickstart": Preset(
        config=Config(),
        data=SparseSteps(),
        steps=5_000,
        source=_SOURCE,
        cost="2 min for 8 seeds on 2 cores",
        expects=(
            Expectation("mcc", 0.995, 0.000),
            Expectation("r2", 0.991, 0.000),
            Expectation("contrast", 0.223, 0.009),
            Expectation("accuracy", 0.908, 0.006),
        ),
        seeds=8,
        scores=("mcc", "r2", "contrast", "accuracy"),
    ),
    # Data of one's own: sequences, or windows of a series.
    "own": Preset(
        config=Config(),
        data=OwnFile(window=2),
        steps=0,
        source=_SOURCE,
        cost="minutes for 8 seeds of vectors on 2 cores",
        seeds=8,
        scores=("contrast", "accuracy"),
    ),
}
