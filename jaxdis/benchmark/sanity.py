"""The sanity benchmark of identifiable representation learning, as a table.

Small synthetic data whose latents are known, and a simulated arm: the process that each
kind of method is made for, mixings of growing strength, what breaks the assumptions one
by one. Methods are not listed: all that take the data take part. Everything here was
fixed before anything was trained.
"""

from collections.abc import Mapping
from typing import Any

from jaxdis.benchmark.settings import Benchmark, Case

__all__ = ["SANITY"]

OWN, STRENGTH, VIOLATION, SIMULATOR = "process", "strength", "violation", "simulator"

_MOVED = {"z_dim": 5, "x_dim": 10, "samples": 30_000}


def _moved(process: str, **more: Any) -> Mapping[str, Any]:
    """Latents that actions or their past move."""
    return {"process": process, **_MOVED, **more}


def _toy(mask: str, domains: int, **more: Any) -> Mapping[str, Any]:
    """Latents whose distribution changes with the domain."""
    return {"mask": mask, "domains": domains, "tall": True, **more}


SANITY = Benchmark(
    name="sanity",
    seeds=16,
    steps=5_000,
    # Its quickstart takes four times the steps of theirs.
    times={"mechanism_sparsity": 2.0},
    config={
        "encoder": [64, 64, 64],
        "decoder": [64, 64, 64],
        # From a prior as narrow as latents of its own process are, mechanism sparsity
        # takes tens of thousands of steps to begin (measured on rows of another seed).
        "prior_variance_init": 1.0,
    },
    data=(
        # The process that each kind of method is made for.
        Case("factors", "mixed_factors", {}, OWN),
        Case("tasks", "factor_tasks", {}, OWN),
        Case("actions", "causal_process", _moved("ActionNonDiag"), OWN),
        Case("targets", "causal_process", _moved("InterventionHard"), OWN),
        Case("time", "causal_process", _moved("TimeDiag"), OWN),
        Case("steps", "sparse_steps", {}, OWN),
        Case("ring", "toy_mixing", _toy("ring", 9), OWN),
        Case("domains", "toy_mixing", _toy("dense", 9), OWN),
        # The same actions behind networks of other depths; that of `actions` is 4.
        *(
            Case(
                f"layers_{layers}",
                "causal_process",
                _moved("ActionNonDiag", layers=layers),
                STRENGTH,
            )
            for layers in (1, 8, 16)
        ),
        # The same domains behind spirals; that of `ring` is 0.
        *(
            Case(
                f"spiral_{strength}",
                "toy_mixing",
                _toy("ring", 9, strength=float(strength)),
                STRENGTH,
            )
            for strength in (1, 2)
        ),
        # What breaks an assumption, or makes it hard to make use of it.
        Case(
            "criterion",
            "causal_process",
            _moved("ActionNoGraphCrit", z_dim=6, x_dim=12),
            VIOLATION,
        ),
        Case("variability", "causal_process", _moved("ActionNoSuffVar"), VIOLATION),
        Case("few_domains", "toy_mixing", _toy("dense", 3), VIOLATION),
        Case("dependent", "toy_mixing", _toy("ring", 9, correlation=0.8), VIOLATION),
        Case(
            "noise",
            "causal_process",
            _moved("ActionNonDiag", observation_noise=0.3),
            VIOLATION,
        ),
        Case(
            "wrong_d",
            "causal_process",
            _moved("ActionNonDiag"),
            VIOLATION,
            config={"z_dim": 8},
            breaks="models have 8 latents where the data have 5",
        ),
        # Real physics: angles and velocities of an arm, and what its motors were told.
        Case("arm", "arm", {}, SIMULATOR, requires=("mujoco",)),
    ),
)
