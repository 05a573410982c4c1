"""Sparse and shared features (Fumero et al. 2023, arXiv 2304.07939)."""

from functools import partial

from jaxdis.report import later
from jaxdis.systems.shared_features.config import Config, Hyper
from jaxdis.systems.shared_features.model import (
    build,
    default_hyper,
    features,
    init,
    step,
)
from jaxdis.systems.shared_features.presets import PRESETS
from jaxdis.systems.shared_features.scores import ARRAYS, report, scores
from jaxdis.systems.shared_features.tasks import batches
from jaxdis.types import Figure, Method, Spec, System

__all__ = ["METHOD", "make"]

_CITATION = """\
@inproceedings{fumero2023leveraging,
  title = {Leveraging sparse and shared feature activations for disentangled
           representation learning},
  author = {Fumero, Marco and Wenzel, Florian and Zancato, Luca and Achille,
            Alessandro and Rodol{\\`a}, Emanuele and Soatto, Stefano and
            Sch{\\"o}lkopf, Bernhard and Locatello, Francesco},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2023},
  eprint = {2304.07939},
  archivePrefix = {arXiv},
}
"""
_FIGURES = "jaxdis.systems.shared_features.figures"


def make(config: Config, spec: Spec) -> System:
    """The method for tasks on the given data.

    `encode` returns features before standardisation, which is an affine map of each;
    there is no decoder.

    Args:
      config: the settings.
      spec: what is known of the data.

    Raises:
      ValueError: a config that does not fit the data; names the field.
    """
    model = build(config, spec)
    return System(
        init=partial(init, model),
        step=step(model),
        encode=partial(features, model),
        decode=None,
        report=partial(report, model),
    )


METHOD = Method(
    name="shared_features",
    citation=_CITATION,
    needs=(("y", "z"),),
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=scores,
    arrays=ARRAYS,
    figures=(),
)
