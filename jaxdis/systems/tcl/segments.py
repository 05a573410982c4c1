"""Which segment a row is of, and whether there are enough rows of each."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxdis import check
from jaxdis.data import rows
from jaxdis.systems.tcl.config import Config
from jaxdis.types import Batches, Rows, Source, Spec, Splits

__all__ = ["LEAST", "SEGMENTS", "Segments", "batches", "chosen"]

LEAST = 2  # rows of a segment: of a single one nothing is seen to vary


class Segments(NamedTuple):
    """Where rows tell their segment.

    Attributes:
      field: the field of the rows, in words.
      names: the names of the segments.
      value: `rows -> (segment, whether it is known)`, of any leading axes.
    """

    field: str
    names: tuple[str, ...]
    value: Callable[[Rows], tuple[Int[Array, "*b"], Bool[Array, "*b"]]]


def _domains(spec: Spec) -> Segments:
    def value(rows: Rows) -> tuple[Array, Array]:
        assert rows.u is not None
        return jnp.asarray(rows.u, int), jnp.ones(rows.u.shape, bool)

    return Segments("data.u: domain", spec.domains, value)


def _classes(spec: Spec) -> Segments:
    """Those of the first column that holds classes."""
    kinds = [label.classes for label in spec.labels]
    if not any(kinds):
        raise ValueError(
            "tcl needs domains `u`, or a column of labels `y` that holds classes; the "
            "labels of this data set are numbers"
        )
    column = next(i for i, classes in enumerate(kinds) if classes)
    label = spec.labels[column]
    numbers = tuple(map(str, range(label.classes or 0)))

    def value(rows: Rows) -> tuple[Array, Array]:
        assert rows.y is not None
        found = jnp.asarray(rows.y, float)[..., column]
        there = ~jnp.isnan(found)
        return jnp.where(there, found, 0).astype(int), there

    field = f"data.y, column {label.name!r}: class"
    return Segments(field, label.values or numbers, value)


SEGMENTS: dict[str, Callable[[Spec], Segments]] = {"u": _domains, "y": _classes}
"""Domains, or the classes of a label."""


def chosen(config: Config, spec: Spec) -> str:
    """The field that is meant: the one that is named, or the first that there is.

    Args:
      config: the method's config.
      spec: what is known of the data.

    Raises:
      ValueError: an unknown name, or one that the data lack.
    """
    check.one_of("config.segments", config.segments, (None, *SEGMENTS))
    wanted = (tuple(SEGMENTS) if config.segments is None else config.segments,)
    check.needs("tcl", wanted, spec)
    return config.segments or next(n for n in SEGMENTS if n in spec.offers)


def batches(config: Config, spec: Spec, splits: Splits) -> Batches:
    """Uniform draws of `config.batch` rows, and all held-out rows.

    Args:
      config: the method's config.
      spec: what is known of the data.
      splits: their rows.

    Raises:
      ValueError: as `data.rows.batches`; a segment with fewer than 2 training rows.
    """
    if not isinstance(splits.train, Source):
        _check_rows(SEGMENTS[chosen(config, spec)](spec), splits.train)
    return rows.batches(config, spec, splits)


def _check_rows(segments: Segments, train: Rows) -> None:
    """Raises ValueError unless every segment has rows enough, in every world."""
    label, there = map(np.asarray, segments.value(train))
    known, names = np.where(there, label, -1), segments.names
    for world in known.reshape(-1, known.shape[-1]):
        counts = np.bincount(world[world >= 0], minlength=len(names))
        few = int(counts.argmin())
        if counts[few] < LEAST:
            raise ValueError(
                f"{segments.field} {names[few]!r} has {counts[few]} training rows, and "
                f"tcl needs at least {LEAST} of each, to see how they vary; bring more "
                "rows of it, or leave it out"
            )
