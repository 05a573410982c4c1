"""The toy of mixed factors: its mixing can be undone, its rows follow one law."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from jaxdis.data.mixed_factors import RANGE, MixedFactors, draw_mixing, mix

SMALL = MixedFactors(z_dim=4, x_dim=6, test_rows=400)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def splits():
    return SMALL.load()


def unmixed(mixing, x):
    """The factors of observations, layer by layer."""
    first, second, third = map(np.asarray, mixing)
    u = np.asarray(x) @ np.linalg.pinv(third)
    for w in (second, first):
        u = u / 1.4
        u = np.where(u < 0, u / 0.3, u) @ np.linalg.pinv(w)
    return u


def test_mixing_is_undone_layer_by_layer():
    mixing = draw_mixing(KEY, 4, 6)
    first, second, third = map(np.asarray, mixing)
    np.testing.assert_allclose(first @ first.T, np.eye(4), atol=1e-5)
    for w in (second, third):
        np.testing.assert_allclose(w @ w.T, np.eye(6), atol=1e-5)
    z = jax.random.uniform(KEY, (50, 4), minval=-RANGE, maxval=RANGE)
    np.testing.assert_allclose(unmixed(mixing, mix(mixing, z)), z, atol=1e-4)


def test_all_rows_are_mixed_by_the_network_of_the_seed(splits):
    mixing = draw_mixing(jax.random.split(jax.random.key(SMALL.seed), 3)[0], 4, 6)
    for rows in (splits.train.draw(KEY, 400), splits.valid, splits.test):
        assert rows.x.shape == (400, 6)
        np.testing.assert_allclose(unmixed(mixing, rows.x), rows.z, atol=1e-4)
        # Uniform: the deviation is that of U(-1.7, 1.7).
        assert np.abs(rows.z).max() < RANGE
        np.testing.assert_allclose(rows.z.std(0), RANGE / 3**0.5, rtol=0.1)


def test_rows_of_splits_keys_and_seeds_differ(splits):
    draw = splits.train.draw
    parts = [splits.valid.z, splits.test.z, draw(KEY, 400).z]
    parts.append(draw(jax.random.key(1), 400).z)
    for i, a in enumerate(parts):
        assert not any(np.isclose(a, b).any() for b in parts[:i])
    other = dataclasses.replace(SMALL, seed=1).load()
    assert not np.allclose(other.train.draw(KEY, 5).x, draw(KEY, 5).x)
    np.testing.assert_array_equal(SMALL.load().test.x, splits.test.x)


def test_equal_settings_are_traced_once(splits):
    traces = []

    @jax.jit
    def f(draw, key):
        traces.append(1)
        return draw(key, 3).x

    for settings in (SMALL, SMALL, dataclasses.replace(SMALL, seed=1)):
        f(settings.load().train.draw, KEY)
    assert len(traces) == 1


def test_sizes():
    spec = SMALL.spec()
    assert (spec.shape, spec.z_dim, spec.offers) == ((6,), 4, ("x", "z"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z_dim": 0}, "data.z_dim must be at least 1, got 0"),
        ({"test_rows": 0}, "data.test_rows must be at least 1, got 0"),
        ({"z_dim": 7}, "data.z_dim must not exceed data.x_dim"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        dataclasses.replace(SMALL, **changes).spec()
