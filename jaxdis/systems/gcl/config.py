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
      auxiliary: which field of the rows is the auxiliary variable: actions "a", the
        domain "u", or the labels "y"; None takes the first of these that there is.
      form: how a code and the auxiliary variable meet, a key of `FORMS`: "network", any
        function, or "quadratic", that of a Gaussian latent.
      head: the hidden widths of the networks of the log odds.
      batch: the number of rows in a step, at least 2.
      precision: the precision of matrix products.
    """

    z_dim: int = 0
    encoder: tuple[int, ...] = (64, 64, 64)
    channels: int = 32
    auxiliary: Literal["a", "u", "y"] | None = None
    form: Literal["network", "quadratic"] = "network"
    head: tuple[int, ...] = (32, 32)
    batch: int = 256
    precision: Literal["highest", "high", "default"] = "highest"


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Adam 5e-3, which falls to 0 over the run.

    Args:
      config: the method's config.
      spec: what is known of the data.
      steps: the number of steps of the run.
    """
    return Hyper(learning_rate=5e-3, decay_steps=float(steps))
