"""What a run is, as config.json tells it, and whether another one is the same."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdis import check, log, systems
from jaxdis.experiment.execution import versions
from jaxdis.experiment.plan import Plan

__all__ = [
    "check_environment",
    "check_same",
    "environment",
    "identity",
    "read_settings",
    "settings_of",
]

SWITCHES = {
    "x64": "jax_enable_x64",
    "default_prng_impl": "jax_default_prng_impl",
    "threefry_partitionable": "jax_threefry_partitionable",
    "jax_default_matmul_precision": "jax_default_matmul_precision",
}
"""Settings of JAX on which numbers depend, by their names in config.json."""
ALWAYS = ("x64", "default_prng_impl")
"""Those with which the states of a run have other types."""
COUNTS = ("seeds", "steps", "chunk")
LISTS = ("seed_numbers", "extended")
SECONDS = ("checkpoint_seconds", "chunk_seconds")
TABLES = ("config", "data", "hyper", "parts", "versions")
"""What config.json holds of each kind; see `_check_kinds`."""


def _told(value: Any) -> Any:
    """A value for config.json: arrays by shape, type and digest, the rest in full."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(name): _told(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_told(v) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "shape"):
        array = np.ascontiguousarray(value)
        found = hashlib.sha256(array.tobytes()).hexdigest()[:16]
        return {"shape": array.shape, "dtype": str(array.dtype), "sha256": found}
    plain = value is None or isinstance(value, bool | int | float | str)
    return value if plain else _part(value)


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass."""
    return {f.name: _told(getattr(value, f.name)) for f in dataclasses.fields(value)}


def _part(part: Any) -> str:
    """What a part that replaces one of a method's own is called."""
    if isinstance(part, list | tuple) and not hasattr(part, "_fields"):
        return f"({', '.join(map(_part, part))})"
    return str(getattr(part, "__qualname__", type(part).__qualname__))


def _gaps(seeds: Sequence[int]) -> dict[str, Any]:
    """The numbers of seeds that do not follow one another."""
    row = list(range(seeds[0], seeds[0] + len(seeds)))
    return {} if list(seeds) == row else {"seed_numbers": list(seeds)}


def identity(plan: Plan) -> dict[str, Any]:
    """What a run must have in common with one that it goes on with.

    Args:
      plan: the setting.
    """
    settings = {
        "method": plan.method.name,
        "preset": plan.preset_name,
        "seeds": len(plan.seeds),
        "first_seed": plan.seeds[0],
        **_gaps(plan.seeds),
        "steps": plan.steps,
        "config": _fields(plan.config),
        "data": {"set": type(plan.data).__name__, **_fields(plan.data)},
        "hyper": {n: [p[n] for p in plan.points] for n in plan.points[0]},
        "parts": {name: _part(part) for name, part in plan.parts.items()},
    }
    found: dict[str, Any] = log.jsonable(settings)
    return found


def environment() -> dict[str, Any]:
    """What numbers depend on beside the setting: versions and switches of JAX."""
    return {
        **{name: getattr(jax.config, flag) for name, flag in SWITCHES.items()},
        "versions": versions(),
    }


def settings_of(
    plan: Plan, command: str, pace: Mapping[str, float | None]
) -> dict[str, Any]:
    """What config.json holds of a run that starts.

    Args:
      plan: the setting.
      command: the command that started it.
      pace: how often the host looks and saves, in seconds, and at how many rows.
    """
    return {
        "command": command,
        **identity(plan),
        "reference": systems.reference(plan.method),
        "data_module": type(plan.data).__module__,
        "folder": os.getcwd(),
        "chunk": plan.chunk,
        **pace,
        **environment(),
    }


def read_settings(directory: Path) -> dict[str, Any]:
    """The config.json of a run.

    Args:
      directory: the directory of the run.

    Raises:
      ValueError: there is none, or it is damaged.
    """
    path = directory / "config.json"
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        what = f"{path.name} is missing or damaged"
        if not directory.is_dir():
            file = directory.exists()
            what = "it is a file" if file else "there is no such folder"
        raise ValueError(
            f"{directory} holds no run ({what}); give a directory that `jaxdis train` "
            "wrote"
        ) from error
    if missing := {"preset", "seeds"} - set(found):
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}")
    try:
        _check_kinds(found)
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}); put back what was there, or train the run "
            "again"
        ) from error
    return found


def _check_kinds(found: Mapping[str, Any]) -> None:
    """Whether a config.json, which somebody may have edited, holds what can be.

    Args:
      found: the config.json of a run; what it lacks is not missed.

    Raises:
      ValueError: names what cannot be.
    """
    for name in set(LISTS) & set(found):
        if not isinstance(found[name], list):
            raise ValueError(f"{name} must be a list, got {found[name]!r}")
        for value in found[name]:
            check.whole(name, value)
    first = found.get("first_seed", 0)
    check.whole("first_seed", first)
    for name in set(COUNTS) & set(found):
        check.whole(name, found[name])
        check.count(name, found[name])
    check.first_seed(first, found["seeds"])
    for name in set(SECONDS) & set(found):
        if type(found[name]) not in (int, float):
            raise ValueError(f"{name} must be a number, got {found[name]!r}")
    for name in set(TABLES) & set(found):
        if not isinstance(found[name], Mapping):
            raise ValueError(f"{name} must be a table, got {found[name]!r}")
    _check_hyper(found.get("hyper", {}))


def _check_hyper(columns: Mapping[str, Any]) -> None:
    """Whether hyper-parameters are lists of numbers, a value for each point."""
    for name, values in columns.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"hyper.{name} must be a list, got {values!r}")
        for value in values:
            if type(value) not in (int, float):
                raise ValueError(f"hyper.{name} must hold numbers, got {value!r}")
            check.float32(f"hyper.{name}", value)
    if len({len(values) for values in columns.values()}) > 1:
        raise ValueError("hyper must hold as many values of each, one a point")


def _default(field: Any) -> Any:
    """The default of a field of a dataclass; MISSING without one."""
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def _defaults(value: Any) -> dict[str, Any]:
    """The defaults of a dataclass, as config.json has them."""
    known = {f.name: _default(f) for f in dataclasses.fields(value)}
    there = {n: v for n, v in known.items() if v is not dataclasses.MISSING}
    found: dict[str, Any] = log.jsonable(_told(there))
    return found


def _completed(found: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """A config.json with the fields that there were not when it was written.

    A field that an earlier version had not is as if it had its default.
    """
    values = {"config": plan.config, "data": plan.data}
    filled = {
        name: {**_defaults(value), **found[name]}
        for name, value in values.items()
        if name in found
    }
    return {"parts": {}, **found, **filled}


def check_same(
    plan: Plan,
    found: Mapping[str, Any],
    directory: Path,
    names: Iterable[str],
    *,
    asked: str = "resume",
    advice: str = "",
) -> None:
    """Whether a run is of a setting.

    Args:
      plan: the setting.
      found: the config.json of the run.
      directory: the directory of the run.
      names: what is compared.
      asked: the argument that wants them to be the same.
      advice: what to do where they are not; by default to give the options that the run
        was started with.

    Raises:
      ValueError: something differs, with both values.
    """
    wanted, found = identity(plan), _completed(found, plan)
    differing = [name for name in names if found.get(name) != wanted[name]]
    if "method" in differing:  # which has settings of its own
        differing = ["method"]
    if differing:
        details = "; ".join(_difference(k, found.get(k), wanted[k]) for k in differing)
        options = f"give the options it was started with: {found.get('command')}"
        raise ValueError(
            f"{asked}: the run in {directory} has other {', '.join(differing)} "
            f"({details}); {advice or options}"
        )


def _difference(name: str, there: Any, here: Any) -> str:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        parts = [k for k in {**here, **there} if there.get(k) != here.get(k)]
        return ", ".join(
            _difference(f"{name}.{k}", there.get(k), here.get(k)) for k in parts
        )
    return f"{name} is {there} there and {here} here"


def check_environment(
    found: Mapping[str, Any],
    directory: Path,
    *,
    other_versions: bool,
    asked: str = "resume",
) -> None:
    """Whether the numbers of a run can go on as they began.

    Args:
      found: the config.json of the run; what it does not tell is not compared.
      directory: the directory of the run.
      other_versions: whether other versions are said and taken.
      asked: what is to be done with the run.

    Raises:
      ValueError: something differs, with both values.
    """
    here = environment()
    there = {name: found[name] for name in here if name in found}
    if "versions" in there:
        known = set(there["versions"]) & set(here["versions"])
        for side in (here, there):
            side["versions"] = {name: side["versions"][name] for name in known}
    differing = [name for name in there if there[name] != here[name]]
    if not differing:
        return
    details = ", ".join(_difference(k, there[k], here[k]) for k in differing)
    where = f"the run in {directory} was trained otherwise: {details}"
    if set(differing) & set(ALWAYS):
        raise ValueError(f"{asked}: {where}; its states have other types here")
    if not other_versions:
        raise ValueError(
            f"{asked}: {where}; its numbers may go on otherwise than they began. Give "
            "--other-versions (other_versions=True) to go on nevertheless"
        )
    log.note(f"{where}; what follows may have other numbers")
