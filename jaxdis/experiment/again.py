"""From the directory of a run back to its setting."""

import importlib
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdis import systems
from jaxdis.data import find, names
from jaxdis.data.own import Own, as_data_set
from jaxdis.experiment import identity, stored
from jaxdis.experiment.model import check_hyper, given_again, hyper_of, seeds_of
from jaxdis.experiment.plan import Plan
from jaxdis.types import DataSet, Method

__all__ = ["method_of", "plan_of"]


def method_of(directory: Path, settings: Mapping[str, Any]) -> Method:
    """The method that a run names.

    Args:
      directory: the directory of the run.
      settings: its config.json.

    Raises:
      ValueError: it was in no file, or is not there any more.
    """
    name = settings.get("reference", settings.get("method", settings.get("system")))
    if name is None:
        raise ValueError(
            f"the run in {directory} was trained with a method that was in no file; "
            "give it again, as method=METHOD"
        )
    try:
        return systems.find(str(name))
    except ValueError as error:
        raise ValueError(
            f"the method of the run in {directory} is not there any more ({error}); "
            "give it again, as method=METHOD"
        ) from error


def _digested(value: Any) -> bool:
    """Whether config.json holds no more of something than its digest."""
    if isinstance(value, Mapping):
        return "sha256" in value or any(map(_digested, value.values()))
    return isinstance(value, list) and any(map(_digested, value))


def _kind(settings: Mapping[str, Any], like: DataSet) -> type[DataSet] | None:
    """The type of the data set of a run; None where it is not to be found."""
    name, module = settings["data"]["set"], settings.get("data_module", "")
    known = [type(like), *map(find, names())]
    found = next((kind for kind in known if kind.__name__ == name), None)
    if found is None and module not in ("", "__main__"):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            return None
    return found


def _found_file(value: Any, folder: str) -> Any:
    """A path that was meant from another folder than this one."""
    if not isinstance(value, str) or not value or os.path.exists(value):
        return value
    there = os.path.join(folder, os.path.expanduser(value))
    return there if os.path.exists(there) else value


def _data_of(directory: Path, settings: Mapping[str, Any], like: DataSet) -> DataSet:
    """The data set of a run, rebuilt from its fields."""
    fields = {n: v for n, v in settings["data"].items() if n != "set"}
    kind = _kind(settings, like)
    if kind is None or _digested(fields):
        raise ValueError(
            f"the run in {directory} was trained on data that it cannot keep "
            f"({settings['data']['set']}); give them again, as jaxdis.resume(..., "
            "data=DATA)"
        )
    kinds = typing.get_type_hints(kind)
    folder = str(settings.get("folder", "."))
    try:
        return kind(
            **{
                name: stored.rebuilt(kinds[name], _found_file(value, folder))
                for name, value in fields.items()
            }
        )
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the data set {kind.__name__} has other fields than when the run in "
            f"{directory} was trained ({error}); give it again, as jaxdis.resume(..., "
            "data=DATA)"
        ) from error


def _check_made(planned: Plan, directory: Path) -> None:
    """Whether config, data and parts fit each other.

    Raises:
      ValueError: they do not, or config.json was edited to what cannot be.
    """
    try:
        planned.make(planned.data.spec())
    except (AttributeError, LookupError, TypeError) as error:
        if planned.parts:  # it may be one of them that fails
            raise
        raise ValueError(
            f"config.json of {directory} is damaged ({error}); put back what was there"
        ) from error


def plan_of(
    directory: Path,
    *,
    method: Method | None = None,
    data: DataSet | Own | None = None,
    parts: Mapping[str, Any] | None = None,
) -> Plan:
    """The setting of a run, as its config.json tells it.

    Args:
      directory: the directory of the run.
      method: its method, where that cannot be found by its name.
      data: its data, where these were given as arrays.
      parts: those parts of the method that were replaced, by name.

    Raises:
      ValueError: there is no run; or something of it cannot be kept in a file and is to
        be given again.
    """
    settings = identity.read_settings(directory)
    method = method_of(directory, settings) if method is None else method
    given = given_again(directory, method, settings, parts or {}, asked="jaxdis.resume")
    try:
        config = stored.config_of(method, settings)
        preset = method.presets[settings["preset"]]
        chosen = (
            _data_of(directory, settings, preset.data)
            if data is None
            else as_data_set(data, preset.data)
        )
        steps = int(settings["steps"])
        planned = Plan(
            method=method,
            preset_name=settings["preset"],
            preset=preset,
            config=config,
            data=chosen,
            points=hyper_of(settings),
            seeds=seeds_of(settings),
            steps=steps,
            chunk=int(settings.get("chunk", min(steps, preset.chunk))),
            parts=given,
        )
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(
            f"config.json of {directory} is damaged ({error}); train the run again"
        ) from error
    check_hyper(planned.method, planned.points, directory)
    _check_made(planned, directory)
    if data is not None:
        identity.check_same(planned, settings, directory, ["data", "parts"])
    return planned
