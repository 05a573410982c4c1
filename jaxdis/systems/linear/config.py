"""What can be set: all that is compiled in, and all that can be swept."""

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from jaxdis import check
from jaxdis.types import Scalar, Spec

__all__ = ["Config", "Hyper", "check_config", "default_hyper", "sized"]


@dataclass(frozen=True)
class Config:
    """What is compiled in.

    Attributes:
      codes: what the codes are, a key of `CODES`: "ica", independent components, or
        "pca", principal components.
      z_dim: the number of codes; 0 takes that of the true latents, or where they are
        not known 10, or the numbers of x, if these are fewer.
      rows: the number of training rows that are seen, the same in every step; all of
        them, if they are fewer.
      precision: the precision of matrix products.
    """

    codes: Literal["ica", "pca"] = "ica"
    z_dim: int = 0
    rows: int = 10_000
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      alpha: the steepness of the nonlinearity `tanh(alpha s)` of "ica", 1 to 2 in the
        paper; "pca" has none.
    """

    alpha: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Alpha 1, as in scikit-learn.

    Args:
      config: the method's config.
      spec: what is known of the data.
      steps: the number of steps of the run.
    """
    return Hyper(alpha=1.0)


def sized(config: Config, spec: Spec) -> Config:
    """The config with a number of codes.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    return replace(config, z_dim=spec.codes(config.z_dim))


def check_config(config: Config, spec: Spec) -> None:
    """Raises ValueError unless the config fits the data.

    Args:
      config: the method's config, sized.
      spec: what is known of the data.
    """
    check.one_of("config.codes", config.codes, ("ica", "pca"))
    check.at_least("config.z_dim", config.z_dim, 1)
    check.at_least("config.rows", config.rows, 2)
    numbers = math.prod(spec.shape)
    if config.z_dim > numbers:
        raise ValueError(
            f"config.z_dim must be at most {numbers}, the numbers of an observation, "
            f"got {config.z_dim}: there are no more linear codes than that"
        )
