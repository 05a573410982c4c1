"""The contracts: what a method, a data set and a run are to one another."""

import math
from collections.abc import Callable, Mapping
from typing import (
    TYPE_CHECKING,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    runtime_checkable,
)

import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from jaxdis.report.read import Record

__all__ = [
    "Batch",
    "Batches",
    "Comparison",
    "Config",
    "DataSet",
    "Expectation",
    "Figure",
    "Hyper",
    "Label",
    "Method",
    "Metrics",
    "PRNGKey",
    "Params",
    "Preset",
    "Rows",
    "Sampler",
    "Scalar",
    "Score",
    "Source",
    "Spec",
    "Splits",
    "System",
    "TrainState",
    "Truth",
]

PRNGKey: TypeAlias = Key[Array, ""]
Scalar: TypeAlias = Float[Array, ""] | float
Params: TypeAlias = PyTree[Float[Array, "..."]]
Config: TypeAlias = object
"""A method's frozen dataclass of all that is compiled in."""
Hyper: TypeAlias = PyTree[Float[Array, "..."] | float]
"""A method's NamedTuple of scalar arrays: everything worth sweeping, traced."""
Batch: TypeAlias = PyTree[Shaped[Array, "..."]]
"""What a step or a report sees: a NamedTuple of arrays, most often `Rows`."""
Metrics: TypeAlias = dict[str, Array]
"""Scalars that the method declares as scores, and arrays that it declares as such."""
Sampler: TypeAlias = Callable[..., Batch]
"""`key -> batch`, or `(key, world) -> batch` where rows of a run differ in their data;
a `jax.tree_util.Partial`, so that its data are arguments of the compiled program."""


# Data.


class Rows(NamedTuple):
    """What every data set offers, built-in or a user's; None is what it lacks.

    Of a data set with several worlds (`Spec.worlds`) every array has one more axis in
    front, the world.

    Attributes:
      x: the observations: vectors `[n, x]`, images `[n, h, w, c]`, or sequences of them
        `[n, t, ...]`. Images are bytes, or numbers in [0, 1].
      a: the actions `[n, a]`.
      u: the domains `[n]`, from 0.
      y: the labels `[n, l]`, one column each: classes from 0, or numbers.
      k: the transformations `[n]`, from 0; of several at once `[n, j]`.
      z: the true latents `[n, z]` or `[n, t, z]`, for scores and never for training.
    """

    x: Array
    a: Array | None = None
    u: Int[Array, "..."] | None = None
    y: Array | None = None
    k: Int[Array, "..."] | None = None
    z: Float[Array, "..."] | None = None


class Source(NamedTuple):
    """Training rows that are drawn on the device when they are needed.

    Attributes:
      draw: `(key, n) -> Rows`, a `jax.tree_util.Partial` of what it draws from.
    """

    draw: Callable[[PRNGKey, int], Rows]


class Label(NamedTuple):
    """One column of `Rows.y`.

    Attributes:
      name: the name of the column.
      classes: the number of classes; None for numbers.
      ordered: whether the classes have an order.
    """

    name: str
    classes: int | None = None
    ordered: bool = False


class Truth(NamedTuple):
    """What is known of how the data were made, for scores and never for training.

    Attributes:
      gz: the graph from past latents, 1 where latent j moves latent i.
      ga: the graph from actions, 1 where action l moves latent i.
      mask: 1 where latent j moves observed variable i.
      hues: the hue of the foreground of images in each domain, in turns.
    """

    gz: Int[np.ndarray, "z z"] | None = None
    ga: Int[np.ndarray, "z a"] | None = None
    mask: Int[np.ndarray, "x z"] | None = None
    hues: Float[np.ndarray, "d"] | None = None


class Spec(NamedTuple):
    """What a method knows of its data before it sees any.

    Attributes:
      shape: the shape of one observation, `(x,)` or `(h, w, c)`.
      steps: the number of observations in a sequence; None where x has no time axis.
      a_dim: the number of actions; 0 for none.
      domains: the names of the domains.
      labels: the columns of y.
      transformations: the names of the transformations.
      z_dim: the number of true latents; 0 where they are not known.
      truth: what is known of how the data were made.
      worlds: the number of independent draws of the whole data set that `Rows` hold,
        one for each seed in turn; None where all seeds see the same rows.
    """

    shape: tuple[int, ...]
    steps: int | None = None
    a_dim: int = 0
    domains: tuple[str, ...] = ()
    labels: tuple[Label, ...] = ()
    transformations: tuple[str, ...] = ()
    z_dim: int = 0
    truth: Truth = Truth()
    worlds: int | None = None

    @property
    def offers(self) -> tuple[str, ...]:
        """What the data have, as `Method.needs` names it."""
        there = {
            "x": True,
            "a": self.a_dim > 0,
            "u": bool(self.domains),
            "y": bool(self.labels),
            "k": bool(self.transformations),
            "z": self.z_dim > 0,
            "sequences": self.steps is not None,
            "images": len(self.shape) == 3,
        }
        return tuple(name for name, has in there.items() if has)


class Splits(NamedTuple):
    """Disjoint rows of one data set.

    Attributes:
      train: the rows to learn from, or where they are drawn.
      valid: the rows that are scored between chunks.
      test: the rows that are scored at the end.
      controls: further rows by name, a pair for valid and test, that some methods know
        to use, as "superposed" sequences.
    """

    train: Rows | Source
    valid: Rows
    test: Rows
    controls: Mapping[str, tuple[Rows, Rows]] = {}


@runtime_checkable
class DataSet(Protocol):
    """A data set: a frozen dataclass of its settings, and two functions of it."""

    def spec(self) -> Spec:
        """Sizes and names, as cheaply as possible; ValueError for wrong settings."""

    def load(self) -> Splits:
        """Reads or draws the rows; ValueError if they are not there or damaged."""


# Methods.


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
    """

    init: Callable[[PRNGKey, Hyper], TrainState]
    step: Callable[[TrainState, Batch, Hyper, PRNGKey], tuple[TrainState, Metrics]]
    encode: Callable[[Params, Array], Array] | None
    decode: Callable[[Params, Array], Array] | None
    report: Callable[[TrainState, Batch, PRNGKey], Metrics]


class Batches(NamedTuple):
    """What a method makes of splits.

    Attributes:
      sample: `key -> batch` of training rows; see `Sampler`.
      valid: the batch that is reported on between chunks.
      test: the batch that is reported on at the end.
    """

    sample: Sampler
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
    """

    name: str
    title: str
    better: Literal["higher", "lower"] | None = None
    range: tuple[float, float] = (-math.inf, math.inf)
    source: str = ""


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
      spread: its standard deviation over seeds; None if not known.
      of: what else than the preset itself reaches it, as "no penalty".
    """

    score: str
    mean: float
    spread: float | None = None
    of: str = ""


class Preset(NamedTuple):
    """A published setting, or a small one that is known to work.

    Attributes:
      config: the method's static config.
      data: the data set.
      steps: the number of optimisation steps.
      source: where the setting comes from.
      cost: what a run takes, measured or published.
      hyper: the hyper-parameters that differ from the method's defaults.
      expects: what it is known to reach, measured or published.
      seeds: the number of seeds trained by default.
      chunk: the number of steps between two visits of the host.
      points: the grid that is trained by default, by what its points change; the
        product of what is asked for by hand replaces it.
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
    points: tuple[Mapping[str, float], ...] = ()
    scores: tuple[str, ...] = ()


class Method(NamedTuple):
    """A paper, as the command line, the report and the tests see it.

    Attributes:
      name: the name of its folder.
      citation: BibTeX of the paper.
      needs: what its data must have, as `Spec.offers` names it; of a tuple of names
        any one will do.
      make: `(config, spec) -> System`; ValueError for a config that does not fit.
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
