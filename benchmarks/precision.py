"""What do matrix products in bfloat16 do to a run? The effect of `precision`.

With `config.precision="default"` TPUs round the operands of matrix products to bfloat16
and sum in float32, and GPUs round them to tf32, which keeps three bits more; CPUs round
nothing. Here the rounding is put into the program, so that its effect shows on any
machine: small presets in float32 and with rounded products, scores on held-out rows.

    python -m benchmarks.precision    # two CPU cores: 6 minutes
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any
from unittest import mock

import jax
import jax._src.lax.lax as internal  # what jax.numpy calls
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import finish
from jaxdis import cli, runner
from jaxdis.systems import mechanism_sparsity, sparse_mixing

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


def measure(system: ModuleType, name: str, precision: str) -> dict[str, Any]:
    """Scores of a preset, mean and deviation over seeds."""
    preset = system.PRESETS[name]
    config = replace(preset.config, precision=precision)
    spec, data = system.load(preset.data)
    made = system.make(config, spec)
    keys = runner.seed_keys(SEEDS)
    with rounded_products() if precision == "default" else contextlib.nullcontext():
        result = runner.run(
            made,
            system.sampler(data.train, config.batch),
            keys,
            cli.preset_hyper(system, preset, config, spec, preset.steps),
            steps=preset.steps,
            chunk=2_000,
        )
    # Scored in float32 either way: it is training that is asked about.
    report = jax.jit(jax.vmap(system.make(preset.config, spec).report, (0, None, None)))
    scores = report(result.rows.state, data.test, jax.random.key(0))
    row = {
        "system": f"{system.__name__.rsplit('.', 1)[-1]}/{name}",
        "seeds": SEEDS,
        "products": "bfloat16" if precision == "default" else "float32",
    }
    for score in preset.scores or ("mcc",):
        if score in ("mcc", "shd", "nll", "wrong_entries"):
            values = np.asarray(scores[score], float)
            row |= {score: values.mean(), f"{score}_std": values.std()}
    return row


def main() -> None:
    """Prints the tables and writes them to benchmarks/results."""
    for system in (mechanism_sparsity, sparse_mixing):
        rows = [measure(system, "quickstart", p) for p in ("highest", "default")]
        finish(f"precision_{system.__name__.rsplit('.', 1)[-1]}", rows)


if __name__ == "__main__":
    runner.use_all_cores()
    main()
