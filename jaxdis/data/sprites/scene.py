"""Which factors of sprites vary, in which range, and what is told of them.

Each factor has a place in [0, 1] along its range: `laws` draws places, and here they
become pictures, latents and labels.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import check
from jaxdis.data.sprites.drawing import Look, draw
from jaxdis.data.sprites.shapes import SHAPES
from jaxdis.types import Label

__all__ = [
    "FACTORS",
    "Scene",
    "check_names",
    "check_scene",
    "image_shape",
    "label_columns",
    "labels",
    "latents",
    "pictures",
    "settled",
]

MARGIN = 0.25  # of positions: no sprite leaves the image
RANGES = {
    "scale": (0.5, 1.0),
    "orientation": (0.0, 1.0),  # times `Scene.turn`
    "x_position": (MARGIN, 1.0 - MARGIN),
    "y_position": (MARGIN, 1.0 - MARGIN),
    "hue": (0.0, 2 / 3),  # from red to blue: the ends look different
    "background": (0.0, 0.5),
}
FACTORS = ("shape", *RANGES)
"""The factors in their usual order, which is that of dSprites; its colour is always
white, and a hue and a background come after its factors."""
_FIXED = {  # what does not vary
    "scale": 0.75,
    "orientation": 0.0,
    "x_position": 0.5,
    "y_position": 0.5,
    "hue": 0.0,
    "background": 0.0,
}
LEAST_SIZE = 8


class Scene(NamedTuple):
    """What sprites can look like.

    Attributes:
      size: the height and width of an image in pixels, at least 8.
      factors: the names of the factors that vary, of `FACTORS`; the others have the
        middle of their range, the first shape and a black background. Images are in
        colour where the hue varies.
      shapes: the names of the shapes, of `SHAPES`.
      turn: the largest orientation, in turns.
      values: the number of values of each factor, evenly spread over its range; 0 for a
        factor that is continuous. () for none but the shapes.
    """

    size: int
    factors: tuple[str, ...]
    shapes: tuple[str, ...]
    turn: float = 1.0
    values: tuple[int, ...] = ()


def check_names(field: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Raises ValueError unless names are known, at least one, and none twice.

    Args:
      field: the field, as messages call it.
      names: what it holds.
      known: what it may hold.
    """
    unknown = [name for name in names if name not in known]
    if not names or unknown or len(set(names)) < len(names):
        wrong = f"{unknown[0]!r}" if unknown else f"{tuple(names)}"
        raise ValueError(
            f"{field} must name at least one of {', '.join(known)}, none twice; got "
            f"{wrong}"
        )


def check_scene(scene: Scene) -> None:
    """Raises ValueError, naming the field, for what cannot be drawn."""
    check.whole("data.size", scene.size)
    check.at_least("data.size", scene.size, LEAST_SIZE)
    check_names("data.factors", scene.factors, FACTORS)
    check_names("data.shapes", scene.shapes, tuple(SHAPES))
    if not 0.0 < scene.turn <= 1.0:
        raise ValueError(
            "data.turn is the largest orientation in turns, in (0, 1]; got "
            f"{scene.turn}"
        )
    if "shape" in scene.factors and len(scene.shapes) < 2:
        raise ValueError(
            "data.factors has 'shape', and data.shapes must then name at least two, "
            f"got {scene.shapes}"
        )
    _check_values(scene)


def _check_values(scene: Scene) -> None:
    if scene.values and len(scene.values) != len(scene.factors):
        raise ValueError(
            "data.values must have a number of values for each of the "
            f"{len(scene.factors)} factors, 0 for continuous; got {scene.values}"
        )
    for name, count in zip(scene.factors, scene.values, strict=False):
        if name == "shape" and count not in (0, len(scene.shapes)):
            raise ValueError(
                f"data.values must be the number of shapes, {len(scene.shapes)}, or 0 "
                f"for the factor 'shape'; got {count}"
            )
        if count < 0 or count == 1:
            raise ValueError(
                "data.values must be 0, for continuous, or at least 2, or the factor "
                f"does not vary; got {count} for {name!r}"
            )


def image_shape(scene: Scene) -> tuple[int, int, int]:
    """The shape `(h, w, c)` of an image."""
    return scene.size, scene.size, 3 if "hue" in scene.factors else 1


def _counts(scene: Scene) -> tuple[int, ...]:
    """The number of values of each factor; 0 for continuous."""
    asked = scene.values or (0,) * len(scene.factors)
    shapes = len(scene.shapes)
    pairs = zip(scene.factors, asked, strict=True)
    return tuple(shapes if name == "shape" else count for name, count in pairs)


def label_columns(scene: Scene) -> tuple[Label, ...]:
    """A label of every factor: a class of those with values, else a number."""
    return tuple(
        Label(
            name,
            count or None,
            ordered=count > 0 and name != "shape",
            values=scene.shapes if name == "shape" else (),
        )
        for name, count in zip(scene.factors, _counts(scene), strict=True)
    )


def _classes(scene: Scene, place: Float[Array, "*b f"]) -> Float[Array, "*b f"]:
    """`floor(n place)`; of continuous factors 0."""
    n = _row(place, _counts(scene))
    return jnp.clip(jnp.floor(n * place), 0.0, jnp.maximum(n - 1.0, 0.0))


def _row(place: Float[Array, "*b f"], values: Sequence[float]) -> Float[Array, "..."]:
    """A value for each factor, of the rank of places."""
    return jnp.array(values, float).reshape((1,) * (place.ndim - 1) + (-1,))


def settled(scene: Scene, place: Float[Array, "*b f"]) -> Float[Array, "*b f"]:
    """Places of factors with n values at the middle of their n-th of the range.

    Args:
      scene: which factors have values.
      place: any places.
    """
    n = _row(place, _counts(scene))
    middle = (_classes(scene, place) + 0.5) / jnp.maximum(n, 1.0)
    return jnp.where(n > 0, middle, place)


def _ends(scene: Scene) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The least and the largest value of each factor; of the shape 0 and 1."""
    ranges = {**RANGES, "shape": (0.0, 1.0), "orientation": (0.0, scene.turn)}
    low, high = zip(*(ranges[name] for name in scene.factors), strict=True)
    return low, high


def _values(scene: Scene, place: Float[Array, "*b f"]) -> Float[Array, "*b f"]:
    low, high = (_row(place, ends) for ends in _ends(scene))
    return low + (high - low) * place


def latents(scene: Scene, place: Float[Array, "*b f"]) -> Float[Array, "*b f"]:
    """Factors of mean 0 and variance 1 where places are uniform.

    `sqrt(12) (place - 1/2)`, divided by `sqrt(1 - 1 / n^2)` of n values.

    Args:
      scene: which factors there are.
      place: settled places.
    """
    scales = [math.sqrt(12.0 / (1.0 - (1.0 / n**2 if n else 0.0))) for n in
              _counts(scene)]  # fmt: skip
    return _row(place, scales) * (place - 0.5)


def labels(scene: Scene, place: Float[Array, "*b f"]) -> Float[Array, "*b f"]:
    """Classes, and the values of continuous factors as `Look` has them.

    Args:
      scene: which factors there are.
      place: settled places.
    """
    numbers = _row(place, _counts(scene)) == 0
    return jnp.where(numbers, _values(scene, place), _classes(scene, place))


def pictures(scene: Scene, place: Float[Array, "*b f"]) -> Float[Array, "*b h w c"]:
    """Images in [0, 1] of sprites.

    Args:
      scene: which factors there are.
      place: settled places; beyond [0, 1] ranges go on.
    """
    lead = place.shape[:-1]
    fields = {name: jnp.full(lead, value) for name, value in _FIXED.items()}
    found = jnp.moveaxis(_values(scene, place), -1, 0)
    fields |= dict(zip(scene.factors, found, strict=True))
    number = jnp.zeros(lead, int)
    if "shape" in scene.factors:
        at = scene.factors.index("shape")
        number = _classes(scene, place)[..., at].astype(int)
    look = Look(**{**fields, "shape": number})
    return draw(look, scene.shapes, scene.size, colour="hue" in scene.factors)
