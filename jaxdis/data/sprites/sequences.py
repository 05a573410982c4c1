"""Sequences of sprites: one factor moves evenly, or all take small and large steps."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.data.rows import bind, split_rows
from jaxdis.data.sequences import rendered
from jaxdis.data.sprites.scene import (
    Scene,
    check_names,
    check_scene,
    image_shape,
    latents,
    pictures,
    settled,
)
from jaxdis.types import PRNGKey, Rows, Source, Spec, Splits

__all__ = ["SpriteSequences", "SpriteTransitions", "laplace_step"]

SPRITES = 20_000
WAY = 0.5  # of a range that a sequence runs through, from somewhere in the first half
MOVES = ("scale", "orientation", "x_position", "y_position", "hue", "background")


@dataclass(frozen=True)
class SpriteSequences:
    """Sequences in which one factor of a sprite moves evenly through half its range.

    It starts in the first half, as do the others that may move: two can move at once.
    The transformation k says which one moves.

    Attributes:
      size: the height and width of a frame in pixels, at least 8.
      factors: the factors in which sequences differ, as those of `Sprites`.
      transformations: those of the factors that move, any but the shape.
      shapes: the names of the shapes.
      turn: the largest orientation, in turns.
      steps: the number T of steps; a sequence has T + 1 frames.
      index_per: whether every "sample" has a transformation of its own, or the "batch".
      eval_split: "heldout", or "train" for held-out sequences that are none, but were
        seen in training.
      held_out: the share of the sprites for each of valid and test.
      valid_rows: the number of sequences that are scored between chunks.
      test_rows: the number of sequences that are scored at the end.
      fit_rows: the number of training sequences for what is fitted after training.
      seed: the seed of the sprites and the splits.
    """

    size: int = 32
    factors: tuple[str, ...] = (
        "shape", "scale", "orientation", "x_position", "y_position",
    )  # fmt: skip
    transformations: tuple[str, ...] = (
        "scale", "orientation", "x_position", "y_position",
    )  # fmt: skip
    shapes: tuple[str, ...] = ("square", "ellipse", "heart")
    turn: float = 0.25
    steps: int = 8
    index_per: Literal["sample", "batch"] = "sample"
    eval_split: Literal["heldout", "train"] = "heldout"
    held_out: float = 0.1
    valid_rows: int = 96
    test_rows: int = 480
    fit_rows: int = 960
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names.

        Raises:
          ValueError: a setting that is out of range.
        """
        scene = Scene(self.size, self.factors, self.shapes, self.turn)
        check_scene(scene)
        rendered.check_settings(self)
        moving = tuple(name for name in self.factors if name in MOVES)
        check_names("data.transformations", self.transformations, moving)
        return Spec(
            image_shape(scene), self.steps + 1, transformations=self.transformations
        )

    def load(self) -> Splits:
        """Draws the sprites; ValueError as `spec`, or for too few held-out rows."""
        self.spec()
        scene = Scene(self.size, self.factors, self.shapes, self.turn)
        rng = np.random.default_rng(self.seed)
        place = rng.random((SPRITES, len(self.factors)), np.float32)
        columns = tuple(map(self.factors.index, self.transformations))
        place[:, list(columns)] *= 1 - WAY
        render = Partial(
            bind(_render, scene, columns, WAY / self.steps), jnp.asarray(place)
        )
        parts = split_rows(rng.permutation(SPRITES), self.held_out)
        train, valid, test = (
            [part] * len(columns) for part in rendered.PARTS[self.eval_split](parts)
        )
        return rendered.splits(self, rendered.Family(render, train, valid, test))


def _render(
    scene: Scene,
    columns: tuple[int, ...],
    step: float,
    place: Float[Array, "n f"],
    start: Int[Array, ""],
    amounts: Float[Array, "k"],
) -> Float[Array, "h w c"]:
    moved = settled(scene, place[start]).at[jnp.array(columns)].add(step * amounts)
    return pictures(scene, moved)


@dataclass(frozen=True)
class SpriteTransitions:
    """Sequences in which all factors but the shape take steps, most of them small.

    The first frame is as in `Sprites`. A step along the range of a factor is from a
    Laplace distribution, cut off where the range ends.

    Attributes:
      size: the height and width of a frame in pixels, at least 8.
      factors: the factors that differ, in the order of z and y.
      shapes: the names of the shapes.
      turn: the largest orientation, in turns.
      spread: the scale of the Laplace distribution, as a share of a range.
      steps: the number T of steps; a sequence has T + 1 frames.
      test_rows: the number of sequences of each of the two held-out splits.
      seed: the seed of the held-out sequences.

    Source: Klindt et al. 2021 (arXiv 2007.10930) assume steps of this law, and their
      program takes them on images of dSprites and others, cut off likewise. There at
      least one factor moves in a step, and values are those of a grid.
    """

    size: int = 32
    factors: tuple[str, ...] = ("scale", "orientation", "x_position", "y_position")
    shapes: tuple[str, ...] = ("heart",)
    turn: float = 0.25
    spread: float = 0.1
    steps: int = 1
    test_rows: int = 2_000
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names.

        Raises:
          ValueError: a setting that is out of range.
        """
        scene = Scene(self.size, self.factors, self.shapes, self.turn)
        check_scene(scene)
        if not set(self.factors) & set(MOVES):
            raise ValueError(
                "data.factors must name at least one beside the shape, or nothing moves"
            )
        check.positive("data.spread", self.spread)
        check.at_least("data.steps", self.steps, 1)
        check.at_least("data.test_rows", self.test_rows, 1)
        return Spec(image_shape(scene), self.steps + 1, z_dim=len(self.factors))

    def load(self) -> Splits:
        """Where training sequences are drawn, and held-out ones; raises as `spec`."""
        self.spec()
        scene = Scene(self.size, self.factors, self.shapes, self.turn)
        draw = bind(_draw, scene, self.steps)
        spread = jnp.array(self.spread, float)
        fixed = jax.jit(draw, static_argnums=2)
        keys = jax.random.split(jax.random.key(self.seed), 2)
        valid, test = (fixed(spread, key, self.test_rows) for key in keys)
        return Splits(Source(Partial(draw, spread)), valid, test)


def laplace_step(
    key: PRNGKey, place: Float[Array, "*b"], spread: Float[Array, ""]
) -> Float[Array, "*b"]:
    """The place after a step of density `exp(-|s| / spread)` on `0 <= place + s <= 1`.

    By the inverse of the distribution function between its values at both ends.

    Args:
      key: a random key.
      place: the places before, in [0, 1].
      spread: the scale of the steps.
    """
    low, high = (0.5 * jnp.exp(-end / spread) for end in (place, 1.0 - place))
    share = jax.random.uniform(key, place.shape)
    p = low + share * (1.0 - low - high)
    below = p < 0.5
    tail = jnp.maximum(jnp.where(below, p, 1.0 - p), jnp.finfo(float).tiny)
    size = -spread * jnp.log(2.0 * tail)
    return jnp.clip(place + jnp.where(below, -size, size), 0.0, 1.0)


def _draw(
    scene: Scene, steps: int, spread: Float[Array, ""], key: PRNGKey, n: int
) -> Rows:
    start_key, step_key = jax.random.split(key)
    start = jax.random.uniform(start_key, (n, len(scene.factors)))
    moves = jnp.array([name != "shape" for name in scene.factors])

    def walk(place: Array, key: PRNGKey) -> tuple[Array, Array]:
        place = jnp.where(moves[None], laplace_step(key, place, spread), place)
        return place, place

    _, walked = jax.lax.scan(walk, start, jax.random.split(step_key, steps))
    place = settled(scene, jnp.moveaxis(jnp.concatenate([start[None], walked]), 0, 1))
    return Rows(pictures(scene, place), z=latents(scene, place))
