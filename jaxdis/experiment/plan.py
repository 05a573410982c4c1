"""From names and wishes to a checked setting, before anything is drawn or compiled."""

import dataclasses
import inspect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jaxdis import check, systems
from jaxdis.data import draws
from jaxdis.data.own import Own, as_data_set
from jaxdis.types import DataSet, Method, Preset, Score, Spec, System

__all__ = [
    "Plan",
    "Values",
    "declared",
    "default_steps",
    "find_preset",
    "plan",
    "replaced",
]

MOST_SEEDS = 10**7  # of each there are numbers on the host

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
      parts: those parts of the method that the user replaced, by name; see
        `Method.make`.
      rule: what was chosen by the size of the data, in words; "" where nothing was.
      shared: that several seeds see the same world of data, in words; "" where none do.
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
    parts: Mapping[str, Any] = {}
    rule: str = ""
    shared: str = ""

    @property
    def name(self) -> str:
        """METHOD/PRESET."""
        return f"{self.method.name}/{self.preset_name}"

    def make(self, spec: Spec) -> System:
        """The method for data of that spec, with the user's parts."""
        system: System = self.method.make(self.config, spec, **self.parts)
        return system


def find_preset(name: str | Method) -> tuple[Method, str]:
    """The method and the preset that METHOD/PRESET names.

    Args:
      name: METHOD/PRESET, where METHOD is what `systems.find` finds; or a method. Of
        one's own methods the first preset is taken where none is named.

    Raises:
      ValueError: there is no such method or preset, with the nearest name; or no
        preset is named, with those of the method.
    """
    if isinstance(name, Method):
        return name, _first(name)
    reference, preset = systems.split(name)
    own = systems.is_file(reference)
    if not own and reference not in systems.names():
        known = [f"{m}/{p}" for m in systems.names() for p in systems.find(m).presets]
        raise check.unknown("preset", name, known, "`jaxdis list` names all of them.")
    method = systems.find(reference)
    if not preset and own:
        return method, _first(method)
    if not preset:
        raise ValueError(
            f"name a preset, as {reference}/{next(iter(method.presets))}; "
            f"{reference} has {', '.join(method.presets)}"
        )
    if preset not in method.presets:
        known = [f"{reference}/{p}" for p in method.presets]
        raise check.unknown(
            "preset", name, known, f"`jaxdis list {reference}` names them."
        )
    return method, preset


def _first(method: Method) -> str:
    if not method.presets:
        raise ValueError(
            f"the method {method.name} has no preset; give it one, as presets="
            '{"own": jaxdis.Preset(config, data, steps, source, cost)}'
        )
    return next(iter(method.presets))


def _changed(kind: str, value: Any, changes: Any) -> Any:
    """A config or data set with some fields replaced, or another one altogether."""
    if changes is None:
        return value
    if not isinstance(changes, Mapping):
        return _of_type(kind, type(value), changes)
    fields = [f.name for f in dataclasses.fields(value)]
    for name in changes:
        if name not in fields:
            raise check.unknown(f"field {kind}", name, fields)
    check.fields(kind, type(value), changes)
    return dataclasses.replace(value, **changes)


def _of_type(kind: str, known: type, value: Any) -> Any:
    """A value, if it is of a type."""
    if not isinstance(value, known):
        raise ValueError(
            f"{kind} must be a {known.__name__} or a mapping of its fields, got "
            f"{value!r}"
        )
    return value


def _chosen_data(own: DataSet, given: DataSet | Own | None) -> DataSet:
    """The preset's data set, with some fields replaced, or another one.

    A mapping holds arrays if one of its values has a shape of at least one axis, and
    fields of the preset's data set otherwise.
    """
    if isinstance(given, Mapping) and not _holds_arrays(given):
        found: DataSet = _changed("data", own, given)
        return found
    return own if given is None else as_data_set(given, own)


def _holds_arrays(given: Mapping[str, Any]) -> bool:
    return any(getattr(value, "shape", ()) for value in given.values())


def default_steps(rows: int | None, batch: int) -> int:
    """The steps of a preset that leaves them to the data.

    100 passes over the training rows, in thousands, at least 5,000 and at most 40,000.

    Args:
      rows: the number of training rows; None where it has no end.
      batch: the number of rows in a step.
    """
    passes = 40_000 if rows is None else 100 * rows / batch
    return int(1_000 * np.clip(round(passes / 1_000), 5, 40))


def declared(method: Method, preset: str, config: Any, spec: Spec) -> dict[str, Score]:
    """The scores of a method, by name, those that a preset names in front.

    Args:
      method: the method.
      preset: the name of the preset.
      config: the method's config.
      spec: what is known of the data.
    """
    found = {score.name: score for score in method.scores(config, spec)}
    first = {n: found[n] for n in method.presets[preset].scores if n in found}
    return first | found


def replaced(method: Method, parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that are given, if the method takes them.

    Args:
      method: the method.
      parts: parts by name; None for those that are not given.

    Raises:
      ValueError: a part that the method does not take, with those that it does.
    """
    given = {name: part for name, part in parts.items() if part is not None}
    takes = [
        name
        for name, parameter in inspect.signature(method.make).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for name in given:
        if name not in takes:
            raise ValueError(
                f"{name} cannot be replaced in {method.name}, which takes "
                f"{', '.join(takes) or 'no parts'}"
            )
    return given


def _own_points(
    preset: Preset, config: Any, spec: Spec, hyper: Mapping[str, Values]
) -> Sequence[Mapping[str, float]]:
    """The preset's points; none as soon as one of what they change is asked for."""
    own = preset.points(config, spec) if callable(preset.points) else preset.points
    changed = {name for point in own for name in point}
    return () if changed & set(hyper) else own


def _points(
    own: Sequence[Mapping[str, float]],
    defaults: dict[str, float],
    hyper: Mapping[str, Values],
) -> Points:
    """The grid: the product of what was asked for at each of the preset's points."""
    asked: dict[str, list[float]] = {}
    for name, values in hyper.items():
        if name not in defaults:
            raise check.unknown("hyper-parameter", name, defaults)
        try:
            asked[name] = np.atleast_1d(np.asarray(values, float)).tolist()
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"hyper.{name} must be a number or several, got {values!r}"
            ) from error
        check.finite(f"hyper.{name}", asked[name])
    return tuple(
        dict(zip(defaults, map(float, values), strict=True))
        for point in own or ({},)
        for values in itertools.product(
            *(asked.get(n) or [point.get(n, v)] for n, v in defaults.items())
        )
    )


def _grid(
    method: Method,
    preset: Preset,
    config: Any,
    spec: Spec,
    steps: int,
    hyper: Mapping[str, Values],
) -> Points:
    """Every hyper-parameter at each point; an error for one that must be chosen."""
    defaults = method.default_hyper(config, spec, steps)._replace(**preset.hyper)
    own = _own_points(preset, config, spec, hyper)
    points = _points(own, defaults._asdict(), hyper)
    _check_points(method, points)
    if method.chosen is not None:
        names = {*preset.hyper, *hyper, *itertools.chain(*own)}
        method.chosen(config, spec, {n: [p[n] for p in points] for n in names})
    return points


def _check_points(method: Method, points: Points) -> None:
    """Whether all hyper-parameters are what the method takes, in float32."""
    for name, value in {pair for point in points for pair in point.items()}:
        check.float32(f"hyper.{name}", value)
        if name in method.positive:
            check.positive(f"hyper.{name}", value)
        if name in method.fractions and not 0 <= value <= 1:
            raise ValueError(f"hyper.{name} must be in [0, 1], got {value}")


def _within(config: Any, preset: Preset, rows: int | None) -> Any:
    """Of a preset for any data, a batch of all rows where they are fewer than that."""
    own: int = getattr(preset.config, "batch", 0)
    if preset.steps or rows is None or not 0 < rows < own or config.batch != own:
        return config
    return dataclasses.replace(config, batch=rows)


def _sizes(given: Any, config: Any) -> str:
    """The fields that a config left to the data, as "z_dim 10"."""
    if given is config:
        return ""
    values = [(f.name, getattr(config, f.name)) for f in dataclasses.fields(config)]
    return ", ".join(f"{n} {v}" for n, v in values if v != getattr(given, n))


def _rule(preset: str, spec: Spec, batch: int, steps: str, sizes: str) -> str:
    """What the data decided: "own: 8,000 training rows, batch 64 -> 12,000 steps"."""
    rows = "" if spec.rows is None else f"{spec.rows:,} training rows, "
    decided = "; ".join(filter(None, (steps, sizes)))
    return f"{preset}: {rows}batch {batch:,} -> {decided}" if decided else ""


def plan(
    name: str | Method,
    *,
    seeds: int | None = None,
    first_seed: int = 0,
    steps: int | None = None,
    chunk: int | None = None,
    config: Any | Mapping[str, Any] | None = None,
    data: DataSet | Own | None = None,
    hyper: Mapping[str, Values] | None = None,
    parts: Mapping[str, Any] | None = None,
) -> Plan:
    """A preset and what differs from it, checked as far as possible without data.

    Args:
      name: METHOD/PRESET; or a method, of which the first preset is taken.
      seeds: the number of seeds.
      first_seed: the first seed's number; the others follow.
      steps: the number of optimisation steps.
      chunk: the number of steps between two visits of the host.
      config: a config, or the fields of the preset's that differ.
      data: a data set; rows, arrays by name, a frame or the path of a file of one's
        own; or the fields of the preset's that differ.
      hyper: a value, or several, of hyper-parameters; a grid is their product.
      parts: parts of the method that replace its own, by name; see `Method.make`.

    Raises:
      ValueError: what is wrong and what would be right.
    """
    method, preset_name = find_preset(name)
    preset = method.presets[preset_name]
    seeds = preset.seeds if seeds is None else seeds
    check.count("seeds", seeds, most=MOST_SEEDS)
    check.first_seed(first_seed, seeds)
    config = _changed("config", preset.config, config)
    chosen = _chosen_data(preset.data, data)
    spec = chosen.spec()
    check.needs(method.name, method.needs, spec)
    given = config = _within(config, preset, spec.rows)
    if method.sized is not None:
        config = method.sized(given, spec)
    batch: int = getattr(config, "batch", 64)
    by_rule = steps is None and not preset.steps
    if steps is None:
        steps = preset.steps or default_steps(spec.rows, batch)
    chunk = min(steps, preset.chunk) if chunk is None else chunk
    check.count("steps", steps)
    check.count("chunk", chunk)
    check.batch(getattr(config, "batch", 1), spec.rows)
    planned = Plan(
        method=method,
        preset_name=preset_name,
        preset=preset,
        config=config,
        data=chosen,
        points=_grid(method, preset, config, spec, steps, hyper or {}),
        seeds=tuple(range(first_seed, first_seed + seeds)),
        steps=steps,
        chunk=chunk,
        parts=replaced(method, parts or {}),
        rule=_rule(
            preset_name,
            spec,
            batch,
            f"{steps:,} steps in chunks of {chunk:,}" if by_rule else "",
            _sizes(given, config),
        ),
        shared=draws.repeated(spec.worlds, range(first_seed, first_seed + seeds)),
    )
    planned.make(spec)  # raises where config, data and parts do not fit
    return planned
