"""Many segments: the mixing, and what differs between them."""

import re

import jax
import numpy as np
import pytest

from jaxdis.data.domains import Segments, segments

SMALL = Segments(
    z_dim=2, x_dim=3, domains=4, samples=2_000, valid_samples=5, test_samples=50,
    worlds=1,
)  # fmt: skip


def test_means_and_scales_are_those_of_the_segments():
    worlds, splits = segments.draw(SMALL)
    one = jax.tree.map(lambda a: np.asarray(a[0]), worlds)
    assert (np.abs(one.means) <= 1).all()
    assert ((one.stds > np.exp(-1.2)) & (one.stds < np.exp(0.4))).all()
    z, u = np.asarray(splits.train.z[0]), np.asarray(splits.train.u[0])
    for segment in range(4):
        own = z[u == segment]
        assert len(own) == 2_000
        error = 4 * one.stds[segment] / np.sqrt(len(own))
        assert (np.abs(own.mean(0) - one.means[segment]) < error).all()
        np.testing.assert_allclose(own.std(0), one.stds[segment], rtol=0.08)
    hidden = z
    for matrix in one.mixing[:2]:
        hidden = hidden @ matrix
        hidden = 1.4 * np.where(hidden > 0, hidden, 0.3 * hidden)
    x = (hidden @ one.mixing.third - one.centre) / one.scale
    np.testing.assert_allclose(splits.train.x[0], x, atol=1e-4)


def test_without_a_shift_scales_alone_differ():
    worlds, _ = segments.draw(Segments(shift=0.0, samples=2, worlds=1))
    np.testing.assert_array_equal(worlds.means, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shift": -1.0}, "data.shift must be at least 0, got -1.0"),
        ({"z_dim": 4, "x_dim": 3}, "data.z_dim must not exceed data.x_dim"),
        ({"domains": 1}, "data.domains must be at least 2"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Segments(**fields).spec()
