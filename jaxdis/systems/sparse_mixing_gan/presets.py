"""Settings of CG-GAN: a small one that is known to work, and the released ones."""

import dataclasses

from jaxdis.data.domain_images import TwoColourDigits, TwoColourMNIST
from jaxdis.data.own import OwnFile
from jaxdis.systems.sparse_mixing_gan.config import Config
from jaxdis.types import DataSet, Expectation, Preset

__all__ = ["PRESETS"]

SCORES = (
    "digit_kept", "colour_right", "frechet", "active", "diversity", "class_entropy",
)  # fmt: skip
FREE = "no penalties"

SMALL = Config(
    z_dim=64,
    style_dims=16,
    w_dim=64,
    widths=(),
    style_from=None,
    batch=32,
    r1_part=4,
    path_part=0,
    sparse_part=4,
)
SMALL_HYPER = {"r1": 0.2, "lambda_w": 0.5, "mixing": 0.0, "half_life": 16_000.0}

_SHOWN, _FROM = 25_000_000, 20_000_000  # images in all, and before lambda_img sets in


def _published(config: Config, data: DataSet) -> Preset:
    return Preset(
        config=config,
        data=data,
        steps=_SHOWN // config.batch,
        hyper={"img_from": float(_FROM)},
        source="arXiv 2503.00639, released code; networks of this library",
        cost="not run; needs a GPU",
        seeds=1,
        scores=SCORES,
    )


PRESETS: dict[str, Preset] = {
    "quickstart": Preset(
        # Domains reach the last size alone: they are colours.
        config=dataclasses.replace(SMALL, style_from=6),
        data=TwoColourDigits(),
        steps=6_000,
        hyper=SMALL_HYPER,
        source="this library",
        cost="12 min for 2 x 1 seed on 2 cores",
        # Of one seed, so that there is no spread.
        expects=(
            Expectation("active", 7),
            Expectation("active", 11, of=FREE),
            Expectation("digit_kept", 0.86),
            Expectation("digit_kept", 0.91, of=FREE),
            Expectation("colour_right", 1.0),
            Expectation("colour_right", 1.0, of=FREE),
            Expectation("frechet", 12),
            Expectation("frechet", 12, of=FREE),
        ),
        seeds=1,
        chunk=500,
        points=({"lambda_w": 0.0, "lambda_img": 0.0}, {}),
        scores=SCORES,
    ),
    "two_color_mnist": _published(Config(), TwoColourMNIST()),
    # A folder of yours, with a sub-folder of images for each domain: `--data.file`.
    "own": Preset(
        config=SMALL,
        data=OwnFile(),
        steps=0,
        hyper=SMALL_HYPER,
        source="this library",
        cost="depends on the data",
        seeds=4,
        chunk=500,
        scores=("domain_right", "digit_kept", "frechet", "active", "diversity"),
    ),
}
