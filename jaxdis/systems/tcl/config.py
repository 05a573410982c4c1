"""What can be set: all that is compiled in, and all that can be swept."""

from dataclasses import dataclass
from typing import Literal

from jaxdis.contrast import Hyper
from jaxdis.types import Spec

__all__ = ["Config", "Hyper", "default_hyper"]


@dataclass(frozen=True)
class Config:
    """What is compiled in.

    Attributes:
      z_dim: the number of codes; 0 takes that of the true latents, or where they are
        not known 10, or the numbers of x, if these are fewer.
      encoder: the hidden widths of the encoder of vectors.
      channels: the channels of the first convolution of the encoder of images.
      segments: which field of the rows numbers the segments: the domain "u", or the
        first column of the labels "y" that holds classes; None takes the first that
        there is.
      statistics: what the classifier sees of the codes, a key of `STATISTICS`:
        "quadratic", them and their squares, or "absolute", their absolute values, as in
        the released program.
      batch: the number of rows in a step.
      precision: the precision of matrix products.
    """

    z_dim: int = 0
    encoder: tuple[int, ...] = (64, 64, 64)
    channels: int = 32
    segments: Literal["u", "y"] | None = None
    statistics: Literal["quadratic", "absolute"] = "quadratic"
    batch: int = 256
    precision: Literal["highest", "high", "default"] = "highest"


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Adam 1e-2, which falls to 0 over the run.

    Args:
      config: the method's config.
      spec: what is known of the data.
      steps: the number of steps of the run.
    """
    return Hyper(learning_rate=1e-2, decay_steps=float(steps))
