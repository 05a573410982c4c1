"""Generalised contrastive learning (GCL): x with its auxiliary variable, or another."""

from jaxdis import contrast
from jaxdis.data.rows import batches
from jaxdis.systems.gcl.model import Config, Hyper, default_hyper, make
from jaxdis.systems.gcl.presets import PRESETS
from jaxdis.types import Method

__all__ = ["METHOD", "PRESETS", "Config", "Hyper", "default_hyper", "make"]

CITATION = """\
@inproceedings{hyvarinen2019nonlinear,
  title     = {Nonlinear {ICA} Using Auxiliary Variables and Generalized Contrastive
               Learning},
  author    = {Hyv{\\"a}rinen, Aapo and Sasaki, Hiroaki and Turner, Richard E.},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  year      = {2019},
  note      = {arXiv:1805.08651}
}
"""

METHOD = Method(
    name="gcl",
    citation=CITATION,
    needs=(tuple(contrast.VARIABLES),),
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=contrast.scores,
    arrays=contrast.ARRAYS,
    figures=contrast.FIGURES,
    sized=contrast.sized,
    positive=("learning_rate", "decay_steps"),
)
