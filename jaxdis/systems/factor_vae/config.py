"""What can be set: all that is compiled in, and all that can be swept."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxdis.types import Scalar, Spec

__all__ = ["Config", "Hyper", "default_hyper"]


@dataclass(frozen=True)
class Config:
    """What is compiled in; z_dim, discriminator and batch are those of public programs.

    Attributes:
      z_dim: the number of latents of the model; 0 takes that of the true latents, or
        where they are not known 10, or the numbers of x, if these are fewer.
      networks: the kind of encoder and decoder, a key of `vae.NETWORKS`; None takes the
        one that fits the shape of x.
      encoder: the hidden widths of the encoder, for "dense" networks.
      decoder: the hidden widths of the decoder, likewise.
      channels: the number of channels of the first layer of convolutional networks.
      discriminator: the hidden widths of the discriminator, which sees latents.
      likelihood: what the decoder's output means: "gaussian", with noise of
        `hyper.noise_std`, or "bernoulli", for images. None takes the one that fits the
        shape of x.
      batch: the number of rows in a step, at least 2; of sequences, every observation
        is trained on.
      precision: the precision of matrix products.
    """

    z_dim: int = 10
    networks: Literal["dense", "convolutional", "deep"] | None = None
    encoder: tuple[int, ...] = (1200, 1200)
    decoder: tuple[int, ...] = (1200, 1200, 1200)
    channels: int = 32
    discriminator: tuple[int, ...] = (1000,) * 6
    likelihood: Literal["gaussian", "bernoulli"] | None = None
    batch: int = 64
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the learning rate of Adam for the autoencoder.
      discriminator_rate: the learning rate of Adam for the discriminator.
      gamma: the weight of the total correlation as the discriminator sees it.
      noise_std: the standard deviation of the decoder's noise, in units of x; only
        seen by "gaussian".
    """

    learning_rate: Scalar
    discriminator_rate: Scalar
    gamma: Scalar
    noise_std: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Adam 1e-4 for both networks, gamma 10 and noise of 1.

    The rates are those of public programs; gamma is this library's choice.

    Args:
      config: the method's config.
      spec: what is known of the data.
      steps: the number of steps of the run, on which nothing here depends.
    """
    return Hyper(learning_rate=1e-4, discriminator_rate=1e-4, gamma=10.0, noise_std=1.0)
