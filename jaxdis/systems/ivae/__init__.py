"""iVAE: a prior that changes with actions, domains, labels or the past."""

from jaxdis import vae
from jaxdis.data.rows import batches
from jaxdis.systems.ivae.model import Config, Hyper, default_hyper, make
from jaxdis.systems.ivae.presets import PRESETS
from jaxdis.types import Method

__all__ = ["METHOD", "PRESETS", "Config", "Hyper", "default_hyper", "make"]

CITATION = """\
@inproceedings{khemakhem2020variational,
  title     = {Variational Autoencoders and Nonlinear {ICA}: A Unifying Framework},
  author    = {Khemakhem, Ilyes and Kingma, Diederik P. and Monti, Ricardo Pio and
               Hyv{\\"a}rinen, Aapo},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  year      = {2020},
  note      = {arXiv:1907.04809}
}
"""

_LATENTS, *_OTHERS = vae.FIGURES

FIGURES = (
    _LATENTS._replace(
        caption="The mean divergence of each latent from the prior that its auxiliary "
        "variable gives it, on test rows, sorted: a line per seed, and their mean. "
        "Below the dashed line a latent tells nothing but that variable."
    ),
    *_OTHERS,
)

METHOD = Method(
    name="ivae",
    citation=CITATION,
    needs=(("a", "u", "y", "sequences"),),
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=vae.scores,
    arrays=vae.ARRAYS,
    figures=FIGURES,
    sized=vae.sized,
    positive=("learning_rate", "noise_std"),
)
