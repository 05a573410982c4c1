"""What can be set: all that is compiled in, and all that can be swept."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from jaxdis import check
from jaxdis.types import Scalar, Spec

__all__ = [
    "Config",
    "Graph",
    "Hyper",
    "check_chosen",
    "check_data",
    "check_values",
    "default_hyper",
    "has_past",
    "sized",
    "unknown_graphs",
]

Graph = Literal["learned", "dense", "true"]


@dataclass(frozen=True)
class Config:
    """What is compiled in; the defaults are the paper's.

    Attributes:
      z_dim: the number of latents of the model, at most that of observed variables; 0
        takes that of the data, or what `sized` thinks right.
      encoder: the hidden widths of the encoder of vectors.
      decoder: the hidden widths of the decoder of vectors.
      channels: the channels of the first convolution of the encoder of images.
      transition: the hidden widths of each latent's transition network.
      time_graph: what G^z starts from and whether it moves: "learned", "dense" (frozen
        at 1: no regularisation) or "true" (frozen at the ground truth). Ignored where
        the data have no past.
      action_graph: the same of G^a, ignored where the data have no actions.
      mask: the relaxation of the edges, a key of `masks.RELAXATIONS`.
      mask_draws: one mask per step shared by the "batch", or one per "example".
      prior_variance: "independent" (one free variance per latent), "fixed" at its
        initial value, or "dependent" (the second output of the transition network).
      prior_variance_init: the variance of z^t given its parents, at the start.
      decoder_log_variance_init: the start of v in `sd_x = exp(v / 2) + 1e-4`.
      warmup: the fraction of the steps before regularisation sets in.
      warmup_masks: in the warm-up, "hold" samples and learns masks without pressure,
        "frozen" sets them to 1.
      descent: the fraction of the steps in which the bound falls to its target.
      decay: the last fraction of the steps, in which the learning rate falls to 0 along
        a cosine; 0 keeps it.
      batch: the number of rows in a step.
      precision: the precision of matrix products; latents of std .01 need float32
        ("highest").
    """

    z_dim: int = 10
    encoder: tuple[int, ...] = (512,) * 6
    decoder: tuple[int, ...] = (512,) * 6
    channels: int = 32
    transition: tuple[int, ...] = (512,) * 5
    time_graph: Graph = "learned"
    action_graph: Graph = "learned"
    mask: Literal["soft", "straight_through", "hard_concrete"] = "soft"
    mask_draws: Literal["batch", "example"] = "batch"
    prior_variance: Literal["independent", "fixed", "dependent"] = "independent"
    prior_variance_init: float = 1e-4
    decoder_log_variance_init: float = -10.0
    warmup: float = 0.0
    warmup_masks: Literal["hold", "frozen"] = "hold"
    descent: float = 0.5
    decay: float = 0.0
    batch: int = 1024
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the learning rate of Adam.
      beta: the weight of the KL divergence.
      temperature: the temperature of the relaxed masks.
      coeff_z: the penalty per edge of G^z, divided by x_dim; 0 is off.
      coeff_a: the penalty per edge of G^a, likewise.
      bound_z: the number of edges of G^z allowed in the end; the number of cells is
        off. With neither penalty nor bound a graph is not learned: its masks stay at 1.
      bound_a: the number of edges of G^a allowed in the end, likewise.
      dual_rate: the step of the multipliers' ascent.
      warmup: the warm-up of the config, in steps.
      descent: the descent of the config, in steps.
      decay_start: the steps before the learning rate falls.
      decay: the decay of the config, in steps.
    """

    learning_rate: Scalar
    beta: Scalar
    temperature: Scalar
    coeff_z: Scalar
    coeff_a: Scalar
    bound_z: Scalar
    bound_a: Scalar
    dual_rate: Scalar
    warmup: Scalar
    descent: Scalar
    decay_start: Scalar
    decay: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """The paper's values: Adam 5e-4, no penalty, the true number of edges as bound.

    Of a graph whose truth is not known the bound is the number of cells, which is none:
    such a graph is only learned once a bound or a penalty is set (`check_chosen`).

    Args:
      config: the method's config.
      spec: what is known of the data.
      steps: the number of steps of the run.
    """
    d = sized(config, spec).z_dim

    def edges(truth: np.ndarray | None, cells: int) -> float:
        return float(cells if truth is None else truth.sum())

    return Hyper(
        learning_rate=5e-4,
        beta=1.0,
        temperature=1.0,
        coeff_z=0.0,
        coeff_a=0.0,
        bound_z=edges(spec.truth.gz, d * d if has_past(spec) else 0),
        bound_a=edges(spec.truth.ga, d * spec.a_dim),
        dual_rate=5e-4,
        warmup=config.warmup * steps,
        descent=config.descent * steps,
        decay_start=(1 - config.decay) * steps,
        decay=config.decay * steps,
    )


def has_past(spec: Spec) -> bool:
    """Whether the data show one step after another, so that there is a G^z."""
    return spec.steps is not None and spec.steps > 1


def sized(config: Config, spec: Spec) -> Config:
    """The config with a number of latents.

    Where the config leaves it to the data it is that of the true latents, or that of
    the rows of a true graph. Where neither is known it is 10, or the number of observed
    variables, if that is lower.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    if config.z_dim:
        return config
    graphs = [g for g in (spec.truth.gz, spec.truth.ga) if g is not None]
    known = spec.z_dim or (len(graphs[0]) if graphs else 0)
    return replace(config, z_dim=known or min(10, math.prod(spec.shape)))


def unknown_graphs(config: Config, spec: Spec) -> dict[str, int]:
    """The graphs that are learned without knowing their true number of edges.

    Args:
      config: the method's config.
      spec: what is known of the data.

    Returns:
      The number of cells of each, by "z" (from past latents) and "a" (from actions).
    """
    known = {"z": spec.truth.gz is not None, "a": spec.truth.ga is not None}
    return {n: cells for n, cells in _learned(config, spec).items() if not known[n]}


def _learned(config: Config, spec: Spec) -> dict[str, int]:
    """The number of cells of each graph that is learned."""
    d = sized(config, spec).z_dim
    cells = {"z": d * d, "a": d * spec.a_dim}
    learned = {
        "z": config.time_graph == "learned" and has_past(spec),
        "a": config.action_graph == "learned" and spec.a_dim > 0,
    }
    return {n: cells[n] for n, there in learned.items() if there}


def check_chosen(
    config: Config, spec: Spec, chosen: Mapping[str, Sequence[float]]
) -> None:
    """Raises ValueError if nobody said how sparse a graph of unknown truth shall be.

    Or if a graph may have more edges than it has cells.

    Args:
      config: the method's config.
      spec: what is known of the data.
      chosen: the values of the hyper-parameters that were set, by name.
    """
    for name, cells in _learned(config, spec).items():
        most = max(chosen.get(f"bound_{name}", ()), default=0.0)
        if most > cells:
            raise ValueError(
                f"hyper.bound_{name} must be at most {cells}, the number of possible "
                f"edges {_PARENTS[name]}, which is no bound; got {most:g}"
            )
    fields = {"z": "time_graph", "a": "action_graph"}
    for name, cells in unknown_graphs(config, spec).items():
        if not {f"bound_{name}", f"coeff_{name}"} & set(chosen):
            raise ValueError(
                f"these data do not tell how many of the {cells} possible edges "
                f"{_PARENTS[name]} there are, and without a bound or a penalty nothing "
                f"makes the graph sparse: give hyper.bound_{name} (the most edges "
                f"allowed; several values are a sweep, and {cells} is no bound), "
                f"hyper.coeff_{name} (a penalty), or config.{fields[name]}='dense'"
            )


_PARENTS = {"z": "from past latents", "a": "from actions"}


def check_data(spec: Spec) -> None:
    """Raises ValueError unless the data have actions, sequences, or both in pairs."""
    if has_past(spec) and spec.steps != 2 and spec.a_dim:
        raise ValueError(
            "mechanism_sparsity knows one action per row, of its last step, and takes "
            "sequences with actions of 2 steps; this data set has sequences of "
            f"{spec.steps} steps: give one row per step and the column data.episode, "
            "and they are cut into windows of 2"
        )
    if not has_past(spec) and not spec.a_dim:
        raise ValueError(
            "mechanism_sparsity needs actions `a` or sequences of at least 2 steps; "
            f"{check.has(spec, ('a', 'sequences'))}"
        )


def check_values(
    config: Config, spec: Spec, words: Mapping[str, Mapping[str, object]]
) -> None:
    """Raises ValueError, naming the field, unless the config fits the data.

    Args:
      config: the method's config.
      spec: what is known of the data.
      words: for each field that is a word, the table of what it may be.
    """
    x_dim = math.prod(spec.shape)
    if not 1 <= config.z_dim <= x_dim:
        raise ValueError(
            f"config.z_dim must lie between 1 and x_dim = {x_dim}, or no decoder can "
            f"be injective; got {config.z_dim}"
        )
    for name, table in words.items():
        check.one_of(f"config.{name}", getattr(config, name), table)
    for name in ("warmup", "descent", "decay"):
        check.fraction(f"config.{name}", getattr(config, name), "the steps")
    for name in ("encoder", "decoder", "transition"):
        if not getattr(config, name):
            raise ValueError(f"config.{name} must list positive layer widths, got ()")
        check.widths(f"config.{name}", getattr(config, name))
    check.at_least("config.channels", config.channels, 1)
    check.positive("config.prior_variance_init", config.prior_variance_init)
    check.at_least("config.batch", config.batch, 1)
    if has_past(spec) and config.time_graph == "true":
        _check_truth("time_graph", config, spec, spec.truth.gz)
    if spec.a_dim and config.action_graph == "true":
        _check_truth("action_graph", config, spec, spec.truth.ga)


def _check_truth(
    name: str, config: Config, spec: Spec, truth: np.ndarray | None
) -> None:
    if truth is None:
        raise ValueError(
            f"config.{name}='true' needs the true graph, which this data set does not "
            "know; choose 'learned' or 'dense'"
        )
    if config.z_dim != spec.z_dim:
        raise ValueError(
            f"config.{name}='true' needs as many latents as the data, z_dim = "
            f"{spec.z_dim}; got config.z_dim = {config.z_dim}"
        )
