"""Rows of a new file, coded as those that a model was trained on."""

from collections.abc import Sequence

import numpy as np

from jaxdis.data.reading.columns import shown
from jaxdis.types import Label, Names, Rows

__all__ = ["label_kinds", "recode"]


def label_kinds(labels: Sequence[Label]) -> dict[str, str]:
    """What `jaxdis.read` takes as `labels` to read the same kinds again."""
    return {
        label.name: "numbers"
        if label.classes is None
        else ("ordered" if label.ordered else "classes")
        for label in labels
    }


def recode(rows: Rows, names: Names) -> Rows:
    """Rows whose classes have the numbers that `names` gives them.

    A file with fewer classes than the one that was trained on numbers them otherwise.
    Label columns come in the order of `names`, and those that it lacks are left out.

    Args:
      rows: rows as `jaxdis.read` returns them, with names.
      names: the names of the rows that were trained on.

    Raises:
      ValueError: a class, domain or transformation that those rows do not have, or a
        label that these do not have.
    """
    own = rows.names
    if own is None:
        return rows
    changed: dict[str, np.ndarray] = {}
    for field, old, new in (("u", own.u, names.u), ("k", own.k, names.k)):
        values = getattr(rows, field)
        if values is not None and new:
            changed[field] = _places(field, old, new)[np.asarray(values)]
    if rows.y is not None and names.y:
        columns = [_column(rows, label) for label in names.y]
        y = np.stack(columns, 1)
        whole = not np.isnan(y).any() and all(label.classes for label in names.y)
        changed["y"] = y.astype(np.int32 if whole else np.float32)
    coded = Names(
        own.x,
        own.a,
        names.u if "u" in changed else own.u,
        names.y if "y" in changed else own.y,
        names.k if "k" in changed else own.k,
        own.z,
    )
    return rows._replace(names=coded, **changed)  # type: ignore[arg-type]


def _places(field: str, old: Sequence[str], new: Sequence[str]) -> np.ndarray:
    """The new number of each old one."""
    lost = [word for word in old if word not in new]
    if lost:
        raise ValueError(
            f"data.{field} must be among those that were trained on, {shown(new)}; got "
            f"{shown(lost)}"
        )
    place = {word: i for i, word in enumerate(new)}
    return np.array([place[word] for word in old], np.int32)


def _classes(label: Label) -> tuple[str, ...]:
    return label.values or tuple(map(str, range(label.classes or 0)))


def _column(rows: Rows, label: Label) -> np.ndarray:
    own = () if rows.names is None else rows.names.y
    names = [one.name for one in own]
    if label.name not in names:
        raise ValueError(
            f"data.y must have the label {label.name!r}; it has {shown(names)}"
        )
    place = names.index(label.name)
    values = np.asarray(rows.y, np.float64)[:, place]
    if (label.classes is None) != (own[place].classes is None):
        kind = label_kinds([label])[label.name]
        raise ValueError(f"data.y must be read with labels={label.name}:{kind}")
    if label.classes is None:
        return values
    gaps = np.isnan(values)
    places = _places(f"y, {label.name!r},", _classes(own[place]), _classes(label))
    return np.where(gaps, np.nan, places[np.where(gaps, 0, values).astype(int)])
