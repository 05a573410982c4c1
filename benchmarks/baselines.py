"""What does a step of each baseline cost, beside one of a plain VAE of its size?

Every method that `benchmarks.systems` does not measure, on the data of its quickstart
or what it names first, with networks and batches of the same size as the VAE's, on the
same rows. Both programs are compiled once and take turns; a ratio is the median over
the rounds. `beta_vae` beside itself tells what such a ratio is worth.

    python -m benchmarks.baselines [METHOD ...]    # two CPU cores: 5 minutes
"""

import dataclasses
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks.systems import SYSTEMS
from benchmarks.timing import finish
from jaxdis import experiment, systems
from jaxdis.types import TrainState

PLAIN = "beta_vae"
SEEDS, STEPS, ROUNDS = 8, 20, 11
# A field that a config does not have is left out; `rows` is the batch of the methods
# that see the same one in every step.
SIZES = {"z_dim": 0, "encoder": (64,) * 3, "decoder": (64,) * 3, "batch": 256}
SIZES["rows"] = SIZES["batch"]


def prepared(name: str, data: Any = None) -> experiment.Experiment:
    """The first preset of a method, in the sizes of all."""
    method = systems.find(name)
    preset = next(iter(method.presets))
    fields = {f.name for f in dataclasses.fields(method.presets[preset].config)}
    plan = experiment.plan(
        f"{name}/{preset}",
        seeds=SEEDS,
        data=data,
        config={n: value for n, value in SIZES.items() if n in fields},
    )
    return experiment.prepare(plan._replace(points=plan.points[:1]))


def stepper(made: experiment.Experiment) -> Callable[[], TrainState]:
    """Some steps of all seeds from the start, in one compiled program."""
    sample, world = made.batches.sample, made.world
    assert callable(sample)  # the data are on the device

    def one(state: Any, hyper: Any, key: Any, *world: Any) -> TrainState:
        batch = sample(key, *world)
        return made.system.step(state, batch, hyper, key)[0]

    worlds = () if world is None else (world,)
    start = jax.jit(jax.vmap(made.system.init))(made.keys, made.hyper)

    @jax.jit
    def steps(state: TrainState) -> TrainState:
        def step(i: Any, state: TrainState) -> TrainState:
            keys = jax.vmap(lambda key: jax.random.fold_in(key, i))(made.keys)
            return jax.vmap(one)(state, made.hyper, keys, *worlds)

        return jax.lax.fori_loop(0, STEPS, step, state)

    return lambda: jax.block_until_ready(steps(start))


def seconds(run: Callable[[], Any]) -> float:
    """Wall time of a step of all seeds."""
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) / STEPS


def row(name: str) -> dict[str, Any]:
    """One line of the table."""
    made = prepared(name)
    both = stepper(made), stepper(prepared(PLAIN, made.plan.data))
    for run in both:
        run()  # compiles
    times = np.array([[seconds(run) for run in both] for _ in range(ROUNDS)])
    ratios = times[:, 0] / times[:, 1]
    return {
        "method": name,
        "data": type(made.plan.data).__name__,
        "ms_per_step": 1e3 * float(np.median(times[:, 0])),
        "ms_of_plain_vae": 1e3 * float(np.median(times[:, 1])),
        "ratio": float(np.median(ratios)),
        "lower_quartile": float(np.quantile(ratios, 0.25)),
        "upper_quartile": float(np.quantile(ratios, 0.75)),
    }


def main(names: list[str]) -> None:
    """Prints the table and writes it to benchmarks/results."""
    every = [name for name in systems.names() if name not in SYSTEMS]
    finish("baselines", [row(name) for name in names or every])


if __name__ == "__main__":
    main(sys.argv[1:])
