"""From names and wishes to a checked setting, before anything is drawn or compiled."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jaxdis import check, systems
from jaxdis.types import DataSet, Method, Preset

__all__ = ["Plan", "Values", "find_preset", "plan"]

Points: TypeAlias = tuple[dict[str, float], ...]
Values: TypeAlias = float | Sequence[float]


class Plan(NamedTuple):
    """A checked setting, before any data are drawn or anything is compiled.

    Attributes:
      method: the method.
      preset_name: the name of the preset that the setting started from.
      preset: the preset.
      config: the method's config.
      data: the data set.
      points: every hyper-parameter at each grid point.
      seeds: the numbers of the seeds.
      steps: the number of optimisation steps.
      chunk: the number of steps between two visits of the host.
    """

    method: Method
    preset_name: str
    preset: Preset
    config: Any
    data: DataSet
    points: Points
    seeds: tuple[int, ...]
    steps: int
    chunk: int

    @property
    def name(self) -> str:
        """METHOD/PRESET."""
        return f"{self.method.name}/{self.preset_name}"


def find_preset(name: str) -> tuple[Method, str]:
    """The method and the preset that METHOD/PRESET names.

    Raises:
      ValueError: there is no such method or preset, with the nearest name; or no
        preset is named, with those of the method.
    """
    method_name, _, preset = name.partition("/")
    if method_name not in systems.names():
        known = [f"{m}/{p}" for m in systems.names() for p in systems.find(m).presets]
        raise check.unknown("preset", name, known, "`jaxdis list` names all of them.")
    method = systems.find(method_name)
    if not preset:
        raise ValueError(
            f"name a preset, as {method_name}/{next(iter(method.presets))}; "
            f"{method_name} has {', '.join(method.presets)}"
        )
    if preset not in method.presets:
        known = [f"{method_name}/{p}" for p in method.presets]
        raise check.unknown("preset", name, known, "`jaxdis list` names all of them.")
    return method, preset


def _changed(kind: str, value: Any, changes: Any) -> Any:
    """A config or data set with some fields replaced, or another one altogether."""
    if changes is None:
        return value
    if not isinstance(changes, Mapping):
        return changes
    fields = [f.name for f in dataclasses.fields(value)]
    for name in changes:
        if name not in fields:
            raise check.unknown(f"field {kind}", name, fields)
    return dataclasses.replace(value, **changes)


def _points(
    preset: Preset, defaults: dict[str, float], hyper: Mapping[str, Values]
) -> Points:
    """The grid: the product of what was asked for, or the preset's own points.

    A preset's points give way as soon as one of what they change is asked for.
    """
    asked: dict[str, list[float]] = {}
    for name, values in hyper.items():
        if name not in defaults:
            raise check.unknown("hyper-parameter", name, defaults)
        asked[name] = np.atleast_1d(np.asarray(values, float)).tolist()
        check.finite(f"hyper.{name}", asked[name])
    changed = {name for point in preset.points for name in point}
    given = preset.points if not changed & set(asked) else ()
    return tuple(
        dict(zip(defaults, map(float, values), strict=True))
        for point in given or ({},)
        for values in itertools.product(
            *(asked.get(n) or [point.get(n, v)] for n, v in defaults.items())
        )
    )


def plan(
    name: str,
    *,
    seeds: int | None = None,
    first_seed: int = 0,
    steps: int | None = None,
    chunk: int | None = None,
    config: Any | Mapping[str, Any] | None = None,
    data: DataSet | Mapping[str, Any] | None = None,
    hyper: Mapping[str, Values] | None = None,
) -> Plan:
    """A preset and what differs from it, checked as far as possible without data.

    Args:
      name: METHOD/PRESET.
      seeds: the number of seeds.
      first_seed: the first seed's number; the others follow.
      steps: the number of optimisation steps.
      chunk: the number of steps between two visits of the host.
      config: a config, or the fields of the preset's that differ.
      data: a data set, or the fields of the preset's that differ.
      hyper: a value, or several, of hyper-parameters; a grid is their product.

    Raises:
      ValueError: what is wrong and what would be right.
    """
    method, preset_name = find_preset(name)
    preset = method.presets[preset_name]
    seeds = preset.seeds if seeds is None else seeds
    steps = preset.steps if steps is None else steps
    chunk = preset.chunk if chunk is None else chunk
    check.at_least("first_seed", first_seed, 0)
    for field, value in (("seeds", seeds), ("steps", steps), ("chunk", chunk)):
        check.at_least(field, value, 1)
    config = _changed("config", preset.config, config)
    chosen: DataSet = _changed("data", preset.data, data)
    spec = chosen.spec()
    check.needs(method.name, method.needs, spec)
    method.make(config, spec)  # raises where they do not fit
    defaults = method.default_hyper(config, spec, steps)._replace(**preset.hyper)
    return Plan(
        method=method,
        preset_name=preset_name,
        preset=preset,
        config=config,
        data=chosen,
        points=_points(preset, defaults._asdict(), hyper or {}),
        seeds=tuple(range(first_seed, first_seed + seeds)),
        steps=steps,
        chunk=chunk,
    )
