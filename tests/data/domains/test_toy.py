"""The toy: masks, mixings, worlds."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.data import rows
from jaxdis.data.domains import ToyMixing, toy

SMALL = ToyMixing(
    z_dim=3, domains=3, samples=200, valid_samples=5, test_samples=50, worlds=2
)


def changed(**changes):
    return dataclasses.replace(SMALL, **changes)


CONFIGS = {"ring": changed(tall=True), "dense": changed(mask="dense")}


@pytest.fixture(scope="module")
def drawn():
    return {name: toy.draw(data) for name, data in CONFIGS.items()}


@pytest.fixture(scope="module")
def ring(drawn):
    return drawn["ring"]


def world(worlds, w):
    return jax.tree.map(lambda a: a[w], worlds)


MASKS = {
    "ring": [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]],
    "nested": [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
    "dense": [[1, 1, 1, 1]] * 4,
    "block": [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]],
}


@pytest.mark.parametrize("name", MASKS)
def test_masks(name):
    np.testing.assert_array_equal(toy.mask_matrix(name, 4), MASKS[name])
    tall = toy.mask_matrix(name, 4, tall=True)
    np.testing.assert_array_equal(tall, 2 * MASKS[name])


@jax.jit
def jacobians(one, z):
    """Of x, at every row of z."""
    return jax.vmap(jax.jacfwd(lambda z: toy.mix(one, z)))(z)


@pytest.mark.parametrize("name", CONFIGS)
def test_mixing_has_the_mask_and_is_injective_where_tested(drawn, name):
    """At fresh points of the box of the training rows, by autodiff and numpy."""
    worlds, splits = drawn[name]
    spec = CONFIGS[name].spec()
    for w in range(2):
        one, z = world(worlds, w), np.asarray(splits.train.z[w])
        points = np.random.default_rng(w).uniform(z.min(0), z.max(0), (3000, 3))
        points = np.float32(np.concatenate([points, z]))
        jacobian = np.asarray(jacobians(one, points))
        np.testing.assert_array_equal((jacobian != 0).any(0), spec.truth.mask == 1)
        # Of g: x is standardised.
        jacobian = jacobian * np.asarray(one.scale)[:, None]
        halves = jacobian.reshape(len(points), -1, 3, 3)
        assert halves.shape[1] == (2 if name == "ring" else 1)
        # Fresh points may lie below the limit a little, as it is tested at others.
        assert np.linalg.det(halves).min() > 0.03


def test_mixing_is_the_formula(ring):
    worlds, splits = ring
    one = jax.tree.map(np.asarray, world(worlds, 1))
    z = np.asarray(splits.test.z[1], float)
    a, v, b, r = one.mixing
    bends = np.tanh(0.5 * np.einsum("khn,in->ikh", v, z) + b[None])
    x = z @ a.T / 1.5 + 0.6 * (bends * r[None]).sum(2)
    x = (x - one.centre) / one.scale
    np.testing.assert_allclose(splits.test.x[1], x, atol=1e-4)
    np.testing.assert_array_equal(a[[0, 1, 2, 3, 4, 5], [0, 1, 2, 0, 1, 2]], 2.0)
    others = np.abs(a[(a != 2) & (a != 0)]) / one.weakening
    assert ((others >= 0.5) & (others <= 1)).all()


def test_latents_have_the_moments_of_their_domain(ring):
    worlds, splits = ring
    for w in range(2):
        means, stds = np.asarray(worlds.means[w]), np.asarray(worlds.stds[w])
        assert (np.abs(means) <= 4).all()
        assert ((stds >= 0.3) & (stds <= 1.5)).all()
        u = np.asarray(splits.train.u[w])
        for d in range(3):
            z = np.asarray(splits.train.z[w])[u == d]
            assert len(z) == 200
            error = np.abs(z.mean(0) - means[d]) / stds[d] * 200**0.5
            assert (error < 4).all()
            np.testing.assert_allclose(z.std(0), stds[d], rtol=0.25)
            # Independent given the domain.
            between = np.corrcoef(z.T)[np.triu_indices(3, 1)]
            assert np.abs(between).max() < 0.3


def test_twisted_pairs_are_turned_back_by_their_length():
    """Complex numbers: |x| is kept, so that the angle is known from what comes out."""
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    found = np.asarray(toy.twist(jnp.asarray(x), 1.5))
    plane, given = (a[:, :3] + 1j * a[:, 3:] for a in (found, x))
    np.testing.assert_allclose(abs(plane), abs(given), rtol=1e-5)
    np.testing.assert_allclose(plane * np.exp(-1.5j * abs(plane)), given, atol=1e-5)
    # A line becomes a spiral, and neither coordinate a function that only rises.
    line = np.linspace(-3, 3, 61)[:, None] * np.array([[0.6, 0.8]])
    rises = np.diff(np.asarray(toy.twist(jnp.asarray(line), 1.5)), axis=0) > 0
    assert (rises.mean(0) > 0.2).all()
    assert (rises.mean(0) < 0.8).all()


def test_a_strength_turns_the_same_worlds(ring):
    """Latents do not change, and each variable still sees those of its mask only."""
    worlds, splits = ring
    strong = toy.draw(changed(tall=True, strength=1.5))[1]
    np.testing.assert_allclose(strong.test.z, splits.test.z, rtol=1e-6)
    for w in range(2):
        given, found = splits.test.x[w], strong.test.x[w]
        np.testing.assert_allclose(toy.twist(given, 1.5), found, atol=1e-4)
    jacobian = jax.jacfwd(lambda z: toy.twist(toy.mix(world(worlds, 0), z), 1.5))
    seen = np.asarray(jax.vmap(jacobian)(splits.test.z[0, :20]))
    mask = toy.mask_matrix("ring", 3, tall=True)
    np.testing.assert_array_equal((np.abs(seen) > 0).any(0), mask == 1)


def test_rows(ring):
    _, splits = ring
    assert CONFIGS["ring"].spec().worlds == 2
    x = np.asarray(splits.train.x)
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(x.std(1), 1, atol=1e-4)
    for split, count in zip(splits[:3], (600, 15, 150), strict=True):
        assert split.x.shape == (2, count, 6)
        np.testing.assert_array_equal(split.u, [np.arange(count) % 3] * 2)
    train, valid, test = (np.asarray(s.z[0, :15]) for s in splits[:3])
    assert not np.isclose(train, test).any()
    assert not np.isclose(valid, test).any()
    assert not np.isclose(train, np.asarray(splits.train.z[1, :15])).any()


def test_latents_of_a_domain_may_be_correlated():
    data = dataclasses.replace(SMALL, samples=800, worlds=1, correlation=0.6)
    assert data.spec().breaks == "latents are correlated within a domain"
    assert not SMALL.spec().breaks
    rows = data.load().train
    for domain in range(data.domains):
        own = np.asarray(rows.z)[np.asarray(rows.u) == domain]
        found = np.corrcoef(own.T)[~np.eye(data.z_dim, dtype=bool)]
        assert np.abs(found - 0.6).max() < 0.15
    with pytest.raises(ValueError, match=r"data.correlation must lie in \[0, 1\)"):
        dataclasses.replace(SMALL, correlation=1.0).spec()


def test_a_world_is_the_same_alone_and_then_has_no_axis(ring):
    worlds, splits = ring
    alone = changed(tall=True, worlds=1)
    assert alone.spec().worlds is None
    train = alone.load().train
    np.testing.assert_allclose(train.x, splits.train.x[0], atol=1e-5)
    np.testing.assert_array_equal(train.u, splits.train.u[0])
    assert not np.isclose(worlds.means[0], worlds.means[1]).any()


def test_a_batch_is_of_one_world(ring):
    """The same rows of x, u and z, and other rows for other keys."""
    train = ring[1].train
    sample = jax.jit(rows.sampler(train, 40, worlds=True))
    batch = sample(jax.random.key(0), 1)
    x, z = np.asarray(train.x[1]), np.asarray(train.z[1])
    places = [np.abs(x - row[None]).sum(1).argmin() for row in np.asarray(batch.x)]
    np.testing.assert_array_equal(batch.x, x[places])
    np.testing.assert_array_equal(batch.z, z[places])
    np.testing.assert_array_equal(batch.u, np.asarray(train.u[1])[places])
    assert not np.isclose(batch.x, sample(jax.random.key(0), 0).x).all()
    assert len(set(places)) > 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domains": 1}, "data.domains must be at least 2, or nothing changes; got 1"),
        (
            {"mask": "rings"},
            "data.mask must be one of 'ring', 'nested', 'dense', 'block', got 'rings'",
        ),
        ({"z_dim": 1}, "data.z_dim must be at least 2, got 1"),
        ({"mask": "block"}, "data.block must divide data.z_dim = 3"),
        ({"mask": "block", "block": 0}, "data.block must divide data.z_dim = 3"),
        ({"worlds": -1}, "data.worlds must be at least 0"),
        ({"strength": 1.0}, "only a tall toy has: set data.tall; got 1.0"),
        ({"strength": -1.0}, "data.strength must be at least 0"),
        ({"samples": 0}, "data.samples must be at least 1"),
        ({"valid_samples": 0}, "data.valid_samples must be at least 1"),
    ],
)
def test_bad_settings_are_named(changes, message):
    wrong = dataclasses.replace(SMALL)
    for name, value in changes.items():
        # Past the constructor, which tests check for words that are not known.
        object.__setattr__(wrong, name, value)
    with pytest.raises(ValueError, match=re.escape(message)):
        wrong.spec()


def test_worlds_that_no_draw_makes_injective_are_named(monkeypatch):
    """With no draw to spare every world fails."""
    worlds, splits = toy.worlds, None
    one = world_with(attempts=[1, worlds.LIMIT + 1])
    monkeypatch.setattr(toy, "_draw", lambda key, data, numbers: (one, splits))
    with pytest.raises(ValueError, match=r"no injective .* for worlds \[1\] of data\."):
        toy.draw(SMALL)


def world_with(attempts):
    return toy.World(None, None, None, None, None, np.array(attempts), None)
