"""Where the wall time of each quickstart goes, and what a second start saves of it.

Of each quickstart some steps are trained twice, each time in a new process, with a
cache directory that is empty at first. Columns are the seconds of results.json by what
they were spent on; "steps" are all steps of the preset, by the seconds of those that
were taken here. "cpu" are the processor's seconds of the whole command, which
neighbours on the machine disturb less; its load is beside them.

    python -m benchmarks.starts [PRESET ...]

A row is written as soon as it is there; those of presets that are not named stay.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import RESULTS, machine, shown
from jaxdis import experiment, log, systems
from jaxdis.report import times

STEPS = 20


def started(preset: str, folder: Path, name: str) -> dict[str, Any]:
    """A training in a new process: its seconds in all, and by parts."""
    out = folder / name
    command = [sys.executable, "-m", "jaxdis", "train", preset, "--out", str(out)]
    command += ["--steps", str(STEPS), "--chunk", str(STEPS)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads((out / "results.json").read_text())
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    method, short = experiment.find_preset(preset)
    all_steps = method.presets[short].steps * found["step_s"]
    return {
        "wall": took,
        "cpu": cpu,
        "load": os.getloadavg()[0],
        **times.spent(found),
        "steps": all_steps,
    }


def starts(preset: str) -> list[dict[str, Any]]:
    """The first and the second start of a preset."""
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name in ("first", "second"):
            found = started(preset, Path(folder), name)
            rows.append({"preset": preset, "start": name, **found})
    return rows


def quickstarts() -> list[str]:
    """All presets that are called so."""
    return [
        f"{method}/{preset}"
        for method in systems.names()
        for preset in systems.find(method).presets
        if preset.startswith("quickstart")
    ]


def main(presets: list[str]) -> None:
    """Measures presets, one after the other, and writes every row."""
    path = RESULTS / "starts-cpu.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    for preset in presets:
        found = starts(preset)
        rows = [row for row in rows if row["preset"] != preset] + found
        log.write_json(path, {"machine": machine(), "trained": STEPS, "rows": rows})
        log.show(shown(preset, found))


if __name__ == "__main__":
    main(sys.argv[1:] or quickstarts())
