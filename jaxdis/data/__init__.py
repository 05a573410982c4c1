"""Data sets, as frozen dataclasses of their settings; see `jaxdis.types.DataSet`."""

import dataclasses
import pkgutil
import re
from functools import cache
from importlib import import_module
from typing import Any, cast

from jaxdis import check
from jaxdis.types import DataSet

__all__ = ["find", "names"]


@cache
def _all() -> dict[str, type[DataSet]]:
    """Every public dataclass below this folder that can be loaded, by its name.

    Those that cannot be made without arrays of the user's are left out.
    """
    found: dict[str, type[DataSet]] = {}
    for info in pkgutil.walk_packages(__path__, f"{__name__}."):
        module = import_module(info.name)
        for name in getattr(module, "__all__", ()):
            value: Any = getattr(module, name)
            if dataclasses.is_dataclass(value) and _from_settings(value):
                found[re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()] = cast(
                    type[DataSet], value
                )
    return found


def _from_settings(value: Any) -> bool:
    fields = dataclasses.fields(value)
    whole = (f for f in fields if f.default is f.default_factory is dataclasses.MISSING)
    return hasattr(value, "load") and not any(whole)


def names() -> tuple[str, ...]:
    """The names of the built-in data sets, as `two_colour_digits`."""
    return tuple(sorted(_all()))


def find(name: str) -> type[DataSet]:
    """The type of the built-in data set of that name.

    Raises:
      ValueError: there is none; the nearest name.
    """
    if name not in _all():
        raise check.unknown("data set", name, names())
    return _all()[name]
