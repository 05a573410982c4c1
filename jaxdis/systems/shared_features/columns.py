"""What label columns ask for: numbers, or classes, as many as each column has."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Num

from jaxdis.types import Spec

__all__ = ["Columns", "columns_of", "known_labels", "labelled", "targets_of"]


class Columns(NamedTuple):
    """The label columns of some data.

    Attributes:
      names: what they are called.
      sizes: the number of classes of each; 0 for numbers.
      classes: C, the largest number of classes; None if all columns hold numbers.
      allowed: which classes each column has; None if all have C, or none has any.
      numbers: which columns hold numbers; None if all columns are of one kind.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    classes: int | None
    allowed: Bool[np.ndarray, "l c"] | None
    numbers: Bool[np.ndarray, "l"] | None

    @property
    def outputs(self) -> int:
        """The number of outputs of a head."""
        return self.classes or 1

    @property
    def of_numbers(self) -> Bool[np.ndarray, "l"]:
        """Which columns hold numbers."""
        return np.array(self.sizes) == 0

    @property
    def of_classes(self) -> Bool[np.ndarray, "l c"]:
        """Which classes each column has."""
        return np.arange(self.outputs) < np.array(self.sizes)[:, None]


def columns_of(spec: Spec) -> Columns:
    """The label columns that the data name.

    Args:
      spec: what is known of the data.
    """
    names = tuple(label.name for label in spec.labels)
    sizes = tuple(label.classes or 0 for label in spec.labels)
    most = max(sizes, default=0) or None
    columns = Columns(names, sizes, most, None, None)
    if most is None or set(sizes) == {most}:
        return columns
    numbers = columns.of_numbers if 0 in sizes else None
    return columns._replace(allowed=columns.of_classes, numbers=numbers)


def known_labels(new_labels: tuple[str, ...], columns: Columns) -> list[int]:
    """The columns that are trained on.

    Args:
      new_labels: the names of those that are kept for new tasks.
      columns: all columns.
    """
    return [i for i, name in enumerate(columns.names) if name not in new_labels]


def labelled(y: Num[Array | np.ndarray, "n l"], column: int) -> Bool[np.ndarray, "n"]:
    """Which rows have a label in a column.

    Args:
      y: the labels, NaN where one is missing.
      column: the column.
    """
    return ~np.isnan(np.asarray(y)[:, column])


def targets_of(
    y: Num[Array | np.ndarray, "n l"], columns: Columns
) -> Num[np.ndarray, "n l"]:
    """Labels as heads take them: integers, or floats where a column holds numbers.

    Args:
      y: the labels, NaN where one is missing, which becomes 0.
      columns: what they are.
    """
    values = np.asarray(y)
    if 0 in columns.sizes:
        return np.nan_to_num(values).astype(np.float32)
    if values.dtype.kind != "f":
        return values
    return np.nan_to_num(values).astype(np.int32)
