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
import numpy as np

from benchmarks.timing import finish, matmul_flops, median_seconds
from jaxdis import masks
from jaxdis.kernels import FASTEST, Form, Sizes, gumbel_mask, in_use, potential_flow

# b, n, k, h: the published size of 10 latents and actions, and one of 64 latents.
MASK_SIZES = ((1024, 10, 10, 512), (1024, 64, 64, 64))
# b, n, k, h: the quickstart's potentials, and those of images.
FLOW_SIZES = ((32, 12, 3, 32), (128, 16, 4, 64), (512, 64, 4, 64))


def layer_arguments(
    b: int, n: int, k: int, h: int, dtype: Any = "float32", seed: int = 0
) -> tuple[jax.Array, ...]:
    """Inputs, weights, logits, key and temperature of a masked layer.

    Args:
      b: the number of rows.
      n: the number of inputs.
      k: the number of latents.
      h: the number of hidden units.
      dtype: the type of inputs and weights.
      seed: what the numbers are drawn from.
    """
    draw = np.random.default_rng(seed).normal
    return (
        jnp.asarray(draw(size=(b, n)), dtype),
        jnp.asarray(draw(size=(k, n, h)) * n**-0.5, dtype),
        jnp.asarray(draw(size=(k, n)), "float32"),
        jax.random.key(seed),
        jnp.float32(0.7),
    )


def flow_arguments(
    b: int, n: int, k: int, h: int, seed: int = 0
) -> tuple[potential_flow.Potentials, potential_flow.Clock, jax.Array, jax.Array]:
    """Potentials, their clock at one time, points and directions.

    Args:
      b: the number of points.
      n: the latent size.
      k: the number of potentials.
      h: the number of hidden units.
      seed: what the numbers are drawn from.
    """
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), "float32")

    params = potential_flow.Potentials(
        w1=draw(k, n, h) * n**-0.5, b1=draw(k, h),
        wt=draw(k, n, h), bt=draw(k, h), vt=draw(k, h, h), ct=draw(k, h),
        w2=draw(k, h, h) * h**-0.5, b2=draw(k, h),
        w3=draw(k, h) * h**-0.5, b3=draw(k),
    )  # fmt: skip
    clock = potential_flow.Clock(draw(k, h), draw(k, h))
    return params, clock, draw(b, n), draw(b, n)


def unfused(
    x: jax.Array,
    weight: jax.Array,
    log_alpha: jax.Array,
    key: jax.Array,
    temperature: jax.Array,
    mask: gumbel_mask.Mask = "soft",
    precision: str = "highest",
) -> jax.Array:
    """The masked layer with noise and masks as arrays `[b, k, n]`."""
    noise = masks.logistic_noise(key, (len(x), *log_alpha.shape))
    drawn = masks.RELAXATIONS[mask].sample(log_alpha, noise, temperature)
    seen = (drawn * x[:, None]).astype(x.dtype)
    return jnp.einsum(
        "bkn,knh->kbh", seen, weight,
        precision=precision, preferred_element_type=jnp.float32,
    )  # fmt: skip


def here() -> str:
    """This machine's platform, as `jax.lax.platform_dependent` names it."""
    return jax.default_backend().replace("gpu", "cuda")


def compiled_here(forms: dict[str, Form]) -> Any:
    """This platform's compiled kernel; on a CPU the interpreted one of the TPU."""
    found = [name for name, form in forms.items() if form.platform == here()]
    return found[0] if found else "interpret"


def _compiled(forms: dict[str, Form]) -> list[Any]:
    """XLA's form, and the compiled kernel where this platform has one.

    Sizes that a kernel refuses run in XLA, and say so.
    """
    return ["xla", *(name for name, form in forms.items() if form.platform == here())]


def passes(f: Callable[..., Any]) -> Callable[..., Any]:
    """Value and gradients of the sum of squares of all that `f` gives."""

    def total(floats: Any, *rest: Any) -> jax.Array:
        leaves = jax.tree.leaves(f(floats, *rest))
        return sum((jnp.sum(a**2) for a in leaves), jnp.zeros(()))

    return jax.value_and_grad(total)


def label(operation: str, forms: Any, size: tuple[int, ...], form: Any) -> str:
    """The form that in truth runs: what a kernel cannot do is done in XLA.

    Args:
      operation: its name.
      forms: its table.
      size: rows, inputs, networks and hidden units.
      form: what is asked for; a form that is not in the table runs as it is.
    """
    if form not in forms:
        return str(form)
    return in_use(operation, forms, Sizes(*size), form)


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
    layers: dict[str, Callable[..., Any]] = {"arrays": unfused}
    for form in _compiled(gumbel_mask.FORMS):
        layers[form] = partial(gumbel_mask.masked_product, impl=form)
    rows = []
    for b, n, k, h in MASK_SIZES:
        *floats, key, _ = layer_arguments(b, n, k, h)
        for form, layer in layers.items():

            def f(floats: Any, key: Any, layer: Callable[..., Any] = layer) -> Any:
                return layer(*floats, key, jnp.float32(1.0))

            rows.append(
                row(
                    "gumbel_mask",
                    label("gumbel_mask", gumbel_mask.FORMS, (b, n, k, h), form),
                    (b, n, k, h), f, (floats, key), 6.0 * b * n * k * h, ceiling,
                )
            )  # fmt: skip
    return rows


def flows(ceiling: float) -> list[dict[str, Any]]:
    """All derivatives of stacked potentials."""
    rows = []
    for b, n, k, h in FLOW_SIZES:
        floats = flow_arguments(b, n, k, h)
        # Products with w1 and w2: value, gradient and Hessian product take two each.
        flop = 3 * 2.0 * k * b * (4 * n * h + 4 * h * h)
        for form in _compiled(potential_flow.FORMS):

            def f(floats: Any, form: Any = form) -> Any:
                return potential_flow.derivatives(*floats, "linear", impl=form)

            rows.append(
                row(
                    "potential_flow",
                    label("potential_flow", potential_flow.FORMS, (b, n, k, h), form),
                    (b, n, k, h), f, (floats,), flop, ceiling,
                )
            )  # fmt: skip
    return rows


def main() -> None:
    """Prints the table and writes it to benchmarks/results."""
    ceiling = matmul_flops()
    print("default form here:", FASTEST.get(here(), "xla"))
    finish("kernels", masked_layers(ceiling) + flows(ceiling))


if __name__ == "__main__":
    main()
