"""The directory of a run: created once, never overwritten, gone on with if it fits."""

import dataclasses
import hashlib
import itertools
import json
import re
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxdis
from jaxdis import log, systems
from jaxdis.experiment.plan import Plan

__all__ = ["check_resumed", "create"]


def _digest(value: Any) -> Any:
    """A value in which arrays are replaced by their shape, type and a digest."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _digest(v) for name, v in value.items()}
    if dataclasses.is_dataclass(value):
        return _settings(value)
    if not hasattr(value, "shape"):
        return value
    array = np.ascontiguousarray(value)
    found = hashlib.sha256(array.tobytes()).hexdigest()[:16]
    return {"shape": array.shape, "dtype": str(array.dtype), "sha256": found}


def _settings(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, without the numbers of arrays."""
    fields = dataclasses.fields(value)
    return {field.name: _digest(getattr(value, field.name)) for field in fields}


def _part(part: Any) -> str:
    """What a part that replaces one of a method's own is called."""
    if isinstance(part, list | tuple) and not hasattr(part, "_fields"):
        return f"({', '.join(map(_part, part))})"
    return str(getattr(part, "__qualname__", type(part).__qualname__))


def _identity(plan: Plan) -> dict[str, Any]:
    """What a resumed run must have in common with the one it goes on with."""
    settings = {
        "method": plan.method.name,
        "preset": plan.preset_name,
        "seeds": len(plan.seeds),
        "first_seed": plan.seeds[0],
        "steps": plan.steps,
        "config": _settings(plan.config),
        "data": {"set": type(plan.data).__name__, **_settings(plan.data)},
        "hyper": {n: [p[n] for p in plan.points] for n in plan.points[0]},
        "parts": {name: _part(part) for name, part in plan.parts.items()},
    }
    found: dict[str, Any] = log.jsonable(settings)
    return found


def _new_directory(plan: Plan) -> Path:
    """runs/NAME-TIME, with a number behind it where another run took that."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = f"{plan.name.replace('/', '-')}-{stamp}"
    for suffix in itertools.chain([""], (f"-{i}" for i in itertools.count(2))):
        out = Path("runs") / (name + suffix)
        try:
            out.mkdir(parents=True)
        except FileExistsError:
            continue
        return out
    raise AssertionError("there is always a free number")


def create(plan: Plan, out: Path | None, command: str) -> Path:
    """Creates the directory of a run that starts.

    Args:
      plan: the setting.
      out: where; by default runs/NAME-TIME.
      command: the command that started it.

    Raises:
      ValueError: out holds something, or cannot be written.
    """
    versions = {"jaxdis": jaxdis.__version__, "jax": jax.__version__}
    record = {
        "command": command,
        **_identity(plan),
        "reference": systems.reference(plan.method),
        "versions": versions,
    }
    try:
        directory = _new_directory(plan) if out is None else _asked(out)
        log.write_json(directory / "config.json", record)
    except OSError as error:
        raise ValueError(
            f"out must be a directory that can be written: {error.strerror}, "
            f"{error.filename}"
        ) from error
    return directory


def _asked(out: Path) -> Path:
    """The directory that is asked for, new or empty."""
    if re.match(r"\w{2,}:/", str(out)):
        raise ValueError(f"out must be a directory of this machine, got {out}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(
            f"out: {out} is not empty and is never overwritten; resume the run "
            "that is there, or choose another directory"
        )
    out.mkdir(parents=True, exist_ok=True)
    return out


def check_resumed(plan: Plan, out: Path | None) -> Path:
    """The directory of a run to go on with, if it is one of this plan."""
    if out is None:
        raise ValueError("resume needs out, the directory of the run to go on with")
    path = out / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(
            f"resume: {out} holds no run ({path.name} is missing or damaged); start "
            "one without resume"
        ) from error
    wanted = _identity(plan)
    found = {"parts": {}} | found  # of an earlier version
    differing = [k for k, v in wanted.items() if found.get(k) != v]
    if differing:
        details = "; ".join(_difference(k, found.get(k), wanted[k]) for k in differing)
        raise ValueError(
            f"resume: the run in {out} has other {', '.join(differing)} ({details}); "
            f"give the options it was started with: {found.get('command')}"
        )
    return out


def _difference(name: str, there: Any, here: Any) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        parts = [k for k in {**here, **there} if there.get(k) != here.get(k)]
        return ", ".join(
            _difference(f"{name}.{k}", there.get(k), here.get(k)) for k in parts
        )
    return f"{name} is {there} there and {here} here"
