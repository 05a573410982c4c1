"""What does a step of flow-factorized sequences cost, by seeds and by log-determinant?

Steady state of the training step: the first chunk and compilation are not in the times.
"seeds" trains 1 to 8 seeds in one program: the quickstart, and the same with small
convolutions, as slices and matrix products and as grouped convolutions. "log-dets" is
one seed of the quickstart with each log-determinant. FLOP are XLA's own count for one
step, which takes the body of a loop, here the flow's T steps, once; the ceiling is a
float32 matrix product in the same run.

    python -m benchmarks.flows            # two CPU cores: 5 minutes
    python -m benchmarks.flows MNIST      # a preset at its published size, on a GPU
"""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.timing import finish, matmul_flops, steady_step, step_flop
from jaxdis import devices, experiment, flows
from jaxdis.data import tfds

SEEDS = (1, 2, 4, 8)
CHUNK = 5


def row(
    name: str, preset: str, config: Mapping[str, Any], seeds: int, ceiling: float
) -> dict[str, Any]:
    """One line of a table: the steady step of some seeds in one program.

    Args:
      name: what the line is called.
      preset: the preset.
      config: what differs from its config.
      seeds: the number of seeds.
      ceiling: FLOP/s of a large matrix product.
    """
    # Held-out rows are not part of a step.
    few = {"valid_rows": 12, "test_rows": 12, "fit_rows": 12}
    plan = experiment.plan(
        f"flow_factorized/{preset}", seeds=seeds, config=config, data=few
    )
    made = experiment.prepare(plan)
    flop = step_flop(made)
    step_s, compile_s = steady_step(made, CHUNK)
    return {
        "run": name,
        "seeds": seeds,
        "ms_per_step": 1e3 * step_s,
        "compile_s": compile_s,
        "gflop_per_s": seeds * flop / step_s / 1e9,
        "share_of_matmul": seeds * flop / step_s / ceiling,
    }


def by_seeds(
    preset: str, forms: dict[str, dict[str, Any]], ceiling: float
) -> list[dict[str, Any]]:
    """Every form with 1 to 8 seeds, and the time relative to one seed.

    Args:
      preset: the preset.
      forms: what differs from its config, by name.
      ceiling: FLOP/s of a large matrix product.
    """
    rows = []
    for name, config in forms.items():
        some = [row(name, preset, config, seeds, ceiling) for seeds in SEEDS]
        for line in some:
            line["time_of_one_seed"] = line["ms_per_step"] / some[0]["ms_per_step"]
        rows += some
    return rows


def by_log_det(ceiling: float) -> list[dict[str, Any]]:
    """One seed with every log-determinant; row sums come with the released terms."""
    rows = []
    for log_det in flows.LOG_DETS:
        kl = "softmax_dims" if log_det == "rowsum" else "density"
        config = {"log_det": log_det, "kl": kl}
        rows.append(row(log_det, "quickstart", config, 1, ceiling))
    for line in rows:
        line["time_of_hutch_diag"] = line["ms_per_step"] / rows[1]["ms_per_step"]
    return rows


def invented_mnist(directory: Any) -> tuple[np.ndarray, np.ndarray]:
    """Noise of MNIST's shape: a step takes the same time, and needs no download."""
    pixels = np.random.default_rng(0).integers(0, 256, (4_000, 28, 28, 1), np.uint8)
    return pixels, np.zeros(len(pixels), np.int32)


def main(name: str) -> None:
    """Prints the tables and writes them to benchmarks/results."""
    ceiling = matmul_flops()
    if name != "quickstart":
        tfds.mnist = invented_mnist
        finish(f"flows_{name}", by_seeds(name, {name: {}}, ceiling))
        return
    conv = {"vae": "conv", "width": 16}
    forms = {
        "quickstart": {},
        "convolutions": conv,
        "grouped convolutions": conv | {"convolutions": "lax"},
    }
    finish("flows_seeds", by_seeds("quickstart", forms, ceiling))
    finish("flows_log_dets", by_log_det(ceiling))


if __name__ == "__main__":
    devices.use_all_cores()  # as a run does
    main(sys.argv[1] if len(sys.argv) > 1 else "quickstart")
