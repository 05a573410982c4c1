"""The training of `python -m benchmarks device --train`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.timing import machine
from jaxdis import devices, experiment, runner
from jaxdis.experiment import Execution

if TYPE_CHECKING:
    from benchmarks.device import Record

__all__ = ["train"]

END_S = 20.0  # what is kept for the last checkpoint and the held-out rows
TINY: dict[str, Any] = {
    "config": {"encoder": (8,), "decoder": (8,), "transition": (8,), "batch": 16},
    "data": {"samples": 1_000},
    "chunk": 2,
    "steps": 6,
}


def train(record: "Record", tiny: bool) -> None:
    """Trains full-size ActionNonDiag until the time is used up; writes every chunk.

    The run is a directory beside the record, which is gone on with if it is there.

    Args:
      record: where the MCC of every chunk goes.
      tiny: whether sizes are such that any CPU is done at once.
    """
    devices.use_all_cores()
    record.machine = machine()
    small = TINY if tiny else {"chunk": 1_000}
    config = small.get("config", {}) | {"precision": "default"}
    given: dict[str, Any] = {**small, "config": config}
    plan = experiment.plan("mechanism_sparsity/ActionNonDiag", seeds=4, **given)

    def look(chunk: runner.Chunk) -> bool:
        row = {"step": chunk.step, "s": record.budget_s - record.left_s}
        row |= {"s_per_step": chunk.seconds / chunk.length}
        row |= {"mcc": [round(float(v), 4) for v in chunk.scores["mcc"]]}
        record.rows.append({"section": "training", "name": "chunk", **row})
        record.write()
        print(row, flush=True)
        return record.left_s < END_S

    out: Path = record.path.with_name(f"{record.path.stem}_run")
    began = time.perf_counter()
    execution = Execution(out=out, start_or_resume=True, callbacks=[look])
    experiment.carry_out(plan, execution)
    seconds = time.perf_counter() - began
    record.rows.append({"section": "training", "name": "whole", "seconds": seconds})
    record.write()
