"""What the fields of rows must hold; errors name the field."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array, Int, Shaped

from jaxdis.data.reading.values import check_finite
from jaxdis.types import Label

__all__ = ["check_labels", "check_names", "check_numbers", "labels", "whole"]

_Values: TypeAlias = Any
"""An array of numpy or JAX."""


def check_numbers(
    field: str, values: _Values, columns: Sequence[str], *, missing: bool = False
) -> None:
    """Raises ValueError unless values are numbers, finite in float32.

    Args:
      field: the field of rows, as "x".
      values: its values.
      columns: the names of its last axis; () where there are none.
      missing: whether NaN is allowed, for what is missing.
    """
    if values.dtype.kind not in "biuf":
        raise ValueError(f"data.{field} must be numbers, got values of {values.dtype}")
    check_finite(field, values, columns, gaps=missing)


def check_names(field: str, values: _Values, columns: Sequence[object]) -> None:
    """Raises ValueError unless every column has a name, or none.

    Args:
      field: the field of rows, as "x".
      values: its values `[..., c]`.
      columns: the names.
    """
    if len(columns) not in (0, values.shape[-1]):
        raise ValueError(
            f"data.{field} must have as many columns as names, {len(columns)}; got "
            f"shape {values.shape}"
        )


def labels(y: Shaped[Array, "n l"] | Shaped[np.ndarray, "n l"]) -> tuple[Label, ...]:
    """What is known of labels without names: whole numbers are classes from 0."""
    return tuple(
        Label(str(i), None if y.dtype.kind == "f" else int(y[:, i].max()) + 1)
        for i in range(y.shape[1])
    )


def check_labels(y: _Values, columns: Sequence[Label]) -> None:
    """Raises ValueError unless classes are whole numbers from 0, or missing.

    Args:
      y: the labels.
      columns: what is known of them; () for nothing.
    """
    if y.ndim != 2 or not y.size:
        raise ValueError(f"data.y must be columns [n, l], got shape {y.shape}")
    check_names("y", y, columns)
    check_numbers("y", y, tuple(label.name for label in columns), missing=True)
    for i, label in enumerate(columns or labels(y)):
        if label.classes is not None:
            some = y[:, i][~np.isnan(y[:, i])]
            classes = tuple(map(str, range(label.classes)))
            whole(f"y, column {label.name!r},", some, label.values or classes)


def whole(field: str, values: _Values, words: Sequence[str]) -> Int[np.ndarray, "..."]:
    """The values as whole numbers from 0, one for each of the words.

    Args:
      field: the field of rows, as "u".
      values: its values.
      words: what each number stands for; () where that is not known.

    Raises:
      ValueError: other numbers, or larger ones.
    """
    values = np.asarray(values)
    fine = values.dtype.kind in "biu" or (
        values.dtype.kind == "f" and bool((values == np.rint(values)).all())
    )
    if not fine or (values < 0).any():
        raise ValueError(
            f"data.{field} must hold whole numbers from 0, got {values.dtype}"
            + (f" from {values.min():g}" if fine else "")
            + "; jaxdis.read makes them of words"
        )
    if words and values.size and values.max() >= len(words):
        raise ValueError(
            f"data.{field} must be below {len(words)}, the number of those that have "
            f"names, {', '.join(words[:10])}; got {int(values.max())}"
        )
    return values.astype(np.int32)
