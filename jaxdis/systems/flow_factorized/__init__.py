"""Flow-factorized sequences: transformations of images as flows of a latent."""

from jaxdis.report import later
from jaxdis.systems.flow_factorized.build import NEEDS
from jaxdis.systems.flow_factorized.config import (
    EXACT,
    FAITHFUL,
    Config,
    Hyper,
    default_hyper,
)
from jaxdis.systems.flow_factorized.heldout import batches
from jaxdis.systems.flow_factorized.model import OBJECTIVES, make
from jaxdis.systems.flow_factorized.presets import PRESETS
from jaxdis.systems.flow_factorized.scores import ARRAYS, scores
from jaxdis.systems.flow_factorized.sizes import sized
from jaxdis.types import Figure, Method

__all__ = [
    "EXACT",
    "FAITHFUL",
    "METHOD",
    "OBJECTIVES",
    "PRESETS",
    "Config",
    "Hyper",
    "default_hyper",
    "make",
]

CITATION = """\
@inproceedings{song2023flow,
  title     = {Flow Factorized Representation Learning},
  author    = {Song, Yue and Keller, T. Anderson and Sebe, Nicu and Welling, Max},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {36},
  year      = {2023},
  note      = {arXiv:2309.13167}
}
"""

METHOD = Method(
    name="flow_factorized",
    citation=CITATION,
    needs=NEEDS,
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=scores,
    arrays=ARRAYS,
    figures=(
        Figure(
            "steps",
            "L1 distance between decoded and true frames, by step. Thin: seeds, band: "
            "one sample deviation. Dashed: the latent stays where it was, mean over "
            "seeds. Shaded: longer than trained. Of classes that training saw.",
            later("jaxdis.systems.flow_factorized.figures", "draw_steps"),
        ),
        Figure(
            "traversals",
            "Held-out images (of a sweep, the first) under every transformation: true "
            "frames above the model's, of the first seed that did not fail.",
            later("jaxdis.systems.flow_factorized.film", "draw_traversals"),
        ),
        Figure(
            "traversals",
            "The same in motion, there and back; of a sweep, the first point.",
            later("jaxdis.systems.flow_factorized.film", "animate_traversals"),
        ),
        Figure(
            "superposed",
            "Two transformations at once.",
            later("jaxdis.systems.flow_factorized.film", "draw_superposed"),
        ),
        Figure(
            "switched",
            "One transformation, then another.",
            later("jaxdis.systems.flow_factorized.film", "draw_switched"),
        ),
        Figure(
            "confusion",
            "Fractions of the sequences under a true transformation (row) by the "
            "inferred one (column, matched); mean over seeds. Of classes that training "
            "saw.",
            later("jaxdis.systems.flow_factorized.figures", "draw_confusion"),
        ),
    ),
    sized=sized,
    positive=("learning_rate", "temperature_floor"),
)
