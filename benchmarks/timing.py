"""What every benchmark shares: the machine's ceiling, tables and JSON."""

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from jaxdis.log import write_json

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


def finish(name: str, rows: list[dict[str, Any]]) -> None:
    """Prints the rows and writes `benchmarks/results/NAME-DEVICE.json`.

    Lists are only written.
    """
    shown = [name for name, value in rows[0].items() if not isinstance(value, list)]
    table = Table(*shown, title=name)
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in shown))
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    device = jax.devices()[0].device_kind.lower().replace(" ", "-")
    write_json(RESULTS / f"{name}-{device}.json", {"machine": machine(), "rows": rows})
