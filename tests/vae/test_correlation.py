"""The parts of the divergence, against mixtures in numpy and known Gaussians."""

from functools import cache
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from jaxdis.gaussian import Posterior
from jaxdis.vae import aggregate, divergence_parts, total_correlation

ESTIMATES = ("stratified", "weighted")


def batch(size=7, latents=3, seed=0, width=0.5):
    """Draws and their posteriors, whose standard deviations differ."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=(size, latents))
    std = width * np.exp(0.5 * rng.normal(size=(size, latents)))
    z = mean + std * rng.normal(size=(size, latents))
    return z, mean, std


def as_jax(z, mean, std):
    z, mean, var = (jnp.asarray(a, jnp.float32) for a in (z, mean, std**2))
    return z, Posterior(mean, var)


def densities(z, mean, std):
    """log q(z_ik | x_j), `[i, j, k]`."""
    return norm.logpdf(z[:, None], mean[None], std[None])


def weights(estimate, draws, size, rows):
    """As the paper's appendix has them, averaged over the order of a batch."""
    if estimate == "weighted":
        return np.full((draws, size), 1 / (rows * size))
    others = size - 1
    # others - 1 rows weigh 1 / others, and one what is left of (N - 1) / N.
    left = (rows - others) / (rows * others)
    w = np.full((draws, size), ((others - 1) / others + left) / others)
    w[np.arange(draws), np.arange(draws)] = 1 / rows
    return w


def mixture(z, mean, std, w):
    log_p, log_w = densities(z, mean, std), np.log(w)
    joint = logsumexp(log_p.sum(-1) + log_w, axis=1)
    return joint, logsumexp(log_p + log_w[..., None], axis=1)


@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize("draws", [7, 4])
def test_densities_are_those_of_the_weighted_mixture(estimate, draws):
    z, mean, std = batch()
    joint, each = mixture(z[:draws], mean, std, weights(estimate, draws, 7, 50))
    drawn, q = as_jax(z, mean, std)
    found = aggregate(drawn[:draws], q, 50.0, estimate)
    np.testing.assert_allclose(found.joint, joint, atol=1e-5)
    np.testing.assert_allclose(found.each, each, atol=1e-5)


def test_stratified_densities_are_right_on_average():
    """Over all batches of three of five rows, at the draw of one of them."""
    z, mean, std = batch(5)
    exact, each = mixture(z[:1], mean, std, np.full((1, 5), 0.2))
    chosen = np.array([(0, *pair) for pair in combinations(range(1, 5), 2)])
    drawn, q = as_jax(z, mean[chosen], std[chosen])

    def of_batch(mean, var):
        return aggregate(drawn[:1], Posterior(mean, var), 5.0)

    found = jax.vmap(of_batch)(*q)
    np.testing.assert_allclose(np.exp(found.joint).mean(0), np.exp(exact), rtol=1e-5)
    np.testing.assert_allclose(np.exp(found.each).mean(0), np.exp(each), rtol=1e-5)


def test_a_batch_of_all_rows_gives_the_aggregate_posterior():
    z, mean, std = batch()
    joint, each = mixture(z, mean, std, np.full((7, 7), 1 / 7))
    drawn, q = as_jax(z, mean, std)
    found = aggregate(drawn, q, 7.0)
    np.testing.assert_allclose(found.joint, joint, atol=1e-5)
    np.testing.assert_allclose(found.each, each, atol=1e-5)


def test_of_one_training_row_the_aggregate_is_its_posterior():
    z, mean, std = batch()
    found = aggregate(*as_jax(z, mean, std), 1.0)
    np.testing.assert_allclose(found.each, norm.logpdf(z, mean, std), atol=1e-5)


@cache
def correlated(size=800):
    """Posteriors of variance .4 whose aggregate is N(0, R), and -1/2 log det R."""
    r = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.4], [0.2, 0.4, 1.0]])
    rng = np.random.default_rng(3)
    mean = rng.multivariate_normal(np.zeros(3), r - 0.4 * np.eye(3), size)
    std = np.full((size, 3), 0.4**0.5)
    z = mean + std * rng.normal(size=mean.shape)
    return as_jax(z, mean, std), -0.5 * np.linalg.slogdet(r)[1]


def test_the_total_correlation_of_a_gaussian():
    (z, q), known = correlated()
    found = total_correlation(z, q, 1e6)
    assert known > 0.2
    np.testing.assert_allclose(found, known, atol=0.05)
    # Fewer draws from the same mixture are noisier, and no worse.
    np.testing.assert_allclose(total_correlation(z[:400], q, 1e6), known, atol=0.08)


def test_the_weighted_estimate_is_off_by_a_constant_where_rows_overlap():
    (z, q), known = correlated()
    found = total_correlation(z, q, 100.0, "weighted")
    np.testing.assert_allclose(found, known + 2 * np.log(100), atol=0.05)


def test_independent_latents_have_none():
    (z, q), _ = correlated()
    one = jnp.stack([jnp.roll(z[:, k], 10 * k) for k in range(3)], 1)
    mean = jnp.stack([jnp.roll(q.mean[:, k], 10 * k) for k in range(3)], 1)
    found = total_correlation(one, Posterior(mean, q.var), 1e6)
    np.testing.assert_allclose(found, 0.0, atol=0.05)


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_the_parts_sum_to_the_divergence(estimate):
    z, mean, std = batch()
    found = divergence_parts(*as_jax(z, mean, std), 50.0, estimate)
    drawn = (norm.logpdf(z, mean, std) - norm.logpdf(z)).sum(1).mean()
    np.testing.assert_allclose(sum(found), drawn, atol=1e-5)
    joint, each = mixture(z, mean, std, weights(estimate, 7, 7, 50))
    product = each.sum(1)
    expected = (
        norm.logpdf(z, mean, std).sum(1) - joint,
        joint - product,
        product - norm.logpdf(z).sum(1),
    )
    np.testing.assert_allclose(found, [part.mean() for part in expected], atol=1e-5)


def test_their_mean_is_that_in_closed_form():
    (z, q), _ = correlated()
    closed = 0.5 * (q.var + q.mean**2 - 1 - jnp.log(q.var)).sum(1).mean()
    found = divergence_parts(z, q, 1e6)
    np.testing.assert_allclose(sum(found), closed, atol=0.1)
    # Each latent's aggregate is N(0, 1).
    np.testing.assert_allclose(found.each, 0.0, atol=0.03)


@pytest.mark.parametrize("width", [0.5, 0.02])
def test_gradients_are_those_of_the_formula(width):
    """Also of narrow posteriors, whose squares are large numbers."""
    (z, q), rows = as_jax(*batch(width=width)), 50.0
    w = jnp.asarray(weights("stratified", 5, 7, rows), jnp.float32)

    def formula(z, mean, var):
        square = (z[:, None] - mean[None]) ** 2 / var[None]
        log_p = -0.5 * (square + jnp.log(2 * jnp.pi * var)[None])
        joint = jax.nn.logsumexp(log_p.sum(-1), 1, b=w)
        return (joint - jax.nn.logsumexp(log_p, 1, b=w[..., None]).sum(-1)).mean()

    def ours(z, mean, var):
        return total_correlation(z, Posterior(mean, var), rows)

    found, wanted = (
        jax.value_and_grad(f, (0, 1, 2))(z[:5], *q) for f in (ours, formula)
    )
    np.testing.assert_allclose(found[0], wanted[0], atol=2e-3)
    for one, other in zip(found[1], wanted[1], strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one / scale, other / scale, atol=5e-3)


def test_one_row_is_refused():
    z, mean, std = batch(1)
    with pytest.raises(ValueError, match=r"config\.batch must be at least 2.*got 1"):
        total_correlation(*as_jax(z, mean, std), 10.0)
