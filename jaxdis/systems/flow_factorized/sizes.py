"""Sizes for what a config leaves to the data."""

import math
from dataclasses import replace
from typing import Literal

from jaxdis.systems.flow_factorized.build import SUPERVISIONS
from jaxdis.systems.flow_factorized.config import Config
from jaxdis.types import Spec

__all__ = ["TRANSFORMATIONS", "sized"]

TRANSFORMATIONS = 4  # that are looked for where nobody knows their number
PERCEPTRON = 32 * 32 * 3  # numbers of an image up to which it is taken in a row
SMALL = 20 * 20  # numbers of an image that 16 latents are enough for
WIDTHS = {"mlp": 256, "conv": 32, "deep_conv": 32}


def _vae(shape: tuple[int, ...]) -> Literal["mlp", "conv", "deep_conv"]:
    """The networks that fit images of a shape."""
    sides = math.gcd(*shape[:2]) if len(shape) == 3 else 1
    if sides % 4 or math.prod(shape) <= PERCEPTRON:
        return "mlp"
    return "deep_conv" if sides % 16 == 0 and max(shape) >= 128 else "conv"


def sized(config: Config, spec: Spec) -> Config:
    """A config with what it leaves to the data.

    Known transformations where the data name them, else 4 that are inferred; a
    perceptron for images of at most 32 x 32 x 3 numbers and those whose sides 4 does
    not divide, convolutions for others; 16 latents for images of at most 20 x 20
    numbers, 32 for others.

    Args:
      config: the config; no supervision and no networks, and a z_dim, a width and a
        number of transformations of 0 are left to the data.
      spec: what is known of the data.
    """
    supervision = config.supervision or (
        "known" if spec.transformations else "inferred"
    )
    kind, count = SUPERVISIONS.get(supervision), config.transformations
    if kind is not None and kind.infers and not spec.transformations:
        count = count or TRANSFORMATIONS
    vae = config.vae or _vae(spec.shape)
    return replace(
        config,
        supervision=supervision,
        transformations=count,
        z_dim=config.z_dim or (16 if math.prod(spec.shape) <= SMALL else 32),
        vae=vae,
        width=config.width or WIDTHS.get(vae, 0),
    )
