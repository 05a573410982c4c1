"""What does a step of each system cost, and how much of it are matrix products?

Steady state of the quickstarts: milliseconds, compile time, and FLOP/s as a share of a
float32 matrix product in the same run. FLOP are XLA's own count of one step, which
takes the body of a loop once.

    python -m benchmarks.systems [SEEDS ...]    # two CPU cores: 5 minutes
"""

import sys
from importlib import import_module
from typing import Any

import jax
import numpy as np

from benchmarks.timing import finish, matmul_flops
from jaxdis import cli, runner

SYSTEMS = {  # and the steps between two looks at the clock
    "mechanism_sparsity": 500,
    "flow_factorized": 10,
    "shared_features": 50,
    "sparse_mixing": 100,
    "sparse_mixing_gan": 10,
}
CHUNKS = 4  # after the first one


def measure(name: str, seeds: int, ceiling: float) -> dict[str, Any]:
    """One line of the table."""
    system = import_module(f"jaxdis.systems.{name}")
    preset, chunk = system.PRESETS["quickstart"], SYSTEMS[name]
    spec, data = system.load(preset.data)
    made, sample = (
        system.make(preset.config, spec),
        system.sampler(data.train, preset.config.batch),
    )
    hyper = cli.preset_hyper(system, preset, preset.config, spec, preset.steps)
    key = jax.random.key(0)
    state = jax.eval_shape(made.init, key, hyper)
    batch = jax.eval_shape(sample, key)
    step = jax.jit(made.step).lower(state, batch, hyper, key).compile()
    flop = float(step.cost_analysis()["flops"])
    seconds: list[float] = []
    result = runner.run(
        made,
        sample,
        runner.seed_keys(seeds),
        hyper,
        steps=chunk * (CHUNKS + 1),
        chunk=chunk,
        on_chunk=[lambda chunk: seconds.append(chunk.seconds)],
    )
    step_s = float(np.median(seconds[1:])) / chunk
    return {
        "system": name,
        "seeds": seeds,
        "ms_per_step": 1e3 * step_s,
        "seed_steps_per_s": seeds / step_s,
        "compile_s": result.compile_s,
        "mflop_per_step": flop / 1e6,
        "share_of_matmul": seeds * flop / step_s / ceiling,
    }


def main(seeds: tuple[int, ...]) -> None:
    """Prints the table and writes it to benchmarks/results."""
    ceiling = matmul_flops()
    finish("systems", [measure(name, n, ceiling) for name in SYSTEMS for n in seeds])


if __name__ == "__main__":
    runner.use_all_cores()  # as a run does
    main(tuple(map(int, sys.argv[1:])) or (1, 8))
