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
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from benchmarks.timing import finish, matmul_flops
from jaxdis import cli, flows, runner
from jaxdis.data import sequences
from jaxdis.data.images import Images
from jaxdis.systems import flow_factorized as system
from jaxdis.types import Preset

SEEDS = (1, 2, 4, 8)
CHUNK = 5
CHUNKS = 4  # after the first one


def step_flop(preset: Preset) -> float:
    """XLA's count of one training step of one seed."""
    spec = system.make_spec(preset.data)
    made = system.make(preset.config, spec)
    hyper = cli.preset_hyper(system, preset, preset.config, spec, preset.steps)
    key = jax.random.key(0)
    state = jax.eval_shape(made.init, key, hyper)
    shape = (preset.config.batch, spec.steps + 1, *spec.shape)
    batch = sequences.Sequences(
        jax.ShapeDtypeStruct(shape, float),
        jax.ShapeDtypeStruct(shape[:1], int),
    )
    compiled = jax.jit(made.step).lower(state, batch, hyper, key).compile()
    return float(compiled.cost_analysis()["flops"])


def row(
    name: str, preset: Preset, seeds: int, flop: float, ceiling: float
) -> dict[str, Any]:
    """One line of a table: the steady step of some seeds in one program."""
    # Held-out rows are not part of a step.
    few = replace(preset.data, valid_rows=12, test_rows=12, fit_rows=12)
    spec, data = system.load(few)
    seconds: list[float] = []
    result = runner.run(
        system.make(preset.config, spec),
        system.sampler(data.train, preset.config.batch),
        runner.seed_keys(seeds),
        cli.preset_hyper(system, preset, preset.config, spec, preset.steps),
        steps=CHUNK * (CHUNKS + 1),
        chunk=CHUNK,
        on_chunk=[lambda chunk: seconds.append(chunk.seconds)],
    )
    step_s = float(np.median(seconds[1:])) / CHUNK
    return {
        "run": name,
        "seeds": seeds,
        "ms_per_step": 1e3 * step_s,
        "compile_s": result.compile_s,
        "gflop_per_s": seeds * flop / step_s / 1e9,
        "share_of_matmul": seeds * flop / step_s / ceiling,
    }


def by_seeds(forms: dict[str, Preset], ceiling: float) -> list[dict[str, Any]]:
    """Every form with 1 to 8 seeds, and the time relative to one seed."""
    rows = []
    for name, preset in forms.items():
        flop = step_flop(preset)
        some = [row(name, preset, seeds, flop, ceiling) for seeds in SEEDS]
        for line in some:
            line["time_of_one_seed"] = line["ms_per_step"] / some[0]["ms_per_step"]
        rows += some
    return rows


def by_log_det(preset: Preset, ceiling: float) -> list[dict[str, Any]]:
    """One seed with every log-determinant; row sums come with the released terms."""
    rows = []
    for log_det in flows.LOG_DETS:
        kl = "softmax_dims" if log_det == "rowsum" else "density"
        config = replace(preset.config, log_det=log_det, kl=kl)
        changed = preset._replace(config=config)
        rows.append(row(log_det, changed, 1, step_flop(changed), ceiling))
    for line in rows:
        line["time_of_hutch_diag"] = line["ms_per_step"] / rows[1]["ms_per_step"]
    return rows


def invented_mnist(directory: Any) -> Images:
    """Noise of MNIST's shape: a step takes the same time, and needs no download."""
    pixels = np.random.default_rng(0).integers(0, 256, (4_000, 28, 28, 1), np.uint8)
    return Images(pixels, np.zeros(len(pixels), np.int32))


def main(name: str) -> None:
    """Prints the tables and writes them to benchmarks/results."""
    ceiling = matmul_flops()
    if name != "quickstart":
        sequences.tfds.mnist = invented_mnist  # type: ignore[assignment]
        preset = system.PRESETS[name]
        finish(f"flows_{name}", by_seeds({name: preset}, ceiling))
        return
    quick = system.PRESETS["quickstart"]
    conv = replace(quick.config, vae="conv", width=16)
    grouped = replace(conv, convolutions="lax")
    forms = {
        "quickstart": quick,
        "convolutions": quick._replace(config=conv),
        "grouped convolutions": quick._replace(config=grouped),
    }
    finish("flows_seeds", by_seeds(forms, ceiling))
    finish("flows_log_dets", by_log_det(quick, ceiling))


if __name__ == "__main__":
    runner.use_all_cores()  # as a run does
    main(sys.argv[1] if len(sys.argv) > 1 else "quickstart")
