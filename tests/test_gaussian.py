import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdis import gaussian

# Means and variances as they meet in a model: wide, equal, and very narrow.
MEANS = np.float32([0.0, -1.5, 3.0, 0.2])
VARIANCES = np.float32([1.0, 4.0, 1e-4, 0.3])


@pytest.fixture(scope="module")
def distrax():
    with warnings.catch_warnings():  # of tensorflow_probability about jax, on import
        warnings.simplefilter("ignore")
        import distrax
    return distrax


def test_log_prob_against_scipy():
    offsets = np.linspace(-6, 6, 13, dtype=np.float32)[:, None]
    x = MEANS + offsets * np.sqrt(VARIANCES)
    mean = np.broadcast_to(MEANS, x.shape)
    variance = np.broadcast_to(VARIANCES, x.shape)
    expected = stats.norm.logpdf(np.float64(x), mean, np.sqrt(np.float64(variance)))
    actual = jax.jit(gaussian.log_prob)(x, mean, variance)
    assert actual.shape == x.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_kl_against_distrax(distrax):
    mean_q, mean_p = (m.ravel() for m in np.meshgrid(MEANS, MEANS))
    var_q, var_p = (v.ravel() for v in np.meshgrid(VARIANCES, VARIANCES[::-1]))
    q = distrax.Normal(mean_q, np.sqrt(var_q))
    p = distrax.Normal(mean_p, np.sqrt(var_p))
    expected = q.kl_divergence(p)
    actual = gaussian.kl(mean_q, var_q, mean_p, var_p)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_kl_against_monte_carlo():
    q, p = stats.norm(0.5, np.sqrt(0.3)), stats.norm(-0.2, np.sqrt(0.8))
    z = q.rvs(200_000, random_state=0)
    ratios = q.logpdf(z) - p.logpdf(z)
    error = ratios.std() / np.sqrt(z.size)
    forward, backward = (
        float(gaussian.kl(*map(jnp.float32, arguments)))
        for arguments in [(0.5, 0.3, -0.2, 0.8), (-0.2, 0.8, 0.5, 0.3)]
    )
    assert abs(forward - ratios.mean()) < 4 * error
    assert abs(backward - ratios.mean()) > 40 * error  # the order of q and p matters


def test_kl_is_zero_only_at_equality():
    mean, var = (g.ravel() for g in np.meshgrid(MEANS, VARIANCES))
    np.testing.assert_array_equal(gaussian.kl(mean, var, mean, var), 0.0)
    nudged = [gaussian.kl(mean, var, mean, 1.1 * var)]
    nudged += [gaussian.kl(mean, var, mean + 0.1 * np.sqrt(var), var)]
    # log(1.1) / 2 + 1 / 2.2 - 1/2 and .1^2 / 2
    assert float(nudged[0].min()) == pytest.approx(0.0022005, rel=1e-2)
    assert float(nudged[1].min()) == pytest.approx(0.005, rel=1e-2)


def test_sample_has_the_distribution():
    n = 20_000
    mean = jnp.broadcast_to(MEANS, (n, 4))
    var = jnp.broadcast_to(VARIANCES, (n, 4))
    draws = np.float64(gaussian.sample(jax.random.key(0), mean, var))
    standard = (draws - MEANS) / np.sqrt(np.float64(VARIANCES))
    for column in standard.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
    correlation = np.corrcoef(standard.T) - np.eye(4)
    assert np.abs(correlation).max() < 5 / np.sqrt(n)


def test_sample_is_reparameterised():
    # d(mean + sqrt(var) eps) is 1 by mean and eps / (2 sqrt(var)) = (z - m) / (2 var).
    def total(mean, var):
        return gaussian.sample(jax.random.key(3), mean, var).sum()

    by_mean, by_var = jax.grad(total, (0, 1))(MEANS, VARIANCES)
    z = gaussian.sample(jax.random.key(3), MEANS, VARIANCES)
    np.testing.assert_array_equal(by_mean, 1.0)
    np.testing.assert_allclose(by_var, (z - MEANS) / (2 * VARIANCES), rtol=1e-2)
