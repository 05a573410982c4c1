"""What do the fused operations cost against their plain formulations?

Time, memory and FLOP/s of value and gradients, each against the same operation written
as arrays, on one device. Memory is what XLA's own analysis says a pass needs beside its
arguments and results ("temp"); FLOP are those of the matrix products, counted by hand,
which are 3 times the forward ones; the ceiling is a float32 product in the same run.

    python -m benchmarks.kernels
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.timing import finish, matmul_flops, median_seconds
from jaxdis import masks
from jaxdis.kernels import FASTEST, choose, gumbel_mask, potential_flow

# b, n, k, h: the published size of 10 latents and actions, and one of 64 latents.
MASK_SIZES = ((1024, 10, 10, 512), (1024, 64, 64, 64))
# b, n, k, h: the quickstart's potentials, and those of images.
FLOW_SIZES = ((32, 12, 3, 32), (128, 16, 4, 64), (512, 64, 4, 64))

# Where an operation has a kernel; sizes that it refuses run in XLA, and say so.
PLATFORMS: dict[str, dict[str, str | None]] = {
    "gumbel_mask": {"tpu": None, "gpu": None},
    "potential_flow": {"tpu": None, "gpu": None},
}


def unfused(
    x: jax.Array,
    weight: jax.Array,
    log_alpha: jax.Array,
    key: jax.Array,
    temperature: jax.Array,
    precision: str = "highest",
) -> jax.Array:
    """The masked layer with noise and masks as arrays `[b, k, n]`."""
    noise = masks.logistic_noise(key, (len(x), *log_alpha.shape))
    drawn = masks.SOFT.sample(log_alpha, noise, temperature)
    return jnp.einsum("bkn,knh->kbh", drawn * x[:, None], weight, precision=precision)


def forms(operation: str) -> list[str]:
    """XLA's form, and the compiled kernel where this platform has one."""
    try:
        choose("pallas", operation, PLATFORMS[operation])
    except ValueError:
        return ["xla"]
    return ["xla", "pallas"]


def passes(f: Callable[..., Any]) -> Callable[..., Any]:
    """Value and gradients of the sum of squares of all that `f` gives."""

    def total(floats: Any, *rest: Any) -> jax.Array:
        leaves = jax.tree.leaves(f(floats, *rest))
        return sum((jnp.sum(a**2) for a in leaves), jnp.zeros(()))

    return jax.value_and_grad(total)


def row(
    operation: str,
    form: str,
    size: tuple[int, ...],
    f: Callable[..., Any],
    arguments: tuple[Any, ...],
    flop: float,
    ceiling: float,
) -> dict[str, Any]:
    """One line of the table."""
    compiled = jax.jit(passes(f)).lower(*arguments).compile()
    seconds = median_seconds(lambda: compiled(*arguments), 9)
    memory = compiled.memory_analysis()
    moved = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return {
        "operation": operation,
        "size": " x ".join(map(str, size)),
        "form": form,
        "ms": 1e3 * seconds,
        "temp_MB": memory.temp_size_in_bytes / 1e6,
        "least_GB_per_s": moved / seconds / 1e9,
        "gflop_per_s": flop / seconds / 1e9,
        "share_of_matmul": flop / seconds / ceiling,
    }


def masked_layers(ceiling: float) -> list[dict[str, Any]]:
    """The Gumbel-sigmoid layer with a mask for each example."""
    rows = []
    for b, n, k, h in MASK_SIZES:
        keys = jax.random.split(jax.random.key(0), 4)
        floats = (
            jax.random.normal(keys[0], (b, n)),
            jax.random.normal(keys[1], (k, n, h)) * n**-0.5,
            jax.random.normal(keys[2], (k, n)),
        )

        layers: dict[str, Callable[..., Any]] = {"arrays": unfused}
        for form in forms("gumbel_mask"):
            layers[form] = partial(gumbel_mask.masked_product, impl=form)  # type: ignore[arg-type]
        for form, layer in layers.items():

            def f(floats: Any, key: Any, layer: Callable[..., Any] = layer) -> Any:
                return layer(*floats, key, jnp.float32(1.0))

            rows.append(
                row(
                    "gumbel_mask", form, (b, n, k, h), f, (floats, keys[3]),
                    6.0 * b * n * k * h, ceiling,
                )
            )  # fmt: skip
    return rows


def flows(ceiling: float) -> list[dict[str, Any]]:
    """All derivatives of stacked potentials."""
    rows = []
    for b, n, k, h in FLOW_SIZES:
        params = potential_flow.init(jax.random.key(0), k, n, h)
        at = jax.tree.map(lambda a: a[0], potential_flow.clock(params, jnp.ones(1)))
        z, v = jax.random.normal(jax.random.key(1), (2, b, n))
        # Products with w1 and w2: value, gradient and Hessian product take two each.
        flop = 3 * 2.0 * k * b * (4 * n * h + 4 * h * h)
        for form in forms("potential_flow"):

            def f(floats: Any, form: str = form) -> Any:
                params, at, z, v = floats
                return potential_flow.derivatives(
                    params,
                    at,
                    z,
                    v,
                    "linear",
                    impl=form,  # type: ignore[arg-type]
                )

            rows.append(
                row(
                    "potential_flow", form, (b, n, k, h), f, ((params, at, z, v),),
                    flop, ceiling,
                )
            )  # fmt: skip
    return rows


def main() -> None:
    """Prints the table and writes it to benchmarks/results."""
    ceiling = matmul_flops()
    print("default form here:", FASTEST.get(jax.default_backend(), "xla"))
    finish("kernels", masked_layers(ceiling) + flows(ceiling))


if __name__ == "__main__":
    main()
