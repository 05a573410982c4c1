"""Shifts of some latents: the mixing, and what the domains change."""

import re

import jax
import numpy as np
import pytest

from jaxdis.data.domains import DenseShift, dense_shift

SMALL = DenseShift(
    z_dim=3, changing=1, domains=3, samples=400, valid_samples=5, test_samples=50,
    worlds=1,
)  # fmt: skip


def test_only_the_last_latents_change_and_the_mixing_is_orthogonal():
    worlds, splits = dense_shift.draw(SMALL)
    np.testing.assert_array_equal(SMALL.spec().truth.mask, np.ones((3, 3)))
    one = jax.tree.map(lambda a: np.asarray(a[0]), worlds)
    for matrix in one.mixing:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-5)
    np.testing.assert_array_equal(one.means[:, :2], 0)
    np.testing.assert_array_equal(one.stds[:, :2], 1)
    assert (one.means[:, 2] != 0).all()
    assert (one.stds[:, 2] < 1).all()
    z = np.asarray(splits.test.z[0])
    hidden = z @ one.mixing.first.T
    x = np.where(hidden > 0, hidden, 0.2 * hidden) @ one.mixing.second.T
    x = (x - one.centre) / one.scale
    np.testing.assert_allclose(splits.test.x[0], x, atol=1e-4)
    np.testing.assert_allclose(
        dense_shift.mix(jax.tree.map(lambda a: a[0], worlds), splits.test.z[0, :2]),
        x[:2],
        atol=1e-4,
    )


def test_latents_that_do_not_change_are_said():
    assert SMALL.spec().breaks == "2 of 3 latents do not change with the domain"
    assert (
        DenseShift(z_dim=2, changing=1).spec().breaks.startswith("1 of 2 latents does")
    )
    assert DenseShift(z_dim=3, changing=3).spec().breaks == ""


def test_a_single_world_has_no_axis():
    """Then all seeds see the same rows, and their agreement can be measured."""
    assert SMALL.spec().worlds is None
    _, drawn = dense_shift.draw(SMALL)
    loaded = SMALL.load()
    for split, rows in zip(loaded[:3], (1200, 15, 150), strict=True):
        assert split.x.shape == split.z.shape == (rows, 3)
        assert split.u.shape == (rows,)
    np.testing.assert_array_equal(loaded.train.x, drawn.train.x[0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"changing": 4}, "data.changing must lie in 1 .. data.z_dim = 3, got 4"),
        ({"changing": 0}, "data.changing must lie in 1 .. data.z_dim = 3, got 0"),
        ({"z_dim": 1}, "data.z_dim must be at least 2, got 1"),
        ({"domains": 1}, "data.domains must be at least 2, or nothing changes; got 1"),
    ],
)
def test_bad_settings_are_named(wrong, message):
    settings = {"z_dim": 3, "changing": 1} | wrong
    with pytest.raises(ValueError, match=re.escape(message)):
        DenseShift(**settings).spec()
