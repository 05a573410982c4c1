"""Rows of a new file, coded as those that a model was trained on."""

from collections.abc import Sequence

import numpy as np

from jaxdis.data.reading.columns import shown
from jaxdis.types import Label, Names, Rows

__all__ = ["recode"]


def recode(rows: Rows, names: Names) -> Rows:
    """Rows whose classes have the numbers that `names` gives them.

    A file with fewer classes than the one that was trained on numbers them otherwise,
    and its few whole numbers may pass for no classes. Label columns come in the order
    of `names`; those that the rows lack are missing, and others are left out.

    Args:
      rows: rows as `jaxdis.read` returns them, with names.
      names: the names of the rows that were trained on.

    Raises:
      ValueError: a class, domain or transformation that those rows do not have, words
        in place of numbers, or none of their labels.
    """
    own = rows.names
    if own is None:
        return rows
    changed: dict[str, np.ndarray] = {}
    for field, old, new in (("u", own.u, names.u), ("k", own.k, names.k)):
        values = getattr(rows, field)
        if values is not None and new:
            changed[field] = _translated(field, np.asarray(values), old, new)
    if rows.y is not None and names.y:
        changed["y"] = _labels(np.asarray(rows.y, np.float64), own.y, names.y)
    coded = Names(
        own.x,
        own.a,
        names.u if "u" in changed else own.u,
        names.y if "y" in changed else own.y,
        names.k if "k" in changed else own.k,
        own.z,
    )
    return rows._replace(names=coded, **changed)  # type: ignore[arg-type]


def _translated(
    field: str, values: np.ndarray, old: Sequence[str], new: Sequence[str]
) -> np.ndarray:
    """The new number of each class."""
    place = {word: i for i, word in enumerate(new)}
    places = np.array([place.get(word, -1) for word in old], np.int32)
    out = places[values]
    lost = np.unique(values[out < 0]).tolist()
    if lost:
        raise ValueError(
            f"data.{field} must be among those that were trained on, {shown(new)}; got "
            f"{shown([old[i] for i in lost])}"
        )
    return out


def _labels(y: np.ndarray, own: Sequence[Label], labels: Sequence[Label]) -> np.ndarray:
    """The columns of labels in their order; NaN where one is missing."""
    place = {label.name: i for i, label in enumerate(own)}
    out = np.full((len(y), len(labels)), np.nan)
    for i, label in enumerate(labels):
        if label.name in place:
            column = place[label.name]
            there = ~np.isnan(y[:, column])
            out[there, i] = _column(y[there, column], own[column], label)
    if not any(label.name in place for label in labels):
        raise ValueError(
            f"data.y must have labels that were trained on, "
            f"{shown([label.name for label in labels])}; it has {shown(tuple(place))}"
        )
    whole = not np.isnan(out).any() and all(label.classes for label in labels)
    return out.astype(np.int32) if whole else out


def _classes(label: Label) -> tuple[str, ...]:
    return label.values or tuple(map(str, range(label.classes or 0)))


def _column(values: np.ndarray, own: Label, label: Label) -> np.ndarray:
    """Labels that are there, as another column has them."""
    if own.classes is None and label.classes is None:
        return values
    if own.classes is None:
        found, codes = np.unique(values, return_inverse=True)
        words = [str(int(v)) if v == int(v) else str(v) for v in found.tolist()]
    else:
        words, codes = list(_classes(own)), values.astype(int)
    if label.classes is not None:
        return _translated(f"y, {label.name!r},", codes, words, _classes(label))
    try:
        return np.array([float(word) for word in words])[codes]
    except ValueError:
        raise ValueError(
            f"data.y must be numbers in {label.name!r}, as in training; got "
            f"{shown(words)}"
        ) from None
