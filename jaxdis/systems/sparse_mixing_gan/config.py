"""Settings of CG-GAN: what is compiled in, and the released weights."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from jaxdis import check, nets
from jaxdis.systems.sparse_mixing_gan.objective import EFFECTS, Hyper
from jaxdis.types import Spec

__all__ = ["Config", "check_config", "default_hyper", "sized"]

WIDEST, NARROWEST = 64, 8  # channels where they are left to the data


@dataclass(frozen=True)
class Config:
    """What is compiled in; the defaults are the released code's, for 32 x 32 images.

    Attributes:
      z_dim: the number of latents.
      style_dims: the number of the first of them, that domains move.
      w_dim: the width of the mapping and of the styles that it gives.
      layers: the number of layers of the mapping, and of the network of the domain's
        maps.
      rate: the factor by which those two networks learn slower than the others. A run
        of a few thousand steps hardly moves them at the released one.
      widths: the channels of both networks at 4 x 4, 8 x 8, ...; as many as images
        need. () is 64, 32, 16, 8, 8, ..., a small network for images of any size.
      style_from: the first layer of the synthesis, two per size, that active style
        latents reach; earlier ones see them as 0. 0, the released code's, is all: then
        nothing but the penalties keeps a domain from changing the content. None is the
        second half.
      img_sparse: the penalty of a style latent's effect: "intended", a difference of
        two images that differ by one style latent; "jvp", its limit; "released", the
        released code's, which compares two images of the same latents.
      batch: the number of images in a step.
      r1_part, path_part, sparse_part: the share 1 / part of the batch that a step
        takes for the penalties of the discriminator's slope, of path lengths and of
        the effect of style latents. The released code takes all of the batch in every
        16th step with 16 times the weight (half of it in every 4th step with 4 times
        the weight for the paths): the same expectation, but under `vmap` over seeds
        both sides of a branch are computed. 0 is none.
      convolutions: "auto", "matmul" or "lax", the same function; see
        `nets.CONVOLUTIONS`.
      precision: the precision of matrix products.
    """

    z_dim: int = 512
    style_dims: int = 256
    w_dim: int = 512
    layers: int = 2
    rate: float = 0.01
    widths: tuple[int, ...] = (512, 512, 512, 512)
    style_from: int | None = 0
    img_sparse: Literal["intended", "jvp", "released"] = "intended"
    batch: int = 64
    r1_part: int = 16
    path_part: int = 8
    sparse_part: int = 1
    convolutions: Literal["auto", "matmul", "lax"] = "matmul"
    precision: Literal["highest", "high", "default"] = "highest"


def _sizes(spec: Spec) -> int:
    """The number of sizes from 4 x 4 on, each twice the one before."""
    return max(1, math.ceil(math.log2(max(spec.shape[:2]) / 4)) + 1)


def sized(config: Config, spec: Spec) -> Config:
    """The config with what it leaves to the size of the images.

    Channels are 64 at 4 x 4, and half as many at each size that follows, at least 8;
    domains reach the second half of the layers.

    Args:
      config: the settings; what they name stays.
      spec: the shape of the images.
    """
    widths, style_from = config.widths, config.style_from
    if not widths and len(spec.shape) == 3:
        widths = tuple(max(NARROWEST, WIDEST >> i) for i in range(_sizes(spec)))
    if style_from is None:
        style_from = len(widths)
    if (widths, style_from) == (config.widths, config.style_from):
        return config
    return dataclasses.replace(config, widths=widths, style_from=style_from)


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """The released values; R1 weighs `2e-4 side^2 / batch`.

    Args:
      config: what is compiled in.
      spec: what is known of the data.
      steps: the number of steps, on which nothing here depends.
    """
    return Hyper(
        learning_rate=2.5e-3,
        discriminator_rate=2.5e-3,
        r1=2e-4 * max(spec.shape[:2]) ** 2 / config.batch if spec.shape else 0.0,
        path=2.0,
        path_decay=0.01,
        lambda_w=0.1,
        lambda_img=0.1,
        img_from=0.0,
        delta=0.1,
        mixing=0.9,
        half_life=20_000.0,
    )


def check_config(config: Config, spec: Spec) -> None:
    """Raises ValueError, naming the field, unless the config fits the data.

    Args:
      config: settings that are `sized`.
      spec: what is known of the data.
    """
    _check_settings(config)
    _check_data(config, spec)


def _check_settings(config: Config) -> None:
    for name in ("z_dim", "style_dims", "w_dim", "layers", "batch"):
        check.at_least(f"config.{name}", getattr(config, name), 1)
    check.positive("config.rate", config.rate)
    check.one_of("config.img_sparse", config.img_sparse, EFFECTS)
    check.one_of("config.convolutions", config.convolutions, nets.CONVOLUTIONS)
    check.widths("config.widths", config.widths)
    if config.style_dims > config.z_dim:
        raise ValueError(
            f"config.style_dims must be at most config.z_dim = {config.z_dim}, got "
            f"{config.style_dims}"
        )
    assert config.style_from is not None  # the config is sized
    if not 0 <= config.style_from < 2 * len(config.widths):
        raise ValueError(
            "config.style_from must be one of 0 to "
            f"{2 * len(config.widths) - 1}, two layers for each of config.widths, got "
            f"{config.style_from}"
        )
    for name in ("r1_part", "path_part", "sparse_part"):
        part = getattr(config, name)
        if not 0 <= part <= config.batch:
            raise ValueError(
                f"config.{name} must be 0 or one of 1 to config.batch = "
                f"{config.batch}, got {part}"
            )


def _check_data(config: Config, spec: Spec) -> None:
    if len(spec.shape) != 3 or len(spec.domains) < 2:
        raise ValueError(
            "data must be images [h, w, c] of at least 2 domains, got shape "
            f"{spec.shape} and {len(spec.domains)} domains"
        )
    if spec.steps is not None or spec.worlds is not None:
        raise ValueError(
            "data must be single images that all seeds share, got "
            f"steps {spec.steps} and worlds {spec.worlds}"
        )
    sizes = _sizes(spec)
    if len(config.widths) != sizes:
        raise ValueError(
            f"config.widths must name {sizes} widths, for 4 x 4 to "
            f"{4 * 2 ** (sizes - 1)} x {4 * 2 ** (sizes - 1)} with images of "
            f"{spec.shape[0]} x {spec.shape[1]}, got {config.widths}"
        )
