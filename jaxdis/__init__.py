"""Identifiable, disentangled representations: many seeds in one compiled program."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdis import (
        flows,
        gaussian,
        heads,
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
        lay_out,
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
    "flows",
    "gaussian",
    "grid",
    "heads",
    "identifiability",
    "lay_out",
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

_HOMES = {"System": "types", "TrainState": "types"} | dict.fromkeys(
    (
        "evaluator",
        "grid",
        "lay_out",
        "minimise",
        "run",
        "seed_keys",
        "use_all_cores",
    ),
    "train",
)


def __getattr__(name: str) -> Any:
    # flax and optax take half as long to import as jax: they wait until needed.
    if name not in __all__:
        raise AttributeError(f"module 'jaxdis' has no attribute {name!r}")
    if name in _HOMES:
        return getattr(import_module(f"jaxdis.{_HOMES[name]}"), name)
    return import_module(f"jaxdis.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
