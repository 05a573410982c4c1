"""The types that every system and the runner share."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from jaxtyping import Array, Float, Int, Key, PyTree

PRNGKey: TypeAlias = Key[Array, ""]
Scalar: TypeAlias = Float[Array, ""] | float
Params: TypeAlias = PyTree[Float[Array, "..."]]
Hyper: TypeAlias = Any
"""A system's NamedTuple of scalar arrays: everything worth sweeping, traced."""
Batch: TypeAlias = Any
"""What `sample(key)` returns: a NamedTuple of arrays with a leading batch axis."""
Metrics: TypeAlias = dict[str, Array]


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
    opt_state: Any
    extra: Any
    step: Int[Array, ""]


class System(NamedTuple):
    """A method as pure functions of single seeds; the runner maps them over seeds.

    Attributes:
      init: `(key, hyper) -> TrainState`.
      step: `(state, batch, hyper, key) -> (state, metrics)`.
      encode: `(params, x) -> latent means`, over any leading axes of `x`.
      report: `(state, batch, key) -> metrics` on held-out rows: the paper's own
        figures. Scalars are scores, arrays are what the pictures are made of.
    """

    init: Callable[[PRNGKey, Hyper], TrainState]
    step: Callable[[TrainState, Batch, Hyper, PRNGKey], tuple[TrainState, Metrics]]
    encode: Callable[[Params, Array], Array]
    report: Callable[[TrainState, Batch, PRNGKey], Metrics]


class Preset(NamedTuple):
    """A published setting, or a small one that is known to work.

    Attributes:
      config: the system's static config.
      data: the config of its data.
      steps: optimisation steps.
      hyper: fields that differ from the system's `default_hyper`.
      source: where the setting comes from.
      cost: what a run takes, measured or published.
      expects: what it is known to reach, measured or published.
      seeds: trained by default.
      chunk: steps between two visits of the host.
      points: a grid that is trained by default, by what its points change; the product
        of what is asked for on the command line replaces it.
      scores: columns of the table; the first is the one that matters, shown on the
        progress bar and deciding which checkpoint is the best.
    """

    config: Any
    data: Any
    steps: int
    hyper: dict[str, float]
    source: str
    cost: str
    expects: str
    seeds: int = 5
    chunk: int = 1_000
    points: tuple[dict[str, float], ...] = ()
    scores: tuple[str, ...] = ("mcc", "r", "r_con", "shd", "nll")
