"""Whether rows of a user's own are what they should be; errors name the array."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from jaxdis.data.fields import check_labels, check_names, check_numbers, whole
from jaxdis.data.reading import check_images
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
        check_labels(there["y"], names.y)
    for name, words in (("u", names.u), ("k", names.k), ("split", ())):
        if name in there:
            there[name] = whole(name, there[name], words)
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
    check_numbers("x", x, columns if x.ndim < 4 else ())
    if x.ndim > 2:
        check_images(x, "data.x")


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
    check_names(name, values, columns)
    check_numbers(name, values, columns)


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
