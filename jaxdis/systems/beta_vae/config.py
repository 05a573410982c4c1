"""What can be set: all that is compiled in, and all that can be swept."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxdis.types import Scalar, Spec

__all__ = ["Config", "Hyper", "default_hyper"]


@dataclass(frozen=True)
class Config:
    """What is compiled in; the defaults are the paper's for binary images.

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
      constraint: how the divergence is held down: "beta" times it, or "capacity", beta
        times its distance from a capacity that rises.
      warmup: the fraction of the steps in which the capacity rises.
      batch: the number of rows in a step; of sequences, every observation is trained
        on.
      precision: the precision of matrix products.
    """

    z_dim: int = 10
    networks: Literal["dense", "convolutional", "deep"] | None = None
    encoder: tuple[int, ...] = (1200, 1200)
    decoder: tuple[int, ...] = (1200, 1200, 1200)
    channels: int = 32
    likelihood: Literal["gaussian", "bernoulli"] | None = "gaussian"
    constraint: Literal["beta", "capacity"] = "beta"
    warmup: float = 1.0
    batch: int = 64
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the learning rate of Adam.
      beta: the weight of the KL divergence, or of its distance from the capacity.
      noise_std: the standard deviation of the decoder's noise, in units of x; only
        seen by "gaussian", where beta and its square act by their product alone.
      capacity: the capacity in the end, in nats; only seen by "capacity".
      warmup: the warm-up of the config, in steps.
    """

    learning_rate: Scalar
    beta: Scalar
    noise_std: Scalar
    capacity: Scalar
    warmup: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Adam 1e-4, beta 4 and noise of 1; of "capacity" beta 1,000 and 25 nats.

    Args:
      config: the method's config.
      spec: what is known of the data.
      steps: the number of steps of the run.
    """
    return Hyper(
        learning_rate=1e-4,
        beta={"beta": 4.0, "capacity": 1_000.0}[config.constraint],
        noise_std=1.0,
        capacity=25.0,
        warmup=config.warmup * steps,
    )
