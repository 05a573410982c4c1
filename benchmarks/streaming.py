"""What does it cost that training rows stay on the host?

A convolutional beta-VAE on random images of 32 x 32 x 3 bytes, ten times as many as a
block holds. "resident" has all of them on the device, "streamed" a block at a time. The
two are trained in turns, with equal batches; "share" is the step rate, over that of the
resident one. Compilation and the first chunk do not count; what arrives later does,
with all its copies. The share should be at least 0.9.

    python -m benchmarks.streaming                                # two CPU cores
    python -m benchmarks.streaming --block 16384 --channels 32    # an accelerator
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.timing import finish
from jaxdis import devices, runner, sweep
from jaxdis.data.rows import train_sampler
from jaxdis.systems import beta_vae
from jaxdis.types import Rows, Sampler, Spec, Splits, Stream, System

__all__ = ["Options", "main"]

SHAPE = (32, 32, 3)
MULTIPLE = 10  # blocks in the set


@dataclass(frozen=True)
class Options:
    """What is run.

    Attributes:
      seeds: the number of seeds.
      batch: the number of rows in a step of a seed.
      block: the number of rows on the device.
      channels: the width of the networks.
      blocks: the number of blocks that are trained on between two looks at the clock.
      turns: the number of times that each way is run.
    """

    seeds: int = 2
    batch: int = 64
    block: int = 2_048
    channels: int = 8
    blocks: int = 3
    turns: int = 3


def _rows(options: Options) -> Rows:
    rng = np.random.default_rng(0)
    n = MULTIPLE * options.block
    return Rows(rng.integers(0, 256, (n, *SHAPE), dtype=np.uint8))


def seconds_per_step(
    system: System, sample: Sampler | Stream, hyper: Any, options: Options
) -> tuple[list[float], float]:
    """Seconds per step of each chunk after the first one, and of compilation.

    Args:
      system: what is trained.
      sample: what makes its batches.
      hyper: its hyper-parameters.
      options: how long.
    """
    chunk = max(1, options.blocks * options.block // (options.seeds * options.batch))
    seconds: list[float] = []
    result = runner.run(
        system,
        sample,
        sweep.seed_keys(options.seeds),
        hyper,
        steps=3 * chunk,
        chunk=chunk,
        on_chunk=[lambda seen: seconds.append(seen.seconds / seen.length)],
    )
    return seconds[1:], result.compile_s


def main(options: Options) -> None:
    """Prints the table and writes it to benchmarks/results."""
    rows, some = _rows(options), Rows(jnp.zeros((2, *SHAPE)))
    ways = {
        "resident": train_sampler(Splits(rows, some, some), options.batch),
        "streamed": train_sampler(
            Splits(rows, some, some, block=options.block), options.batch
        ),
    }
    config = beta_vae.Config(channels=options.channels, batch=options.batch)
    spec = Spec(SHAPE)
    system = beta_vae.make(config, spec)
    hyper = beta_vae.default_hyper(config, spec, 1_000)
    times: dict[str, list[float]] = {way: [] for way in ways}
    compile_s = {}
    for _ in range(options.turns):
        for way, sample in ways.items():
            found, compile_s[way] = seconds_per_step(system, sample, hyper, options)
            times[way] += found
    middle = {way: float(np.median(found)) for way, found in times.items()}
    bytes_of_a_row = rows.x[0].nbytes
    lines = [
        {
            "rows": way,
            "seeds": options.seeds,
            "batch": options.batch,
            "set_MB": len(rows.x) * bytes_of_a_row / 1e6,
            "block_MB": options.block * bytes_of_a_row / 1e6,
            "ms_per_step": 1e3 * middle[way],
            "compile_s": compile_s[way],
            "share": middle["resident"] / middle[way],
            "seconds": times[way],
        }
        for way in ways
    ]
    finish("streaming", lines)


if __name__ == "__main__":
    devices.use_all_cores()
    main(tyro.cli(Options))
