"""Settings of CG-VAE: what is compiled in, and what can be swept."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

from jaxdis import check, losses, priors
from jaxdis.types import Scalar, Spec

__all__ = [
    "ColumnScale",
    "Config",
    "Hyper",
    "check_config",
    "default_hyper",
    "sized",
]

ColumnScale: TypeAlias = Literal["std", "none"]

FEW, FEW_OF_IMAGES = 4, 8  # latents, however few domains there are
WHOLE = 2**18  # numbers of the Jacobians of a batch that are cheap to have


@dataclass(frozen=True)
class Config:
    """What is compiled in; the defaults are the quickstart's.

    Attributes:
      z_dim: the number of latents of the model; 0 for as many as the data have, or,
        where that is not known, a number by the data: see `sized`.
      encoder: the widths of the encoder's hidden layers, where it is a perceptron.
      decoder: the widths of the decoder's hidden layers, likewise.
      channels: the channels of the first convolution of the encoder of images, and of
        the last hidden one of the decoder.
      prior: the flow of a latent in a domain, as `family` of `priors.domain_noise`.
      bins: the number of bins of the splines.
      embedding: the size of a domain's learned vector, from which a network makes the
        parameters of its flows.
      jac: which Jacobian the penalty sees, as `mode` of `losses.jacobian_l1`; None for
        one by the size of the data: see `sized`.
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
    channels: int = 32
    prior: priors.Family = "rqs"
    bins: int = 8
    embedding: int = 8
    jac: losses.JacobianMode | None = None
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


def _latents(spec: Spec) -> int:
    """As many as the data have, by their latents or by their mask; else by the rule."""
    if spec.z_dim:
        return spec.z_dim
    if spec.truth.mask is not None:
        return spec.truth.mask.shape[1]
    few = FEW_OF_IMAGES if len(spec.shape) == 3 else FEW
    by_changes = (len(spec.domains) - 1) // 2
    return max(1, min(math.prod(spec.shape) // 2, max(few, by_changes)))


def sized(config: Config, spec: Spec) -> Config:
    """The config with a number of latents and a Jacobian for these data.

    The number of latents is that of the data, where it is known. Where it is not, it is
    half of the observed variables, but no more than D domains identify by their changes
    alone, `(D - 1) / 2`, or 4 (of images 8) if that is less: latents of a sparse mixing
    need fewer domains, and one too many is left unused, while one too few is missing.

    The penalty sees the whole Jacobian where those of a batch are few numbers, and one
    random column of it where they are many, as of images.

    Args:
      config: the settings; what they name stays.
      spec: the shape of the data, their domains, and what is known of their mixing.
    """
    n = config.z_dim or _latents(spec)
    whole = config.batch * math.prod(spec.shape) * n <= WHOLE
    jac = config.jac or ("full" if whole else "columns")
    return dataclasses.replace(config, z_dim=n, jac=jac)


def check_config(config: Config, spec: Spec) -> None:
    """Raises ValueError, naming the field, unless the config fits the data.

    Args:
      config: the settings, sized or not.
      spec: what is known of the data.
    """
    for name in ("channels", "bins", "embedding", "batch"):
        check.at_least(f"config.{name}", getattr(config, name), 1)
    check.widths("config.encoder", config.encoder)
    check.widths("config.decoder", config.decoder)
    if config.jac is not None:
        check.one_of("config.jac", config.jac, get_args(losses.JacobianMode))
    check.one_of("config.jac_scale", config.jac_scale, get_args(ColumnScale))
    check.one_of("config.prior", config.prior, get_args(priors.Family))
    if len(spec.shape) not in (1, 3) or spec.steps is not None:
        raise ValueError(
            "sparse_mixing needs observations that are vectors or images; those of "
            f"this data set have shape {spec.shape}"
            + (" over time" if spec.steps else "")
        )
    n = sized(config, spec).z_dim
    if n < 1 or n < spec.z_dim:
        raise ValueError(
            "config.z_dim must be at least 1 and the number of the data's latents, "
            f"{spec.z_dim or 'which is not known'}; got {n}"
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
