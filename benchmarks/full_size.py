"""How near to the machine's limit is a step at the paper's size?

FLOP/s of the training step of full-size ActionNonDiag and TimeNonDiag against a large
float32 matrix product on the same device in the same run. FLOP are counted by hand, 2
per multiply-add and a backward pass as two forwards: 6 x batch x multiply-adds.

On a GPU or TPU, where 1 to 32 seeds run, the same with matrix products in the device's
default precision. "hours_of_the_run" is all 300,000 steps; the authors' logs say 4.1 to
5.2 hours for one seed of such runs on their GPU.

    python -m benchmarks.full_size [SEEDS ...]
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any
from unittest import mock

import jax

from benchmarks.kernels import compiled_here, here, unfused
from benchmarks.timing import finish, matmul_flops, steady_step
from jaxdis import experiment, kernels
from jaxdis.kernels import gumbel_mask
from jaxdis.systems.mechanism_sparsity.model import Config
from jaxdis.types import Spec

CHUNK = 4
SMALL: Mapping[str, Any] = MappingProxyType({"samples": 20_000})


def step_flop(config: Config, spec: Spec) -> float:
    """FLOP of one training step of one seed; encoder and decoder see every frame."""

    def chain(*sizes: int) -> int:
        return sum(n * m for n, m in pairwise(sizes))

    d = config.z_dim
    steps = spec.steps or 1
    frame = chain(*spec.shape, *config.encoder, 2 * d)
    frame += chain(d, *config.decoder, *spec.shape)
    inputs = spec.a_dim + (d if steps == 2 else 0)
    transition = d * chain(inputs, *config.transition, 1)
    return 6.0 * config.batch * (steps * frame + transition)


def measure(
    name: str,
    seeds: int,
    precision: str,
    masks: str,
    ceiling: float,
    config: Mapping[str, Any] = MappingProxyType({}),
    data: Mapping[str, Any] = SMALL,
    chunk: int = CHUNK,
) -> dict[str, Any]:
    """Time and FLOP/s of a few full-size steps; small data, the step is the same.

    Args:
      name: the preset.
      seeds: how many are trained together.
      precision: of the matrix products.
      masks: of the "batch", of each "example", of each example by this platform's
        compiled "kernel", or of each example as "arrays", the plain formulation.
      ceiling: FLOP/s of a large matrix product.
      config: what else differs from the preset's config.
      data: what differs from the preset's data.
      chunk: the number of steps between two looks at the clock.
    """
    draws = "batch" if masks == "batch" else "example"
    plan = experiment.plan(
        f"mechanism_sparsity/{name}",
        seeds=seeds,
        config={"precision": precision, "mask_draws": draws, **config},
        data=data,
    )
    made = experiment.prepare(plan)
    with FORMS.get(masks, contextlib.nullcontext)():
        step_s, compile_s = steady_step(made, chunk)
    flop = seeds * step_flop(plan.config, made.spec)  # type: ignore[arg-type]
    return {
        "preset": name,
        "seeds": seeds,
        "precision": precision,
        "masks": masks,
        "s_per_step": step_s,
        "seed_steps_per_s": seeds / step_s,
        "compile_s": compile_s,
        "gflop_per_step": flop / 1e9,
        "gflop_per_s": flop / step_s / 1e9,
        "matmul_gflop_per_s": ceiling / 1e9,
        "share": flop / step_s / ceiling,
        "hours_of_the_run": plan.steps * step_s / 3600,
    }


def _as_arrays(*arguments: Any, mask: str, precision: str) -> Any:
    assert mask == "soft"
    return unfused(*arguments, precision=precision)


@contextlib.contextmanager
def _arrays() -> Iterator[None]:
    with mock.patch.object(gumbel_mask, "masked_product", _as_arrays):
        yield


@contextlib.contextmanager
def _kernel() -> Iterator[None]:
    form = compiled_here(gumbel_mask.FORMS)
    with mock.patch.dict(kernels.FASTEST, {here(): form}):
        yield


FORMS = {"arrays": _arrays, "kernel": _kernel}


def main(seeds: tuple[int, ...]) -> None:
    """Prints the table and writes it to benchmarks/results."""
    rows = []
    for precision in ("highest",) if _on_cpu() else ("highest", "default"):
        ceiling = matmul_flops(precision=precision)
        for name in ("ActionNonDiag", "TimeNonDiag"):
            rows += [measure(name, n, precision, "batch", ceiling) for n in seeds]
        for masks in ("example", "arrays"):
            rows.append(measure("TimeNonDiag", seeds[0], precision, masks, ceiling))
    finish("full_size", rows)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


if __name__ == "__main__":
    # One device: a large product uses all cores by itself, and so must one seed.
    given = tuple(map(int, sys.argv[1:]))
    main(given or ((1,) if _on_cpu() else (1, 4, 16, 32)))
