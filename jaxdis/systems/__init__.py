"""Methods, one folder each; none knows of another."""

import pkgutil
from importlib import import_module

from jaxdis import check
from jaxdis.types import Method

__all__ = ["find", "names"]


def names() -> tuple[str, ...]:
    """The names of the built-in methods, which are those of their folders."""
    return tuple(m.name for m in pkgutil.iter_modules(__path__) if m.ispkg)


def find(name: str) -> Method:
    """The built-in method of that name.

    Raises:
      ValueError: there is none; the nearest name.
    """
    if name not in names():
        raise check.unknown("method", name, names())
    method: Method = import_module(f"{__name__}.{name}").METHOD
    return method
