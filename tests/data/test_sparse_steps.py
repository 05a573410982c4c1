"""The toy of sparse steps: its law, its worlds, and what is refused."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.stats import kstest

from jaxdis.data import draws
from jaxdis.data.mixed_factors import draw_mixing, mix
from jaxdis.data.sparse_steps import SparseSteps, draw_latents

SMALL = SparseSteps(z_dim=3, x_dim=4, steps=3, samples=300, test_samples=100, worlds=2)


@pytest.fixture(scope="module")
def splits():
    return SMALL.load()


def test_steps_follow_the_laplace_law_and_starts_the_normal_one():
    z = np.asarray(draw_latents(jax.random.key(0), 4_000, 3, 2, 4.0))
    assert z.shape == (4_000, 3, 2)
    assert kstest(z[:, 0].ravel(), "norm").pvalue > 1e-3
    moves = np.diff(z, axis=1)
    assert kstest(moves.ravel(), "laplace", (0, 0.25)).pvalue > 1e-3
    # Latents move each for itself, and no step knows the one before.
    both = moves.reshape(4_000, 4)
    off = np.corrcoef(both.T) - np.eye(4)
    assert np.abs(off).max() < 0.07


def test_a_world_has_a_mixing_and_rows_of_its_own(splits):
    sizes = {"train": 300, "valid": 100, "test": 100}
    seen = []
    for name, n in sizes.items():
        rows = getattr(splits, name)
        assert rows.x.shape == (2, n, 3, 4)
        assert rows.z.shape == (2, n, 3, 3)
        for world in range(2):
            key = draws.key_of(SMALL.seed, world)
            mixing = draw_mixing(jax.random.split(key, 4)[0], 3, 4)
            x = mix(mixing, rows.z[world])
            np.testing.assert_allclose(rows.x[world], x, atol=1e-4)
            seen.append(np.asarray(rows.z[world, 0, 0]))
    assert len(np.unique(np.stack(seen), axis=0)) == 6


def test_the_first_world_does_not_depend_on_how_many_there_are(splits):
    alone = replace(SMALL, worlds=1)
    assert SMALL.spec().worlds == 2
    assert alone.spec().worlds is None
    np.testing.assert_array_equal(alone.load().test.x, splits.test.x[0])
    second = replace(SMALL, worlds=0).load_worlds((1,))
    np.testing.assert_array_equal(second.train.x[0], splits.train.x[1])


def test_seeds_differ(splits):
    other = replace(SMALL, seed=1).load()
    assert not np.isclose(other.test.z, splits.test.z).any()


def test_sizes():
    spec = SMALL.spec()
    assert (spec.shape, spec.steps, spec.z_dim, spec.rows) == ((4,), 3, 3, 300)
    assert spec.offers == ("x", "z", "sequences")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 1}, "data.steps must be at least 2, got 1"),
        ({"rate": 0.0}, "data.rate must be positive, got 0.0"),
        ({"z_dim": 5}, "data.z_dim must not exceed data.x_dim"),
        ({"worlds": -1}, "data.worlds must be at least 0, got -1"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(SMALL, **changes).spec()
