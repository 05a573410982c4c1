"""What can be set: all that is compiled in, and all that can be swept."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxdis.types import Scalar, Spec

__all__ = ["Config", "Hyper", "default_hyper"]


@dataclass(frozen=True)
class Config:
    """What is compiled in; z_dim and batch are those of the released program.

    Its networks are convolutional; widths of "dense" ones are this library's choice.

    Attributes:
      z_dim: the number of latents of the model; 0 takes that of the true latents, or
        where they are not known 10, or the numbers of x, if these are fewer.
      networks: the kind of both networks, a key of `vae.NETWORKS`; None takes the one
        that fits the shape of x.
      encoder: the hidden widths of the encoder, for "dense" networks.
      decoder: the hidden widths of the decoder, likewise.
      channels: the number of channels of the first layer of convolutional networks.
      likelihood: what the decoder's output means: "gaussian", with noise of
        `hyper.noise_std`, or "bernoulli", for images. None takes the one that fits the
        shape of x.
      transition: how the divergence from the transition prior is taken, a key of
        `TRANSITIONS`: "bound", as the bound has it, or "released", as the released
        program.
      batch: the number of sequences in a step, of which a pair of frames each is seen.
      precision: the precision of matrix products.
    """

    z_dim: int = 10
    networks: Literal["dense", "convolutional", "deep"] | None = None
    encoder: tuple[int, ...] = (256, 256)
    decoder: tuple[int, ...] = (256, 256)
    channels: int = 32
    likelihood: Literal["gaussian", "bernoulli"] | None = None
    transition: Literal["bound", "released"] = "bound"
    batch: int = 64
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the learning rate of Adam.
      beta: the weight of the divergence from N(0, 1).
      gamma: the weight of the divergence from the transition prior; 0 makes it the
        beta-VAE.
      rate: the rate of the Laplace transition prior; its scale is 1 / rate.
      noise_std: the standard deviation of the decoder's noise, in units of x; only
        seen by "gaussian".
    """

    learning_rate: Scalar
    beta: Scalar
    gamma: Scalar
    rate: Scalar
    noise_std: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Adam 1e-4, beta 1, gamma 10, a rate of 6 and noise of 1.

    All but the noise are those of the released program, whose authors chose gamma and
    the rate without labels, by UDR.

    Args:
      config: the method's config.
      spec: what is known of the data.
      steps: the number of steps of the run.
    """
    return Hyper(learning_rate=1e-4, beta=1.0, gamma=10.0, rate=6.0, noise_std=1.0)
