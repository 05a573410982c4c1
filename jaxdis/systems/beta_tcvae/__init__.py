"""Beta-TCVAE: a price on the total correlation of the latents, nothing but x needed."""

from jaxdis import vae
from jaxdis.data.rows import batches
from jaxdis.systems.beta_tcvae.model import Config, Hyper, default_hyper, make
from jaxdis.systems.beta_tcvae.presets import PRESETS
from jaxdis.types import Method

__all__ = ["METHOD", "PRESETS", "Config", "Hyper", "default_hyper", "make"]

CITATION = """\
@inproceedings{chen2018isolating,
  title     = {Isolating Sources of Disentanglement in Variational Autoencoders},
  author    = {Chen, Ricky T. Q. and Li, Xuechen and Grosse, Roger and Duvenaud, David},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2018},
  note      = {arXiv:1802.04942}
}
"""

METHOD = Method(
    name="beta_tcvae",
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
    positive=("learning_rate", "noise_std", "rows"),
)
