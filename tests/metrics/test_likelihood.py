"""Bounds on a model whose likelihood is known.

z ~ N(0, I) has two numbers and x = W z + b + N(0, I) four pixels, so that x ~ N(b,
W W' + I), and the posterior is N(V W' (x - b), V) with V = (I + W' W)^-1.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdis import metrics

compat_loglik, elbo, iwae, unit_gaussian = map(
    jax.jit,
    (metrics.compat_loglik, metrics.elbo, metrics.iwae, metrics.unit_gaussian),
)

RNG = np.random.default_rng(0)
W = RNG.normal(size=(4, 2))
B = RNG.normal(size=4)
X = stats.multivariate_normal(B, W @ W.T + np.eye(4)).rvs(5, random_state=1)
V = np.linalg.inv(np.eye(2) + W.T @ W)
POSTERIOR = (X - B) @ W @ V  # its means
LOG_X = stats.multivariate_normal(B, W @ W.T + np.eye(4)).logpdf(X)
# What an encoder might answer instead: off in its means, wrong in its widths.
MEAN, SD = POSTERIOR + np.array([0.5, -0.4]), np.array([0.6, 0.9])


def frames(flat):
    """Four numbers as a frame of 2 x 2 grey pixels."""
    return np.float32(flat).reshape(*flat.shape[:-1], 2, 2, 1)


def densities(samples, repeats=1, seed=0):
    """log_x, log_p and log_q `[s, repeats, 5]` of samples of that encoder."""
    rng = np.random.default_rng(seed)
    z = MEAN + SD * rng.normal(size=(samples, repeats, *MEAN.shape))
    mean = z @ W.T + B
    log_x = unit_gaussian(frames(np.broadcast_to(X, mean.shape)), frames(mean))
    log_p = stats.norm.logpdf(z).sum(-1)
    log_q = stats.norm.logpdf(z, MEAN, SD).sum(-1)
    return log_x, np.float32(log_p), np.float32(log_q)


def test_unit_gaussian_against_scipy():
    x, mean = RNG.normal(size=(2, 3, 4, 5, 3)).astype(np.float32)
    expected = stats.norm.logpdf(np.float64(x), mean).sum((-3, -2, -1))
    actual = unit_gaussian(x, mean)
    assert actual.shape == (3,)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


# The published frames; -(D / 2) log(2 pi) with D = 2352, 12288 and 49152.
@pytest.mark.parametrize(
    ("side", "ceiling"), [(28, -2161.34), (64, -11291.92), (128, -45167.67)]
)
def test_unit_gaussian_has_a_ceiling(side, ceiling):
    x = RNG.uniform(size=(side, side, 3)).astype(np.float32)
    assert float(unit_gaussian(x, x)) == pytest.approx(ceiling, abs=0.05)
    # Off by d in every pixel costs D d^2 / 2.
    below = ceiling - side * side * 3 * 0.1**2 / 2
    assert float(unit_gaussian(x, x + np.float32(0.1))) == pytest.approx(
        below, rel=1e-5
    )


def test_elbo_is_the_likelihood_less_the_divergence():
    log_x, log_p, log_q = densities(20_000)
    # KL(N(m, S) || N(n, V)) = (tr V^-1 S + (m - n)' V^-1 (m - n) - 2
    # + log det V - log det S) / 2
    off = MEAN - POSTERIOR
    quadratic = np.einsum("bi,ij,bj->b", off, np.linalg.inv(V), off)
    log_ratio = np.log(np.linalg.det(V)) - 2 * np.log(SD).sum()
    divergence = (np.diag(np.linalg.inv(V)) @ SD**2 + quadratic - 2 + log_ratio) / 2
    assert divergence.min() > 0.3
    error = np.std(log_x + log_p - log_q, 0)[0] / np.sqrt(20_000)
    bound = elbo(log_x, log_p, log_q)[0]
    assert (np.abs(bound - (LOG_X - divergence)) < 4.5 * error).all()


def test_bounds_tighten_with_samples():
    means, errors = [], []
    for samples, repeats in [(1, 2000), (5, 1500), (30, 800), (1000, 30)]:
        parts = densities(samples, repeats, seed=samples)
        bound = np.asarray(iwae(*parts))
        assert (elbo(*parts) <= bound + 1e-4).all()  # of the same samples, by Jensen
        means.append(bound.mean(0))
        errors.append(bound.std(0) / np.sqrt(repeats))
    for few in (0, 1):
        error = np.hypot(errors[few], errors[few + 1])
        assert (means[few + 1] - means[few] > 4 * error).all()
    assert (means[2] < LOG_X).all()
    assert (np.abs(means[3] - LOG_X) < 4 * errors[3]).all()
    assert errors[3].max() < 0.02


def test_a_perfect_encoder_needs_one_sample():
    # With q the posterior, log_x + log_p - log_q is log p(x) at every z.
    z = RNG.multivariate_normal(np.zeros(2), V, size=(3, 5)) + POSTERIOR
    log_x = unit_gaussian(frames(np.broadcast_to(X, (3, 5, 4))), frames(z @ W.T + B))
    log_p = np.float32(stats.norm.logpdf(z).sum(-1))
    q = stats.multivariate_normal(np.zeros(2), V)
    log_q = np.float32(q.logpdf(z - POSTERIOR))
    for bound in (elbo, iwae):
        np.testing.assert_allclose(bound(log_x, log_p, log_q), LOG_X, rtol=1e-5)


def test_one_sample_makes_the_bounds_equal():
    parts = densities(1)
    np.testing.assert_allclose(iwae(*parts), elbo(*parts), rtol=1e-6)


def test_iwae_of_very_unlikely_frames():
    # log mean (e^-20000, e^-20001) = -20000 + log((1 + 1/e) / 2)
    log_x = jnp.array([-20_000.0, -20_001.0])
    expected = -20_000 + np.log((1 + np.exp(-1)) / 2)
    actual = float(iwae(log_x, jnp.zeros(2), jnp.zeros(2)))
    assert actual == pytest.approx(expected, abs=2e-3)
    assert float(elbo(log_x, jnp.zeros(2), jnp.zeros(2))) == -20_000.5


def test_published_figure_adds_what_the_bound_subtracts():
    log_x, log_p, log_q = densities(50, 3)
    difference = compat_loglik(log_x, log_p, log_q) - elbo(log_x, log_p, log_q)
    expected = 2 * np.mean(log_q - log_p, 0)
    assert np.abs(expected).min() > 0.1
    np.testing.assert_allclose(difference, expected, atol=1e-4)
    same = compat_loglik(log_x, log_p, log_p)
    np.testing.assert_allclose(same, elbo(log_x, log_p, log_p), rtol=1e-6)
    np.testing.assert_allclose(same, np.mean(log_x, 0), rtol=1e-5)


def test_published_figure_can_exceed_every_likelihood():
    # A narrow posterior and a perfect decoder: log_q > log_p, and so above the ceiling
    # of 4 pixels, which neither bound reaches.
    ceiling = -2 * np.log(2 * np.pi)
    log_x = jnp.full(3, ceiling)
    log_p, log_q = jnp.array([-2.0, -2.5, -3.0]), jnp.array([1.0, 0.5, 1.5])
    assert float(compat_loglik(log_x, log_p, log_q)) == pytest.approx(ceiling + 3.5)
    assert float(elbo(log_x, log_p, log_q)) == pytest.approx(ceiling - 3.5)
    assert float(iwae(log_x, log_p, log_q)) < ceiling


@pytest.mark.parametrize("bound", [metrics.elbo, metrics.iwae, metrics.compat_loglik])
def test_bounds_name_what_does_not_fit(bound):
    x = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"shapes \(3, 2\), \(2,\) and \(3, 2\)"):
        bound(x, x[0], x)
    with pytest.raises(ValueError, match=r"log_x has shape \(0, 2\); it must not"):
        bound(x[:0], x[:0], x[:0])
    with pytest.raises(ValueError, match="log_q holds strings"):
        bound(x, x, x.astype(str))


def test_unit_gaussian_of_bytes():
    x, mean = np.full((2, 3, 1), 10, np.uint8), np.full((2, 3, 1), 20, np.uint8)
    expected = stats.norm(20).logpdf(np.full(6, 10)).sum()
    assert float(metrics.unit_gaussian(x, mean)) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="the same frames"):
        metrics.unit_gaussian(x, mean[:1])
