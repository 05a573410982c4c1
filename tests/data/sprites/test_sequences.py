"""Sequences of sprites: what moves, how far, and by which law."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdis.data.sprites import SpriteSequences, SpriteTransitions
from jaxdis.data.sprites.sequences import laplace_step
from tests.data.sequences.common import drawn, training_starts

KEY = jax.random.key(0)
SMALL = SpriteSequences(
    size=16, steps=4, valid_rows=8, test_rows=8, fit_rows=8, shapes=("heart", "square")
)
STEPS = SpriteTransitions(size=8, steps=3, test_rows=400)


@pytest.fixture(scope="module")
def splits():
    return SMALL.load()


def middles(x):
    """The mass of every frame, and its middle in pixels from the left and the top."""
    x = np.asarray(x)[..., 0]
    mass = x.sum((-1, -2))
    at = np.arange(x.shape[-1])
    return mass, x.sum(-2) @ at / mass, x.sum(-1) @ at / mass


def test_the_named_factor_moves_and_no_other(splits):
    spec = SMALL.spec()
    assert spec.transformations == ("scale", "orientation", "x_position", "y_position")
    assert (spec.shape, spec.steps) == ((16, 16, 1), 5)
    rows = splits.test
    assert rows.x.shape == (8, 5, 16, 16, 1)
    np.testing.assert_array_equal(rows.k, np.arange(8) % 4)
    mass, x, y = middles(rows.x)
    steps = np.arange(5)
    for row, k in enumerate(np.asarray(rows.k)):
        # Half of a range of half an image, in four steps.
        right, down = (2.0 * (k == name) for name in (2, 3))
        at = np.stack([x[row] - x[row, 0], y[row] - y[row, 0]])
        wanted = np.stack([right * steps / 2, down * steps / 2])
        np.testing.assert_allclose(at, wanted, atol=0.35 if k < 2 else 0.1)
        ratio = mass[row, -1] / mass[row, 0]
        assert ratio > 1.5 if k == 0 else 0.9 < ratio < 1.1
        if k == 1:
            assert np.abs(rows.x[row, -1] - rows.x[row, 0]).max() > 0.3


def test_two_move_at_once_and_splits_share_no_start(splits):
    both = splits.controls["superposed"][1]
    at = [i for i, pair in enumerate(both.k.tolist()) if set(pair) == {2, 3}]
    _, x, y = middles(both.x[np.array(at)])
    for moved in (x, y):
        np.testing.assert_allclose(moved[:, -1] - moved[:, 0], 4.0, atol=0.2)
    starts = training_starts(splits)
    assert all(len(some) == 16_000 for some in starts)
    again = SMALL.load()
    np.testing.assert_array_equal(again.test.x, splits.test.x)
    rows = drawn(splits, 12)
    assert rows.x.shape == (12, 5, 16, 16, 1)
    assert rows.k.max() < 4


def test_laplace_steps_are_those_of_a_cut_distribution():
    place, spread = 0.3, 0.2
    n = 4_000
    after = np.asarray(laplace_step(KEY, jnp.full(n, place), jnp.array(spread)))
    assert (after.min() >= 0) & (after.max() <= 1)
    law = stats.laplace(scale=spread)
    low, high = law.cdf(-place), law.cdf(1 - place)

    def cut(s):
        return (law.cdf(s) - low) / (high - low)

    assert stats.kstest(after - place, cut).pvalue > 0.01
    # Small steps are not lost in rounding, nor do long ranges end in infinities.
    small = np.asarray(laplace_step(KEY, jnp.full(n, 0.5), jnp.array(1e-3))) - 0.5
    assert np.isfinite(small).all()
    assert np.abs(small).mean() == pytest.approx(1e-3, rel=0.1)


def test_transitions_move_all_factors_but_the_shape():
    data = dataclasses.replace(
        STEPS, factors=("shape", "scale", "x_position"), shapes=("disc", "square")
    )
    spec = data.spec()
    assert (spec.steps, spec.z_dim, spec.offers) == (4, 3, ("x", "z", "sequences",
                                                            "images"))  # fmt: skip
    rows = data.load().test
    assert rows.x.shape == (400, 4, 8, 8, 1)
    assert rows.z.shape == (400, 4, 3)
    step = np.diff(np.asarray(rows.z), axis=1)
    assert not step[..., 0].any()
    assert len(np.unique(rows.z[..., 0])) == 2
    # Half of them are below ln 2 of the spread, in ranges, or less for the cut.
    for j in (1, 2):
        half = np.median(np.abs(step[..., j])) / 12**0.5
        assert half == pytest.approx(0.1 * np.log(2), rel=0.15)
    kurtosis = stats.kurtosis(step[..., 1:].ravel())
    assert kurtosis > 1.0
    # Frames are those of the latents.
    _, x, _ = middles(rows.x)
    assert np.corrcoef(x.ravel(), rows.z[..., 2].ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transformations": ("shape",)}, "data.transformations must name at least one "
         "of scale, orientation, x_position, y_position, none twice; got 'shape'"),
        ({"transformations": ("hue",)}, "none twice; got 'hue'"),
        ({"size": 4}, "data.size must be at least 8, got 4"),
        ({"steps": 0}, "data.steps must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_bad_sequences_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        dataclasses.replace(SMALL, **changes).spec()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spread": 0.0}, "data.spread must be positive, got 0.0"),
        ({"steps": 0}, "data.steps must be at least 1, got 0"),
        ({"factors": ("shape",)}, "data.shapes must then name at least two"),
        ({"factors": ("shape",), "shapes": ("disc", "heart")}, "nothing moves"),
    ],
)
def test_bad_transitions_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        dataclasses.replace(STEPS, **changes).spec()
