"""Images of sprites, their factors independent, correlated, or held out together."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxdis import check
from jaxdis.data.rows import bind
from jaxdis.data.sprites import laws
from jaxdis.data.sprites.laws import Corner
from jaxdis.data.sprites.scene import (
    Scene,
    check_names,
    check_scene,
    image_shape,
    label_columns,
    labels,
    latents,
    pictures,
    settled,
)
from jaxdis.types import PRNGKey, Rows, Source, Spec, Splits

__all__ = ["Sprites"]

TRIED = 100_000  # draws that say whether a corner and its complement are there
LEAST = 1e-3  # of the draws: the others are thrown away, a thousand for each


@dataclass(frozen=True)
class Sprites:
    """A white or coloured shape on a plain ground, drawn when it is needed.

    The factors are those of dSprites in its order (shape, scale, orientation,
    x_position, y_position), and a hue and a background beside them. They are
    continuous, but the shape; `--data.values 3 6 40 32 32` has the sizes of dSprites.
    Each is uniform over its range: scale .5 to 1, orientation 0 to `turn`, positions
    such that no sprite leaves the image, hue from red to blue, background 0 to .5.

    Rows have z, of mean 0 and variance 1, and y: the class of factors with values, and
    the number of continuous ones, in the units of `sprites.Look`.

    Attributes:
      size: the height and width of an image in pixels, at least 8.
      factors: the factors that vary, in the order of z and y; the others stay in the
        middle. With "hue" images are in colour.
      shapes: the shapes, of "square", "ellipse", "heart", "disc" and "triangle".
      turn: the largest orientation, in turns. A square looks the same after .25, an
        ellipse after .5: beyond that nobody can tell the orientation, as in dSprites,
        where it is 1.
      values: the number of values of each factor, evenly spread over its range; 0 for a
        continuous one. () has continuous ones, but the shape.
      correlation: of the normal variables of a Gaussian copula, in (-1, 1).
      correlated: the factors that have it pairwise; () for all.
      unseen: factors that are never in the upper part of their range all at once in
        training and valid rows, and always in test rows; () for none.
      unseen_part: the upper part, as a share of the range.
      rows: the number of training rows that are drawn once; 0 for new ones in every
        step.
      test_rows: the number of rows of each of the two held-out splits.
      seed: the seed of rows that are drawn once.

    Source: the factors of dSprites (Matthey et al. 2017). Its 40 orientations begin
      and end with the same one; values here are the middles of equal parts.
    """

    size: int = 32
    factors: tuple[str, ...] = (
        "shape", "scale", "orientation", "x_position", "y_position",
    )  # fmt: skip
    shapes: tuple[str, ...] = ("square", "ellipse", "heart")
    turn: float = 0.25
    values: tuple[int, ...] = ()
    correlation: float = 0.0
    correlated: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unseen_part: float = 0.5
    rows: int = 0
    test_rows: int = 2_000
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; ValueError for a field that is out of range."""
        scene = _scene(self)
        check_scene(scene)
        check.at_least("data.rows", self.rows, 0)
        check.at_least("data.test_rows", self.test_rows, 1)
        if self.correlated:
            check_names("data.correlated", self.correlated, self.factors)
        laws.check_correlation(self.correlation, len(self.correlated or self.factors))
        if self.unseen:
            check_names("data.unseen", self.unseen, self.factors)
            check.fraction(
                "data.unseen_part", self.unseen_part, "the range of a factor"
            )
        return Spec(
            image_shape(scene),
            labels=label_columns(scene),
            z_dim=len(self.factors),
            rows=self.rows or None,
        )

    def load(self) -> Splits:
        """Where training rows are drawn, or those rows, and held-out rows.

        Raises:
          ValueError: as `spec`; left-out combinations that are everything or nothing.
        """
        self.spec()
        scene, root = _scene(self), _root(self)
        columns = tuple(map(self.factors.index, self.unseen))
        seen = Corner(columns, 1.0 - self.unseen_part)
        unseen = seen._replace(inside=bool(columns))
        _check_corner(self, scene, root, seen)
        keys = jax.random.split(jax.random.key(self.seed), 3)
        valid = _drawn(scene, seen, self.test_rows, root, keys[1])
        test = _drawn(scene, unseen, self.test_rows, root, keys[2])
        train: Rows | Source = Source(Partial(bind(_draw, scene, seen), root))
        if self.rows:
            train = _drawn(scene, seen, self.rows, root, keys[0])
        return Splits(train, valid, test)


def _scene(data: Sprites) -> Scene:
    return Scene(data.size, data.factors, data.shapes, data.turn, data.values)


def _root(data: Sprites) -> Float[Array, "f f"]:
    chosen = data.correlated or data.factors
    return laws.copula_root(data.correlation, tuple(f in chosen for f in data.factors))


def _check_corner(
    data: Sprites, scene: Scene, root: Float[Array, "f f"], seen: Corner
) -> None:
    """Raises ValueError unless training and test rows can be found."""
    if not seen.columns:
        return
    tried = settled(scene, laws.copula(root, jax.random.key(data.seed), TRIED))
    there = float(laws.corner(seen, tried).mean())
    asked = f"data.unseen={data.unseen} with data.unseen_part={data.unseen_part}"
    if there < LEAST:
        raise ValueError(
            f"{asked} leaves nothing to train on: {1 - there:.1%} of all combinations "
            "are left out; name more factors, or a smaller part"
        )
    if 1 - there < LEAST:
        raise ValueError(
            f"{asked} leaves nothing to test on: {1 - there:.1%} of all combinations "
            "are left out; name fewer factors, or a larger part"
        )


def _draw(
    scene: Scene, where: Corner, root: Float[Array, "f f"], key: PRNGKey, n: int
) -> Rows:
    def fresh(key: PRNGKey, n: int) -> Float[Array, "n f"]:
        return settled(scene, laws.copula(root, key, n))

    place = laws.drawn_until(fresh, partial(laws.corner, where), key, n)
    y = labels(scene, place)
    if all(label.classes for label in label_columns(scene)):
        y = y.astype(jnp.int32)
    return Rows(pictures(scene, place), y=y, z=latents(scene, place))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _drawn(
    scene: Scene, where: Corner, n: int, root: Float[Array, "f f"], key: PRNGKey
) -> Rows:
    return _draw(scene, where, root, key, n)
