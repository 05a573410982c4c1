"""What the fields of rows must hold, whoever gives them; errors name the field."""

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array, Int, Shaped

from jaxdis.data.shapes import check_images
from jaxdis.data.values import check_finite, tidy_field
from jaxdis.types import Label, Names, Rows, Truth

__all__ = [
    "check_domains",
    "check_labels",
    "check_numbers",
    "checked",
    "checked_truth",
    "labels",
    "whole",
]

_Values: TypeAlias = Any
"""An array of numpy or JAX."""


def checked(rows: Rows) -> Rows:
    """The same rows as arrays of numpy that fit together.

    A single column of actions, labels or latents may come without its axis.

    Raises:
      ValueError: what does not fit, and where.
    """
    arrays: dict[str, Any] = {
        name: None if value is None and name != "x" else tidy_field(name, value)
        for name, value in rows._replace(names=None)._asdict().items()
    }
    there = {name: value for name, value in arrays.items() if value is not None}
    _check_x(there["x"], (rows.names or Names()).x)
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
    for name in {"u", "group", "split"} & set(there):
        if there[name].ndim != 1:
            raise ValueError(
                f"data.{name} must hold one number for each row of data.x, got shape "
                f"{there[name].shape}"
            )
    if "split" in there and there["split"].max() > 2:
        raise ValueError("data.split must hold 0 training, 1 valid and 2 test")
    return Rows(**{**arrays, **there, "names": rows.names})


def _check_x(x: Shaped[np.ndarray, "..."], columns: Sequence[str] = ()) -> None:
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
    _check_names(name, values, columns)
    check_numbers(name, values, columns)


def check_domains(rows: Rows) -> None:
    """Raises ValueError for a single domain, or numbers that are skipped.

    Args:
      rows: the rows, as `checked` returns them.
    """
    if rows.u is None:
        return
    there, words = np.unique(rows.u), (rows.names or Names()).u
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


def checked_truth(truth: Truth, rows: Rows) -> Truth:
    """Known graphs and masks as matrices of 0 and 1 that fit the rows.

    Args:
      truth: what is known.
      rows: the rows, as `checked` returns them.

    Raises:
      ValueError: other numbers, or other shapes.
    """
    sizes = {
        name: 0 if values is None else values.shape[-1]
        for name, values in zip("xaz", (rows.x, rows.a, rows.z), strict=True)
    }
    found: dict[str, Any] = {}
    for name, axes in (("gz", "zz"), ("ga", "za"), ("mask", "xz")):
        if getattr(truth, name) is None:
            continue
        matrix = np.asarray(getattr(truth, name))
        if matrix.ndim != 2 or not np.isin(matrix, (0, 1)).all():
            raise ValueError(
                f"data.truth: {name} must be a matrix of 0 and 1, got {matrix.dtype} "
                f"of shape {matrix.shape}"
            )
        # How many latents there are may be known from nothing but these.
        sizes["z"] = sizes["z"] or matrix.shape[axes.index("z")]
        wanted = tuple(sizes[axis] for axis in axes)
        if matrix.shape != wanted:
            raise ValueError(
                f"data.truth: {name} must have the shape [{axes[0]}, {axes[1]}] = "
                f"{wanted} of the data, got {matrix.shape}"
            )
        found[name] = matrix.astype(np.int32)
    return truth._replace(**found)


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
        raise ValueError(f"data.{field} must be numbers, got {_kind(values)}")
    check_finite(field, values, columns, gaps=missing)


def _kind(values: _Values) -> str:
    return "words" if values.dtype.kind in "OSU" else str(values.dtype)


def _check_names(field: str, values: _Values, columns: Sequence[object]) -> None:
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
    _check_names("y", y, columns)
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
            f"data.{field} must hold whole numbers from 0, got {_kind(values)}"
            + (f" from {values.min():g}" if fine else "")
            + "; jaxdis.read makes them of words"
        )
    if words and values.size and values.max() >= len(words):
        raise ValueError(
            f"data.{field} must be below {len(words)}, the number of those that have "
            f"names, {', '.join(words[:10])}; got {int(values.max())}"
        )
    return values.astype(np.int32)
