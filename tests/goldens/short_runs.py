"""Short runs of every small preset, recorded, to see that a change moves no number.

    python tests/goldens/short_runs.py record   # before the change
    python tests/goldens/short_runs.py check    # after it

Each preset trains two seeds for `STEPS` steps from the command line; what the directory
of the run then holds is compared: losses and held-out scores of every chunk, scores and
arrays at the end. Large arrays are thinned out. The reference was recorded on an x86-64
machine with two cores, jax 0.10.2; rounding differs between machines and grows with
training, so this is a tool for one machine and no part of the test suite.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).with_name("short_runs.npz")
STEPS, CHUNK = 300, 50
KEPT = 1_000  # numbers of an array
TOLERANCE = 1e-5
PRESETS = (
    "mechanism_sparsity/quickstart",
    "mechanism_sparsity/quickstart_time",
    "baselines/quickstart_supervised",
    "baselines/quickstart_random",
    "shared_features/quickstart",
    "shared_features/classification",
    "shared_features/digits",
    "sparse_mixing/quickstart",
    "sparse_mixing/dense_shift",
    "flow_factorized/quickstart",
    "flow_factorized/quickstart_inferred",
    "flow_factorized/quickstart_vae",
    "flow_factorized/toy",
    "flow_factorized/toy_inferred",
    "flow_factorized/toy_released",
    "sparse_mixing_gan/quickstart",
)
# Arrays that the reference holds under other names, by method.
RENAMED = {
    "flow_factorized": {
        "flow_superposed": "superposed",
        "flow_switched": "switched",
        "shown_pairs": "true_pairs",
    },
    "shared_features": {"supports": "true_supports", "raw": "true_raw"},
    "sparse_mixing": {"true_latents": "latents_true", "domains": "true_domains"},
    "sparse_mixing_gan": {"real_images": "true_images"},
}


def train(preset: str, out: Path) -> None:
    """Trains one preset for a few steps, in a process of its own."""
    command = [sys.executable, "-m", "jaxdis", "train", preset, "--seeds", "2"]
    command += ["--steps", str(STEPS), "--chunk", str(CHUNK), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")


def numbers(run: Path) -> Iterator[tuple[str, np.ndarray]]:
    """All that a run directory holds, by name, grid points and seeds in one axis."""
    lines = [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]
    for name in {name for line in lines for name in line} - {"step", "point", "seed"}:
        yield f"curve {name}", np.array([x.get(name) for x in lines], float)
    results = json.loads((run / "results.json").read_text())
    for name, values in results["metrics"].items():
        yield f"score {name}", np.array(values, float).reshape(-1)
    yield "udr", np.array(results["udr"], float).reshape(-1)
    with np.load(run / "figures.npz") as figures:
        for name, array in figures.items():
            flat = array.reshape(-1)
            yield f"array {name}", flat[:: -(-flat.size // KEPT)].astype(float)


def measure(preset: str) -> dict[str, np.ndarray]:
    """The numbers of one preset."""
    with tempfile.TemporaryDirectory() as directory:
        train(preset, Path(directory) / "run")
        found = numbers(Path(directory) / "run")
        return {f"{preset}: {_old(preset, name)}": array for name, array in found}


def _old(preset: str, name: str) -> str:
    """What the reference calls an array; scores and curves kept their names."""
    kind, _, rest = name.partition(" ")
    renamed = RENAMED.get(preset.split("/")[0], {}) if kind == "array" else {}
    return f"{kind} {renamed.get(rest, rest)}".strip()


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference in units of the array's largest number; NaN equals NaN."""
    if np.isnan(found).all() and np.isnan(wanted).all():
        return 0.0  # a score that nobody has, whatever its shape
    if found.shape != wanted.shape or (np.isnan(found) != np.isnan(wanted)).any():
        return np.inf
    scale = np.nanmax(np.abs(wanted), initial=1e-30)
    return float(np.nanmax(np.abs(found - wanted), initial=0.0) / scale)


def check(preset: str) -> bool:
    """Prints what differs from the reference."""
    found = measure(preset)
    with np.load(REFERENCE) as file:
        wanted = {k: file[k] for k in file.files if k.startswith(f"{preset}: ")}
    # What nobody had may be gone.
    there = {k for k, values in wanted.items() if not np.isnan(values).all()}
    gone = sorted(there - found.keys())
    added = sorted(found.keys() - wanted.keys())
    distance = {k: difference(found[k], wanted[k]) for k in wanted if k in found}
    bad = {k: d for k, d in distance.items() if d > TOLERANCE}
    worst = max(distance.values(), default=0.0)
    print(f"{preset}: {len(distance)} compared, largest difference {worst:.2g}")
    for name, d in sorted(bad.items(), key=lambda item: -item[1]):
        print(f"  differs by {d:.2g}: {name}")
    for name in gone:
        print(f"  is gone: {name}")
    for name in added:
        print(f"  is new: {name}")
    return not bad and not gone


def main() -> None:
    """Records or checks all presets, or those that are named."""
    mode, *names = sys.argv[1:]
    presets = names or PRESETS
    if mode == "record":
        kept: dict[str, np.ndarray] = {}
        for preset in presets:
            kept |= measure(preset)
            print(preset, flush=True)
        np.savez_compressed(REFERENCE, allow_pickle=False, **kept)
    else:
        results = [check(preset) for preset in presets]
        sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
