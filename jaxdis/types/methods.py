"""What a method is: pure functions of one seed, and what it declares."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from jaxtyping import Array, Int, PyTree

from jaxdis.types.aliases import (
    Batch,
    Config,
    Hyper,
    Metrics,
    Params,
    PRNGKey,
    Sampler,
)
from jaxdis.types.data import DataSet, Rows, Stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from jaxdis.report.read import Record

__all__ = [
    "Batches",
    "Comparison",
    "Expectation",
    "Figure",
    "Method",
    "Preset",
    "Score",
    "System",
    "TrainState",
]


class TrainState(NamedTuple):
    """Everything that one step reads and writes.

    Attributes:
      params: what the gradient moves.
      opt_state: the optimiser's own state.
      extra: what moves by another rule than the gradient (multipliers, moving
        averages); `()` where there is none.
      step: the number of steps taken so far.
    """

    params: Params
    opt_state: PyTree
    extra: PyTree
    step: Int[Array, ""]


class System(NamedTuple):
    """A method as pure functions of single seeds; the runner maps them over seeds.

    Attributes:
      init: `(key, hyper) -> TrainState`.
      step: `(state, batch, hyper, key) -> (state, metrics)`.
      encode: `(params, x) -> codes`, over any leading axes of `x`; None where the
        method has no encoder.
      decode: `(params, codes) -> x`, over any leading axes of the codes; None where
        the method has no decoder.
      report: `(state, batch, key) -> metrics` on held-out rows: the scores and the
        arrays that the method declares. It sees no hyper-parameters; those that it
        needs are kept in `TrainState.extra`.
      predict: `(state, rows) -> predictions` of rows that lack what is predicted: the
        next frames of a sequence, or labels; None where the method predicts nothing.
      predicts: the field of `Rows` that predictions are of, and in whose units.
    """

    init: Callable[[PRNGKey, Hyper], TrainState]
    step: Callable[[TrainState, Batch, Hyper, PRNGKey], tuple[TrainState, Metrics]]
    encode: Callable[[Params, Array], Array] | None
    decode: Callable[[Params, Array], Array] | None
    report: Callable[[TrainState, Batch, PRNGKey], Metrics]
    predict: Callable[[TrainState, Rows], Array] | None = None
    predicts: Literal["x", "y"] = "x"


class Batches(NamedTuple):
    """What a method makes of splits.

    Attributes:
      sample: `key -> batch` of training rows; see `Sampler`. Or rows that stay on the
        host, and what draws from them.
      valid: the batch that is reported on between chunks.
      test: the batch that is reported on at the end.
    """

    sample: Sampler | Stream
    valid: Batch
    test: Batch


class Score(NamedTuple):
    """One number of a report, declared beside the function that computes it.

    Attributes:
      name: the key in the report and the column of a table, as "mcc".
      title: the name in tables and pictures, as "MCC".
      better: which side is the better one; None if neither is.
      range: the least and the largest value.
      source: the paper and equation.
      truth: whether it compares with what is known of how the data were made, so that
        one's own data lack it.
      floor: whether an encoder that has learned nothing reaches much of it, so that it
        says something only beside that: scores of codes against true latents.
    """

    name: str
    title: str
    better: Literal["higher", "lower"] | None = None
    range: tuple[float, float] = (-math.inf, math.inf)
    source: str = ""
    truth: bool = False
    floor: bool = False


class Figure(NamedTuple):
    """One picture of a finished run.

    Attributes:
      name: the name of its file without the ending, and its heading.
      caption: one or two sentences below it.
      draw: `record -> figure`, or the bytes of a GIF; None where the record lacks what
        it shows.
    """

    name: str
    caption: str
    draw: "Callable[[Record], Drawing | bytes | None]"


class Comparison(NamedTuple):
    """One picture of several runs of one method.

    Attributes:
      name: the end of the name of its file, and its heading.
      caption: one or two sentences below it.
      draw: `records by the names of their runs -> figure`; None where there is nothing
        to compare.
    """

    name: str
    caption: str
    draw: "Callable[[Mapping[str, Record]], Drawing | None]"


class Expectation(NamedTuple):
    """What a preset is known to reach.

    Attributes:
      score: the name of a score.
      mean: its mean over seeds.
      spread: its sample standard deviation over seeds; None if not known.
      of: what else than the preset itself reaches it, as "no penalty".
    """

    score: str
    mean: float
    spread: float | None = None
    of: str = ""


Points: TypeAlias = tuple[Mapping[str, float], ...]
"""A grid, by what its points change."""


class Preset(NamedTuple):
    """A published setting, or a small one that is known to work.

    Attributes:
      config: the method's static config.
      data: the data set.
      steps: the number of optimisation steps; 0 for a number by the size of the data,
        `experiment.default_steps`.
      source: where the setting comes from.
      cost: what a run takes, measured or published.
      hyper: the hyper-parameters that differ from the method's defaults.
      expects: what it is known to reach, measured or published.
      seeds: the number of seeds trained by default.
      chunk: the number of steps between two visits of the host.
      points: the grid that is trained by default, by what its points change, or
        `(config, spec) -> grid`; the product of what is asked for by hand replaces it.
      scores: the columns of the table; the first is the one that matters, shown on the
        progress bar and deciding which checkpoint is the best.
    """

    config: Config
    data: DataSet
    steps: int
    source: str
    cost: str
    hyper: Mapping[str, float] = {}
    expects: tuple[Expectation, ...] = ()
    seeds: int = 5
    chunk: int = 1_000
    points: Points | Callable[..., Points] = ()
    scores: tuple[str, ...] = ()


class Method(NamedTuple):
    """A paper, as the command line, the report and the tests see it.

    Attributes:
      name: the name of its folder.
      citation: BibTeX of the paper.
      needs: what its data must have, as `Spec.offers` names it; of a tuple of names
        any one will do.
      make: `(config, spec) -> System`; ValueError for a config that does not fit. By
        name it takes those parts of the method that a user may replace: `encoder` and
        `decoder` (see `nets.network`), `optimiser` (an optax transformation, or a
        function of the hyper-parameters that gives one) and `loss`.
      hyper: the type of its hyper-parameters.
      default_hyper: `(config, spec, steps) -> hyper`.
      batches: `(config, spec, splits) -> Batches`.
      presets: its settings by name, the one to run first in front.
      scores: `(config, spec) -> scores` that its report returns, in order of interest.
      arrays: the arrays that its report returns, and the names of their axes in words:
        "seed child parent" for one array per seed, "child parent" for one that all
        seeds have in common. Equal words mean equal lengths throughout a run.
      figures: its pictures, in order.
      comparisons: its pictures of several runs.
      sized: `(config, spec) -> config` with sizes for what the config leaves to the
        data (0 or None); None where it leaves nothing.
      positive: the hyper-parameters that must be above 0, as rates and what is divided
        by. None may be negative.
      fractions: the hyper-parameters that must be in [0, 1].
      chosen: `(config, spec, values) -> None`, values of those hyper-parameters that
        were set, by name; ValueError if one that the data do not tell is not among
        them, or is not what these data allow. None where the defaults do for all data.
      graphs: which of its arrays are learned graphs.
      heads: which of its arrays are learned heads of tasks.
      codes: which words of the axes of its graphs and heads number the codes as
        `System.encode` returns them, where the true latents are not known.
      sparser: the hyper-parameters that regularise, and the side of each on which they
        do so more, for the choice among points of a grid.
      loss: what is to be known of its training loss, in a sentence for the report, as
        why it jumps; "" where it only falls.
    """

    name: str
    citation: str
    needs: tuple[str | tuple[str, ...], ...]
    make: Callable[..., System]
    hyper: type[tuple]
    default_hyper: Callable[..., Hyper]
    batches: Callable[..., Batches]
    presets: Mapping[str, Preset]
    scores: Callable[..., tuple[Score, ...]]
    arrays: Mapping[str, str] = {}
    figures: tuple[Figure, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    sized: Callable[..., Config] | None = None
    positive: tuple[str, ...] = ()
    fractions: tuple[str, ...] = ()
    chosen: Callable[..., None] | None = None
    graphs: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    sparser: Mapping[str, Literal["higher", "lower"]] = {}
    loss: str = ""
