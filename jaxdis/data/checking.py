"""Whether rows of a user's own are what they should be; errors name the array."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from jaxdis import check
from jaxdis.data.preparation import labels
from jaxdis.types import Names, Rows

__all__ = ["check_x", "checked"]


def checked(rows: Rows) -> Rows:
    """The same rows as arrays of numpy that fit together.

    A single column of actions, labels or latents may come without its axis.

    Raises:
      ValueError: what does not fit, and where.
    """
    arrays: dict[str, Any] = {
        name: None if value is None else np.asarray(value)
        for name, value in rows._replace(names=None)._asdict().items()
    }
    there = {name: value for name, value in arrays.items() if value is not None}
    check_x(there["x"], (rows.names or Names()).x)
    n, names = len(there["x"]), rows.names or Names()
    for name, value in there.items():
        if value.shape[:1] != (n,):
            raise ValueError(
                f"data.{name} must have the {n} rows of data.x, got shape {value.shape}"
            )
        if name in ("a", "y", "z") and value.ndim == 1:
            there[name] = value[:, None]
    steps = there["x"].shape[1:2] if there["x"].ndim % 2 else ()
    for name, columns, between in (("a", names.a, {()}), ("z", names.z, {(), steps})):
        if name in there:
            _check_columns(name, there[name], columns, between)
    if "y" in there:
        _check_labels(there["y"], names)
    for name, words in (("u", names.u), ("k", names.k), ("split", ())):
        if name in there:
            there[name] = _whole(f"data.{name}", there[name], words)
    if "u" in there:
        _check_domains(there["u"], names.u)
    for name in {"u", "group", "split"} & set(there):
        if there[name].ndim != 1:
            raise ValueError(
                f"data.{name} must hold one number for each row of data.x, got shape "
                f"{there[name].shape}"
            )
    if "split" in there and there["split"].max() > 2:
        raise ValueError("data.split must hold 0 training, 1 valid and 2 test")
    return Rows(**{**arrays, **there, "names": rows.names})


def check_x(x: Shaped[np.ndarray, "..."], columns: Sequence[str] = ()) -> None:
    """Raises ValueError unless these are vectors, images, or sequences of them.

    Args:
      x: the observations.
      columns: the names of the columns of vectors.
    """
    if not 2 <= x.ndim <= 5 or not x.size:
        raise ValueError(
            "data.x must be vectors [n, x], images [n, h, w, c], or sequences of them "
            f"[n, t, ...], got shape {x.shape}"
        )
    if x.ndim == 3 and x.dtype == np.uint8:
        raise ValueError(
            f"data.x of bytes and shape {x.shape} looks like grey images without an "
            "axis of channels; add it: x[..., None]"
        )
    if x.ndim < 4:
        check.numbers("data.x", x, columns)
        return
    if x.shape[-3] in (1, 3, 4) and x.shape[-1] > 4:
        raise ValueError(
            f"data.x of shape {x.shape} looks like images with channels first; put "
            "them last: np.moveaxis(x, -3, -1)"
        )
    check.numbers("data.x", x)
    low, high = float(x.min()), float(x.max())
    floats = x.dtype.kind == "f" and 0.0 <= low <= high <= 1.0
    if x.dtype != np.uint8 and not floats:
        raise ValueError(
            "data.x must hold images of uint8, or of floats in [0, 1], got "
            f"{x.dtype} from {low:g} to {high:g}; divide by the largest possible value"
        )


def _check_columns(
    name: str,
    values: np.ndarray,
    columns: Sequence[str],
    between: Collection[tuple[int, ...]],
) -> None:
    """Raises ValueError unless these are numbers in columns.

    Args:
      name: the field.
      values: its values.
      columns: their names.
      between: what may be between the axis of rows and that of columns.
    """
    if values.ndim < 2 or not values.size or values.shape[1:-1] not in between:
        of_steps = "".join(f", or [n, {t[0]}, {name}]" for t in between if t)
        raise ValueError(
            f"data.{name} must be columns [n, {name}]{of_steps}; got shape "
            f"{values.shape}"
        )
    _check_names(name, values, columns)
    check.numbers(f"data.{name}", values, columns)


def _check_names(name: str, values: np.ndarray, columns: Sequence[object]) -> None:
    if len(columns) not in (0, values.shape[-1]):
        raise ValueError(
            f"data.{name} of shape {values.shape} must have a name for each column in "
            f"data.names, got {len(columns)}"
        )


def _check_labels(y: np.ndarray, names: Names) -> None:
    """Raises ValueError unless classes are whole numbers from 0, or missing."""
    if y.ndim != 2 or not y.size:
        raise ValueError(f"data.y must be columns [n, l], got shape {y.shape}")
    _check_names("y", y, names.y)
    check.numbers("data.y", y, tuple(label.name for label in names.y), missing=True)
    for i, label in enumerate(names.y or labels(y)):
        if label.classes is not None:
            some = y[:, i][~np.isnan(y[:, i])]
            classes = tuple(map(str, range(label.classes)))
            _whole(f"data.y, column {label.name!r},", some, classes)


def _whole(name: str, values: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """The values as whole numbers from 0, of what the words name."""
    whole = values.dtype.kind in "biu" or (
        values.dtype.kind == "f" and bool((values == np.rint(values)).all())
    )
    if not whole or (values < 0).any():
        raise ValueError(
            f"{name} must hold whole numbers from 0, got {values.dtype}"
            + (f" from {values.min():g}" if whole else "")
            + "; jaxdis.read makes them of words"
        )
    if words and values.size and values.max() >= len(words):
        raise ValueError(
            f"{name} holds {int(values.max())}; it must be below {len(words)}, the "
            "number of those that are named"
        )
    return values.astype(np.int32)


def _check_domains(u: np.ndarray, words: Sequence[str]) -> None:
    """Raises ValueError for a single domain, or numbers that are skipped."""
    there = np.unique(u)
    if len(there) < 2:
        only = words[there[0]] if words else there[0]
        raise ValueError(
            f"data.u must hold at least 2 domains, got only {only}; leave it out, or "
            "bring rows of another one"
        )
    if not words and there[-1] != len(there) - 1:
        raise ValueError(
            f"data.u must number the domains without gaps, 0 .. {len(there) - 1} for "
            f"the {len(there)} of them; {there[-1]} is in it. jaxdis.read does that"
        )
