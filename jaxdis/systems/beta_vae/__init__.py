"""Beta-VAE: the baseline without inductive bias, which needs nothing but x."""

from jaxdis.data.rows import batches
from jaxdis.report import later
from jaxdis.systems.beta_vae.config import sized
from jaxdis.systems.beta_vae.model import Config, Hyper, default_hyper, make
from jaxdis.systems.beta_vae.presets import PRESETS
from jaxdis.systems.beta_vae.scores import ARRAYS, scores
from jaxdis.types import Figure, Method

__all__ = ["METHOD", "PRESETS", "Config", "Hyper", "default_hyper", "make"]

CITATION = """\
@inproceedings{higgins2017beta,
  title     = {beta-{VAE}: Learning Basic Visual Concepts with a Constrained
               Variational Framework},
  author    = {Higgins, Irina and Matthey, Loic and Pal, Arka and Burgess, Christopher
               and Glorot, Xavier and Botvinick, Matthew and Mohamed, Shakir and
               Lerchner, Alexander},
  booktitle = {International Conference on Learning Representations},
  year      = {2017}
}
@article{burgess2018understanding,
  title   = {Understanding Disentangling in beta-{VAE}},
  author  = {Burgess, Christopher P. and Higgins, Irina and Pal, Arka and Matthey, Loic
             and Watters, Nick and Desjardins, Guillaume and Lerchner, Alexander},
  journal = {arXiv preprint arXiv:1804.03599},
  year    = {2018}
}
"""

_FIGURES = "jaxdis.systems.beta_vae.figures"

METHOD = Method(
    name="beta_vae",
    citation=CITATION,
    needs=("x",),
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=scores,
    arrays=ARRAYS,
    figures=(
        Figure(
            "latents",
            "The mean divergence of each latent from the prior on test rows, sorted: a "
            "line per seed, and their mean. Below the dashed line a latent tells "
            "nothing.",
            later(_FIGURES, "draw_latents"),
        ),
        Figure(
            "correlation",
            "True latents against the codes matched to them, on test rows; the mean, "
            "and the first seeds.",
            later("jaxdis.report.correlation", "draw_correlation"),
        ),
        Figure(
            "reconstructions",
            "Test images, and below them the decoded means of their posteriors.",
            later(_FIGURES, "draw_reconstructions"),
        ),
        Figure(
            "traversals",
            "A test image with one latent moved per row, those that tell most first.",
            later(_FIGURES, "draw_traversals"),
        ),
    ),
    sized=sized,
    positive=("learning_rate", "noise_std"),
)
