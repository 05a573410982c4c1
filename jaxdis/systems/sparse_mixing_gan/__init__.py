"""CG-GAN: sufficient changes and sparse mixing in a style-based GAN."""

from jaxdis.report import later
from jaxdis.systems.sparse_mixing_gan.config import Config, default_hyper, sized
from jaxdis.systems.sparse_mixing_gan.judge import batches
from jaxdis.systems.sparse_mixing_gan.model import make
from jaxdis.systems.sparse_mixing_gan.objective import LOSSES, Hyper, Losses
from jaxdis.systems.sparse_mixing_gan.presets import PRESETS
from jaxdis.systems.sparse_mixing_gan.scores import ARRAYS, scores
from jaxdis.types import Figure, Method

__all__ = ["LOSSES", "METHOD", "Config", "Hyper", "Losses", "default_hyper", "make"]

CITATION = """\
@article{li2025synergy,
  title = {Synergy Between Sufficient Changes and Sparse Mixing Procedure for
    Disentangled Representation Learning},
  author = {Li, Zijian and Fan, Shunxing and Zheng, Yujia and Ng, Ignavier and
    Xie, Shaoan and Chen, Guangyi and Dong, Xinshuai and Cai, Ruichu and Zhang, Kun},
  journal = {arXiv preprint arXiv:2503.00639},
  year = {2025}
}
"""
DRAWN = f"{__name__}.figures"

METHOD = Method(
    name="sparse_mixing_gan",
    citation=CITATION,
    needs=("images", "u"),
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=scores,
    arrays=ARRAYS,
    sized=sized,
    positive=("learning_rate", "discriminator_rate", "delta", "half_life"),
    fractions=("path_decay", "mixing"),
    figures=(
        Figure(
            "samples",
            "Held-out images beside those of the model, of the first seed that did not "
            "fail; one row per domain.",
            later(DRAWN, "draw_samples"),
        ),
        Figure(
            "translation",
            "Every column has the same latents and noise, only the domain changes, "
            "from row to row.",
            later(DRAWN, "draw_translation"),
        ),
        Figure(
            "style_traversals",
            "The style latents with the largest weights w, moved over a range from "
            "left to right; all else stays.",
            later(DRAWN, "draw_traversals"),
        ),
        Figure(
            "importance",
            "Weights of style latents, largest first in every seed. Bold and band: "
            "mean and one sample deviation over seeds, thin: seeds. Below the dashed "
            "line domains do not move a latent; w is then shown as 0.",
            later(DRAWN, "draw_importance"),
        ),
    ),
)
