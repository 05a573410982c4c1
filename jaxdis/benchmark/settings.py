"""What a benchmark is: methods, data, seeds; in Python, TOML or JSON."""

import dataclasses
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from jaxdis import check, log, systems
from jaxdis.benchmark.blind import data_set
from jaxdis.data.own import OwnFile
from jaxdis.experiment import find_preset
from jaxdis.types import Method

__all__ = [
    "Benchmark",
    "Case",
    "Entry",
    "checked",
    "entries",
    "full",
    "missing",
    "narrowed",
    "of_table",
    "read",
    "scaled",
]

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Case:
    """Data that methods are compared on.

    Attributes:
      name: what they are called, and their directory.
      dataset: the name of a data set, as `jaxdis train --data NAME` takes it.
      settings: the fields of the data set that differ from its defaults. Where it has
        worlds, and they are not named, every seed has one of its own.
      group: what the data are for, as "violation"; data of a group stand together.
      config: fields of the config of every method that has them, as a wrong z_dim.
      breaks: what these data, or what methods are told of them, break of what theory
        assumes, as a clause; in addition to what the data set says itself.
      requires: modules that must be installed.
    """

    name: str
    dataset: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    breaks: str = ""
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """Methods on data, with the same seeds.

    Attributes:
      name: what it is called.
      data: the data.
      methods: METHOD/PRESET, or METHOD for all its presets that take any data; none
        for these of all methods that there are.
      seeds: the number of seeds, each of which has data of its own where the data set
        can draw them.
      steps: the number of steps; a preset with fewer keeps them.
      times: how many times as many steps a method takes, by its name; once where it is
        not named.
      score: what methods are compared by.
      config: fields of the config of every method that has them, so that networks are
        of one size.
    """

    name: str
    data: tuple[Case, ...]
    methods: tuple[str, ...] = ()
    seeds: int = 16
    steps: int = 10_000
    times: Mapping[str, float] = field(default_factory=dict)
    score: str = "mcc"
    config: Mapping[str, Any] = field(default_factory=dict)


class Entry(NamedTuple):
    """A method as it takes part.

    Attributes:
      name: METHOD/PRESET.
      method: the method.
      preset: the name of its preset.
    """

    name: str
    method: Method
    preset: str


def _for_any_data(method: Method) -> list[str]:
    """The presets that take data of one's own."""
    return [n for n, p in method.presets.items() if isinstance(p.data, OwnFile)]


def _named(name: str) -> list[Entry]:
    reference, preset = systems.split(name)
    known = systems.is_file(reference) or reference in systems.names()
    if known and not preset:
        method = systems.find(reference)
        if found := _for_any_data(method):
            return [Entry(f"{reference}/{p}", method, p) for p in found]
    method, preset = find_preset(name)
    return [Entry(f"{reference}/{preset}", method, preset)]


def _all() -> list[Entry]:
    found = []
    for name in systems.names():
        try:
            found += [Entry(f"{name}/{p}", m, p) for m, p in _presets(name)]
        except ValueError as error:  # another package's, and no reason to stop
            log.note(str(error))
    return found


def _presets(name: str) -> list[tuple[Method, str]]:
    method = systems.find(name)
    return [(method, preset) for preset in _for_any_data(method)]


def entries(benchmark: Benchmark) -> tuple[Entry, ...]:
    """The methods that take part, each once.

    Args:
      benchmark: the benchmark.

    Raises:
      ValueError: a method or preset that does not exist, with the nearest name.
    """
    named = [entry for name in benchmark.methods for entry in _named(name)]
    every = named if benchmark.methods else _all()
    return tuple({entry.name: entry for entry in every}.values())


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # nor is the package that it is in
        return False


def missing(case: Case) -> str:
    """The modules that a case lacks, in a clause; "" where it lacks none."""
    absent = [name for name in case.requires if not _installed(name)]
    return f"{' and '.join(absent)} not installed" if absent else ""


def full(case: Case) -> dict[str, Any]:
    """The settings of the data of a case, with a world for every seed."""
    kind: Any = type(data_set(case.dataset, {}))
    has = "worlds" in {one.name for one in dataclasses.fields(kind)}
    return ({"worlds": 0} if has else {}) | dict(case.settings)


def checked(benchmark: Benchmark) -> Benchmark:
    """The benchmark, if all that it names exists and can be.

    Args:
      benchmark: a benchmark.

    Raises:
      ValueError: it names no data or data twice; no such method, preset, data set,
        setting or field of a config, with the nearest name; or settings that a data
        set refuses.
    """
    check.count("seeds", benchmark.seeds)
    check.count("steps", benchmark.steps)
    if not _PLAIN.fullmatch(benchmark.name):
        raise ValueError(_plainly("the benchmark", benchmark.name))
    if not benchmark.data:
        raise ValueError(
            f"the benchmark {benchmark.name!r} has no data; give it some, as "
            '[[data]] with name = "ring" and dataset = "toy_mixing"'
        )
    names = [case.name for case in benchmark.data]
    for case in benchmark.data:
        if not _PLAIN.fullmatch(case.name):
            raise ValueError(_plainly("data", case.name))
        if names.count(case.name) > 1:
            raise ValueError(f"data must have different names; {case.name!r} is twice")
        try:
            found = data_set(case.dataset, full(case))
            if not missing(case):
                found.spec()
        except (TypeError, ValueError) as error:
            raise ValueError(f"data {case.name!r}: {error}") from error
    taking = entries(benchmark)
    if not taking:
        raise ValueError(
            f"the benchmark {benchmark.name!r} has no methods: none has a preset for "
            "data of any kind"
        )
    known = {*systems.names(), *(entry.method.name for entry in taking)}
    for name in benchmark.times:
        if name not in known:
            raise check.unknown("method of times", name, sorted(known))
    _check_config("config", benchmark.config, taking)
    for case in benchmark.data:
        _check_config(f"config of data {case.name!r}", case.config, taking)
    return benchmark


def _plainly(what: str, name: str) -> str:
    return (
        f"the name of {what} must be made of letters, digits, _, -, + and ., as it "
        f"names a directory; got {name!r}"
    )


def _check_config(
    where: str, config: Mapping[str, Any], taking: Sequence[Entry]
) -> None:
    """Whether some method has each of the fields, and of that type.

    Raises:
      ValueError: none has, with the nearest name; or it is of another type.
    """
    kinds: list[Any] = [type(e.method.presets[e.preset].config) for e in taking]
    known = {one.name for kind in kinds for one in dataclasses.fields(kind)}
    if not set(config) <= known:  # it may be of one that was left out
        others: list[Any] = [type(m.presets[p].config) for _, m, p in _all()]
        known |= {one.name for kind in others for one in dataclasses.fields(kind)}
    for name in config:
        if name not in known:
            raise check.unknown(f"field of {where}", name, sorted(known))
    for kind in kinds:
        own = {one.name for one in dataclasses.fields(kind)} & set(config)
        check.fields(where, kind, {name: config[name] for name in own})


def _kept(table: Mapping[str, Any], kind: type, where: str) -> dict[str, Any]:
    """A table of a file, if it has the fields of a dataclass and no others."""
    if not isinstance(table, Mapping):
        raise ValueError(f"{where} must be a table, got {table!r}")
    known: Any = dataclasses.fields(kind)
    for name in table:
        if name not in [one.name for one in known]:
            raise check.unknown(f"field of {where}", name, [o.name for o in known])
    for one in known:
        lacks = one.default is one.default_factory is dataclasses.MISSING
        if lacks and one.name not in table:
            raise ValueError(f"{where} lacks {one.name}")
    return {name: _CHECKS[name](where, name, value) for name, value in table.items()}


def _text(where: str, name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} of {where} must be a word, got {value!r}")
    return value


def _clause(where: str, name: str, value: Any) -> str:
    return value if value == "" else _text(where, name, value)


def _texts(where: str, name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} of {where} must be a list of names, got {value!r}")
    return tuple(_text(where, name, one) for one in value)


def _whole(where: str, name: str, value: Any) -> int:
    check.whole(f"{name} of {where}", value)
    return int(value)


def _mapping(where: str, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} of {where} must be a table, got {value!r}")
    return dict(value)


def _factors(where: str, name: str, value: Any) -> dict[str, float]:
    table = _mapping(where, name, value)
    for key, factor in table.items():
        called = f"{name}.{key} of {where}"
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            raise ValueError(f"{called} must be a number, got {factor!r}")
        check.float32(called, factor)
        check.positive(called, factor)
    return {key: float(factor) for key, factor in table.items()}


def _cases(where: str, name: str, value: Any) -> tuple[Case, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} of {where} must be a list of tables, got {value!r}")
    return tuple(Case(**_kept(one, Case, f"data {i}")) for i, one in enumerate(value))


_CHECKS: dict[str, Callable[[str, str, Any], Any]] = {
    "name": _text,
    "dataset": _text,
    "settings": _mapping,
    "group": _clause,
    "config": _mapping,
    "breaks": _clause,
    "requires": _texts,
    "data": _cases,
    "methods": _texts,
    "seeds": _whole,
    "steps": _whole,
    "times": _factors,
    "score": _text,
}
"""How each field of `Case` and `Benchmark` is read."""


def of_table(table: Mapping[str, Any], where: str = "the benchmark") -> Benchmark:
    """A benchmark from nested tables, as a file holds them.

    Args:
      table: the fields of `Benchmark`, with a table for each `Case`.
      where: what messages call it.

    Raises:
      ValueError: a field that there is not, with the nearest name, or of another kind.
    """
    if not table:
        raise ValueError(f"{where} is empty; it must hold name and data at least")
    return Benchmark(**_kept(table, Benchmark, where))


def read(path: Path) -> Benchmark:
    """A benchmark from a file of TOML or JSON.

    Args:
      path: the file, whose name ends in .toml or .json.

    Raises:
      ValueError: it is not there, no such file, or as `of_table`.
    """
    readers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
    }
    if path.suffix not in readers:
        raise ValueError(f"a benchmark is a file of .toml or .json, got {path}")
    try:
        found = readers[path.suffix](path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return of_table(found, str(path))


def narrowed(
    benchmark: Benchmark, methods: Sequence[str] = (), data: Sequence[str] = ()
) -> Benchmark:
    """Some methods and data of a benchmark.

    Args:
      benchmark: the benchmark.
      methods: as in `Benchmark`; none for those that it has.
      data: the names of its data, or of groups of them; none for all.

    Raises:
      ValueError: there are no such data, with the nearest name.
    """
    names = {n for case in benchmark.data for n in (case.name, case.group) if n}
    for name in data:
        if name not in names:
            raise check.unknown("data", name, sorted(names))
    cases = [c for c in benchmark.data if not data or {c.name, c.group} & set(data)]
    return dataclasses.replace(
        benchmark, data=tuple(cases), methods=tuple(methods) or benchmark.methods
    )


def scaled(benchmark: Benchmark, scale: float) -> Benchmark:
    """The benchmark with networks that are wider by a factor.

    Args:
      benchmark: the benchmark; the widths are the lists of whole numbers in `config`.
      scale: the factor.

    Raises:
      ValueError: it is not positive, or leaves a layer without a unit.
    """
    check.positive("scale", scale)
    check.float32("scale", scale)
    wider = dict(benchmark.config)
    for name, value in wider.items():
        if isinstance(value, list | tuple) and {type(one) for one in value} == {int}:
            wider[name] = [round(scale * width) for width in value]
            check.widths(f"config.{name} at scale {scale:g}", wider[name])
    return dataclasses.replace(benchmark, config=wider)
