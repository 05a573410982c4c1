"""Orthogonal maps of many variables."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdis.data import orthogonal
from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.data.processes.dataset import mixing_weights


def test_a_wide_map_is_orthogonal_and_moves_every_variable_into_all():
    width = 3 * orthogonal.SIDE + 7  # some are left over in each stage
    turn = orthogonal.draw_rotation(jax.random.key(0), width, 2.0)
    whole = np.float64(orthogonal.times(jnp.eye(width), turn))
    np.testing.assert_allclose(whole @ whole.T, 4 * np.eye(width), atol=1e-5)
    assert (np.abs(whole) > 1e-9).mean() > 0.99
    z = jax.random.normal(jax.random.key(1), (2, 5, width))
    np.testing.assert_allclose(orthogonal.times(z, turn), z @ whole, atol=1e-4)


def test_wide_mixings_keep_lengths_as_narrow_ones_do():
    width, z_dim = orthogonal.WIDE + 1, 3
    first, *rest = mixing_weights(jax.random.key(0), z_dim, width, layers=2)
    square = 2 / 1.04 * 2 / (z_dim + width)
    np.testing.assert_allclose(first @ first.T, square * np.eye(z_dim), atol=1e-6)
    z = jax.random.normal(jax.random.key(1), (width,))
    found = orthogonal.times(z, rest[0])
    expected = 2 / 1.04 / width * (z**2).sum()
    np.testing.assert_allclose((found**2).sum(), expected, rtol=1e-4)


def test_worlds_of_many_variables_are_drawn_apart():
    splits = MixedFactors(3, orthogonal.WIDE + 1, test_rows=6, worlds=2).load()
    rows = splits.train.draw(jax.random.key(0), 4, jnp.asarray(1))
    assert rows.x.shape == (4, orthogonal.WIDE + 1)
    assert np.abs(splits.test.x[0] - splits.test.x[1]).max() > 0.1
