import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso

from jaxdis import prox


@jax.jit
def solved(gram, moment, prices, start):
    """1000 steps on `w'Gw / 2 - w'r + price |w|`, and the violations at their end."""

    def slope(w):
        return jnp.einsum("tpq,tq->tp", gram, w, precision="highest") - moment

    w = prox.fista(slope, prices, prox.eigenvalue_bound(gram), start, 1000)
    return w, prox.violation(slope(w), prices, w)


def problems(t=3, n=50, p=6, alike=0.0):
    """Gram matrices and moments of rows of a design, with the design."""
    rng = np.random.default_rng(0)
    f = rng.normal(size=(t, n, p)) + alike * rng.normal(size=(t, n, 1))
    y = f[..., 0] - 0.5 * f[..., 1] + 0.1 * rng.normal(size=(t, n))
    transposed = f.swapaxes(1, 2)
    return f, y, transposed @ f / n, (transposed @ y[..., None])[..., 0] / n


def test_soft_threshold_by_hand():
    u = jnp.float32([-3, -1, -0.5, 0, 0.5, 1, 3])
    actual = prox.soft_threshold(u, jnp.ones(7))
    np.testing.assert_array_equal(actual, [-2, 0, 0, 0, 0, 0, 2])
    np.testing.assert_array_equal(prox.soft_threshold(u, jnp.zeros(7)), u)


@pytest.mark.parametrize("restarts", [False, True])
def test_steps_by_hand(restarts):
    # f = 2 a^2 / 2 - 2 a + (1/2) b^2 / 2 - b / 4 with a price of .1 and L = 2. From 0:
    # soft(r / 2, .05) = (.95, .075). The next q is (1 + sqrt 5) / 2, so that
    # (q - 1) / q+ = 0: no momentum yet. The third step has it.
    gram, moment = np.array([2, 0.5]), np.array([2, 0.25])
    start = np.array([[0.0, 0.6 if restarts else 0.0]])
    w, ahead, q, expected, again = start, start, 1.0, [], 0
    for _ in range(9):
        u = ahead - (gram * ahead - moment) / 2
        new = np.sign(u) * np.maximum(np.abs(u) - 0.05, 0)
        uphill = ((ahead - new) * (new - w)).sum() > 0
        q_new = 1.0 if uphill else (1 + np.sqrt(1 + 4 * q**2)) / 2
        ahead = new + (0.0 if uphill else (q - 1) / q_new) * (new - w)
        w, q, again = new, q_new, again + uphill
        expected.append(new[0])
    if not restarts:
        second = 0.075 - (0.075 / 2 - 0.25) / 2 - 0.05
        np.testing.assert_allclose(expected[:2], [[0.95, 0.075], [0.95, second]])

    def steps(n):
        curvature, price = jnp.full(1, 2.0), jnp.full((1, 1), 0.1)
        return prox.fista(lambda w: w * gram - moment, price, curvature, start, n)[0]

    start = jnp.float32(start)
    gram, moment = jnp.float32(gram)[None], jnp.float32(moment)[None]
    found = jax.jit(lambda: [steps(n) for n in (1, 2, 3, 9)])()
    wanted = [expected[n - 1] for n in (1, 2, 3, 9)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("alike", [0.0, 10.0])
def test_lasso_of_scikit_learn(alike):
    f, y, gram, moment = problems(alike=alike)
    price = np.array([[0.02], [0.1], [0.5]])
    arrays = (jnp.float32(a) for a in (gram, moment, price, np.zeros(moment.shape)))
    w, off = solved(*arrays)
    for t, alpha in enumerate(price[:, 0]):
        theirs = Lasso(alpha, fit_intercept=False, tol=1e-10, max_iter=100_000)
        theirs.fit(f[t], y[t])
        np.testing.assert_allclose(w[t], theirs.coef_, atol=1e-3)
        np.testing.assert_array_equal(np.asarray(w[t]) == 0, theirs.coef_ == 0)
    assert off.max() < (1e-5 if alike == 0 else 1e-3)
    # Where it ended it stays, and elsewhere the conditions are violated.
    arrays = [jnp.float32(a) for a in (gram, moment, price)]
    again, _ = solved(*arrays, w)
    np.testing.assert_allclose(again, w, atol=1e-4)


def test_a_price_for_every_unknown():
    _, _, gram, moment = problems()
    free = np.float32([[0, 0, 1e3, 1e3, 1e3, 1e3]])
    arrays = (jnp.float32(a) for a in (gram, moment, np.repeat(free, 3, 0)))
    w, _ = solved(*arrays, jnp.zeros(moment.shape))
    for t in range(3):
        alone = np.linalg.solve(gram[t, :2, :2], moment[t, :2])
        np.testing.assert_allclose(w[t, :2], alone, rtol=1e-4)
    np.testing.assert_array_equal(w[:, 2:], 0)


def test_violation_by_hand():
    # Active: |slope + price sign w|; idle: what of the slope exceeds the price.
    w = jnp.float32([2, -2, 0, 0, 0])
    slope = jnp.float32([-0.9, 1.3, 0.5, -1.2, 1.0])
    found = prox.violation(slope, jnp.ones(5), w)
    np.testing.assert_allclose(found, [0.1, 0.3, 0, 0.2, 0], atol=1e-6)


def test_eigenvalue_bound():
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(20, 5, 5))
    diagonal = np.stack([np.diag([3.0, 1, 1, 1, 1]), np.ones((5, 5))])
    gram = np.concatenate([roots @ roots.swapaxes(1, 2), diagonal])
    largest = np.linalg.eigvalsh(gram)[:, -1]
    bound = np.asarray(prox.eigenvalue_bound(jnp.float32(gram)))
    assert (bound >= largest * (1 - 1e-6)).all()
    assert (bound < 3 * largest).all()
    # Row sums are exact for the diagonal, both for the matrix of ones.
    np.testing.assert_allclose(bound[-2:], [3, 5], rtol=1e-6)
