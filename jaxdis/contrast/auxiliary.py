"""What is known of a row beside x, as one vector: actions, a domain, or labels."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import check
from jaxdis.types import Label, Rows, Spec

__all__ = ["VARIABLES", "Variable", "chosen"]


class Variable(NamedTuple):
    """A field of rows as a vector.

    Attributes:
      size: `spec -> size` of the vector.
      value: `(rows, spec) -> [b, size]`.
    """

    size: Callable[[Spec], int]
    value: Callable[[Rows, Spec], Array]


def _actions(rows: Rows, spec: Spec) -> Float[Array, "b v"]:
    assert rows.a is not None
    return rows.a.astype(float)


def _domains(rows: Rows, spec: Spec) -> Float[Array, "b v"]:
    assert rows.u is not None
    return jax.nn.one_hot(rows.u, len(spec.domains))


def _width(label: Label) -> int:
    return label.classes or 1


def _labels(rows: Rows, spec: Spec) -> Float[Array, "b v"]:
    """Classes one-hot, numbers as they are; zeros where a label is missing."""
    assert rows.y is not None
    parts = []
    for i, label in enumerate(spec.labels):
        column = rows.y[:, i].astype(float)
        there = ~jnp.isnan(column)
        column = jnp.where(there, column, 0.0)
        if label.classes is None:
            parts.append(column[:, None])
        else:
            one_hot = jax.nn.one_hot(column.astype(int), label.classes)
            parts.append(one_hot * there[:, None])
    return jnp.concatenate(parts, axis=1)


VARIABLES: dict[str, Variable] = {
    "a": Variable(lambda spec: spec.a_dim, _actions),
    "u": Variable(lambda spec: len(spec.domains), _domains),
    "y": Variable(lambda spec: sum(map(_width, spec.labels)), _labels),
}
"""Actions as they are, the domain one-hot, or all labels beside each other."""


def chosen(method: str, name: str | None, spec: Spec) -> str:
    """The field that is meant: the one that is named, or the first that there is.

    Args:
      method: the name of the method.
      name: a key of `VARIABLES`; None for the first that the data have.
      spec: what is known of the data.

    Raises:
      ValueError: an unknown name, or one that the data lack.
    """
    check.one_of("config.auxiliary", name, (None, *VARIABLES))
    check.needs(method, (tuple(VARIABLES) if name is None else name,), spec)
    return name or next(n for n in VARIABLES if n in spec.offers)
