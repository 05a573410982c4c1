"""Linear codes, against scikit-learn."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA, FastICA

from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.systems.linear import METHOD, Config, Hyper, make
from jaxdis.types import Rows, Spec, Splits

SPEC = Spec(shape=(5,), z_dim=3)
CONFIG = Config(z_dim=3)


def mixture(n=1_000):
    """Sources of three laws, mixed into five columns that lie in three dimensions."""
    rng = np.random.default_rng(0)
    s = np.stack(
        [rng.laplace(size=n), rng.uniform(-2, 2, n), rng.exponential(size=n)], 1
    )
    return s, s @ rng.normal(size=(3, 5)) + rng.normal(size=5)


@partial(jax.jit, static_argnums=(0, 3))
def fitted(system, rows, hyper, steps):
    state = system.init(jax.random.key(0), hyper)

    def step(_, both):
        return system.step(both[0], rows, hyper, jax.random.key(0))

    logged = jax.eval_shape(lambda s: step(0, (s, None))[1], state)
    start = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), logged)
    return jax.lax.fori_loop(0, steps, step, (state, start))


def fit(config, x, alpha=1.0, steps=60):
    system = make(config, SPEC._replace(shape=x.shape[1:]))
    rows = Rows(jnp.float32(x))
    return system, *fitted(system, rows, Hyper(jnp.float32(alpha)), steps)


@pytest.mark.parametrize("alpha", [1.0, 1.5])
def test_independent_components_are_those_of_scikit_learn(alpha):
    s, x = mixture()
    system, state, logged = fit(CONFIG, x, alpha)
    oracle = FastICA(
        3, whiten="unit-variance", fun_args={"alpha": alpha}, random_state=0
    )
    wanted = oracle.fit_transform(x)
    found = np.asarray(system.encode(state.params, jnp.float32(x)))
    same = np.abs(np.corrcoef(wanted.T, found.T)[:3, 3:])
    assert (same.max(0) > 0.9999).all()
    assert sorted(same.argmax(0)) == [0, 1, 2]
    assert (np.abs(np.corrcoef(s.T, found.T)[:3, 3:]).max(1) > 0.99).all()
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(found.std(0), 1, rtol=1e-3)
    assert logged["change"] < 1e-5
    # Three codes hold all of x.
    back = system.decode(state.params, jnp.asarray(found))
    np.testing.assert_allclose(back, x, atol=1e-3)


def test_principal_components_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)) * [3.0, 2.0, 1.5, 1.0, 0.5, 0.1]
    x = x @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 5
    system, state, logged = fit(replace(CONFIG, codes="pca"), x)
    oracle = PCA(3).fit(x)
    wanted, found = oracle.transform(x), system.encode(state.params, jnp.float32(x))
    sign = np.sign((wanted * np.asarray(found)).sum(0))
    np.testing.assert_allclose(found * sign[None], wanted, atol=2e-3)
    share = oracle.explained_variance_ratio_.sum()
    np.testing.assert_allclose(1 - logged["loss"], share, rtol=1e-4)
    back = oracle.inverse_transform(wanted)
    np.testing.assert_allclose(system.decode(state.params, found), back, atol=2e-3)
    held_out = rng.normal(size=(50, 6)) + 4
    rows = Rows(jnp.float32(held_out))
    explained = system.report(state, rows, jax.random.key(0))["explained"]
    left = held_out - oracle.inverse_transform(oracle.transform(held_out))
    share = 1 - (left**2).sum() / ((held_out - x.mean(0)) ** 2).sum()
    np.testing.assert_allclose(explained, share, rtol=1e-3)


def test_directions_without_variance_are_dead_codes():
    x = mixture()[1][:, :3] @ np.diag([1.0, 1.0, 0.0]) + 1
    system, state, _ = fit(CONFIG, x)
    found = np.asarray(system.encode(state.params, jnp.float32(x)))
    assert np.isfinite(found).all()
    # All components are turns of the two that there are.
    assert np.linalg.matrix_rank(found - found.mean(0), tol=1e-2) == 2


def test_every_step_sees_the_same_rows():
    rows = Rows(jnp.arange(20.0).reshape(10, 2), z=jnp.ones((10, 1)))
    spec = Spec(shape=(2,), z_dim=1)
    made = METHOD.batches(Config(rows=4), spec, Splits(rows, rows, rows))
    seen = [made.sample(jax.random.key(seed)) for seed in (0, 1)]
    np.testing.assert_array_equal(seen[0].x, rows.x[np.array([0, 3, 6, 9])])
    np.testing.assert_array_equal(*(batch.x for batch in seen))
    assert seen[0].z is None
    data = MixedFactors(z_dim=2, x_dim=3, test_rows=5, worlds=1)
    drawn = METHOD.batches(Config(rows=7), data.spec(), data.load())
    first, second = (drawn.sample(jax.random.key(seed)).x for seed in (0, 1))
    assert first.shape == (7, 3)
    np.testing.assert_array_equal(first, second)


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"config\.z_dim must be at most 5, the"):
        make(replace(CONFIG, z_dim=6), SPEC)
    with pytest.raises(ValueError, match=r"config\.codes must be one of 'ica', 'pca'"):
        make(replace(CONFIG, codes="nmf"), SPEC)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"config\.rows must be at least 2, got 1"):
        make(replace(CONFIG, rows=1), SPEC)
