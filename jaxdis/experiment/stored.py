"""What a run keeps beside its parameters, so that it can be used without its data.

data.json holds what the method knew of its data and what was done to rows before
training, exactly: types, tuples and arrays come back as they were.
"""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdis import log
from jaxdis.types import Method, Preparation, Score, Spec

__all__ = [
    "config_of",
    "keep_data",
    "plain",
    "read_data",
    "rebuilt",
]

FORMAT = 1
"""Of data.json."""


def plain(value: Any) -> Any:
    """Nested tuples, dataclasses and arrays as what JSON can hold; see `rebuilt`."""
    if hasattr(value, "_asdict"):
        return {name: plain(v) for name, v in value._asdict().items()}
    if dataclasses.is_dataclass(value):
        return {
            f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "shape"):
        array = np.asarray(value)
        return {"dtype": str(array.dtype), "shape": array.shape, "values": array}
    return value


def rebuilt(kind: Any, found: Any) -> Any:
    """The inverse of `plain` for a value of a type.

    Args:
      kind: a type, as the annotations of fields give it.
      found: what JSON held.
    """
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        some = [argument for argument in arguments if argument is not type(None)]
        return None if found is None or not some else rebuilt(some[0], found)
    if isinstance(found, Mapping) and {"dtype", "shape", "values"} == set(found):
        array = np.array(found["values"], np.dtype(found["dtype"]))
        return array.reshape(found["shape"])
    if isinstance(found, Mapping):
        return _built(kind, found)
    if isinstance(found, list):
        item = arguments[0] if arguments else None
        return tuple(rebuilt(item, part) for part in found)
    return found


def _built(kind: Any, found: Mapping[str, Any]) -> Any:
    """A NamedTuple or a dataclass of its fields; another mapping as it is."""
    if not (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
        return dict(found)
    kinds = typing.get_type_hints(kind)
    return kind(**{name: rebuilt(kinds[name], value) for name, value in found.items()})


def config_of(method: Method, settings: Mapping[str, Any]) -> Any:
    """The config that a run was trained with.

    Args:
      method: the method of the run.
      settings: its config.json.

    Raises:
      ValueError: the method has no such preset any more, or other fields.
    """
    name, found = settings["preset"], settings["config"]
    if name not in method.presets:
        raise ValueError(
            f"{method.name} has no preset {name!r} any more; load the run with the "
            "version of the method that trained it"
        )
    config: Any = method.presets[name].config
    now = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    if lost := sorted(set(found) - set(now)):
        raise ValueError(
            f"the config of {method.name} has no {', '.join(lost)} any more; load the "
            "run with the version of the method that trained it"
        )
    kinds = typing.get_type_hints(type(config))
    # What JSON cannot hold is kept where it is as the preset has it.
    changed = {
        field: rebuilt(kinds[field], value)
        for field, value in found.items()
        if log.jsonable(plain(now[field])) != value
    }
    # A field that an earlier version had not is as if it had its default.
    new = {
        f.name: f.default
        for f in dataclasses.fields(config)
        if f.name not in found and f.default is not dataclasses.MISSING
    }
    return dataclasses.replace(config, **new, **changed)


def _alike(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same but for rounding.

    What one of them lacks, as another version of jaxdis wrote it, is not compared.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(_alike(one[name], other[name]) for name in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-12)
    return bool(one == other)


def keep_data(
    directory: Path,
    spec: Spec,
    preparation: Preparation,
    scores: Mapping[str, Score] | None = None,
) -> None:
    """Keeps what is known of the data and what was done to them with a run.

    Args:
      directory: the directory of the run, which may have them already.
      spec: what is known of the data.
      preparation: what was done to them.
      scores: what is measured on them, for a report before the run has finished.

    Raises:
      ValueError: the run was trained on other data.
    """
    try:
        found = json.loads((directory / "data.json").read_text(encoding="utf-8"))
        known = {name: dict(found.get(name, {})) for name in ("spec", "preparation")}
    except (AttributeError, OSError, TypeError, ValueError):
        record = {
            "format": FORMAT,
            "spec": plain(spec),
            "preparation": plain(preparation),
            "scores": {name: score._asdict() for name, score in (scores or {}).items()},
        }
        log.write_json(directory / "data.json", record)
        return
    for name, value in (("spec", spec), ("preparation", preparation)):
        here, there = log.jsonable(plain(value)), known[name]
        differing = [k for k in here if k in there and not _alike(here[k], there[k])]
        if differing:
            raise ValueError(
                f"the data are not those that the run in {directory} was trained on: "
                f"other {', '.join(differing)} (data.json); bring them back, or train "
                "a new run"
            )


def read_data(directory: Path) -> tuple[Spec, Preparation]:
    """What `keep_data` kept.

    Raises:
      ValueError: the run is of an earlier or a later version, or the file is damaged.
    """
    path = directory / "data.json"
    if not path.is_file():
        raise ValueError(
            f"{directory} is of an earlier version of jaxdis and lacks {path.name}: "
            "its scores and report can be read, but nothing can be encoded; train it "
            "again"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        number = found["format"]
        if number == FORMAT:
            return rebuilt(Spec, found["spec"]), rebuilt(
                Preparation, found["preparation"]
            )
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); train the run again") from error
    raise ValueError(
        f"{path} has format {number}, this version of jaxdis knows {FORMAT}; load it "
        "with the version that trained the run"
    )
