"""Sprites by domains, and by actions or the past."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from jaxdis.data.sprites import SpriteDomains, SpriteProcess

KEY = jax.random.key(0)
DOMAINS = SpriteDomains(size=8, domains=3, test_rows=900, factors=("scale", "hue"))
PROCESS = SpriteProcess(size=16, test_rows=300, factors=("x_position", "y_position"))


def position(x):
    """The middle of every frame, in pixels from the left."""
    x = np.asarray(x)[..., 0]
    return x.sum(-2) @ np.arange(x.shape[-1]) / x.sum((-1, -2))


def test_domains_have_means_and_spreads_of_their_own():
    spec = DOMAINS.spec()
    assert (spec.shape, spec.domains, spec.z_dim) == ((8, 8, 3), ("0", "1", "2"), 2)
    splits = DOMAINS.load()
    train = jax.jit(lambda draw: draw(KEY, 900))(splits.train.draw)
    seen = []
    for rows in (train, splits.valid, splits.test):
        u, z = np.asarray(rows.u), np.asarray(rows.z)
        assert np.bincount(u, minlength=3).min() > 200
        moments = np.stack([[z[u == d].mean(0), z[u == d].std(0)] for d in range(3)])
        seen.append(moments)
        assert (np.abs(moments[:, 0]) < 1.4).all()
        assert ((moments[:, 1] > 0.15) & (moments[:, 1] < 0.9)).all()
    # The same in all splits, other rows, and not the same of two domains.
    for moments in seen[1:]:
        np.testing.assert_allclose(moments, seen[0], atol=0.2)
    assert not np.isclose(splits.valid.z, splits.test.z).any()
    assert np.ptp(seen[0], axis=0).min() > 0.05
    # The mass of a picture is that of the scale.
    scale = np.asarray(splits.test.z[:, 0])
    brightest = np.asarray(splits.test.x).max(-1).sum((1, 2))
    assert np.corrcoef(scale, brightest)[0, 1] > 0.95
    other = dataclasses.replace(DOMAINS, seed=1).load()
    assert not np.allclose(other.test.z, splits.test.z)


def test_actions_move_their_factors():
    spec = PROCESS.spec()
    assert (spec.a_dim, spec.steps, spec.z_dim) == (2, None, 2)
    np.testing.assert_array_equal(spec.truth.ga, np.eye(2))
    splits = PROCESS.load()
    train = jax.jit(lambda draw: draw(KEY, 300))(splits.train.draw)
    for rows in (train, splits.test):
        # ActionDiag: the mean is the sine of the action.
        error = np.asarray(rows.z) - np.sin(rows.a)
        np.testing.assert_allclose(error.std(0), 0.1, rtol=0.2)
        assert np.corrcoef(position(rows.x), rows.z[:, 0])[0, 1] > 0.97


def test_a_past_makes_sequences():
    data = dataclasses.replace(PROCESS, process="InterventionTime")
    spec = data.spec()
    assert (spec.a_dim, spec.steps) == (2, 2)
    rows = data.load().valid
    assert rows.x.shape == (300, 2, 16, 16, 1)
    assert rows.z.shape == (300, 2, 2)
    assert set(np.unique(rows.a.sum(1))) == {0.0, 1.0}
    for t in range(2):
        at, z = position(rows.x[:, t]), np.asarray(rows.z[:, t, 0])
        assert np.corrcoef(at, z)[0, 1] > 0.9
    alone = dataclasses.replace(PROCESS, process="TimeDiag")
    assert alone.spec().offers == ("x", "z", "sequences", "images")
    assert alone.load().test.a is None


@pytest.mark.parametrize("data", [DOMAINS, PROCESS], ids=lambda d: type(d).__name__)
def test_worlds_are_draws_of_their_own(data):
    data = dataclasses.replace(data, test_rows=30, worlds=3)
    assert data.spec().worlds == 3
    splits = data.load()
    alone = dataclasses.replace(data, worlds=1).load()
    assert splits.test.x.shape == (3, *alone.test.x.shape)
    np.testing.assert_allclose(splits.test.z[0], alone.test.z, atol=1e-6)
    assert not np.isclose(splits.test.z[1], splits.test.z[2]).all()
    other = data.load_worlds((2,))
    np.testing.assert_allclose(other.test.z[0], splits.test.z[2], atol=1e-6)
    draw = jax.jit(lambda draw, world: draw(KEY, 5, world).z)
    rows = [draw(splits.train.draw, world) for world in range(3)]
    np.testing.assert_allclose(rows[0], alone.train.draw(KEY, 5).z, atol=1e-5)
    if isinstance(data, SpriteDomains):  # the strengths of ActionDiag are all 1
        assert not np.isclose(rows[1], rows[2]).any()


@pytest.mark.parametrize(
    ("settings", "changes", "message"),
    [
        (
            DOMAINS,
            {"domains": 1},
            "data.domains must be at least 2, or nothing",
        ),
        (DOMAINS, {"factors": ("shape",)}, "data.factors must be continuous"),
        (DOMAINS, {"shape": "star"}, "none twice; got 'star'"),
        (DOMAINS, {"test_rows": 2}, "data.test_rows must be at least 3, got 2"),
        (PROCESS, {"process": "ActionDiagonal"}, "there is no data.process"),
        (PROCESS, {"worlds": -1}, "data.worlds must be at least 0, got -1"),
        (PROCESS, {"latent_noise": 0.0}, "data.latent_noise must be positive"),
        (PROCESS, {"size": 2}, "data.size must be at least 8, got 2"),
    ],
)
def test_bad_settings_are_named(settings, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        dataclasses.replace(settings, **changes).spec()
