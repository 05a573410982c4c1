"""Data on the device: generating processes, loaders, samplers of tasks."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any


@cache
def bind(f: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """`partial(f, *static)`, the same for equal values: else a second data set of the
    same kind would be traced again."""
    return partial(f, *static)
