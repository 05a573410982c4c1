"""What do many shards cost? Directories, and the time and memory of merging them.

A small run of as many seeds is trained in one piece and written as shards of one seed
each, by the functions that write those of a real array. Then a process of its own
merges them. "files" and "MB" are those of the shards; "peak_MB" is the memory of the
merging process, of which the program itself takes `base_MB`.

    python -m benchmarks.shards            # 10, 100 and 1,000 shards: 15 minutes
    python -m benchmarks.shards 10 30      # other numbers
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import finish
from jaxdis import checkpoint, compilation, devices, experiment, log
from jaxdis.experiment import directory as directories
from jaxdis.experiment import identity, parents, shards, stored
from jaxdis.experiment.shards import Shard
from jaxdis.report import read

__all__ = ["main"]

NUMBERS = (10, 100, 1_000)
PRESET = "mechanism_sparsity/quickstart"
TINY = {
    "config": {"encoder": (8,), "decoder": (8,), "transition": (8,), "batch": 16},
    "data": {"samples": 500},
    "steps": 40,
    "chunk": 2,  # 20 lines a seed
}


def _plan(seeds: int) -> experiment.Plan:
    return experiment.plan(PRESET, seeds=seeds, **TINY)  # type: ignore[arg-type]


def _shard(
    plan: experiment.Plan, shard: Shard, out: Path, whole: Path, found: Any, lines: Any
) -> None:
    """Writes one seed of a run as the directory of its shard."""
    row = shard.number - 1
    execution = experiment.Execution(out=out)
    part, own = parents.claim(plan, shard, execution)
    record = identity.settings_of(part, "benchmark", execution.pace)
    results = json.loads((whole / "results.json").read_text())
    one = {
        "seeds": list(part.seeds),
        "metrics": {n: [[v[0][row]]] for n, v in results["metrics"].items()},
        "failed_seeds": [[]],
        "floors": {},
        "arrays": {},
        "agreement": None,
    }
    with directories.new(own.out, part.name, record) as directory:
        stored.write_data(directory, *stored.read_data(whole))
        arrays = {n: np.asarray(a)[row : row + 1] for n, a in found.rest.items()}
        for step in (plan.steps - plan.chunk, plan.steps):
            checkpoint.save(
                directory / "checkpoints", step, arrays, record=found.record
            )
        (directory / "metrics.jsonl").write_text(lines[row])
        log.save_arrays(directory / "figures.npz", {})
        log.write_json(directory / "results.json", results | one)


def _made(seeds: int, out: Path) -> float:
    """Trains a run and writes it as shards; seconds of the training."""
    plan, whole = _plan(seeds), out.with_name(f"{out.name}-whole")
    began = time.perf_counter()
    experiment.carry_out(plan, experiment.Execution(out=whole))
    took = time.perf_counter() - began
    found = checkpoint.everything(whole / "checkpoints", plan.steps)
    lines = [""] * seeds
    for i, line in enumerate((whole / "metrics.jsonl").read_text().splitlines()):
        lines[i % seeds] += line + "\n"
    for index in range(1, seeds + 1):
        _shard(plan, Shard(index, seeds), out, whole, found, lines)
    assert len(shards.part(plan, Shard(1, seeds)).seeds) == 1
    return took


def _peak() -> float:
    """The most memory of this process so far, in MB; not that of who started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def child(out: Path) -> None:
    """Merges shards and reads the table, and prints what that took."""
    base, began = _peak(), time.perf_counter()
    experiment.gather([out], None)
    merged, peak, began_reading = time.perf_counter(), _peak(), time.perf_counter()
    read.load(out)
    took = time.perf_counter() - began_reading
    found = {
        "merge_s": merged - began,
        "base_MB": base,
        "peak_MB": peak,
        "read_s": took,
        "read_peak_MB": _peak(),
    }
    print(json.dumps(found))


def _row(seeds: int, folder: Path) -> dict[str, Any]:
    out = folder / str(seeds)
    train_s = _made(seeds, out)
    files = [path for path in out.rglob("*") if path.is_file()]
    sizes = sum(path.stat().st_size for path in files)
    command = [sys.executable, "-m", "benchmarks.shards", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {
        "shards": seeds,
        "files": len(files),
        "MB": sizes / 1e6,
        "train_s": train_s,
        **json.loads(done.stdout.splitlines()[-1]),
        "merged_MB": (out / "results.json").stat().st_size / 1e6
        + (out / "figures.npz").stat().st_size / 1e6
        + (out / "metrics.jsonl").stat().st_size / 1e6,
    }


def main(numbers: tuple[int, ...] = NUMBERS) -> None:
    """Prints the table and writes it to benchmarks/results.

    Args:
      numbers: the numbers of shards.
    """
    with tempfile.TemporaryDirectory() as folder:
        finish("shards", [_row(seeds, Path(folder)) for seeds in numbers])


if __name__ == "__main__":
    devices.use_all_cores()
    compilation.keep_programs()
    if sys.argv[1:] and not sys.argv[1].isdigit():
        child(Path(sys.argv[1]))
    else:
        main(tuple(map(int, sys.argv[1:])) or NUMBERS)
