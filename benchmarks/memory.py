"""How good is the estimate of memory? Peaks of runs of 1, 8 and 32 seeds against it.

Each run is a process of its own: data, two steps with their evaluation, checkpoints
and results. Its peak holds the interpreter and the compiler as well, which one seed
needs as much as many, so that growth is what is compared: what seeds add to the peak,
and to the estimate.

    python -m benchmarks.memory
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.timing import finish
from jaxdis import devices, experiment, log
from jaxdis.experiment import Execution, fitting

SEEDS = (1, 8, 32)
WIDE = (512,) * 3
SETTINGS: dict[str, dict[str, Any]] = {
    "mechanism_sparsity/quickstart": {
        "encoder": WIDE,
        "decoder": WIDE,
        "transition": (64, 64),
        "batch": 64,
    },
    "beta_vae/quickstart": {"encoder": WIDE, "decoder": WIDE, "batch": 64},
    "sparse_mixing/quickstart": {"encoder": WIDE, "decoder": WIDE, "batch": 64},
}


def child(name: str, seeds: int, at_once: int) -> None:
    """Prints the estimate and the peak of a run, in bytes."""
    devices.use_all_cores()
    log.console.quiet = True
    plan = experiment.plan(name, seeds=seeds, steps=2, chunk=1, config=SETTINGS[name])
    rows = at_once or None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        experiment.carry_out(plan, Execution(out=out, rows_at_once=rows))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    made, estimate = fitting.prepare_fitting(plan, rows)
    print(fitting.analysed(made, estimate).total, peak)


def measured(name: str, seeds: int, at_once: int = 0) -> tuple[float, float]:
    """The estimate and the peak of a run in a process of its own, in GB."""
    words = [sys.executable, "-m", "benchmarks.memory", name, str(seeds), str(at_once)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    estimate, peak = map(int, said.split()[-2:])
    return estimate / 1e9, peak / 1e9


def main() -> None:
    """Measures all settings, and the largest of the first in turns of 4 rows."""
    rows = []
    for name in SETTINGS:
        one = measured(name, SEEDS[0])
        turns = [(SEEDS[-1], 4)] * (name == next(iter(SETTINGS)))
        for seeds, at_once in [*((s, 0) for s in SEEDS), *turns]:
            found = one if seeds == SEEDS[0] else measured(name, seeds, at_once)
            more = [now - before for now, before in zip(found, one, strict=True)]
            row = {
                "setting": name,
                "seeds": seeds,
                "rows at once": at_once or seeds,
                "estimate_gb": found[0],
                "peak_gb": found[1],
                "growth_of_estimate_over_growth_of_peak": more[0] / more[1]
                if more[1]
                else float("nan"),
            }
            print(row, flush=True)
            rows.append(row)
    finish("memory", rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
