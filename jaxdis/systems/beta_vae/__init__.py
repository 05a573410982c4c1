"""Beta-VAE: the baseline without inductive bias, which needs nothing but x."""

from jaxdis import vae
from jaxdis.data.rows import batches
from jaxdis.systems.beta_vae.model import Config, Hyper, default_hyper, make
from jaxdis.systems.beta_vae.presets import PRESETS
from jaxdis.types import Method

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

METHOD = Method(
    name="beta_vae",
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
    positive=("learning_rate", "noise_std"),
)
