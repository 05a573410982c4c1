"""Settings of CG-VAE: what is compiled in, and what can be swept."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

from jaxdis import check, losses, priors
from jaxdis.types import Scalar, Spec

__all__ = ["ColumnScale", "Config", "Hyper", "check_config", "default_hyper"]

ColumnScale: TypeAlias = Literal["std", "none"]


@dataclass(frozen=True)
class Config:
    """What is compiled in; the defaults are the quickstart's.

    Attributes:
      z_dim: the number of latents of the model; 0 for as many as the data have.
      encoder: the widths of the encoder's hidden layers.
      decoder: the widths of the decoder's hidden layers.
      prior: the flow of a latent in a domain, as `family` of `priors.domain_noise`.
      bins: the number of bins of the splines.
      embedding: the size of a domain's learned vector, from which a network makes the
        parameters of its flows.
      jac: which Jacobian the penalty sees, as `mode` of `losses.jacobian_l1`.
      columns: the number of random columns of "columns".
      difference: the step of "differences".
      jac_scale: the weights of the Jacobian's columns: "std", the latent's standard
        deviation over the batch, through which the gradient flows; "none", 1. With
        "none" latents grow until the penalty is small, and the mixing stays as it was.
      batch: the number of samples in a step.
      precision: the precision of matrix products; densities and losses are float32.
    """

    z_dim: int = 0
    encoder: tuple[int, ...] = (32, 32, 32)
    decoder: tuple[int, ...] = (32, 32, 32)
    prior: priors.Family = "rqs"
    bins: int = 8
    embedding: int = 8
    jac: losses.JacobianMode = "full"
    columns: int = 1
    difference: float = 1e-3
    jac_scale: ColumnScale = "std"
    batch: int = 256
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the learning rate of AdamW at the start.
      decay_steps: the steps in which it falls to 0 along a cosine.
      weight_decay: the weight decay of AdamW.
      alpha: the weight of the Jacobian's sparsity.
      warmup: the steps in which alpha rises from 0 along a line.
      beta: the weight of the divergence from the prior.
      conditioning: 1 for a prior of every domain; 0 takes the changes between domains
        away, as it multiplies the flows' parameters, and those of splines and affine
        maps are then the identity: N(0, 1) for all.
    """

    learning_rate: Scalar
    decay_steps: Scalar
    weight_decay: Scalar
    alpha: Scalar
    warmup: Scalar
    beta: Scalar
    conditioning: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """AdamW 2e-3, alpha .03 after a quarter of the steps, beta .01.

    Args:
      config: not used.
      spec: not used.
      steps: the number of steps of the run.
    """
    return Hyper(
        learning_rate=2e-3,
        decay_steps=float(steps),
        weight_decay=1e-4,
        alpha=0.03,
        warmup=0.25 * steps,
        beta=0.01,
        conditioning=1.0,
    )


def check_config(config: Config, spec: Spec) -> None:
    """Raises ValueError, naming the field, unless the config fits the data."""
    for name in ("bins", "embedding", "batch"):
        check.at_least(f"config.{name}", getattr(config, name), 1)
    check.widths("config.encoder", config.encoder)
    check.widths("config.decoder", config.decoder)
    check.one_of("config.jac", config.jac, get_args(losses.JacobianMode))
    check.one_of("config.jac_scale", config.jac_scale, get_args(ColumnScale))
    check.one_of("config.prior", config.prior, get_args(priors.Family))
    if len(spec.shape) != 1 or spec.steps is not None:
        raise ValueError(
            "sparse_mixing needs observations that are vectors; those of this data set "
            f"have shape {spec.shape}" + (" over time" if spec.steps else "")
        )
    n = config.z_dim or spec.z_dim
    if n < 1 or n < spec.z_dim:
        raise ValueError(
            "config.z_dim must be at least 1 and the number of the data's latents, "
            f"{spec.z_dim or 'which is not known'}; got {config.z_dim}"
        )
    if not 1 <= config.columns <= n:
        raise ValueError(
            f"config.columns must be 1 to {n}, the number of latents, got "
            f"{config.columns}"
        )
    check.positive("config.difference", config.difference)
    if config.batch == 1 and config.jac_scale == "std":
        raise ValueError(
            "config.jac_scale='std' needs config.batch of at least 2: latents of a "
            "single sample have no variance"
        )
