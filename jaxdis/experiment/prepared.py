"""What a plan is with its data drawn."""

from typing import NamedTuple

import jax

from jaxdis.experiment.plan import Plan
from jaxdis.types import Batches, Hyper, Score, Spec, Splits, System

__all__ = ["Experiment"]


class Experiment(NamedTuple):
    """Everything that a run needs: data drawn, nothing compiled.

    Attributes:
      plan: the setting.
      system: the method, for these data.
      spec: what it knows of its data.
      splits: the data.
      batches: what the method makes of them.
      keys, hyper: one row per grid point and seed.
      world: which world of the data each row sees; None where all see the same.
      scores: the declared scores, those of the preset first.
    """

    plan: Plan
    system: System
    spec: Spec
    splits: Splits
    batches: Batches
    keys: jax.Array
    hyper: Hyper
    world: jax.Array | None
    scores: dict[str, Score]
