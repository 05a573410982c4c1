"""Domains: mixings, worlds, tables."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.data import domains

SMALL = domains.Config(
    z_dim=3, domains=3, samples=200, valid_samples=5, test_samples=50, worlds=2
)


def changed(**changes):
    return dataclasses.replace(SMALL, **changes)


@pytest.fixture(scope="module")
def ring():
    return domains.draw(changed(tall=True))


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
    np.testing.assert_array_equal(domains.mask_matrix(name, 4), MASKS[name])
    tall = domains.mask_matrix(name, 4, tall=True)
    np.testing.assert_array_equal(tall, 2 * MASKS[name])


@pytest.mark.parametrize(
    ("mask", "tall"), [("ring", True), ("nested", False), ("dense", False)]
)
def test_mixing_has_the_mask_and_is_injective_where_tested(mask, tall):
    """At fresh points of the box of the training rows, by autodiff and numpy."""
    config = changed(mask=mask, tall=tall)
    worlds, data = domains.draw(config)
    spec = domains.make_spec(config)
    for w in range(2):
        one = world(worlds, w)
        z = np.asarray(data.train.worlds_z[:, w])
        points = np.random.default_rng(w).uniform(z.min(0), z.max(0), (3000, 3))
        points = jnp.float32(np.concatenate([points, z]))
        mixed = jax.vmap(jax.jacfwd(lambda z, one=one: domains.mix(one, z)))
        jacobian = np.asarray(jax.jit(mixed)(points))
        np.testing.assert_array_equal((jacobian != 0).any(0), spec.mask == 1)
        # Of g: x is standardised.
        jacobian = jacobian * np.asarray(one.scale)[:, None]
        halves = jacobian.reshape(len(points), -1, 3, 3)
        assert halves.shape[1] == (2 if tall else 1)
        # Fresh points may lie below the limit a little, as it is tested at others.
        assert np.linalg.det(halves).min() > 0.03


def test_mixing_is_the_formula(ring):
    worlds, data = ring
    one = jax.tree.map(np.asarray, world(worlds, 1))
    z = np.asarray(data.test.worlds_z[:, 1], float)
    a, v, b, r = one.mixing
    bends = np.tanh(0.5 * np.einsum("khn,in->ikh", v, z) + b[None])
    x = z @ a.T / 1.5 + 0.6 * (bends * r[None]).sum(2)
    x = (x - one.centre) / one.scale
    np.testing.assert_allclose(data.test.worlds_x[:, 1], x, atol=1e-4)
    np.testing.assert_array_equal(a[[0, 1, 2, 3, 4, 5], [0, 1, 2, 0, 1, 2]], 2.0)
    others = np.abs(a[(a != 2) & (a != 0)]) / one.weakening
    assert ((others >= 0.5) & (others <= 1)).all()


def test_latents_have_the_moments_of_their_domain(ring):
    worlds, data = ring
    u = np.asarray(data.train.u)
    for w in range(2):
        means, stds = np.asarray(worlds.means[w]), np.asarray(worlds.stds[w])
        assert (np.abs(means) <= 4).all()
        assert ((stds >= 0.3) & (stds <= 1.5)).all()
        for d in range(3):
            z = np.asarray(data.train.worlds_z[:, w])[u == d]
            assert len(z) == 200
            error = np.abs(z.mean(0) - means[d]) / stds[d] * 200**0.5
            assert (error < 4).all()
            np.testing.assert_allclose(z.std(0), stds[d], rtol=0.25)
            # Independent given the domain.
            between = np.corrcoef(z.T)[np.triu_indices(3, 1)]
            assert np.abs(between).max() < 0.3


def test_rows(ring):
    _, data = ring
    x = np.asarray(data.train.worlds_x)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(x.std(0), 1, atol=1e-4)
    for split, rows in zip(data, (600, 15, 150), strict=True):
        assert split.worlds_x.shape == (rows, 2, 6)
        np.testing.assert_array_equal(split.u, np.arange(rows) % 3)
    train, valid, test = (np.asarray(s.worlds_z[:15, 0]) for s in data)
    assert not np.isclose(train, test).any()
    assert not np.isclose(valid, test).any()
    assert not np.isclose(train, np.asarray(data.train.worlds_z[:15, 1])).any()


def test_a_world_is_the_same_among_more(ring):
    worlds, data = ring
    single, fewer = domains.draw(changed(tall=True, worlds=1))
    np.testing.assert_allclose(single.means[0], worlds.means[0], rtol=1e-6)
    np.testing.assert_allclose(
        fewer.train.worlds_x[:, 0], data.train.worlds_x[:, 0], atol=1e-5
    )
    np.testing.assert_array_equal(fewer.train.x, fewer.train.worlds_x[:, 0])
    assert data.train.x is None
    assert not np.isclose(worlds.means[0], worlds.means[1]).any()


def test_dense_shift():
    config = changed(name="dense_shift", changing=1, samples=400, worlds=1)
    worlds, data = domains.draw(config)
    spec, _ = domains.load(config)
    np.testing.assert_array_equal(spec.mask, 1)
    one = jax.tree.map(np.asarray, world(worlds, 0))
    for matrix in one.mixing:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-5)
    np.testing.assert_array_equal(one.means[:, :2], 0)
    np.testing.assert_array_equal(one.stds[:, :2], 1)
    assert (one.means[:, 2] != 0).all()
    assert (one.stds[:, 2] < 1).all()
    z = np.asarray(data.test.worlds_z[:, 0])
    hidden = z @ one.mixing.first.T
    x = np.where(hidden > 0, hidden, 0.2 * hidden) @ one.mixing.second.T
    x = (x - one.centre) / one.scale
    np.testing.assert_allclose(data.test.worlds_x[:, 0], x, atol=1e-4)


def test_sampler_draws_rows_evenly(ring):
    _, data = ring
    sample = domains.sampler(data.train, 5000)
    batch = sample(jax.random.key(0))
    assert batch.data.worlds_x is data.train.worlds_x
    counts = np.bincount(batch.rows, minlength=600)
    assert len(counts) == 600
    # Poisson of mean 25 / 3.
    np.testing.assert_allclose(counts.var() / counts.mean(), 1, atol=0.3)
    # Equal samplers are one pytree, so that a second run is not traced again.
    again = domains.sampler(data.train, 5000)
    assert jax.tree.structure(sample) == jax.tree.structure(again)


# Tables.


def table(rows=60):
    rng = np.random.default_rng(0)
    u = np.repeat([0, 1, 2], rows // 3)
    return {
        "x": rng.normal(size=(rows, 4)) * [1, 2, 3, 4] + u[:, None],
        "u": u,
        "z": rng.normal(size=(rows, 2)),
        "mask": np.array([[1, 0], [1, 1], [0, 1], [0, 1]]),
    }


def saved(path, **changes):
    arrays = {k: v for k, v in (table() | changes).items() if v is not None}
    np.savez(path / "table.npz", **arrays)
    return domains.Config(name="table", file=str(path / "table.npz"))


def test_table(tmp_path):
    spec, data = domains.load(saved(tmp_path))
    assert spec[:3] == (4, 3, 2)
    assert spec.worlds == 1
    np.testing.assert_array_equal(spec.mask, table()["mask"])
    assert [len(s.u) for s in data] == [48, 6, 6]
    for split in data:
        # Any prefix of three rows has all domains.
        assert sorted(np.asarray(split.u[:3])) == [0, 1, 2]
        assert np.bincount(split.u).std() == 0
    x = np.concatenate([s.x for s in data])
    z = np.concatenate([s.worlds_z[:, 0] for s in data])
    np.testing.assert_allclose(data.train.x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(data.train.x.std(0), 1, atol=1e-5)
    # Every row once, with its own latents and domain.
    places = [np.abs(table()["z"] - row[None]).sum(1).argmin() for row in z]
    assert sorted(places) == list(range(60))
    fit = np.polyfit(table()["x"][places, 1], x[:, 1], 1)
    fitted = np.polyval(fit, table()["x"][places, 1])
    np.testing.assert_allclose(fitted, x[:, 1], atol=1e-6)
    u = np.concatenate([s.u for s in data])
    np.testing.assert_array_equal(u, table()["u"][places])


def test_table_without_truth(tmp_path):
    spec, data = domains.load(saved(tmp_path, z=None, mask=None))
    assert (spec.z_dim, spec.mask) == (0, None)
    assert data.test.worlds_z is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"u": np.repeat([0, 1, 3], 20)}, "data.file must hold domains u without gaps"),
        (
            {"u": np.repeat([-1, 0, 1], 20)},
            "must hold domains u that are whole numbers",
        ),
        ({"u": np.full(60, 0.5)}, "must hold domains u that are whole numbers"),
        ({"u": np.zeros(60, int)}, "data.file must hold at least 2 domains"),
        ({"u": np.r_[np.zeros(58, int), 1, 1]}, "domain 1 of data.file has 2 rows"),
        ({"u": np.zeros(59, int)}, "data.file must hold x [n, m] and u [n]"),
        ({"x": np.full((60, 4), np.nan)}, "data.file holds NaN or infinite x"),
        ({"z": np.zeros((59, 2))}, "must hold z [n, k] with the n = 60 rows of x"),
        ({"mask": np.ones((2, 4))}, "must hold a mask [m, k] of the m columns of x"),
        ({"mask": np.full((4, 2), 2)}, "must hold a mask of 0 and 1"),
        ({"x": np.ones((60, 4))}, "of x in data.file is constant"),
        ({"u": None}, "lacks u"),
    ],
)
def test_bad_tables_are_named(changes, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        domains.load(saved(tmp_path, **changes))


def test_table_that_is_not_there(tmp_path):
    config = domains.Config(name="table", file=str(tmp_path / "none.npz"))
    with pytest.raises(ValueError, match=r"data\.file must be a readable npz"):
        domains.load(config)
    with pytest.raises(ValueError, match=re.escape(domains.NO_FILE)):
        domains.load(domains.Config(name="table"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domains": 1}, "data.domains must be at least 2, or nothing changes; got 1"),
        (
            {"mask": "rings"},
            "data.mask: there is no 'rings'; the nearest name is 'ring'",
        ),
        ({"name": "toys"}, "data.name: there is no 'toys'; the nearest name is 'toy'"),
        ({"z_dim": 1}, "data.z_dim must be at least 2, got 1"),
        ({"mask": "block"}, "data.block must divide data.z_dim = 3"),
        ({"worlds": 0}, "data.worlds must be at least 1"),
        ({"samples": 0}, "data.samples must be at least 1"),
        ({"name": "dense_shift", "changing": 4}, "data.changing must lie in 1 .. "),
        ({"name": "dense_shift", "tall": True}, "data.tall is for data.name='toy'"),
        ({"name": "table", "held_out": 0.5}, "data.held_out is for valid and again"),
    ],
)
def test_bad_configs_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        domains.make_spec(changed(**changes))


def test_bad_arrays_are_named(ring):
    train = ring[1].train
    bad = {
        "data.worlds_x holds NaN": {"worlds_x": train.worlds_x.at[0].set(jnp.nan)},
        "data.worlds_x must have shape": {"worlds_x": train.worlds_x[:, 0]},
        "data.u must have shape": {"u": train.u[:-1]},
        "data.u must hold each of the domains": {"u": train.u + 1},
        "data.u must be integers": {"u": train.u * 1.0},
        "data.worlds_z must have shape": {"worlds_z": train.worlds_z[:-1]},
    }
    for message, fields in bad.items():
        with pytest.raises(ValueError, match=message):
            domains.sampler(train._replace(**fields), 4)
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        domains.sampler(train, 0)
