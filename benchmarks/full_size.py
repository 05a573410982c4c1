"""How near to the machine's limit is a step at the paper's size?

FLOP/s of the training step of full-size ActionNonDiag and TimeNonDiag against a large
float32 matrix product on the same device in the same run. FLOP are counted by hand, 2
per multiply-add and a backward pass as two forwards: 6 x batch x multiply-adds.

    python -m benchmarks.full_size [SEEDS]
"""

import sys
from itertools import pairwise
from typing import Any

from benchmarks.timing import finish, matmul_flops
from jaxdis import cli, train
from jaxdis.systems import mechanism_sparsity as system

CHUNK = 4
CHUNKS = 4


def step_flop(config: system.Config, spec: system.Spec) -> float:
    """FLOP of one training step of one seed; encoder and decoder see every frame."""

    def chain(*sizes: int) -> int:
        return sum(n * m for n, m in pairwise(sizes))

    d = config.z_dim
    frame = chain(spec.x_dim, *config.encoder, 2 * d)
    frame += chain(d, *config.decoder, spec.x_dim)
    inputs = spec.a_dim + (d if spec.steps == 2 else 0)
    transition = d * chain(inputs, *config.transition, 1)
    return 6.0 * config.batch * (spec.steps * frame + transition)


def measure(name: str, seeds: int, ceiling: float) -> dict[str, Any]:
    """Time and FLOP/s of a few full-size steps; small data, the step is the same."""
    preset = system.PRESETS[name]
    data_config = preset.data.__class__(process=preset.data.process, samples=20_000)
    spec, data = system.load(data_config)
    result = train.run(
        system.make(preset.config, spec),
        system.sampler(data.train, preset.config.batch),
        train.seed_keys(seeds),
        cli.preset_hyper(system, preset, preset.config, spec, preset.steps),
        steps=CHUNK * CHUNKS,
        chunk=CHUNK,
    )
    flops = seeds * step_flop(preset.config, spec) / result.step_s
    return {
        "preset": name,
        "seeds": seeds,
        "s_per_step": result.step_s,
        "compile_s": result.compile_s,
        "gflop_per_step": seeds * step_flop(preset.config, spec) / 1e9,
        "gflop_per_s": flops / 1e9,
        "matmul_gflop_per_s": ceiling / 1e9,
        "share": flops / ceiling,
    }


def main(seeds: int) -> None:
    """Prints the table and writes it to benchmarks/results."""
    ceiling = matmul_flops()
    names = ("ActionNonDiag", "TimeNonDiag")
    finish("full_size", [measure(name, seeds, ceiling) for name in names])


if __name__ == "__main__":
    # One device: a large product uses all cores by itself, and so must one seed.
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
