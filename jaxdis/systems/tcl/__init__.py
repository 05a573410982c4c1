"""Time-contrastive learning (TCL): which segment, or domain, an observation is of."""

from jaxdis import contrast
from jaxdis.systems.tcl.model import Config, Hyper, default_hyper, make
from jaxdis.systems.tcl.presets import PRESETS
from jaxdis.systems.tcl.segments import SEGMENTS, batches
from jaxdis.types import Method

__all__ = ["METHOD", "PRESETS", "Config", "Hyper", "default_hyper", "make"]

CITATION = """\
@inproceedings{hyvarinen2016unsupervised,
  title     = {Unsupervised Feature Extraction by Time-Contrastive Learning and
               Nonlinear {ICA}},
  author    = {Hyv{\\"a}rinen, Aapo and Morioka, Hiroshi},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2016},
  note      = {arXiv:1605.06336}
}
"""

METHOD = Method(
    name="tcl",
    citation=CITATION,
    needs=(tuple(SEGMENTS),),
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
