"""What does a row's number depend on? Eight seeds by themselves, and among sixteen.

CPUs take rows one after the other, other devices map the step over them. Both layouts
are trained here, on two devices, and the states of the eight seeds compared as the
steps go by: the largest difference, in units of the largest number of its array. In
turn it is 0; mapped it starts with what is rounded elsewhere, and grows. "one device"
is in turn, with one device in the place of two.

    python -m benchmarks.rows [STEPS]      # 2,000 steps on two CPU cores: 3 minutes
"""

import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import numpy as np

from benchmarks.timing import finish
from jaxdis import devices, experiment, layout, program, runner

PRESET = "sparse_mixing/quickstart"
SEEDS = 8
SEEN = (10, 100, 500, 1_000, 2_000, 4_000, 10_000, 20_000)


def train(
    over_rows: Callable[..., Any], seeds: int, count: int, steps: int
) -> tuple[list[Any], float]:
    """The states of the first seeds at some steps, and the seconds per step.

    Args:
      over_rows: how a device takes its rows.
      seeds: how many are trained.
      count: the number of devices.
      steps: the number of steps.
    """
    made = experiment.prepare(experiment.plan(PRESET, seeds=seeds))
    keys = made.keys[:seeds]  # those of the first point of the preset
    states: list[Any] = []

    def look(chunk: runner.Chunk) -> None:
        if chunk.step in SEEN:
            states.append(jax.device_get(chunk.rows.state))

    with mock.patch.object(program, "over_rows", over_rows):
        result = runner.run(
            made.system,
            made.batches.sample,
            keys,
            jax.tree.map(lambda h: h[:seeds], made.hyper),
            steps=steps,
            chunk=SEEN[0],
            world=None if made.world is None else made.world[:seeds],
            mesh=devices.seed_mesh(count),
            on_chunk=[look],
        )
    return [jax.tree.map(lambda a: a[:SEEDS], state) for state in states], result.step_s


def apart(a: Any, b: Any) -> float:
    """The largest difference, in units of the largest number of its array."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(
        float(np.abs(x - y).max() / max(np.abs(y).max(), 1e-30))
        for x, y in pairs
        if np.issubdtype(x.dtype, np.floating)
    )


def main(steps: int) -> None:
    """Prints the table and writes it to benchmarks/results."""
    turn, few = layout.over_rows, (SEEDS, 2)
    runs = {
        "in turn, 8 of 16": (turn, few, (2 * SEEDS, 2)),
        "in turn, one device": (turn, few, (SEEDS, 1)),
        "mapped, 8 of 16": (layout.mapped, few, (2 * SEEDS, 2)),
    }
    alone: dict[Any, Any] = {}
    rows = []
    for name, (over_rows, usual, other) in runs.items():
        if over_rows not in alone:
            alone[over_rows] = train(over_rows, *usual, steps)
        states, seconds = train(over_rows, *other, steps)
        differences = map(apart, states, alone[over_rows][0])
        rows.append(
            {"layout": name}
            | {f"{n:,}": d for n, d in zip(SEEN, differences, strict=False)}
            | {"ms_per_step": 1e3 * seconds}
        )
    finish("rows", rows)


if __name__ == "__main__":
    devices.use_all_cores()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
