"""Mechanism sparsity: latents identified by sparse causal graphs."""

from jaxdis.data.rows import batches
from jaxdis.report import CORRELATION, later
from jaxdis.systems.mechanism_sparsity.config import check_chosen, sized
from jaxdis.systems.mechanism_sparsity.model import Config, Hyper, default_hyper, make
from jaxdis.systems.mechanism_sparsity.presets import PRESETS
from jaxdis.systems.mechanism_sparsity.scores import ARRAYS, scores
from jaxdis.types import Figure, Method

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
@article{lachapelle2024nonparametric,
  title   = {Nonparametric Partial Disentanglement via Mechanism Sparsity: Sparse
             Actions, Interventions and Sparse Temporal Dependencies},
  author  = {Lachapelle, S{\\'e}bastien and Rodr{\\'i}guez L{\\'o}pez, Pau and
             Sharma, Yash and Everett, Katie and Le Priol, R{\\'e}mi and
             Lacoste, Alexandre and Lacoste-Julien, Simon},
  journal = {arXiv preprint arXiv:2401.04890},
  year    = {2024}
}
"""

METHOD = Method(
    name="mechanism_sparsity",
    citation=CITATION,
    needs=(("a", "sequences"),),
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=scores,
    arrays=ARRAYS,
    figures=(
        Figure(
            "graphs",
            "Learned edge probabilities, in the order of the true latents where these "
            "are known. Rows are children; outlined cells are on the wrong side of "
            "0.5. Where a best and a worst seed are drawn they are those by the true "
            "graph, then the true latents: nobody could choose so without the truth.",
            later("jaxdis.systems.mechanism_sparsity.figures", "draw_graphs"),
        ),
        CORRELATION,
    ),
    loss="The training loss is the NLL of training rows and, of each learned graph, "
    "the penalty on its edges or a multiplier times those above the bound. After the "
    "warm-up it rises with the multiplier as long as a graph has too many edges, and "
    "falls at once where the bound holds, as the multiplier then starts again from 0. "
    "How well the data are fitted is said by the held-out NLL alone.",
    sized=sized,
    positive=("learning_rate", "temperature"),
    chosen=check_chosen,
    graphs=("graph_z", "graph_a"),
    codes=("child", "parent"),
    sparser={
        "bound_z": "lower",
        "bound_a": "lower",
        "coeff_z": "higher",
        "coeff_a": "higher",
    },
)
