"""What do matrix products in bfloat16 do to a run? The effect of `precision`.

With `config.precision="default"` TPUs round the operands of matrix products to bfloat16
and sum in float32, and GPUs round them to tf32, which keeps three bits more; CPUs round
nothing. Here the rounding is put into the program, so that its effect shows on any
machine: small presets in float32 and with rounded products, scores on held-out rows.

    python -m benchmarks.precision    # two CPU cores: 6 minutes
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax._src.lax.lax as internal  # what jax.numpy calls
import jax.numpy as jnp

from benchmarks.timing import finish
from jaxdis import devices, experiment, runner, statistics

SEEDS = 8


@contextlib.contextmanager
def rounded_products() -> Iterator[None]:
    """Rounds operands of products to bfloat16, in what is traced inside.

    Values and gradients, but for products that ask for more than the default precision.
    """
    exact = internal.dot_general

    def rounded(x: Any, y: Any, *rest: Any, **named: Any) -> Any:
        precision = named.get("precision", rest[1] if len(rest) > 1 else None)
        pair = precision if isinstance(precision, tuple) else (precision,)
        if all(p in (None, "default", jax.lax.Precision.DEFAULT) for p in pair):
            x, y = (jax.lax.reduce_precision(a, 8, 7) for a in (x, y))
        return exact(x, y, *rest, **named)

    jax.clear_caches()  # what was traced before is not rounded, and what is now is
    with (
        mock.patch.object(internal, "dot_general", rounded),
        mock.patch.object(jax.lax, "dot_general", rounded),
        mock.patch.object(jnp, "einsum", partial(jnp.einsum, _dot_general=rounded)),
    ):
        yield
    jax.clear_caches()


def measure(name: str, precision: str) -> dict[str, Any]:
    """Scores of a preset, mean and sample deviation over seeds."""
    plan = experiment.plan(name, seeds=SEEDS, config={"precision": precision})
    made = experiment.prepare(plan._replace(points=plan.points[-1:]))
    with rounded_products() if precision == "default" else contextlib.nullcontext():
        result = runner.run(
            made.system,
            made.batches.sample,
            made.keys,
            made.hyper,
            steps=plan.steps,
            chunk=2_000,
            world=made.world,
        )
    # Scored in float32 either way: it is training that is asked about.
    exact = experiment.prepare(experiment.plan(name, seeds=SEEDS)).system
    evaluate = runner.evaluator(exact, made.batches.test, made.keys, world=made.world)
    found = evaluate(result.rows.state)
    row = {
        "system": name,
        "seeds": SEEDS,
        "products": "bfloat16" if precision == "default" else "float32",
    }
    for score in plan.preset.scores:
        if score in ("mcc", "shd", "nll", "wrong_entries"):
            values = found[score].astype(float)
            row[score] = float(statistics.mean(values))
            row[f"{score}_std"] = float(statistics.deviation(values))
    return row


def main() -> None:
    """Prints the tables and writes them to benchmarks/results."""
    for method in ("mechanism_sparsity", "sparse_mixing"):
        rows = [measure(f"{method}/quickstart", p) for p in ("highest", "default")]
        finish(f"precision_{method}", rows)


if __name__ == "__main__":
    devices.use_all_cores()
    main()
