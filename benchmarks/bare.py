"""What a bare machine lacks: stands in for packages that no measurement needs.

With `stand_in()` jaxdis is imported where only jax, flax, optax, numpy and scikit-learn
are installed. What annotates shapes, asserts them, draws pictures, parses options and
locks files is imported with jaxdis, and not used by a step. Packages that are there are
taken as they are.
"""

import importlib.machinery
import importlib.util
import sys
import typing
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Any

__all__ = ["PACKAGES", "stand_in"]

PACKAGES = (
    "jaxtyping",
    "chex",
    "filelock",
    "matplotlib",
    "PIL",
    "rich",
    "threadpoolctl",
    "tyro",
)


class _Anything(type):
    """Of classes that take any name, any index and any call, and give themselves."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, item: Any) -> Any:
        return cls

    def __or__(cls, other: Any) -> Any:
        return cls

    __ror__ = __or__


class _Absent(metaclass=_Anything):
    """Something of a package that is not installed."""

    def __new__(cls, *values: Any, **named: Any) -> Any:
        return cls


class _Module(ModuleType):
    """A module in which every name is there."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent


class _Finder(MetaPathFinder, Loader):
    """Finds the packages, after all finders of what is installed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] not in PACKAGES:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = _Module(spec.name)
        if spec.name == "jaxtyping":
            import jax  # whose arrays are told from others by isinstance

            module.Array = jax.Array  # type: ignore[attr-defined]
            module.ArrayLike = typing.Any  # type: ignore[attr-defined]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is in it."""


def stand_in() -> None:
    """From here on packages that are missing are found, with nothing in them."""
    sys.meta_path.append(_Finder())
