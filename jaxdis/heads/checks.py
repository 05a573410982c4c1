"""What is refused before heads are fitted."""

from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdis.types import Scalar

__all__ = ["as_float", "as_tasks", "check_tasks"]

LARGEST = 1e15  # squares are summed in float32

_Known: TypeAlias = Array | np.ndarray


def _is_known(*arrays: object) -> bool:
    return not any(isinstance(a, jax.core.Tracer) for a in arrays)


def as_tasks(name: str, value: _Known) -> _Known:
    """The numbers of tasks, as wide as they came.

    Args:
      name: the argument, as messages call it.
      value: an array of any library.

    Raises:
      ValueError: for what holds no real numbers, and for no tasks, samples or features.
    """
    kept = value if isinstance(value, jax.Array) else np.asarray(value)
    real = jnp.issubdtype(kept.dtype, jnp.floating) or kept.dtype.kind in "biu"
    if not real:
        raise ValueError(
            f"{name} holds values of type {kept.dtype}; it must hold integers or real "
            "numbers"
        )
    if 0 in kept.shape:
        raise ValueError(
            f"{name} has shape {kept.shape}; at least one task, one sample and one "
            "feature are needed"
        )
    return kept


def as_float(x: _Known) -> Array:
    """The array in float32, or as wide as it came to JAX."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _check_shapes(
    features: _Known,
    targets: _Known,
    classes: int | None,
    mask: _Known | None,
    numbers: _Known | None,
) -> None:
    if features.ndim != 3:
        raise ValueError(
            f"features must be [tasks, samples, features], got shape {features.shape}"
        )
    if targets.shape != features.shape[:2]:
        raise ValueError(
            f"targets must be [tasks, samples] = {features.shape[:2]}, one for each "
            f"row of features; got shape {targets.shape}"
        )
    if classes is None:
        if not jnp.issubdtype(targets.dtype, jnp.floating):
            raise ValueError(
                f"targets are {targets.dtype}; regression takes floats, for "
                "classification give the number of classes"
            )
        return
    wanted: type = jnp.integer
    words = "classification takes integer"
    if numbers is not None:
        wanted, words = jnp.floating, "tasks of both kinds take float"
    if not jnp.issubdtype(targets.dtype, wanted) or classes < 2:
        raise ValueError(
            f"{words} targets and at least 2 classes, got {targets.dtype} and "
            f"classes={classes}"
        )
    if numbers is not None and numbers.shape != features.shape[:1]:
        raise ValueError(
            f"numbers must say of each of the {len(features)} tasks whether it is "
            f"regression, got shape {numbers.shape}"
        )
    if mask is not None and mask.shape != (features.shape[0], classes):
        raise ValueError(
            f"class_mask must be [tasks, classes] = {(features.shape[0], classes)}, "
            f"got shape {mask.shape}"
        )


def _check_values(
    features: _Known, targets: _Known, classes: int | None, numbers: _Known | None
) -> None:
    """What can only be seen of values that are known."""
    for name, value in (("features", features), ("targets", targets)):
        size = np.abs(np.asarray(value, float)).reshape(len(value), -1)
        bad = ~np.isfinite(size).all(1)
        if bad.any():
            raise ValueError(
                f"{name} of tasks {np.flatnonzero(bad).tolist()} hold NaN or infinite "
                "values; remove those samples first"
            )
        largest = size.max(1)
        huge = largest > LARGEST
        if huge.any():
            raise ValueError(
                f"{name} of tasks {np.flatnonzero(huge).tolist()} reach "
                f"{largest.max():.2g}, of which float32 cannot hold sums of squares; "
                f"they must be at most {LARGEST:g}: standardise them"
            )
    if classes is None:
        return
    labels = np.asarray(targets)
    which = np.arange(len(labels))
    if numbers is not None:
        which = np.flatnonzero(~np.asarray(numbers))
        labels = labels[which]
    if not labels.size:
        return
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"targets must lie in 0 .. {classes - 1}, got {labels.min()} .. "
            f"{labels.max()}"
        )
    single = which[(labels == labels[:, :1]).all(1)].tolist()
    if single:
        raise ValueError(
            f"targets of tasks {single} hold one class only; each task needs samples "
            "of at least two to fit a head"
        )


def check_tasks(
    features: _Known,
    targets: _Known,
    classes: int | None,
    mask: _Known | None,
    penalties: dict[str, Scalar | None],
    numbers: _Known | None = None,
) -> None:
    """Refuses tasks that no head can be fitted to.

    Args:
      features: [t, n, m].
      targets: [t, n], floats, or integers in 0 .. classes - 1.
      classes: the number of classes; None for regression.
      mask: which of the classes a task has, [t, c]; None for all.
      penalties: weights by their name, which must not be negative.
      numbers: which tasks are regression, if they are of both kinds; targets are floats
        then.

    Raises:
      ValueError: shapes or types that do not fit; and as far as values are known, that
        is, outside of jit: NaN, a task with one class only, labels out of range,
        negative penalties.
    """
    _check_shapes(features, targets, classes, mask, numbers)
    for name, value in penalties.items():
        if value is None or not _is_known(value):
            continue
        if not (np.isfinite(value) & (np.asarray(value) >= 0)).all():
            raise ValueError(f"{name} must be finite and not negative, got {value}")
    if _is_known(features, targets):
        _check_values(features, targets, classes, numbers)
