"""FactorVAE: a discriminator prices dependent latents, nothing but x needed."""

from jaxdis import vae
from jaxdis.data.rows import batches
from jaxdis.systems.factor_vae.model import Config, Hyper, default_hyper, make
from jaxdis.systems.factor_vae.presets import PRESETS
from jaxdis.types import Method

__all__ = ["METHOD", "PRESETS", "Config", "Hyper", "default_hyper", "make"]

CITATION = """\
@inproceedings{kim2018disentangling,
  title     = {Disentangling by Factorising},
  author    = {Kim, Hyunjik and Mnih, Andriy},
  booktitle = {International Conference on Machine Learning},
  year      = {2018},
  note      = {arXiv:1802.05983}
}
"""

METHOD = Method(
    name="factor_vae",
    citation=CITATION,
    needs=("x",),
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=vae.scores,
    arrays=vae.ARRAYS,
    figures=vae.FIGURES,
    sized=vae.sized,
    positive=("learning_rate", "discriminator_rate", "noise_std"),
)
