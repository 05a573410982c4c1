"""What every benchmark shares: the machine's ceiling, tables and JSON."""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdis import log, runner
from jaxdis.experiment import Experiment

RESULTS = Path(__file__).parent / "results"


def median_seconds(f: Callable[[], Any], repeats: int = 5) -> float:
    """Median wall time of `f` after one call that is not counted."""
    jax.block_until_ready(f())
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(f())
        times.append(time.perf_counter() - began)
    return sorted(times)[repeats // 2]


def matmul_flops(n: int | None = None, precision: str = "highest") -> float:
    """FLOP/s of a float32 n x n product on one device, the ceiling to compare with.

    n is 2048 on a CPU and 8192 elsewhere, unless it is given.
    """
    n = n or (2048 if jax.default_backend() == "cpu" else 8192)
    x = jax.random.normal(jax.random.key(0), (n, n))
    product = jax.jit(lambda x: jnp.matmul(x, x, precision=precision))
    return 2 * n**3 / median_seconds(lambda: product(x))


def steady_step(
    made: Experiment, chunk: int, chunks: int = 4, rows: int | None = None
) -> tuple[float, float]:
    """Seconds per step of all rows together, and seconds of compilation.

    Args:
      made: what is trained.
      chunk: the number of steps between two looks at the clock.
      chunks: how many of them count; the first one does not.
      rows: train this many of the rows; default all.
    """
    seconds: list[float] = []
    result = runner.run(
        made.system,
        made.batches.sample,
        made.keys[:rows],
        jax.tree.map(lambda h: h[:rows], made.hyper),
        steps=chunk * (chunks + 1),
        chunk=chunk,
        world=None if made.world is None else made.world[:rows],
        on_chunk=[lambda chunk: seconds.append(chunk.seconds)],
    )
    return float(np.median(seconds[1:])) / chunk, result.compile_s


def step_flop(made: Experiment) -> float:
    """FLOP of one training step of one seed as XLA counts them: loops once."""
    key, hyper = jax.random.key(0), jax.tree.map(lambda h: h[0], made.hyper)
    world = () if made.world is None else (made.world[0],)
    state = jax.eval_shape(made.system.init, key, hyper)
    batch = jax.eval_shape(made.batches.sample, key, *world)
    step = jax.jit(made.system.step).lower(state, batch, hyper, key).compile()
    return float(step.cost_analysis()["flops"])


def machine() -> dict[str, Any]:
    """Where the numbers come from."""
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "devices": jax.device_count(),
        "cpu": platform.processor() or platform.machine(),
        "jax": jax.__version__,
    }


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shown(title: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Records as a table in as many parts as the terminal needs, with all digits.

    What tells rows apart, the words and whole numbers before the first other number, is
    one column, with which every part begins. Lists are left out.

    Args:
      title: the line above it.
      rows: records with the same names.
    """
    names = [name for name, value in rows[0].items() if not isinstance(value, list)]
    numbers = (i for i, n in enumerate(names) if isinstance(rows[0][n], float))
    heads = names[: max(1, next(numbers, 1))]
    first = [", ".join(_cell(row[name]) for name in heads) for row in rows]
    columns = [[n, *(_cell(row[n]) for row in rows)] for n in names[len(heads) :]]
    return log.table(title, [[", ".join(heads), *first], *columns])


def finish(name: str, rows: list[dict[str, Any]]) -> None:
    """Prints the rows and writes `benchmarks/results/NAME-DEVICE.json`.

    Lists are only written.
    """
    log.show(shown(name, rows))
    RESULTS.mkdir(exist_ok=True)
    device = jax.devices()[0].device_kind.lower().replace(" ", "-")
    path = RESULTS / f"{name}-{device}.json"
    log.write_json(path, {"machine": machine(), "rows": rows})
