"""Controls: raw observations, an untrained encoder, and a supervised one."""

from jaxdis.data.rows import batches
from jaxdis.report import CORRELATION
from jaxdis.systems.baselines.model import (
    Config,
    Hyper,
    default_hyper,
    make,
    sized,
)
from jaxdis.systems.baselines.presets import PRESETS
from jaxdis.systems.baselines.scores import ARRAYS, scores
from jaxdis.types import Method

__all__ = ["METHOD", "PRESETS", "Config", "Hyper", "default_hyper", "make"]

CITATION = """\
@inproceedings{lachapelle2022disentanglement,
  title     = {Disentanglement via Mechanism Sparsity Regularization: A New Principle
               for Nonlinear {ICA}},
  author    = {Lachapelle, S{\\'e}bastien and Rodr{\\'i}guez L{\\'o}pez, Pau and
               Sharma, Yash and Everett, Katie and Le Priol, R{\\'e}mi and
               Lacoste, Alexandre and Lacoste-Julien, Simon},
  booktitle = {Conference on Causal Learning and Reasoning},
  year      = {2022},
  note      = {arXiv:2107.10098}
}
"""

METHOD = Method(
    name="baselines",
    citation=CITATION,
    needs=("z",),
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=scores,
    arrays=ARRAYS,
    figures=(CORRELATION,),
    sized=sized,
    positive=("learning_rate",),
)
