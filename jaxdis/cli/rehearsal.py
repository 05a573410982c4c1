"""`jaxdis train ... --dry-run`: all that can be known of a run without training it."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax

from jaxdis import log
from jaxdis.experiment import Execution, Plan, estimate, fitting
from jaxdis.report.read import swept
from jaxdis.report.text import setting

__all__ = ["rehearse"]


def _fields(value: Any) -> str:
    """The fields of a dataclass that say something in a line, as "z_dim 10"."""
    pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
    return ", ".join(
        f"{name} {' '.join(map(str, v)) if isinstance(v, tuple) else v}"
        for name, v in pairs
        if isinstance(v, str | int | float | tuple) and v not in ("", ())
    )


def _lines(plan: Plan) -> Iterator[str]:
    """The setting of a run."""
    seeds, points = len(plan.seeds), len(plan.points)
    yield plan.name
    yield f"config: {_fields(plan.config)}"
    yield f"data: {type(plan.data).__name__} ({_fields(plan.data)})"
    names = swept(plan.points)
    values = {n: [setting(point[n]) for point in plan.points] for n in plan.points[0]}
    hyper = [f"{n} {' | '.join(dict.fromkeys(v))}" for n, v in values.items()]
    yield f"hyper: {', '.join(hyper)}"
    if plan.parts:
        yield f"your own: {', '.join(plan.parts)}"
    of_points = f" x {points:,} points of {', '.join(names)}" if names else ""
    yield (
        f"rows: {seeds * points:,} = {seeds:,} seeds, {plan.seeds[0]} to "
        f"{plan.seeds[-1]}{of_points}"
    )
    yield f"steps: {plan.steps:,} in chunks of {plan.chunk:,}"
    yield from filter(None, (plan.rule, plan.shared))


def rehearse(plan: Plan, execution: Execution) -> int:
    """Prints the setting of a run and whether it fits; trains nothing, writes nothing.

    Args:
      plan: the setting.
      execution: how it would be carried out.

    Returns:
      The exit code: 0 where it fits.

    Raises:
      ValueError: the data are not what they should be, or the run does not fit.
    """
    execution.check()
    for line in _lines(plan):
        log.say(line)
    devices = jax.local_devices()
    kinds = ", ".join(dict.fromkeys(d.device_kind for d in devices))
    log.say(f"devices: {len(devices)} ({kinds})")
    with jax.numpy_dtype_promotion("standard"):
        experiment, needed = fitting.prepare_fitting(plan, execution.rows_at_once)
        needed = fitting.analysed(experiment, needed)
    estimate.check_fits(needed)
    log.say(f"memory: {estimate.in_words(needed)}")
    log.say(f"about {estimate.most_seeds(needed):,} seeds would fit")
    return 0
