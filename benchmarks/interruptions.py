"""Runs that are killed at random moments end with the numbers of one that was not.

Tiny runs of three methods are interrupted once to six times each, by every signal that
ends programs and at every stage, and resumed. At the end the last checkpoint, the
scores and metrics.jsonl must be those of an uninterrupted run on the same devices, bit
for bit; there may be no more than three checkpoints and nothing that is left over.
Further runs go from two devices to one and to four, and must agree to 1e-6.

    python -m benchmarks.interruptions [--kills 100] [--seed 0] [--folder DIR]
"""

import argparse
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.timing import finish
from jaxdis import cli

STEPS, LIMIT = 400, 600  # seconds that a command may take
SHORT = 60  # steps of a run that goes on with other devices
PRELOADED = [
    "benchmarks.interruptions",
    "jaxdis.report",
    "matplotlib.pyplot",
    "sklearn",
]
COMMON = (
    f"--seeds 2 --steps {STEPS} --chunk 40 --checkpoint-seconds 0 --chunk-seconds 0.05"
)
METHODS = {
    "mechanism_sparsity/quickstart": (
        "--config.encoder 8 --config.decoder 8 --config.transition 8 --config.batch 16 "
        "--data.samples 500"
    ),
    "flow_factorized/toy": (
        "--config.z-dim 4 --config.width 8 --config.depth 1 --config.batch 6 "
        "--data.size 8 --data.steps 3 --data.valid-rows 6 --data.test-rows 6 "
        "--data.fit-rows 12"
    ),
    "shared_features/quickstart": (
        "--config.z-dim 4 --config.encoder 8 --config.rounds 2 --config.iters 3 "
        "--config.batch 3 --data.z-dim 3 --data.x-dim 4 --config.support 6 "
        "--config.query 5 --config.shots 5 --config.test-tasks 3 "
        "--config.test-query 8 --data.test-rows 20"
    ),
}
ENDS: dict[str, tuple[int, ...]] = {
    "KILL": (signal.SIGKILL,),
    "TERM": (signal.SIGTERM,),
    "INT": (signal.SIGINT,),
    "USR1": (signal.SIGUSR1,),
    "HUP": (signal.SIGHUP,),
    "TERM, TERM": (signal.SIGTERM, signal.SIGTERM),
    "INT, KILL": (signal.SIGINT, signal.SIGKILL),
}
FINE = {0, 130, 143, *(-number for ends in ENDS.values() for number in ends)}


# A process that has imported everything is copied for each command.
PROCESSES = multiprocessing.get_context("forkserver")


def command(words: list[str], log: Path, devices: int, cached: bool) -> None:
    """What the shell does: the streams, the environment, the command."""
    number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(number, 1)
    os.dup2(number, 2)
    flags = f" --xla_force_host_platform_device_count={devices}"
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + flags
    jax.config.update("jax_enable_compilation_cache", cached)
    sys.argv[:] = ["jaxdis", *words]
    cli.main()


class Life:
    """A process that trains in a directory, until it ends or is ended."""

    def __init__(self, words: list[str], out: Path, devices: int, cached: bool):
        self.out, self.log = out, out.with_name(f"{out.name}.log")
        self.start = self.log.stat().st_size if self.log.exists() else 0
        arguments = (words, self.log, devices, cached)
        self.process = PROCESSES.Process(target=command, args=arguments)
        self.process.start()

    def until(self, there: Callable[[Path], Any]) -> bool:
        """Waits for something in the directory; false where the process has ended."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            if not self.process.is_alive():
                return False
            if there(self.out):
                return True
            time.sleep(0.001)
        self.process.kill()
        raise TimeoutError(f"{self.out}: {there.__name__} was not seen")

    def end(self, signals: tuple[int, ...], rng: random.Random) -> tuple[int, float]:
        """Sends signals; the exit code and the seconds until it was there."""
        began = time.monotonic()
        for number in signals:
            if self.process.is_alive() and self.process.pid:
                os.kill(self.process.pid, number)
            if number != signals[-1]:
                time.sleep(rng.uniform(0, 0.2))
        return self.code(), time.monotonic() - began

    def code(self) -> int:
        """The exit code, once there is one."""
        self.process.join(LIMIT)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"{self.out}: does not end in {LIMIT} s")
        return self.process.exitcode

    def said(self) -> str:
        """All that it printed."""
        return self.log.read_bytes()[self.start :].decode(errors="replace")


def begun(out: Path) -> bool:
    """The directory is there: it draws data, traces and compiles."""
    return (out / "config.json").exists()


def newest(out: Path) -> int:
    """The step of the last checkpoint, -1 before there is one."""
    found = (p.name for p in (out / "checkpoints").glob("[0-9]*"))
    return max((int(name) for name in found if name.isdecimal()), default=-1)


def trains(life: Life, rng: random.Random) -> Callable[[Path], bool]:
    """At any step from the one that it starts with to the last."""
    before = newest(life.out)
    step = before + 1 + int(rng.random() * (STEPS - before - 20))

    def there(out: Path) -> bool:
        return newest(out) >= step

    return there


def saves(life: Life, rng: random.Random) -> Callable[[Path], bool]:
    """At any step, when a checkpoint is just being written."""
    there = trains(life, rng)

    def being(out: Path) -> bool:
        return there(out) and any((out / "checkpoints").glob(".*tmp*"))

    return being


def trained(out: Path) -> bool:
    """The last checkpoint is there: what is left is to evaluate."""
    return (out / "checkpoints" / str(STEPS)).exists()


def scored(out: Path) -> bool:
    """The results are written: what is left is to draw the report."""
    return (out / "results.json").exists()


# What is waited for, and the seconds after it within which the signal is sent.
Stage = Callable[[Life, random.Random], Callable[[Path], Any]]
STAGES: dict[str, tuple[Stage, float]] = {
    "start": (lambda life, rng: lambda out: True, 6.0),
    "compile": (lambda life, rng: begun, 4.0),
    "train": (trains, 0.2),
    "checkpoint": (saves, 0.004),
    "results": (lambda life, rng: trained, 2.0),
    "report": (lambda life, rng: scored, 2.0),
}


@dataclass
class Case:
    """A run that is interrupted.

    Attributes:
      name: the preset.
      options: its options.
      out: its directory.
      lives: what was done to it: stage, signals and exit code.
      faults: what was wrong.
    """

    name: str
    options: list[str]
    out: Path
    lives: list[tuple[str, str, int]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def command(self) -> list[str]:
        """What a user types next."""
        if begun(self.out):
            return ["resume", str(self.out)]
        return ["train", self.name, *self.options, "--out", str(self.out)]

    def interrupt(self, stage: str, end: str, rng: random.Random) -> None:
        """Starts or resumes it, and ends it at a stage."""
        # What is compiled from the cache is not compiled for long.
        life = Life(self.command(), self.out, 2, cached=stage != "compile")
        watch, within = STAGES[stage]
        if life.until(watch(life, rng)):
            time.sleep(rng.uniform(0, within))
        code, _ = life.end(ENDS[end], rng)
        if code != 0:  # else it was at its end before the signal came
            self.lives.append((stage, end, code))
        # Python has its own words until the command listens.
        if code not in FINE or (stage != "start" and "Traceback" in life.said()):
            self.faults.append(f"exit code {code}: {life.said()[-500:]}")

    def finish(self, devices: int = 2) -> None:
        """Resumes it, to the end."""
        life = Life(self.command(), self.out, devices, cached=True)
        if (code := life.code()) != 0:
            self.faults.append(f"does not end: {code}: {life.said()[-500:]}")


def arrays(out: Path, step: int = STEPS) -> dict[str, np.ndarray]:
    """The state after a step."""
    with np.load(out / "checkpoints" / str(step) / "state.npz") as archive:
        names = json.loads(archive["manifest"].tobytes())["arrays"]
        return {name: archive[str(i)] for i, (name, _, _) in enumerate(names)}


def numbers(out: Path) -> dict[str, Any]:
    """What results.json says of the seeds."""
    found = json.loads((out / "results.json").read_text())
    return {n: found[n] for n in ("metrics", "mean", "std", "failed_seeds", "points")}


def left(out: Path) -> Iterator[str]:
    """What should not be there at the end."""
    steps = [p.name for p in (out / "checkpoints").iterdir() if p.name.isdecimal()]
    if len(steps) > 3:
        yield f"{len(steps)} checkpoints"
    for path in out.rglob("*"):
        if "tmp" in path.name or "damaged" in path.name:
            yield f"{path.relative_to(out)} is left"


def differences(out: Path, reference: Path) -> Iterator[str]:
    """Where a run is not, to the bit, another one."""
    if not scored(out):
        yield "no results"
        return
    here, there = arrays(out), arrays(reference)
    if here.keys() != there.keys():
        yield "other arrays"
    elif unlike := [n for n in here if here[n].tobytes() != there[n].tobytes()]:
        yield f"other bits in {', '.join(unlike)}"
    if numbers(out) != numbers(reference):
        yield "other scores"
    lines = [(p / "metrics.jsonl").read_text().splitlines() for p in (out, reference)]
    if lines[0] != lines[1]:
        yield f"{len(lines[0])} lines, {len(set(lines[0]) - set(lines[1]))} others"
    if not (out / "report.html").exists():
        yield "no report"
    yield from left(out)


def furthest(out: Path, reference: Path) -> float:
    """The largest difference of two runs in any number, relative where above 1."""
    here, there = arrays(out, SHORT), arrays(reference, SHORT)
    pairs = [(here[n], there[n]) for n in here if here[n].dtype.kind == "f"]
    return max(float((abs(a - b) / np.maximum(1, abs(b))).max()) for a, b in pairs)


def moved(case: Case, devices: tuple[int, ...]) -> Case:
    """A short run that goes on with other devices, and with more steps each time.

    Args:
      case: a run of the preset.
      devices: how many there are in each part.
    """
    parts = [SHORT * (i + 1) // len(devices) for i in range(len(devices))]
    first = [x if x != str(STEPS) else str(parts[0]) for x in case.options]
    out = case.out.with_name("on" + "-".join(map(str, devices)))
    run = Case(case.name, first, out)
    run.finish(devices[0])
    for number, steps in list(zip(devices, parts, strict=True))[1:]:
        words = ["resume", str(out), "--steps", str(steps)]
        if (code := Life(words, out, number, cached=True).code()) != 0:
            run.faults.append(f"{words}: {code}")
    return run


def apart(case: Case) -> dict[str, Any]:
    """How far a run is, after two, one and four devices, from one on two."""
    runs = [moved(case, devices) for devices in ((2, 2, 2), (2, 1, 4))]
    return {
        "method": case.name,
        "steps on two, one and four devices": f"{SHORT // 3} each",
        "largest difference": furthest(runs[1].out, runs[0].out),
        "faults": sum(len(run.faults) for run in runs),
    }


def shares(rng: random.Random) -> Iterator[list[tuple[str, str]]]:
    """Of one run after the other, the stage and the signals of its interruptions."""
    decks: dict[str, list[str]] = {"stages": [], "ends": []}

    def next_of(name: str, cards: Iterable[str]) -> str:
        if not decks[name]:
            decks[name] = rng.sample(list(cards), len(list(cards)))
        return decks[name].pop()

    while True:
        stages = [next_of("stages", STAGES) for _ in range(rng.randint(1, 6))]
        stages.sort(key=list(STAGES).index)  # the last ones end the training
        yield [(stage, next_of("ends", ENDS)) for stage in stages]


def killed(
    case: Case, share: list[tuple[str, str]], reference: Path, rng: random.Random
) -> Case:
    """A run that is interrupted some times, and compared with one that was not."""
    for stage, end in share:
        case.interrupt(stage, end, rng)
    case.finish()
    case.faults += differences(case.out, reference)
    print(f"{case.out}: {case.lives}", flush=True)
    for fault in case.faults:
        print(f"FAULT: {fault}", flush=True)
    return case


def table(name: str, cases: list[Case]) -> dict[str, Any]:
    """What was done to the runs of a method, and how they ended."""
    lives = [life for case in cases for life in case.lives]
    return {
        "method": name,
        "kills": len(lives),
        "runs": len(cases),
        **{s: sum(stage == s for stage, _, _ in lives) for s in STAGES},
        "signals": dict(Counter(end for _, end, _ in lives)),
        "exit codes": {str(k): n for k, n in Counter(c for *_, c in lives).items()},
        "runs with other numbers": sum(bool(case.faults) for case in cases),
    }


def main() -> int:
    """Prints the tables and writes them to benchmarks/results; 1 if one has a fault."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="interruptions-"))
    os.environ.setdefault("XDG_CACHE_HOME", str(folder.absolute() / "cache"))
    # Each process imports this module a second time, and runpy wonders.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::RuntimeWarning")
    PROCESSES.set_forkserver_preload(PRELOADED)
    rng = random.Random(asked.seed)
    whole = {}
    for name, own in METHODS.items():
        place = folder / name.split("/")[0]
        place.mkdir(parents=True)
        whole[name] = Case(name, [*COMMON.split(), *own.split()], place / "reference")
        whole[name].finish()
        if whole[name].faults:
            raise RuntimeError(whole[name].faults[0])
    cases: list[Case] = []
    for share, case in zip(shares(rng), itertools.cycle(whole.values())):
        if sum(len(c.lives) for c in cases) >= asked.kills:
            break
        again = Case(case.name, case.options, case.out.with_name(f"run{len(cases)}"))
        cases.append(killed(again, share, case.out, rng))
    rows = [table(name, [c for c in cases if c.name == name]) for name in METHODS]
    further = [apart(case) for case in whole.values()]
    faults = sum(len(c.faults) for c in cases)
    faults += sum(r["faults"] + (r["largest difference"] > 1e-6) for r in further)
    finish("interruptions", rows)
    finish("interruptions_devices", further)
    print(f"{faults} faults; the runs are in {folder}")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
