"""The one place that turns a wrong value into one clear sentence.

Every function raises ValueError that names the argument, what was wrong and what would
be right, and returns nothing.
"""

import difflib
from collections.abc import Iterable, Sequence

from jaxdis.types import Spec

__all__ = [
    "at_least",
    "batch",
    "finite",
    "fraction",
    "needs",
    "one_of",
    "positive",
    "shares",
    "unknown",
    "widths",
]


def at_least(name: str, value: int | float, least: int | float) -> None:
    """Whether `value >= least`; NaN is not.

    Args:
      name: the argument, as messages call it.
      value: its value.
      least: the least value that is allowed.
    """
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def positive(name: str, value: float) -> None:
    """Whether `value > 0`; NaN is not."""
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")


def finite(name: str, values: Sequence[float]) -> None:
    """Whether all values are finite in float32 and not negative."""
    if not all(0 <= v <= FLOAT32_MAX for v in values):
        raise ValueError(f"{name} must be finite and not negative, got {list(values)}")


def batch(size: int, rows: int | None) -> None:
    """Whether there are as many training rows as a batch has.

    Args:
      size: the number of rows in a batch.
      rows: the number of training rows; None where it has no end.
    """
    if rows is not None and rows < size:
        raise ValueError(
            f"batch must be at most the number of training rows, {rows}; got {size}: "
            f"set config.batch to {rows} or less, or bring more rows"
        )


def fraction(name: str, value: float, of: str) -> None:
    """Whether `0 <= value <= 1`.

    Args:
      name: the argument.
      value: its value.
      of: what it is a fraction of, as "the steps".
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is a fraction of {of}, in [0, 1]; got {value}")


def shares(name: str, value: float) -> None:
    """Whether a share of the rows can be taken twice and leave some: in (0, .5)."""
    if not 0.0 < value < 0.5:
        raise ValueError(
            f"{name} is the share of each of two held-out splits, in (0, .5); got "
            f"{value}"
        )


def widths(name: str, value: Sequence[int]) -> None:
    """Whether all layer widths are positive."""
    if any(width < 1 for width in value):
        raise ValueError(f"{name} must be positive widths, got {tuple(value)}")


def one_of(name: str, value: object, words: Iterable[object]) -> None:
    """Whether the value is one of those that are known.

    Args:
      name: the argument, as messages call it.
      value: its value.
      words: what it may be.
    """
    known = list(words)
    if value not in known:
        shown = ", ".join(map(repr, known))
        raise ValueError(f"{name} must be one of {shown}, got {value!r}")


def unknown(kind: str, name: str, names: Iterable[str], more: str = "") -> ValueError:
    """The error for a name that does not exist, with the nearest one that does.

    Args:
      kind: what is named, as "preset".
      name: what was typed.
      names: what there is.
      more: a sentence that follows.
    """
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.0)
    hint = f"; the nearest name is {near[0]!r}" if near else ""
    return ValueError(f"there is no {kind} {name!r}{hint}{'. ' * bool(more)}{more}")


FLOAT32_MAX = 3.4028234e38
_WORDS = {
    "a": "actions `a`",
    "u": "domains `u`",
    "y": "labels `y`",
    "k": "transformations `k`",
    "z": "true latents `z`",
}


def needs(method: str, wanted: Sequence[str | tuple[str, ...]], spec: Spec) -> None:
    """Whether the data have what a method needs, as `Method.needs` lists it.

    Args:
      method: the name of the method.
      wanted: what it needs.
      spec: what is known of the data.
    """
    there = spec.offers
    for need in wanted:
        options = (need,) if isinstance(need, str) else need
        if not set(options) & set(there):
            words = " or ".join(_WORDS.get(option, option) for option in options)
            raise ValueError(
                f"{method} needs {words}; this data set has {', '.join(there)}"
            )
