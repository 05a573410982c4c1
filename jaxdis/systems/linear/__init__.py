"""Linear codes: independent components by FastICA, and principal components."""

from jaxdis.report import CORRELATION
from jaxdis.systems.linear.config import Config, Hyper, default_hyper, sized
from jaxdis.systems.linear.presets import PRESETS
from jaxdis.systems.linear.system import ARRAYS, batches, make, scores
from jaxdis.types import Method

__all__ = ["METHOD", "PRESETS", "Config", "Hyper", "default_hyper", "make"]

CITATION = """\
@article{hyvarinen1999fast,
  title   = {Fast and Robust Fixed-Point Algorithms for Independent Component Analysis},
  author  = {Hyv{\\"a}rinen, Aapo},
  journal = {IEEE Transactions on Neural Networks},
  volume  = {10},
  number  = {3},
  pages   = {626--634},
  year    = {1999}
}
"""

METHOD = Method(
    name="linear",
    citation=CITATION,
    needs=("x",),
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=scores,
    arrays=ARRAYS,
    figures=(CORRELATION,),
    sized=sized,
    positive=("alpha",),
)
