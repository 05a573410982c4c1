"""Sparse and shared features (Fumero et al. 2023, arXiv 2304.07939)."""

from collections.abc import Callable
from functools import partial
from typing import Any

from jaxdis import optimise
from jaxdis.report import CORRELATION, later
from jaxdis.systems.shared_features.config import Config, Hyper
from jaxdis.systems.shared_features.model import (
    build,
    default_hyper,
    features,
    init,
    predict,
    shared_features_loss,
    step,
)
from jaxdis.systems.shared_features.model import optimiser as adam
from jaxdis.systems.shared_features.presets import PRESETS
from jaxdis.systems.shared_features.scores import ARRAYS, report, scores
from jaxdis.systems.shared_features.sizes import sized
from jaxdis.systems.shared_features.tasks import batches
from jaxdis.types import Figure, Method, Spec, System

__all__ = ["METHOD", "Config", "Hyper", "make", "shared_features_loss"]

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
_DRAWN = "jaxdis.systems.shared_features.figures"
_FIGURES = (
    CORRELATION,
    Figure(
        "heads",
        "Absolute weights of the heads of held-out tasks (rows, in the order of the "
        "factors they use where these are known), each divided by its largest. Left of "
        "the line: features matched to the factors, in their order. Of a run with an "
        "MCC the seed with the highest, else the first that did not fail.",
        later(_DRAWN, "draw_heads"),
    ),
    Figure(
        "label_heads",
        "Absolute weights of the heads of the label columns, fitted on training rows, "
        "each divided by its largest, and in brackets accuracy or R² on held-out rows. "
        "Features of the first seed that did not fail, most used first.",
        later(_DRAWN, "draw_label_heads"),
    ),
    Figure(
        "usage",
        "Share of every feature in the weights of all heads, largest first in every "
        "seed. Bars: mean over seeds, dots: seeds, dashed: all features alike.",
        later(_DRAWN, "draw_usage"),
    ),
    Figure(
        "grid",
        "At the end, by the penalties for sparsity (alpha) and sharing (beta): mean "
        "and one sample deviation over seeds. Hatched: not run.",
        later(_DRAWN, "draw_grid"),
    ),
    Figure(
        "few_shot",
        "Scores on held-out tasks by the samples that fit a head. Bold and band: mean "
        "and one sample deviation over seeds, thin: seeds. Dashed: heads on raw "
        "observations.",
        later(_DRAWN, "draw_few_shot"),
    ),
)


def make(
    config: Config,
    spec: Spec,
    *,
    encoder: Any = None,
    optimiser: Any = None,
    loss: Callable[..., Any] | None = None,
) -> System:
    """The method for tasks on the given data.

    `encode` returns features before standardisation, which is an affine map of each;
    there is no decoder. Where label columns are tasks, `predict` gives what the mean
    of the heads of past steps says of them; see `label_heads.predictions`.

    Args:
      config: the settings; what they leave to the data is `sizes.sized`.
      spec: what is known of the data.
      encoder: a network of one's own, from x to z_dim features; see `nets.network`.
      optimiser: an optax transformation, or `hyper -> transformation`, in place of
        `model.optimiser`.
      loss: a function with the arguments and results of `shared_features_loss`, in its
        place.

    Raises:
      ValueError: a config or a part that does not fit the data; names it.
    """
    model = build(config, spec, encoder)
    tx = optimise.optimiser(optimiser, adam)
    return System(
        init=partial(init, model, tx=tx),
        step=step(model, loss, tx),
        encode=partial(features, model),
        decode=None,
        report=partial(report, model),
        predict=None if model.columns is None else partial(predict, model),
        predicts="y",
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
    figures=_FIGURES,
    sized=sized,
    positive=("learning_rate", "decay_steps"),
    fractions=("usage_decay",),
    heads=("label_heads",),
    codes=("feature",),
    sparser={"alpha": "higher", "beta": "higher"},
)
