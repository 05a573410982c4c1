"""Permutation-contrastive learning (PCL): real pairs in time against permuted ones."""

from jaxdis import contrast
from jaxdis.data.rows import batches
from jaxdis.systems.pcl.model import Config, Hyper, default_hyper, make
from jaxdis.systems.pcl.presets import PRESETS
from jaxdis.types import Method

__all__ = ["METHOD", "PRESETS", "Config", "Hyper", "default_hyper", "make"]

CITATION = """\
@inproceedings{hyvarinen2017nonlinear,
  title     = {Nonlinear {ICA} of Temporally Dependent Stationary Sources},
  author    = {Hyv{\\"a}rinen, Aapo and Morioka, Hiroshi},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  series    = {Proceedings of Machine Learning Research},
  volume    = {54},
  year      = {2017}
}
"""

METHOD = Method(
    name="pcl",
    citation=CITATION,
    needs=("sequences",),
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
