"""SlowVAE: latents that rest or jump between the frames of a sequence."""

from jaxdis import vae
from jaxdis.data.rows import batches
from jaxdis.systems.slow_vae.model import Config, Hyper, default_hyper, make
from jaxdis.systems.slow_vae.presets import PRESETS
from jaxdis.systems.slow_vae.scores import scores
from jaxdis.types import Method

__all__ = ["METHOD", "PRESETS", "Config", "Hyper", "default_hyper", "make"]

CITATION = """\
@inproceedings{klindt2021towards,
  title     = {Towards Nonlinear Disentanglement in Natural Data with Temporal Sparse
               Coding},
  author    = {Klindt, David A. and Schott, Lukas and Sharma, Yash and Ustyuzhaninov,
               Ivan and Brendel, Wieland and Bethge, Matthias and Paiton, Dylan},
  booktitle = {International Conference on Learning Representations},
  year      = {2021},
  note      = {arXiv:2007.10930}
}
"""

METHOD = Method(
    name="slow_vae",
    citation=CITATION,
    needs=("sequences",),
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=scores,
    arrays=vae.ARRAYS,
    figures=vae.FIGURES,
    sized=vae.sized,
    positive=("learning_rate", "noise_std", "rate"),
)
