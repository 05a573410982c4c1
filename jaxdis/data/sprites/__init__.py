"""Sprites: shapes drawn on the device, of which every factor is known.

`drawing.draw` makes a picture of how a sprite looks, `scene` says which factors vary,
and the data sets draw them: by themselves (`Sprites`), in sequences that one factor
moves through (`SpriteSequences`) or all take small steps in (`SpriteTransitions`), by
domains (`SpriteDomains`), and by actions or the past (`SpriteProcess`).
"""

from jaxdis.data.sprites.drawing import Look, draw
from jaxdis.data.sprites.images import Sprites
from jaxdis.data.sprites.moved import SpriteDomains, SpriteProcess
from jaxdis.data.sprites.scene import FACTORS
from jaxdis.data.sprites.sequences import SpriteSequences, SpriteTransitions
from jaxdis.data.sprites.shapes import SHAPES

__all__ = [
    "FACTORS",
    "SHAPES",
    "Look",
    "SpriteDomains",
    "SpriteProcess",
    "SpriteSequences",
    "SpriteTransitions",
    "Sprites",
    "draw",
]
