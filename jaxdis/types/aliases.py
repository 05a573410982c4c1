"""Names of what is passed between methods, data and the runner."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Array, Float, Key, PyTree, Shaped

__all__ = [
    "Batch",
    "Config",
    "Hyper",
    "Metrics",
    "PRNGKey",
    "Params",
    "Sampler",
    "Scalar",
]

PRNGKey: TypeAlias = Key[Array, ""]
Scalar: TypeAlias = Float[Array, ""] | float
Params: TypeAlias = PyTree[Float[Array | np.ndarray, "..."]]
Config: TypeAlias = object
"""A method's frozen dataclass of all that is compiled in."""
Hyper: TypeAlias = PyTree[Float[Array, "..."] | float]
"""A method's NamedTuple of scalar arrays: everything worth sweeping, traced."""
Batch: TypeAlias = PyTree[Shaped[Array, "..."]]
"""What a step or a report sees: a NamedTuple of arrays, most often `Rows`."""
Metrics: TypeAlias = dict[str, Array]
"""Scalars that the method declares as scores, and arrays that it declares as such."""
Sampler: TypeAlias = Callable[..., Batch]
"""`key -> batch`, or `(key, world) -> batch` where rows of a run differ in their data;
a `jax.tree_util.Partial`, so that its data are arguments of the compiled program."""
