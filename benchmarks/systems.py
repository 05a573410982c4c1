"""What does a step of each system cost, and how much of it are matrix products?

Steady state of the quickstarts: milliseconds, compile time, and FLOP/s as a share of a
float32 matrix product in the same run. FLOP are XLA's own count of one step, which
takes the body of a loop once.

    python -m benchmarks.systems [SEEDS ...]    # two CPU cores: 5 minutes
"""

import sys
from typing import Any

from benchmarks.timing import finish, matmul_flops, steady_step, step_flop
from jaxdis import devices, experiment

SYSTEMS = {  # and the steps between two looks at the clock
    "mechanism_sparsity": 500,
    "flow_factorized": 10,
    "shared_features": 50,
    "sparse_mixing": 100,
    "sparse_mixing_gan": 10,
}


def measure(name: str, seeds: int, ceiling: float) -> dict[str, Any]:
    """One line of the table."""
    plan = experiment.plan(f"{name}/quickstart", seeds=seeds)
    made = experiment.prepare(plan._replace(points=plan.points[:1]))
    flop = step_flop(made)
    step_s, compile_s = steady_step(made, SYSTEMS[name])
    return {
        "system": name,
        "seeds": seeds,
        "ms_per_step": 1e3 * step_s,
        "seed_steps_per_s": seeds / step_s,
        "compile_s": compile_s,
        "mflop_per_step": flop / 1e6,
        "share_of_matmul": seeds * flop / step_s / ceiling,
    }


def main(seeds: tuple[int, ...]) -> None:
    """Prints the table and writes it to benchmarks/results."""
    ceiling = matmul_flops()
    finish("systems", [measure(name, n, ceiling) for name in SYSTEMS for n in seeds])


if __name__ == "__main__":
    devices.use_all_cores()  # as a run does
    main(tuple(map(int, sys.argv[1:])) or (1, 8))
