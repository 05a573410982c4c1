"""Identifiable, disentangled representations: many seeds in one compiled program."""

from jaxdis import (
    gaussian,
    identifiability,
    losses,
    masks,
    metrics,
    nets,
    parallel,
    train,
)
from jaxdis.train import (
    evaluator,
    grid,
    minimise,
    run,
    seed_keys,
    use_all_cores,
)
from jaxdis.types import System, TrainState

__version__ = "0.1.0"

__all__ = [
    "System",
    "TrainState",
    "evaluator",
    "gaussian",
    "grid",
    "identifiability",
    "losses",
    "masks",
    "metrics",
    "minimise",
    "nets",
    "parallel",
    "run",
    "seed_keys",
    "train",
    "use_all_cores",
]
