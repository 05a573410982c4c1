"""How a device answers: one function a question of `benchmarks.questions`."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import flows, full_size
from benchmarks.kernels import (
    compiled_here,
    flow_arguments,
    here,
    layer_arguments,
    unfused,
)
from benchmarks.questions import TOLERANCE
from benchmarks.timing import machine, matmul_flops, median_seconds, steady_step
from jaxdis import devices, experiment
from jaxdis.data import tfds
from jaxdis.kernels import Sizes, gumbel_mask, potential_flow
from jaxdis.kernels.potential_flow import ref

__all__ = ["ANSWERS", "answer", "prepare"]

_Size = tuple[int, int, int, int]


@cache
def _ceiling(precision: str) -> float:
    """FLOP/s of a large product in this process."""
    return matmul_flops(precision=precision)


def _memory() -> dict[str, float]:
    """The most that this process has had on the device so far, in GB."""
    stats = jax.local_devices()[0].memory_stats() or {}
    peak = stats.get("peak_bytes_in_use")
    return {} if peak is None else {"peak_GB": peak / 1e9}


def _layer(size: _Size, seed: int) -> Any:
    x, weight, logits, key, _ = layer_arguments(*size, seed=seed)
    return (x, weight, logits), key


def _as_layer(form: str) -> Callable[..., Any]:
    layer = unfused if form == "arrays" else None
    layer = layer or partial(gumbel_mask.masked_product, impl=form)  # type: ignore[arg-type]
    return lambda floats, key: layer(*floats, key, jnp.float32(1.0))


def _flow(size: _Size, seed: int) -> Any:
    return flow_arguments(*size, seed=seed), jax.random.key(seed)


def _as_flow(form: str) -> Callable[..., Any]:
    if form == "arrays":
        return lambda floats, key: ref.derivatives(ref.Arguments(*floats), "linear")
    return lambda floats, key: potential_flow.derivatives(
        *floats,
        "linear",
        impl=form,  # type: ignore[arg-type]
    )


# Of each operation: its arguments, its function in a form, and its table of forms.
_OPERATIONS: dict[str, tuple[Any, Any, Any]] = {
    "gumbel_mask": (_layer, _as_layer, gumbel_mask.FORMS),
    "potential_flow": (_flow, _as_flow, potential_flow.FORMS),
}


def _compiled(operation: str, size: _Size, form: str, seeds: int) -> tuple[Any, Any]:
    """Gradients of the sum of squares, and the value, of all seeds in one program.

    Args:
      operation: its name.
      size: rows, inputs, networks and hidden units.
      form: the name of the form.
      seeds: how many are mapped together.

    Returns:
      The compiled program and its arguments.
    """
    make, function, _ = _OPERATIONS[operation]
    drawn = [make(size, seed) for seed in range(seeds)]
    arguments = jax.tree.map(lambda *a: jnp.stack(a), *drawn)
    f = function(form)

    def total(floats: Any, key: Any) -> tuple[jax.Array, Any]:
        found = f(floats, key)
        return sum((a**2).sum() for a in jax.tree.leaves(found)), found

    both = jax.vmap(jax.grad(total, has_aux=True))
    return jax.jit(both).lower(*arguments).compile(), arguments


@cache
def _defined(operation: str, size: _Size, seeds: int) -> Any:
    """Gradients and value by the definition, with products in float32."""
    compiled, arguments = _compiled(operation, size, "arrays", seeds)
    return jax.device_get(compiled(*arguments))


def _apart(found: Any, expected: Any) -> float:
    """The largest difference, in units of the largest number of its array; NaN counts.

    Args:
      found: arrays of a form.
      expected: those of the definition.
    """

    def of_array(x: np.ndarray, y: np.ndarray) -> float:
        wide = np.abs(np.float64(x) - np.float64(y))
        return float(wide.max() / max(np.abs(y).max(), 1e-30))

    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return float(np.max([of_array(*pair) for pair in pairs]))


def kernel(operation: str, size: _Size, form: str, seeds: int) -> dict[str, Any]:
    """Time, memory and error of a form of an operation, forward and backward.

    Args:
      operation: its name.
      size: rows, inputs, networks and hidden units.
      form: "arrays", the definition; "xla"; or "kernel", this platform's own.
      seeds: how many are mapped together.
    """
    size, forms = tuple(size), _OPERATIONS[operation][2]  # type: ignore[assignment]
    ran = compiled_here(forms) if form == "kernel" else form
    refused = None if form == "arrays" else forms[ran].refusal(Sizes(*size))
    row = {
        "operation": operation,
        "size": " x ".join(map(str, size)),
        "seeds": seeds,
        "form": form,
        "ran": None if refused else ran,
        "platform": here(),
        "refused": refused,
    }
    if refused:  # XLA's form would run, which has a row of its own
        return row
    compiled, arguments = _compiled(operation, size, ran, seeds)
    expected = _defined(operation, size, seeds)
    found = jax.device_get(compiled(*arguments))
    gradient, value = map(_apart, found, expected)
    return row | {
        "ms": 1e3 * median_seconds(lambda: compiled(*arguments), 9),
        "temp_MB": compiled.memory_analysis().temp_size_in_bytes / 1e6,
        "value_error": value,
        "gradient_error": gradient,
        "within_tolerance": value <= TOLERANCE and gradient <= TOLERANCE,
    }


def step(precision: str, **given: Any) -> dict[str, Any]:
    """A full-size step against a large product of the same precision.

    Args:
      precision: of the products.
      given: as `full_size.measure` takes it.
    """
    ceiling = _ceiling(precision)
    return full_size.measure(precision=precision, ceiling=ceiling, **given) | _memory()


def quickstart(
    seeds: int, chunk: int, config: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Many seeds of a small method in one program, and the memory that they take.

    Args:
      seeds: how many.
      chunk: the number of steps between two looks at the clock.
      config: what differs from the preset's config.
      data: what differs from the preset's data.
    """
    name = "mechanism_sparsity/quickstart"
    plan = experiment.plan(name, seeds=seeds, config=config, data=data)
    made = experiment.prepare(plan._replace(points=plan.points[:1]))
    step_s, compile_s = steady_step(made, chunk)
    return {
        "preset": name,
        "seeds": seeds,
        "ms_per_step": 1e3 * step_s,
        "seed_steps_per_s": seeds / step_s,
        "compile_s": compile_s,
        **_memory(),
    }


def flow(seeds: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Sequences of MNIST's size, with pixels that are noise.

    Args:
      seeds: how many are trained together.
      config: what differs from the preset's config.
    """
    tfds.mnist = flows.invented_mnist
    ceiling = _ceiling("highest")
    return flows.row("MNIST", "MNIST", config, seeds, ceiling) | _memory()


ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {
    "kernel": kernel,
    "full_size": step,
    "quickstart": quickstart,
    "flow": flow,
}


def answer(asks: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a question, or what went wrong in its place.

    Args:
      asks: the name of the function.
      given: its arguments.
    """
    try:
        return ANSWERS[asks](**given)
    except Exception as error:  # whatever it is, the next question is asked
        lines = str(error).strip().splitlines() or [""]
        return {"error": f"{type(error).__name__}: {lines[0]}"}


def prepare() -> dict[str, Any]:
    """Makes this process ready, and says what it runs on."""
    devices.use_all_cores()
    return machine()
