"""What does a seed cost? The quickstart with 1 to 256 seeds, and seeds as processes.

Steady state: the first chunk and compilation are not in the step times; compile time is
a column of its own. "processes" is 8 processes of one seed each, all running at once.
"share_of_matmul" are the FLOP/s of the networks' products, counted by hand, against a
large float32 product on all cores in the same run.

    python -m benchmarks.seeds
"""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from benchmarks.full_size import step_flop
from benchmarks.timing import finish, matmul_flops
from jaxdis import devices, experiment, runner
from jaxdis.experiment import Experiment

SEEDS = (1, 2, 4, 8, 16, 32, 256)
PROCESSES = 8
CHUNK = 250
CHUNKS = 6  # after the first one
PRESET = "mechanism_sparsity/quickstart"


def steady_run(
    seeds: int, first: int = 0, gate: Callable[[], Any] = lambda: None
) -> tuple[float, float]:
    """Trains past the first chunk, passes the gate, and times the chunks that follow.

    Returns:
      Seconds per step of all seeds together, and seconds of compilation.
    """
    made = experiment.prepare(experiment.plan(PRESET, seeds=seeds, first_seed=first))
    times = []

    def on_chunk(chunk: runner.Chunk) -> None:
        if not times:
            gate()
        times.append(time.perf_counter())

    result = runner.run(
        made.system,
        made.batches.sample,
        made.keys,
        made.hyper,
        steps=CHUNK * (CHUNKS + 1),
        chunk=CHUNK,
        on_chunk=[on_chunk],
        world=made.world,
    )
    return (times[-1] - times[0]) / (CHUNK * CHUNKS), result.compile_s


def state_bytes(made: Experiment) -> int:
    """Bytes that a seed occupies between steps: parameters, optimiser, counters."""
    hyper = jax.tree.map(lambda h: h[0], made.hyper)
    state = jax.eval_shape(made.system.init, jax.random.key(0), hyper)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def child(seed: int) -> None:
    """One process of one seed: ready after its first chunk, then waits for the word."""

    def gate() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    steady_run(1, seed, gate)


def as_processes() -> float:
    """Wall seconds per step of 8 one-seed processes that start together."""
    command = [sys.executable, "-m", "benchmarks.seeds"]
    children = [
        subprocess.Popen(
            [*command, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(PROCESSES)
    ]
    for process in children:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for process in children:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    codes = [process.wait() for process in children]
    assert codes == [0] * PROCESSES
    return (time.perf_counter() - began) / (CHUNK * CHUNKS)


def main() -> None:
    """Prints the table and writes it to benchmarks/results."""
    rows: list[dict[str, Any]] = []
    for seeds in SEEDS:
        step_s, compile_s = steady_run(seeds)
        rows.append(_row(f"{seeds} in one program", seeds, step_s, compile_s))
    rows.append(_row(f"{PROCESSES} processes", PROCESSES, as_processes(), None))
    made = experiment.prepare(experiment.plan(PRESET, seeds=1))
    flop = step_flop(made.plan.config, made.spec)  # type: ignore[arg-type]
    one, memory, ceiling = rows[0]["ms_per_step"], state_bytes(made), matmul_flops()
    for row in rows:
        row["time_of_one_seed"] = row["ms_per_step"] / one
        row["share_of_matmul"] = row["seed_steps_per_s"] * flop / ceiling
        row["state_kB_per_seed"] = memory / 1e3
    finish("seeds", rows)


def _row(
    name: str, seeds: int, step_s: float, compile_s: float | None
) -> dict[str, Any]:
    return {
        "run": name,
        "ms_per_step": 1e3 * step_s,
        "seed_steps_per_s": seeds / step_s,
        "compile_s": compile_s,
    }


if __name__ == "__main__":
    devices.use_all_cores()
    if len(sys.argv) > 1:
        child(int(sys.argv[1]))
    else:
        main()
