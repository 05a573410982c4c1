"""The data set of single sprites: its factors, their law, and what is held out."""

import dataclasses
import itertools
import re

import jax
import numpy as np
import pytest
from scipy import stats

from jaxdis import data
from jaxdis.data.sprites import FACTORS, Sprites

KEY = jax.random.key(0)
PLAIN = Sprites(size=16, test_rows=40)
CONTINUOUS = ("scale", "x_position", "y_position")


def drawn(settings, n):
    """Rows of the training split."""
    train = settings.load().train
    return jax.jit(lambda draw, key: draw(key, n))(train.draw, KEY)


@pytest.fixture(scope="module")
def rows():
    return drawn(PLAIN, 4_000)


def test_labels_and_latents_tell_the_same(rows):
    spec = PLAIN.spec()
    names = ["shape", "scale", "orientation", "x_position", "y_position"]
    assert [label.name for label in spec.labels] == names
    assert spec.labels[0].values == ("square", "ellipse", "heart")
    assert [label.classes for label in spec.labels] == [3, *[None] * 4]
    assert (spec.shape, spec.z_dim, spec.rows) == ((16, 16, 1), 5, None)
    assert rows.x.shape == (4_000, 16, 16, 1)
    assert set(np.unique(rows.y[:, 0])) == {0, 1, 2}
    ends = [(0, 2), (0.5, 1), (0, 0.25), (0.25, 0.75), (0.25, 0.75)]
    for j, (low, high) in enumerate(ends):
        y, z = np.asarray(rows.y[:, j]), np.asarray(rows.z[:, j])
        assert (y.min() >= low) & (y.max() <= high)
        np.testing.assert_allclose([y.min(), y.max()], [low, high], atol=0.01)
        assert np.corrcoef(y, z)[0, 1] > 0.9999
    np.testing.assert_allclose(rows.z.mean(0), 0.0, atol=0.06)
    np.testing.assert_allclose(rows.z.std(0), 1.0, atol=0.03)
    uniform = np.asarray(rows.z[:, 1]) / 12**0.5 + 0.5
    assert stats.kstest(uniform, "uniform").pvalue > 0.01


def test_pixels_tell_the_factors():
    """Least squares on features of a picture, on rows that it was not fitted to."""
    found = drawn(dataclasses.replace(PLAIN, factors=("shape", *CONTINUOUS)), 3_000)
    x, z = np.asarray(found.x)[..., 0], np.asarray(found.z)
    at = np.arange(16) - 7.5
    mass = x.sum((1, 2))
    across, down = x.sum(1) @ at / mass, x.sum(2) @ at / mass
    wide = x.sum(1) @ at**2 / mass - across**2
    tall = x.sum(2) @ at**2 / mass - down**2
    basic = np.stack([np.ones_like(mass), mass, across, down, wide, tall], 1)
    pairs = [basic[:, i] * basic[:, j] for i in range(6) for j in range(i, 6)]
    features = np.stack(pairs, 1)
    fit, held_out = slice(2_000), slice(2_000, None)
    weights = np.linalg.lstsq(features[fit], z[fit], rcond=None)[0]
    error = ((features[held_out] @ weights - z[held_out]) ** 2).mean(0)
    assert (1 - error > [0.6, 0.95, 0.99, 0.97]).all(), 1 - error


def test_values_are_the_middles_of_equal_parts():
    settings = dataclasses.replace(PLAIN, values=(3, 6, 4, 0, 2))
    labels = settings.spec().labels
    assert [label.classes for label in labels] == [3, 6, 4, None, 2]
    assert [label.ordered for label in labels] == [False, True, True, False, True]
    found = drawn(settings, 2_000)
    y, z = np.asarray(found.y), np.asarray(found.z)
    for j, n in ((0, 3), (1, 6), (2, 4), (4, 2)):
        assert set(np.unique(y[:, j])) == set(range(n))
        wanted = (y[:, j] - (n - 1) / 2) / np.sqrt((n**2 - 1) / 12)
        np.testing.assert_allclose(z[:, j], wanted, atol=1e-5)
    assert len(np.unique(z[:, 3])) > 1_900
    classes = dataclasses.replace(settings, values=(3, 6, 4, 5, 2))
    assert drawn(classes, 4).y.dtype == np.int32


def test_correlation_is_that_of_a_gaussian_copula():
    settings = dataclasses.replace(
        PLAIN, factors=(*CONTINUOUS, "orientation"), correlation=-0.7,
        correlated=("scale", "y_position"),
    )  # fmt: skip
    z = np.asarray(drawn(settings, 8_000).z)
    normal = stats.norm.ppf(np.clip(z / 12**0.5 + 0.5, 1e-6, 1 - 1e-6))
    found = np.corrcoef(normal.T)
    wanted = np.eye(4)
    wanted[0, 2] = wanted[2, 0] = -0.7
    np.testing.assert_allclose(found, wanted, atol=0.04)
    # Of uniform places it is less, by the formula of Pearson.
    of_places = 6 / np.pi * np.arcsin(-0.35)
    assert np.corrcoef(z.T)[0, 2] == pytest.approx(of_places, abs=0.04)
    for column in z.T:
        assert stats.kstest(column / 12**0.5 + 0.5, "uniform").pvalue > 0.001


@pytest.mark.parametrize("values", [(), (3, 0, 4)])
def test_left_out_combinations_are_in_no_training_row(values):
    settings = Sprites(
        size=8, factors=("shape", "scale", "x_position"), values=values, test_rows=300,
        unseen=("shape", "x_position"), correlation=0.5,
    )  # fmt: skip
    splits = settings.load()
    train = drawn(settings, 2_000)

    def left_out(rows):
        z = np.asarray(rows.z)
        return (z[:, 0] > 0) & (z[:, 2] > 0)  # above the middle

    assert not left_out(train).any()
    assert not left_out(splits.valid).any()
    assert left_out(splits.test).all()
    # Training has either of the two, and all of the third factor.
    z = np.asarray(train.z)
    assert (z[:, 0] > 0).mean() > 0.1
    assert (z[:, 2] > 0).mean() > 0.2
    assert (z[:, 1] > 0).mean() > 0.3


def test_splits_and_seeds_differ_and_rows_may_be_kept():
    kept = dataclasses.replace(PLAIN, rows=30)
    assert kept.spec().rows == 30
    splits = kept.load()
    parts = [np.asarray(rows.z) for rows in splits[:3]]
    assert [len(part) for part in parts] == [30, 40, 40]
    for a, b in itertools.combinations(parts, 2):
        assert not np.isclose(a[:, None, 1:], b[None, :, 1:]).all(-1).any()
    again, other = kept.load(), dataclasses.replace(kept, seed=1).load()
    np.testing.assert_array_equal(again.test.x, splits.test.x)
    assert not np.allclose(other.test.x, splits.test.x)
    np.testing.assert_array_equal(PLAIN.load().test.x, splits.test.x)


def test_colour_follows_from_the_factors():
    settings = dataclasses.replace(PLAIN, factors=FACTORS)
    found = drawn(settings, 20)
    assert found.x.shape == (20, *settings.spec().shape) == (20, 16, 16, 3)
    background = np.asarray(found.y[:, FACTORS.index("background")])
    np.testing.assert_allclose(found.x[:, 0, 0, :], background[:, None] + np.zeros(3))


def test_equal_settings_are_traced_once():
    traces = []

    @jax.jit
    def f(draw, key):
        traces.append(1)
        return draw(key, 3).x

    for settings in (PLAIN, PLAIN, dataclasses.replace(PLAIN, correlation=0.3)):
        f(settings.load().train.draw, KEY)
    assert len(traces) == 1


def test_data_sets_are_found_by_name():
    names = {"sprites", "sprite_sequences", "sprite_transitions", "sprite_domains",
             "sprite_process"}  # fmt: skip
    assert names <= set(data.names())
    assert data.find("sprites") is Sprites


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 7}, "data.size must be at least 8, got 7"),
        ({"shapes": ("square", "star")}, "data.shapes must name at least one of "
         "square, ellipse, heart, disc, triangle, none twice; got 'star'"),
        ({"shapes": ("disc", "disc")}, "none twice; got ('disc', 'disc')"),
        ({"shapes": ("disc",)}, "data.shapes must then name at least two, got"),
        ({"factors": ()}, "data.factors must name at least one of shape, scale"),
        ({"factors": ("colour",)}, "none twice; got 'colour'"),
        ({"turn": 0.0}, "data.turn is the largest orientation in turns, in (0, 1]"),
        ({"values": (3, 6)}, "data.values must have a number of values for each"),
        ({"values": (2, 6, 40, 32, 32)}, "data.values must be the number of shapes, 3"),
        ({"values": (3, 1, 40, 32, 32)}, "got 1 for 'scale'"),
        ({"correlation": 1.0}, "data.correlation must lie in (-1, 1), got 1.0"),
        ({"correlation": -1.5}, "data.correlation must lie in (-1, 1), got -1.5"),
        ({"correlation": float("nan")}, "must lie in (-1, 1), got nan"),
        ({"correlation": -0.25}, "must be above -0.25, the least that 5 factors"),
        ({"correlated": ("hue",)}, "data.correlated must name at least one of shape"),
        ({"unseen": ("hue", "shape")}, "data.unseen must name at least one of shape"),
        ({"unseen": ("shape",), "unseen_part": 1.5}, "data.unseen_part is a fraction"),
        ({"test_rows": 0}, "data.test_rows must be at least 1, got 0"),
        ({"rows": -1}, "data.rows must be at least 0, got -1"),
    ],
)  # fmt: skip
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        dataclasses.replace(PLAIN, **changes).spec()


@pytest.mark.parametrize(
    ("part", "names", "message"),
    [
        (1.0, ("scale",), "leaves nothing to train on: 100.0% of all combinations"),
        (0.0, ("scale",), "leaves nothing to test on: 0.0% of all combinations"),
        (0.1, ("shape", "scale"), "leaves nothing to test on"),  # no value so high
        (0.05, ("scale", "x_position", "y_position"), "leaves nothing to test on"),
    ],
)
def test_combinations_that_leave_nothing_are_refused(part, names, message):
    settings = dataclasses.replace(PLAIN, unseen=names, unseen_part=part)
    with pytest.raises(ValueError, match=re.escape(message)):
        settings.load()
