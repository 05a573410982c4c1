"""What the prior sees besides the latents: actions, domains, labels, or the past."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxdis import check
from jaxdis.contrast import VARIABLES
from jaxdis.types import Rows, Spec

__all__ = ["AUXILIARIES", "Auxiliary", "Encode", "Seen", "chosen"]


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


def _each(name: str) -> Callable[[Spec, Rows], Seen]:
    """Every frame, with what is known of its row."""

    def see(spec: Spec, rows: Rows) -> Seen:
        x, z = _frames(spec, rows)
        known = VARIABLES[name].value(rows, spec)
        return Seen(_flat(x), jnp.repeat(known, x.shape[1], 0), _latents(z))

    return see


def _last(spec: Spec, rows: Rows) -> Seen:
    """The last frame, with the action before it."""
    x, z = _frames(spec, rows)
    z = None if z is None else z[:, -1:]
    return Seen(x[:, -1], VARIABLES["a"].value(rows, spec), _latents(z))


def _past(spec: Spec, rows: Rows) -> Seen:
    x, z = _frames(spec, rows)
    z = None if z is None else z[:, 1:]
    return Seen(_flat(x[:, 1:]), _flat(x[:, :-1]), _latents(z))


def _of(wants: str, name: str, see: Callable[[Spec, Rows], Seen]) -> Auxiliary:
    """What is known of a row as one vector."""
    return Auxiliary(
        wants,
        lambda spec: name in spec.offers,
        lambda spec, d: VARIABLES[name].size(spec),
        see,
    )


AUXILIARIES = {
    "a": _of("actions `a`", "a", _last),
    "u": _of("domains `u`", "u", _each("u")),
    "y": _of("labels `y`", "y", _each("y")),
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
OFFERS = {name: name for name in VARIABLES} | {"past": "sequences"}
"""What each of them is called in `Spec.offers`."""


def chosen(name: str | None, spec: Spec) -> str:
    """The name of the auxiliary variable: that of the config, or the first there is.

    Args:
      name: a key of `AUXILIARIES`, or None.
      spec: what is known of the data.

    Raises:
      ValueError: the data lack it, or have none at all.
    """
    there = [key for key, one in AUXILIARIES.items() if one.there(spec)]
    if not there:
        words = " or ".join(one.wants for one in AUXILIARIES.values())
        raise ValueError(f"ivae needs {words}; {check.has(spec, OFFERS.values())}")
    if name is None:
        return there[0]
    if name not in AUXILIARIES or name not in there:
        wants = f" needs {AUXILIARIES[name].wants}" if name in AUXILIARIES else ""
        lacking = [OFFERS[name]] if name in OFFERS else []
        raise ValueError(
            f"config.auxiliary={name!r}{wants or ' is unknown'} and can be "
            f"{' or '.join(map(repr, there))} here; {check.has(spec, lacking)}"
        )
    return name
