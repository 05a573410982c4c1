"""What can be set: all that is compiled in, and all that can be swept."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxdis.types import Scalar, Spec

__all__ = ["Config", "Hyper", "default_hyper"]


@dataclass(frozen=True)
class Config:
    """What is compiled in; sizes are the defaults of the released program.

    There "dense" networks are the default, and here for vectors alone; its estimate is
    "weighted" unless asked otherwise, and here "stratified".

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
      estimate: how densities of the aggregate posterior are estimated from a batch:
        minibatch-"stratified" or minibatch-"weighted", a key of `vae.ESTIMATES`.
      draws: the number of rows of a batch at whose draws they are estimated; 0 for all.
        Each is estimated from the whole batch, so that fewer cost less and are noisier,
        but no more biased.
      batch: the number of rows in a step, at least 2; of sequences, every observation
        is trained on.
      precision: the precision of matrix products of the networks.
    """

    z_dim: int = 10
    networks: Literal["dense", "convolutional", "deep"] | None = None
    encoder: tuple[int, ...] = (1200, 1200)
    decoder: tuple[int, ...] = (1200, 1200, 1200)
    channels: int = 32
    likelihood: Literal["gaussian", "bernoulli"] | None = None
    estimate: Literal["stratified", "weighted"] = "stratified"
    draws: int = 0
    batch: int = 2048
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the learning rate of Adam.
      alpha: the weight of what the latents tell of the row.
      beta: the weight of their total correlation.
      gamma: the weight of the divergence of each latent's aggregate from N(0, 1).
      noise_std: the standard deviation of the decoder's noise, in units of x; only
        seen by "gaussian".
      rows: the number of training rows that the aggregate posterior is a mixture of.
    """

    learning_rate: Scalar
    alpha: Scalar
    beta: Scalar
    gamma: Scalar
    noise_std: Scalar
    rows: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Adam 1e-3, beta 6, alpha and gamma 1, noise of 1, and the rows of the data.

    Rate and beta are those by which the authors' program is run.

    Of a source without an end, the training rows are those that a run draws: steps
    times batch. Every observation of a sequence counts.

    Args:
      config: the method's config.
      spec: what is known of the data.
      steps: the number of steps of the run.
    """
    rows = spec.rows or max(steps, 1) * config.batch
    return Hyper(
        learning_rate=1e-3,
        alpha=1.0,
        beta=6.0,
        gamma=1.0,
        noise_std=1.0,
        rows=float(rows * (spec.steps or 1)),
    )
