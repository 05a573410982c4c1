"""Densities, divergences and draws of diagonal Gaussians."""

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


log_prob, kl = jax.jit(gaussian.log_prob), jax.jit(gaussian.kl)


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
    actual = log_prob(x, mean, variance)
    assert actual.shape == x.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_kl_against_distrax(distrax):
    mean_q, mean_p = (m.ravel() for m in np.meshgrid(MEANS, MEANS))
    var_q, var_p = (v.ravel() for v in np.meshgrid(VARIANCES, VARIANCES[::-1]))
    q = distrax.Normal(mean_q, np.sqrt(var_q))
    p = distrax.Normal(mean_p, np.sqrt(var_p))
    expected = q.kl_divergence(p)
    actual = kl(mean_q, var_q, mean_p, var_p)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_kl_against_monte_carlo():
    q, p = stats.norm(0.5, np.sqrt(0.3)), stats.norm(-0.2, np.sqrt(0.8))
    z = q.rvs(200_000, random_state=0)
    ratios = q.logpdf(z) - p.logpdf(z)
    error = ratios.std() / np.sqrt(z.size)
    forward, backward = (
        float(kl(*map(jnp.float32, arguments)))
        for arguments in [(0.5, 0.3, -0.2, 0.8), (-0.2, 0.8, 0.5, 0.3)]
    )
    assert abs(forward - ratios.mean()) < 4 * error
    assert abs(backward - ratios.mean()) > 40 * error  # the order of q and p matters


def test_kl_is_zero_only_at_equality():
    mean, var = (g.ravel() for g in np.meshgrid(MEANS, VARIANCES))
    np.testing.assert_array_equal(kl(mean, var, mean, var), 0.0)
    nudged = [kl(mean, var, mean, 1.1 * var)]
    nudged += [kl(mean, var, mean + 0.1 * np.sqrt(var), var)]
    # log(1.1) / 2 + 1 / 2.2 - 1/2 and .1^2 / 2
    assert float(nudged[0].min()) == pytest.approx(0.0022005, rel=1e-2)
    assert float(nudged[1].min()) == pytest.approx(0.005, rel=1e-2)


def test_log_prob_against_distrax(distrax):
    x = MEANS[None] + np.linspace(-3, 3, 7, dtype=np.float32)[:, None]
    expected = distrax.Normal(MEANS[None], np.sqrt(VARIANCES[None])).log_prob(x)
    actual = log_prob(x, MEANS[None], VARIANCES[None])
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=1e-5)


@jax.jit
def drawn(noise, posterior):
    """Draws, their densities by noise and by value, and slopes of their sum."""

    def total(posterior):
        return gaussian.sample(posterior, noise).sum()

    z = gaussian.sample(posterior, noise)
    by_noise = gaussian.noise_log_prob(noise, posterior.var)
    return z, by_noise, gaussian.log_prob(z, *posterior), jax.grad(total)(posterior)


@pytest.fixture(scope="module")
def draws():
    noise = np.random.default_rng(0).normal(size=(20_000, 4)).astype(np.float32)
    mean, var = (np.broadcast_to(a, noise.shape) for a in (MEANS, VARIANCES))
    return noise, drawn(noise, gaussian.Posterior(jnp.array(mean), jnp.array(var)))


def test_sample_has_the_distribution(draws):
    _, (z, *_) = draws
    standard = (np.float64(z) - MEANS) / np.sqrt(np.float64(VARIANCES))
    for column in standard.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
    correlation = np.corrcoef(standard.T) - np.eye(4)
    assert np.abs(correlation).max() < 5 / np.sqrt(len(standard))


def test_sample_is_reparameterised(draws):
    # d(mean + sqrt(var) eps) is 1 by mean and eps / (2 sqrt(var)) by var.
    noise, (*_, slopes) = draws
    np.testing.assert_array_equal(slopes.mean, 1.0)
    np.testing.assert_allclose(slopes.var, noise / (2 * np.sqrt(VARIANCES)), rtol=1e-5)


def test_density_of_a_draw_by_its_noise(draws):
    noise, (z, by_noise, by_value, _) = draws
    expected = stats.norm.logpdf(np.float64(noise)) - np.log(np.float64(VARIANCES)) / 2
    np.testing.assert_allclose(by_noise, expected, rtol=1e-5, atol=1e-5)
    # By value the mean of 3 costs the narrow one its last digits.
    np.testing.assert_allclose(by_value, by_noise, rtol=1e-3, atol=2e-3)
    assert z.shape == by_noise.shape == noise.shape


def test_posterior_unpacks_into_mean_and_variance():
    log_var = np.log(VARIANCES)
    q = gaussian.from_log_var(jnp.asarray(MEANS), jnp.asarray(log_var))
    np.testing.assert_array_equal(q.mean, MEANS)
    np.testing.assert_allclose(q.var, VARIANCES, rtol=1e-5)
    p = gaussian.standard(q.mean)
    np.testing.assert_array_equal(p, [np.zeros(4), np.ones(4)])
    # The form that is in every textbook.
    expected = 0.5 * (VARIANCES + MEANS**2 - 1 - log_var)
    np.testing.assert_allclose(kl(*q, *p), expected, rtol=1e-5, atol=1e-6)
