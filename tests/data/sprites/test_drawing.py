"""Pictures of sprites against areas, symmetries, shifts and finer pictures."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.data.sprites import SHAPES, Look, draw
from jaxdis.data.sprites.drawing import RADIUS

NAMES = tuple(SHAPES)
AREAS = {  # of shapes with their farthest points at distance 1
    "disc": math.pi,
    "square": 2.0,
    "ellipse": math.pi / 2,
    "triangle": 3 * math.sqrt(3) / 4,
}
SYMMETRIES = {"square": 4, "ellipse": 2, "triangle": 3, "disc": 7}
_draw = jax.jit(draw, static_argnums=(1, 2), static_argnames="colour")


def look(name="heart", **changes):
    """One sprite in the middle, or several by arrays."""
    fields = {
        "scale": 1.0, "orientation": 0.0, "x_position": 0.5, "y_position": 0.5,
        "hue": 0.0, "background": 0.0,
    } | changes  # fmt: skip
    arrays = {k: jnp.asarray(v, float) for k, v in fields.items()}
    shape = jnp.broadcast_shapes(*(a.shape for a in arrays.values()))
    arrays = {k: jnp.broadcast_to(a, shape) for k, a in arrays.items()}
    return Look(shape=jnp.full(shape, NAMES.index(name)), **arrays)


def picture(name="heart", size=32, colour=False, **changes):
    return np.asarray(_draw(look(name, **changes), NAMES, size, colour=colour))


@pytest.mark.parametrize("name", AREAS)
def test_areas_are_those_of_the_shapes(name):
    turns, scales = np.array([0.0, 0.03, 0.11, 0.2]), np.array([0.7, 0.8, 0.9, 1.0])
    found = picture(name, 64, orientation=turns, scale=scales).sum((1, 2, 3))
    wanted = AREAS[name] * (64 * RADIUS * scales) ** 2
    np.testing.assert_allclose(found, wanted, rtol=0.01)


def test_heart_covers_what_points_in_it_say():
    """A square on its corner and two discs, by a million points."""
    half = 0.75 * math.sqrt(2) - 0.5
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, 1_000_000))
    up = y + (math.sqrt(2) - 1) / 2
    inside = np.abs(x) + np.abs(up) < half * math.sqrt(2)
    middle = half / math.sqrt(2)
    for sign in (-1, 1):
        inside |= np.hypot(x - sign * middle, up - middle) < half
    reach = np.hypot(x, y)[inside].max()
    assert 0.995 < reach <= 1.0
    area = 4 * inside.mean()
    np.testing.assert_allclose(SHAPES["heart"].area, area, rtol=3e-3)
    found = picture("heart", 64).sum()
    np.testing.assert_allclose(found, area * (64 * RADIUS) ** 2, rtol=0.01)


@pytest.mark.parametrize("name", SYMMETRIES)
def test_a_turn_by_the_symmetry_leaves_all_pixels(name):
    part = 1 / SYMMETRIES[name]
    for turn in (0.0, 0.07):
        found = picture(name, orientation=np.array([turn, turn + part, turn + 0.037]))
        np.testing.assert_allclose(found[1], found[0], atol=1e-4)
        if name != "disc":
            assert np.abs(found[2] - found[0]).max() > 0.1
    period = SHAPES[name].period
    assert period == pytest.approx(part if name != "disc" else 0.0)


def test_quarter_turns_are_those_of_the_picture():
    found = picture("heart", orientation=np.array([0.0, 0.25, 0.5, 1.0]))
    for turns, at in ((1, 1), (2, 2), (4, 3)):
        np.testing.assert_allclose(found[at], np.rot90(found[0], turns), atol=1e-4)


def test_whole_pixels_shift_the_picture():
    right, down = 3, -2
    found = picture(
        x_position=np.array([0.5, 0.5 + right / 32]),
        y_position=np.array([0.5, 0.5 + down / 32]),
        orientation=np.array([0.1, 0.1]),
    )
    shifted = np.roll(found[0], (down, right), (0, 1))
    np.testing.assert_allclose(found[1], shifted, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_edges_are_grey_and_a_finer_picture_averages_to_the_coarse_one(name):
    x, turns = np.array([0.41, 0.55]), np.array([0.05, 0.3])
    coarse, fine = (
        picture(name, size, x_position=x, orientation=turns) for size in (32, 64)
    )
    assert ((coarse == 0) | (coarse == 1)).mean() > 0.8
    between = (coarse > 0.05) & (coarse < 0.95)
    assert between.sum() > 20
    mean = fine.reshape(2, 32, 2, 32, 2, 1).mean((2, 4))
    np.testing.assert_allclose(mean, coarse, atol=0.2)  # at corners
    assert np.abs(mean - coarse)[between].mean() < 0.03


def test_colours():
    found = picture(colour=True, hue=np.array([0.0, 1 / 3, 2 / 3]), background=0.25)
    np.testing.assert_allclose(found[:, 16, 16], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(found[:, 0, 0], 0.25)
    grey = picture(background=0.25)
    assert (grey.min(), grey.max()) == (0.25, 1.0)
    # A pixel of the edge is a mixture of both.
    share = picture()[..., 0]
    mixed = 0.25 + share[..., None] * (np.eye(3)[0] - 0.25)
    np.testing.assert_allclose(found[0], mixed, atol=1e-5)


def test_derivatives_are_finite():
    def brightness(scale, turn, x):
        made = look("ellipse")._replace(scale=scale, orientation=turn, x_position=x)
        return draw(made, NAMES, 9).sum()  # a pixel is in the very middle

    found = jax.jit(jax.grad(brightness, (0, 1, 2)))(1.0, 0.1, 0.5)
    assert np.isfinite(found).all()
    assert found[0] > 1.0
