"""How long a full-size run takes to end after SIGTERM, at moments after compilation.

ActionNonDiag of the paper's size is trained and resumed with all cores, and ended while
it trains, evaluates or writes a checkpoint. At most 15 seconds are allowed.

    python -m benchmarks.stopping [FOLDER]
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.interruptions import ENDS, PRELOADED, PROCESSES, Life, newest
from benchmarks.timing import finish

CHUNK = 20
WORDS = ["train", "mechanism_sparsity/ActionNonDiag", "--chunk", str(CHUNK)]


def compiled(life: Life) -> None:
    """Waits until the first checkpoint after this start, or the first chunk's end."""
    before = newest(life.out)
    life.until(lambda out: newest(out) > before)


def in_training(life: Life, rng: random.Random) -> None:
    """Anywhere in the steps of the first chunk or the next."""
    compiled(life)
    time.sleep(rng.uniform(0, 20))


def in_evaluation(life: Life, rng: random.Random) -> None:
    """After the first chunk, whose scores are compiled and computed now."""
    compiled(life)
    step = newest(life.out)
    # The last look before the chunk's end is some steps before it.
    life.until(lambda out: newest(out) > step)
    time.sleep(rng.uniform(0, 5))


def in_checkpoint(life: Life, rng: random.Random) -> None:
    """While a checkpoint is written."""
    compiled(life)
    life.until(lambda out: any((out / "checkpoints").glob(".*tmp*")))


MOMENTS: dict[str, Callable[[Life, random.Random], None]] = {
    "training": in_training,
    "evaluation": in_evaluation,
    "checkpoint": in_checkpoint,
}


def measured(name: str, out: Path, rng: random.Random) -> dict[str, Any]:
    """Seconds from SIGTERM to the end of the process."""
    words = ["resume", str(out)] if newest(out) >= 0 else [*WORDS, "--out", str(out)]
    words += ["--checkpoint-seconds", "0"]
    life = Life(words, out, os.cpu_count() or 1, cached=True)
    MOMENTS[name](life, rng)
    step = newest(out)
    code, seconds = life.end(ENDS["TERM"], rng)
    return {
        "moment": name,
        "seconds": seconds,
        "exit code": code,
        "last step before": step,
        "last step after": newest(out),
        "said": life.said().strip().splitlines()[-1].strip(),
    }


if __name__ == "__main__":
    folder = Path(*sys.argv[1:]) if sys.argv[1:] else Path(tempfile.mkdtemp())
    PROCESSES.set_forkserver_preload(PRELOADED)
    rng = random.Random(0)
    finish("stopping", [measured(name, folder / "run", rng) for name in MOMENTS])
