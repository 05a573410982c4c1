"""Small settings: a toy with known latents, and data of one's own."""

from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.data.own import OwnFile
from jaxdis.systems.linear.config import Config
from jaxdis.types import Expectation, Preset

__all__ = ["PRESETS"]

_SCORES = ("mcc", "r2", "explained")

_QUICKSTART = Preset(
    config=Config(),
    data=MixedFactors(worlds=0),
    steps=200,
    chunk=200,
    source="this library",
    cost="seconds for 8 seeds on 2 cores",
    seeds=8,
    scores=_SCORES,
    expects=(Expectation("mcc", 0.922, 0.043), Expectation("explained", 0.943, 0.007)),
)
# Data of one's own: vectors or images.
_OWN = _QUICKSTART._replace(data=OwnFile(), scores=("explained",), expects=())

PRESETS: dict[str, Preset] = {
    "quickstart": _QUICKSTART,
    "quickstart_pca": _QUICKSTART._replace(
        config=Config(codes="pca"),
        # Directions of the largest variance are none of single factors.
        expects=(
            Expectation("mcc", 0.677, 0.043),
            Expectation("explained", 0.943, 0.007),
        ),
    ),
    "own": _OWN,
    "own_pca": _OWN._replace(config=Config(codes="pca")),
}
