"""What a second start saves: seconds of the quickstarts with the programs of the first.

Of each method's first preset some steps are trained twice, each time in a new process,
with a cache directory that is empty at first. "compile" is `compile_s` of results.json,
"start" the whole command without its training, from the shell's view.

    python -m benchmarks.starts [PRESET ...]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import finish
from jaxdis import systems

STEPS = 20


def seconds(preset: str, folder: Path, name: str) -> tuple[float, float]:
    """Of a training: its compilation, and all of the command but the steps."""
    out = folder / name
    command = [sys.executable, "-m", "jaxdis", "train", preset, "--out", str(out)]
    command += ["--steps", str(STEPS), "--chunk", str(STEPS)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - began
    found = json.loads((out / "results.json").read_text())
    return found["compile_s"], took - STEPS * found["step_s"]


def starts(preset: str) -> dict[str, Any]:
    """The first and the second start of a preset."""
    with tempfile.TemporaryDirectory() as folder:
        first = seconds(preset, Path(folder), "first")
        second = seconds(preset, Path(folder), "second")
        size = sum(p.stat().st_size for p in Path(folder, "cache").rglob("*-cache"))
    return {
        "preset": preset,
        "first compile": first[0],
        "second compile": second[0],
        "first start": first[1],
        "second start": second[1],
        "saved": first[1] - second[1],
        "megabytes": size / 1e6,
    }


def quickstarts() -> list[str]:
    """All presets that are called so."""
    return [
        f"{method}/{preset}"
        for method in systems.names()
        for preset in systems.find(method).presets
        if preset.startswith("quickstart")
    ]


if __name__ == "__main__":
    finish("starts", [starts(preset) for preset in sys.argv[1:] or quickstarts()])
