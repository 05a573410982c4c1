"""What can be set: all that is compiled in, and all that can be swept."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxdis.types import Scalar, Spec

__all__ = ["Config", "Hyper", "default_hyper"]


@dataclass(frozen=True)
class Config:
    """What is compiled in; widths and depth are those of the released program's model.

    Attributes:
      z_dim: the number of latents of the model; 0 takes that of the true latents, or
        where they are not known 10, or the numbers of x, if these are fewer.
      auxiliary: what the prior sees, a key of `AUXILIARIES`: "a" the actions, "u" the
        domain, "y" the labels, "past" the codes of the frame before. None takes the
        first of these that the data have.
      encoding: how a posterior is made of what the encoder sees in x, a key of
        `ENCODINGS`: "x", q(z | x), or "joint", q(z | x, u), its product with the prior.
        Codes are of x alone with either.
      prior: what changes with the auxiliary variable, a key of `PRIORS`: "normal", mean
        and variance, or "variance" alone, as in the released program.
      prior_net: the hidden widths of the prior's network.
      networks: the kind of encoder and decoder, a key of `vae.NETWORKS`; None takes
        the one that fits the shape of x.
      encoder: the hidden widths of the encoder, for "dense" networks.
      decoder: the hidden widths of the decoder, likewise.
      channels: the number of channels of the first layer of convolutional networks.
      likelihood: what the decoder's output means: "gaussian", with noise of
        `hyper.noise_std`, or "bernoulli", for images. None takes the one that fits the
        shape of x.
      batch: the number of rows in a step.
      precision: the precision of matrix products.
    """

    z_dim: int = 0
    auxiliary: Literal["a", "u", "y", "past"] | None = None
    encoding: Literal["x", "joint"] = "x"
    prior: Literal["normal", "variance"] = "normal"
    prior_net: tuple[int, ...] = (50, 50)
    networks: Literal["dense", "convolutional", "deep"] | None = None
    encoder: tuple[int, ...] = (50, 50)
    decoder: tuple[int, ...] = (50, 50)
    channels: int = 32
    likelihood: Literal["gaussian", "bernoulli"] | None = None
    batch: int = 64
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the learning rate of Adam.
      beta: the weight of the divergence from the prior; 1 is the bound.
      noise_std: the standard deviation of the decoder's noise, in units of x; only
        seen by "gaussian".
    """

    learning_rate: Scalar
    beta: Scalar
    noise_std: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Adam 1e-3, beta 1 and noise of .1, the deviation of the released program.

    The learning rate is this library's choice.

    Args:
      config: the method's config.
      spec: what is known of the data.
      steps: the number of steps of the run.
    """
    return Hyper(learning_rate=1e-3, beta=1.0, noise_std=0.1)
