"""What the prior sees besides the latents: actions, domains, labels, or the past."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxdis.types import Label, Rows, Spec

__all__ = ["AUXILIARIES", "Auxiliary", "Encode", "Seen", "chosen", "of_labels"]


class Seen(NamedTuple):
    """Observations one by one, with what is given of each.

    Attributes:
      x: the observations.
      given: numbers `[b, v]`, or observations `[b, ...]` whose codes are the variable.
      z: the true latents, where they are known.
    """

    x: Shaped[Array, "b ..."]
    given: Shaped[Array, "b ..."]
    z: Float[Array, "b z"] | None


Encode: TypeAlias = Callable[[Array], Array]


def _itself(encode: Encode, given: Array) -> Array:
    return given


def _codes(encode: Encode, given: Array) -> Array:
    return encode(given)


class Auxiliary(NamedTuple):
    """A variable given which latents are independent.

    Attributes:
      wants: what the data must have, in words.
      there: whether they have it.
      size: `(spec, z_dim) -> numbers` of the variable.
      see: `(spec, rows) -> Seen`.
      variable: `(encode, given) -> [b, v]`, encode from observations to codes.
    """

    wants: str
    there: Callable[[Spec], bool]
    size: Callable[[Spec, int], int]
    see: Callable[[Spec, Rows], Seen]
    variable: Callable[[Encode, Array], Array] = _itself


def _frames(spec: Spec, rows: Rows) -> tuple[Array, Array | None]:
    """Observations and latents `[b, t, ...]`; latents without time hold throughout."""
    if spec.steps is None:
        return rows.x[:, None], None if rows.z is None else rows.z[:, None]
    z = rows.z
    if z is not None and z.ndim == 2:
        z = jnp.broadcast_to(z[:, None], (len(z), spec.steps, z.shape[1]))
    return rows.x, z


def _flat(a: Array) -> Array:
    return a.reshape(-1, *a.shape[2:])


def _latents(z: Array | None) -> Array | None:
    return None if z is None else _flat(z)


def _each(spec: Spec, rows: Rows, variable: Float[Array, "b v"]) -> Seen:
    """Every frame, with the variable of its row."""
    x, z = _frames(spec, rows)
    return Seen(_flat(x), jnp.repeat(variable, x.shape[1], 0), _latents(z))


def _actions(spec: Spec, rows: Rows) -> Seen:
    assert rows.a is not None
    x, z = _frames(spec, rows)
    z = None if z is None else z[:, -1:]
    return Seen(x[:, -1], rows.a.astype(float), _latents(z))


def _domains(spec: Spec, rows: Rows) -> Seen:
    assert rows.u is not None
    return _each(spec, rows, jax.nn.one_hot(rows.u, len(spec.domains)))


def of_labels(
    y: Shaped[Array, "b l"], labels: tuple[Label, ...]
) -> Float[Array, "b v"]:
    """Classes as one-hot vectors, numbers as they are; what is missing is 0.

    Args:
      y: the labels, NaN where one is missing.
      labels: what the columns are.
    """
    y = y.astype(float)
    known = jnp.nan_to_num(y)
    columns = [
        known[:, i, None]
        if label.classes is None
        else jax.nn.one_hot(known[:, i].astype(int), label.classes)
        * ~jnp.isnan(y[:, i, None])
        for i, label in enumerate(labels)
    ]
    return jnp.concatenate(columns, 1)


def _labels(spec: Spec, rows: Rows) -> Seen:
    assert rows.y is not None
    return _each(spec, rows, of_labels(rows.y, spec.labels))


def _past(spec: Spec, rows: Rows) -> Seen:
    x, z = _frames(spec, rows)
    z = None if z is None else z[:, 1:]
    return Seen(_flat(x[:, 1:]), _flat(x[:, :-1]), _latents(z))


AUXILIARIES = {
    "a": Auxiliary(
        "actions `a`",
        lambda spec: spec.a_dim > 0,
        lambda spec, d: spec.a_dim,
        _actions,
    ),
    "u": Auxiliary(
        "domains `u`",
        lambda spec: bool(spec.domains),
        lambda spec, d: len(spec.domains),
        _domains,
    ),
    "y": Auxiliary(
        "labels `y`",
        lambda spec: bool(spec.labels),
        lambda spec, d: sum(label.classes or 1 for label in spec.labels),
        _labels,
    ),
    "past": Auxiliary(
        "sequences of at least 2 steps",
        lambda spec: (spec.steps or 1) > 1,
        lambda spec, d: d,
        _past,
        _codes,
    ),
}
"""Actions move the last frame of a sequence, which alone is seen; domains and labels
hold for all frames; the past is that of every frame but the first."""


def chosen(name: str | None, spec: Spec) -> str:
    """The name of the auxiliary variable: that of the config, or the first there is.

    Args:
      name: a key of `AUXILIARIES`, or None.
      spec: what is known of the data.

    Raises:
      ValueError: the data lack it, or have none at all.
    """
    there = [key for key, one in AUXILIARIES.items() if one.there(spec)]
    has = ", ".join(spec.offers)
    if not there:
        words = " or ".join(one.wants for one in AUXILIARIES.values())
        raise ValueError(f"ivae needs {words}; this data set has {has}")
    if name is None:
        return there[0]
    if name not in AUXILIARIES or name not in there:
        wants = f" needs {AUXILIARIES[name].wants}" if name in AUXILIARIES else ""
        raise ValueError(
            f"config.auxiliary={name!r}{wants or ' is unknown'}; with this data set, "
            f"which has {has}, it can be {' or '.join(map(repr, there))}"
        )
    return name
