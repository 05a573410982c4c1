"""The one place that turns a wrong value into one clear sentence.

Every function raises ValueError that names the argument, what was wrong and what would
be right, and returns nothing.
"""

import difflib
import math
import numbers
import os
import types
import typing
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jaxdis.types import Spec

__all__ = [
    "at_least",
    "batch",
    "count",
    "distinct",
    "enough_observed",
    "fields",
    "finite",
    "first_seed",
    "float32",
    "fraction",
    "has",
    "needs",
    "one_of",
    "positive",
    "shares",
    "unknown",
    "whole",
    "widths",
]


def at_least(name: str, value: float | np.number, least: float) -> None:
    """Whether `value >= least`; NaN is not.

    Args:
      name: the argument, as messages call it.
      value: its value.
      least: the least value that is allowed.
    """
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def whole(name: str, value: object) -> None:
    """Whether the value is a whole number, and no float."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name} must be a whole number, got {value!r}")


def count(name: str, value: float | np.number, most: int = 2**31 - 1) -> None:
    """Whether a number of things is whole, at least 1, and not too large.

    Args:
      name: the argument, as messages call it.
      value: its value.
      most: the largest value that is allowed; by default that of 32 bits.
    """
    whole(name, value)
    at_least(name, value, 1)
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value}")


def enough_observed(z_dim: int, x_dim: int) -> None:
    """Whether data have no more latents than observed variables.

    Args:
      z_dim: the number of latents.
      x_dim: the number of observed variables.
    """
    if z_dim > x_dim:
        raise ValueError(
            "data.z_dim must not exceed data.x_dim, or no encoder can recover the "
            f"latents; got {z_dim} > {x_dim}"
        )


def first_seed(first: float | np.number, seeds: int) -> None:
    """Whether the numbers of all seeds fit the 32 bits that tell keys apart.

    Args:
      first: the number of the first seed.
      seeds: how many follow each other.
    """
    whole("first_seed", first)
    if not 0 <= first <= UINT32_MAX - (seeds - 1):
        raise ValueError(
            "first_seed must be at least 0, and the number of the last seed at most "
            f"{UINT32_MAX}, what 32 bits hold; got seeds {first} to {first + seeds - 1}"
        )


def distinct(name: str, values: Sequence[str]) -> None:
    """Whether nothing is named twice.

    Args:
      name: the argument, as messages call it.
      values: the names.
    """
    twice = [v for v, times in Counter(values).items() if times > 1]
    if twice:
        raise ValueError(f"{name} must name each column once, got {twice[0]!r} twice")


def positive(name: str, value: float) -> None:
    """Whether `value > 0`; NaN is not."""
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")


def finite(name: str, values: Sequence[float]) -> None:
    """Whether all values are finite in float32 and not negative."""
    for value in values:
        float32(name, value)
    if not all(v >= 0 for v in values):
        raise ValueError(f"{name} must be finite and not negative, got {list(values)}")


def float32(name: str, value: float) -> None:
    """Whether float32 holds the value: it is finite, and 0 only where the value is.

    Args:
      name: the argument, as messages call it.
      value: its value.
    """
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    if abs(value) > FLOAT32_MAX:
        raise ValueError(
            f"{name} must be at most {FLOAT32_MAX:.2g}, got {value}, "
            "which overflows float32"
        )
    if 0 < abs(value) < FLOAT32_TINY:
        raise ValueError(
            f"{name} must be 0 or at least {FLOAT32_TINY:.2g}, got "
            f"{value}, which is 0 in float32"
        )


def batch(size: int, rows: int | None) -> None:
    """Whether a batch has a row at least, and there are as many training rows.

    Args:
      size: the number of rows in a batch.
      rows: the number of training rows; None where it has no end.
    """
    at_least("config.batch", size, 1)
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


class _Kind(typing.NamedTuple):
    """What a value of a type may be, and how one and several are called."""

    types: tuple[type, ...]
    one: str
    several: str


_KINDS: dict[object, _Kind] = {
    bool: _Kind((bool, np.bool_), "true or false", "truth values"),
    int: _Kind((numbers.Integral,), "a whole number", "whole numbers"),
    float: _Kind((numbers.Real,), "a number", "numbers"),
    str: _Kind((str, os.PathLike), "a word", "words"),
    type(None): _Kind((type(None),), "None", "None"),
}


def _options(kind: object) -> tuple[object, ...]:
    """The types that a field may have: those of a union, or its only one."""
    union = isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union
    return typing.get_args(kind) if union else (kind,)


def _items(kind: object) -> tuple[object, ...]:
    """The types that an item of a tuple may have."""
    inner = typing.get_args(kind)
    return tuple(one for part in inner for one in _options(part) if one is not ...)


def _fits(kind: object, value: object) -> bool:
    """Whether a value is of a type, where that is one that can be told."""
    if hasattr(value, "shape"):
        return True
    if typing.get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(
            any(_fits(option, one) for option in _items(kind)) for one in value
        )
    if kind not in _KINDS:
        return True
    return isinstance(value, _KINDS[kind].types) and (
        kind is bool or not isinstance(value, bool)
    )


def _called(kind: object) -> str:
    """What a type is called, of which `_fits` finds that a value is not."""
    if typing.get_origin(kind) is not tuple:
        return _KINDS[kind].one
    told = [_KINDS[item].several for item in _items(kind) if item in _KINDS]
    return f"a list of {' or '.join(told)}" if told else "a list"


def _words(options: Sequence[object]) -> tuple[object, ...]:
    """The words that a field may hold, where it holds nothing else but None."""
    absent = tuple(None for one in options if one is type(None))
    told = [one for one in options if typing.get_origin(one) is typing.Literal]
    if not told or len(told) + len(absent) < len(options):
        return ()
    return (*absent, *(word for one in told for word in typing.get_args(one)))


def fields(name: str, kind: type, values: Mapping[str, object]) -> None:
    """Whether values have the types of the fields of a dataclass.

    Args:
      name: what has the fields, as "config".
      kind: the dataclass.
      values: values by the names of its fields.
    """
    hints = typing.get_type_hints(kind)
    for field, value in values.items():
        options = _options(hints[field])
        if words := _words(options):
            one_of(f"{name}.{field}", value, words)
        elif not any(_fits(option, value) for option in options):
            right = " or ".join(map(_called, options))
            raise ValueError(f"{name}.{field} must be {right}, got {value!r}")


def unknown(kind: str, name: str, names: Iterable[str], more: str = "") -> ValueError:
    """The error for a name that does not exist, with the nearest one that does.

    Args:
      kind: what is named, as "preset".
      name: what was typed.
      names: what there is.
      more: a sentence that follows.
    """
    near = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.0)
    hint = f"; the nearest name is {near[0]!r}" if near else ""
    return ValueError(f"there is no {kind} {name!r}{hint}{'. ' * bool(more)}{more}")


UINT32_MAX = 2**32 - 1
FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT32_TINY = float(np.finfo(np.float32).tiny)  # devices take less for 0
_WORDS = {
    "a": "actions `a`",
    "u": "domains `u`",
    "y": "labels `y`",
    "k": "transformations `k`",
    "z": "true latents `z`",
}
_ARGUMENTS = {name: name for name in (*_WORDS, "x")} | {"sequences": "episode"}
"""What says which columns of a user's own give that."""


def needs(method: str, wanted: Sequence[str | tuple[str, ...]], spec: Spec) -> None:
    """Whether the data have what a method needs, as `Method.needs` lists it.

    Args:
      method: the name of the method.
      wanted: what it needs.
      spec: what is known of the data.
    """
    for need in wanted:
        options = (need,) if isinstance(need, str) else need
        if not set(options) & set(spec.offers):
            words = " or ".join(_WORDS.get(option, option) for option in options)
            raise ValueError(f"{method} needs {words}; {has(spec, options)}")


def has(spec: Spec, wanted: Iterable[str]) -> str:
    """What data have, and of a user's own how they may have more, for a message.

    Args:
      spec: what is known of the data.
      wanted: what they lack, as `Method.needs` lists it.
    """
    told = f"this data set has {', '.join(spec.offers)}"
    named = [_ARGUMENTS[name] for name in wanted if name in _ARGUMENTS]
    if spec.source is None or not named:
        return told
    options = " or ".join(f"--data.{name}" for name in named)
    arguments = " or ".join(f"{name}=" for name in named)
    source = spec.source and f"; {spec.source}"
    return (
        f"{told}: say where it is, by {options} COLUMN ({arguments} of jaxdis.read)"
        f"{source}"
    )
