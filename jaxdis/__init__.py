"""Identifiable, disentangled representations: many seeds in one compiled program."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdis import (
        data,
        experiment,
        flows,
        gaussian,
        heads,
        identifiability,
        losses,
        masks,
        metrics,
        nets,
        parallel,
        statistics,
        tracking,
    )
    from jaxdis.data.reading import read
    from jaxdis.devices import use_all_cores
    from jaxdis.experiment import Run, load, merge, resume, train
    from jaxdis.optimise import cosine, minimise, ramp
    from jaxdis.report.paired import compare
    from jaxdis.runner import evaluator, run
    from jaxdis.sweep import grid, lay_out, seed_keys
    from jaxdis.types import (
        Batches,
        Expectation,
        Figure,
        Label,
        Method,
        Preset,
        Rows,
        Score,
        Source,
        Spec,
        Splits,
        Stream,
        System,
        TrainState,
        Truth,
    )

__version__ = "0.2.0"

_HOMES = {
    "data.reading": ("read",),
    "experiment": ("Run", "load", "merge", "resume", "train"),
    "optimise": ("cosine", "minimise", "ramp"),
    "report.paired": ("compare",),
    "runner": ("evaluator", "run"),
    "sweep": ("grid", "lay_out", "seed_keys"),
    "devices": ("use_all_cores",),
    "types": (
        "Batches",
        "Expectation",
        "Figure",
        "Label",
        "Method",
        "Preset",
        "Rows",
        "Score",
        "Source",
        "Spec",
        "Splits",
        "Stream",
        "System",
        "TrainState",
        "Truth",
    ),
}
_MODULES = (
    "data",
    "experiment",
    "flows",
    "gaussian",
    "heads",
    "identifiability",
    "losses",
    "masks",
    "metrics",
    "nets",
    "parallel",
    "statistics",
    "tracking",
)
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Batches",
    "Expectation",
    "Figure",
    "Label",
    "Method",
    "Preset",
    "Rows",
    "Run",
    "Score",
    "Source",
    "Spec",
    "Splits",
    "Stream",
    "System",
    "TrainState",
    "Truth",
    "compare",
    "cosine",
    "data",
    "evaluator",
    "experiment",
    "flows",
    "gaussian",
    "grid",
    "heads",
    "identifiability",
    "lay_out",
    "load",
    "losses",
    "masks",
    "merge",
    "metrics",
    "minimise",
    "nets",
    "parallel",
    "ramp",
    "read",
    "resume",
    "run",
    "seed_keys",
    "statistics",
    "tracking",
    "train",
    "use_all_cores",
]


def __getattr__(name: str) -> Any:
    # flax and optax take half as long to import as jax: they wait until needed.
    if name in _MODULES:
        return import_module(f"jaxdis.{name}")
    if name in _HOME_OF:
        return getattr(import_module(f"jaxdis.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'jaxdis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
