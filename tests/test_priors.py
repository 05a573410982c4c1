"""Priors by domain: densities, splines and their edges, tables of domains."""

import re
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdis import gaussian, monotone, priors

FAMILIES = tuple(priors.FAMILIES)
BINS, DOMAINS, N = 4, 3, 2


@pytest.fixture(scope="module")
def distrax():
    with warnings.catch_warnings():  # of tensorflow_probability about jax, on import
        warnings.simplefilter("ignore")
        import distrax
    return distrax


def table(family, n=N, seed=0, scale=1.0):
    """Parameters of every domain and latent, and what is shared."""
    size = priors.parameter_count(family, BINS)
    theta = scale * np.random.default_rng(seed).normal(size=(DOMAINS, n, size))
    shared = monotone.init_shared(jax.random.key(seed)) if family == "ddsf" else None
    return jnp.asarray(theta, jnp.float32), shared


@partial(jax.jit, static_argnames="family")
def noise(theta, z, u, family, shared=None):
    return priors.domain_noise(theta, z, u, family=family, shared=shared)


spline = jax.jit(priors.spline)
make_knots = jax.jit(priors.make_knots)


@partial(jax.jit, static_argnames="family")
def log_prob(theta, z, u, family, shared=None):
    return priors.domain_log_prob(theta, z, u, family=family, shared=shared)


def rows(n=N, seed=1, count=200):
    rng = np.random.default_rng(seed)
    z = jnp.asarray(4 * rng.normal(size=(count, n)), jnp.float32)
    return z, jnp.asarray(rng.integers(0, DOMAINS, count))


@pytest.mark.parametrize(
    ("family", "count"), [("affine", 2), ("rqs", 3 * BINS + 3), ("ddsf", 71)]
)
def test_parameter_count(family, count):
    assert priors.parameter_count(family, BINS) == count
    assert priors.parameter_count("rqs", 8) == 27
    # A spline has the rest of centre and scale.
    if family == "rqs":
        knots = jax.eval_shape(priors.make_knots, jnp.zeros(count - 2))
        assert knots.x.shape == (BINS,)


@pytest.mark.parametrize("family", FAMILIES)
def test_log_slope_is_that_of_autodiff(family):
    with jax.enable_x64(True):
        theta, shared = jax.tree.map(lambda a: a.astype(float), table(family))
        z, u = rows()

        @jax.jit
        def jacobian(z):
            def total(z):
                e, log_slope = noise(theta, z, u, family, shared)
                return e.sum(0), log_slope

            return jax.jacrev(total, has_aux=True)(z)

        slope, log_slope = map(np.asarray, jacobian(z.astype(float)))
        # Each number of the noise comes from its own latent alone.
        np.testing.assert_array_equal(slope[[0, 1], :, [1, 0]], 0)
        own = np.log(np.einsum("nbn->bn", slope))
        np.testing.assert_allclose(log_slope, own, rtol=1e-8, atol=1e-10)
        assert np.ptp(log_slope) > 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_density_integrates_to_one(family):
    theta, shared = table(family, n=1)
    grid = np.linspace(-60, 60, 12_001, dtype=np.float32)
    z = jnp.tile(grid, DOMAINS)[:, None]
    u = jnp.repeat(jnp.arange(DOMAINS), len(grid))
    density = np.exp(np.float64(log_prob(theta, z, u, family, shared)))
    density = density.reshape(DOMAINS, -1)
    np.testing.assert_allclose(np.trapezoid(density, grid), 1.0, atol=1e-3)
    assert np.abs(density[0] - density[1]).max() > 0.05


def test_affine_is_a_gaussian():
    theta, _ = table("affine")
    z, u = rows()
    centre, scale = theta[u, :, 0], np.exp(theta[u, :, 1])
    expected = stats.norm.logpdf(z, centre, scale).sum(-1)
    actual = log_prob(theta, z, u, "affine")
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_divergence_from_affine_is_that_of_gaussians():
    """Three nodes of Gauss and Hermite are exact: the logarithms are quadratic."""
    theta, _ = table("affine")
    mean, u = rows()
    variance = jnp.exp(rows(seed=2)[0] / 4)
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    weights = weights / weights.sum()
    expected = np.zeros(len(u))
    for i, a in enumerate(nodes):
        for j, b in enumerate(nodes):
            z = mean + jnp.sqrt(variance) * jnp.float32([a, b])[None]
            log_q = stats.norm.logpdf(z, mean, np.sqrt(variance)).sum(-1)
            log_p = log_prob(theta, z, u, "affine")
            expected += weights[i] * weights[j] * np.asarray(log_q - log_p)
    centre, log_scale = theta[u, :, 0], theta[u, :, 1]
    closed = gaussian.kl(mean, variance, centre, jnp.exp(2 * log_scale)).sum(-1)
    np.testing.assert_allclose(expected, closed, rtol=1e-4)


# Splines.


def knots_and_outside(x):
    """Points at the knots of a spline, at random, and outside."""
    rng = np.random.default_rng(3)
    inside = rng.uniform(-5, 5, 40)
    return np.concatenate([x, [5.0], inside, [-5.001, 5.001, -80.0, 300.0, 0.0]])


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_spline_is_that_of_distrax(distrax, scale):
    with jax.enable_x64(True):
        theta = scale * np.random.default_rng(0).normal(size=(12, 3 * BINS + 1))
        knots = make_knots(theta)
        y = np.stack([knots_and_outside(x) for x in knots.x])

        @jax.jit
        def oracle(theta, y):
            spline = distrax.RationalQuadraticSpline(
                theta[:, None], -5.0, 5.0, boundary_slopes="identity"
            )
            return spline.forward_and_log_det(y)

        value, log_slope = oracle(theta, y)
        spread = jax.tree.map(lambda a: np.asarray(a)[:, None], knots)
        actual = spline(spread, y)
        np.testing.assert_allclose(actual[0], value, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(actual[1], log_slope, rtol=1e-7, atol=1e-7)
        outside = np.abs(y) > 5
        assert outside.sum() == 4 * 12
        np.testing.assert_array_equal(actual[0][outside], y[outside])
        np.testing.assert_array_equal(actual[1][outside], 0)
        # The densities' float32 agrees with it.
        single = jax.tree.map(np.float32, spread)
        for a, b in zip(spline(single, np.float32(y)), actual, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-3)


def test_knots_span_the_square():
    theta = 3 * np.random.default_rng(0).normal(size=(5, 3 * BINS + 1))
    k = jax.tree.map(np.asarray, make_knots(np.float32(theta)))
    for start, side in ((k.x, k.width), (k.y, k.height)):
        np.testing.assert_array_equal(start[:, 0], -5.0)
        np.testing.assert_allclose(start[:, 1:], (start + side)[:, :-1], atol=1e-5)
        np.testing.assert_allclose((start + side)[:, -1], 5.0, atol=1e-5)
        assert side.min() >= 1e-4
    assert k.slope.min() >= 1e-4
    np.testing.assert_array_equal(k.next_slope[:, :-1], k.slope[:, 1:])
    np.testing.assert_array_equal(k.slope[:, 0], 1.0)
    np.testing.assert_array_equal(k.next_slope[:, -1], 1.0)
    # The first and the last slope are not asked for.
    other = theta.copy()
    other[:, [2 * BINS, -1]] = 7.0
    for a, b in zip(k, make_knots(np.float32(other)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("family", ["rqs", "affine"])
def test_zeros_are_the_identity(family):
    theta = jnp.zeros_like(table(family)[0])
    z, u = rows()
    e, log_slope = noise(theta, z, u, family)
    np.testing.assert_allclose(e, z, atol=1e-6)
    np.testing.assert_allclose(log_slope, 0, atol=1e-6)
    normal = stats.norm.logpdf(np.float64(z)).sum(-1)
    actual = log_prob(theta, z, u, family)
    np.testing.assert_allclose(actual, normal, rtol=1e-5)


def test_deep_sigmoidal_flow_is_added_to_the_latent():
    theta, shared = table("ddsf")
    z, u = rows()
    e, log_slope = noise(theta, z, u, "ddsf", shared)
    flow = jax.jit(monotone.ddsf)(theta[u], shared, z)
    np.testing.assert_allclose(e, z + flow, rtol=1e-5, atol=1e-5)
    assert log_slope.min() > 0  # its slope is at least 1, whatever the parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip_by_bisection(family):
    theta, shared = table(family)
    z, u = rows()
    target = np.asarray(noise(theta, z, u, family, shared)[0])
    low, high = np.full(z.shape, np.float32(-200)), np.full(z.shape, np.float32(200))
    for _ in range(40):
        middle = (low + high) / 2
        under = noise(theta, middle, u, family, shared)[0] < target
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    # It increases, so there is one such point; where it is flat, floats are coarse.
    reached = noise(theta, high, u, family, shared)[0]
    np.testing.assert_allclose(reached, target, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(high, z, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_finite_at_the_edges(family):
    """At -5 and 5, at knots and far outside, for mild and for wild parameters."""

    @jax.jit
    def gradient(theta, z, u, shared):
        def total(theta, z):
            return log_prob(theta, z, u, family, shared).sum()

        return jax.value_and_grad(total, (0, 1))(theta, z)

    for scale in (0.0, 1.0, 30.0):
        theta, shared = table(family, n=1, scale=scale)
        theta = theta.at[:, :, :2].set(0.0)  # z is what the spline sees
        x = np.linspace(-5, 4, BINS)
        if family == "rqs":
            x = make_knots(np.asarray(theta)[0, 0, 2:]).x
        z = np.float32([*knots_and_outside(x), np.nextafter(np.float32(5), 4)])
        value, slopes = gradient(theta, z[:, None], jnp.zeros(len(z), int), shared)
        assert np.isfinite(value)
        assert all(np.isfinite(s).all() for s in slopes)
        assert slopes[0][0].any()
        # The other domains have no part in it.
        assert not slopes[0][1:].any()


def test_spline_is_smooth_at_its_edges():
    theta, _ = table("rqs")
    theta = theta.at[:, :, :2].set(0.0)
    z, u = rows()
    edges = np.where(z > 0, 5, -5) + np.where(u % 2 == 0, 1e-3, -1e-3)[:, None]
    e, log_slope = noise(theta, jnp.float32(edges), u, "rqs")
    np.testing.assert_allclose(e, edges, atol=1e-4)
    np.testing.assert_allclose(log_slope, 0, atol=0.02)


def test_affine_map_comes_before_the_spline():
    """A spline sees latents of any mean and scale."""
    theta, _ = table("rqs")
    z, u = rows()
    moved = theta.at[..., 0].set(40.0).at[..., 1].set(np.log(3.0))
    first, slope = noise(theta.at[..., :2].set(0.0), z, u, "rqs")
    other, other_slope = noise(moved, 40 + 3 * z, u, "rqs")
    np.testing.assert_allclose(other, first, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(other_slope, slope - np.log(3), atol=1e-3)


# The table of domains.


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_take_the_parameters_of_their_domain(family):
    theta, shared = table(family)
    z, u = rows()
    together = log_prob(theta, z, u, family, shared)
    for k in range(DOMAINS):
        of_k = jnp.broadcast_to(theta[k][None], theta.shape)
        alone = log_prob(of_k, z, u, family, shared)
        np.testing.assert_array_equal(together[u == k], alone[u == k])
        assert np.abs(together - alone)[u != k].min() > 1e-4


def test_knots_are_made_once_per_domain():
    """The softmax of a table does not grow with the batch."""
    theta, _ = table("rqs")
    z, u = rows()
    jaxpr = jax.make_jaxpr(
        lambda theta: priors.domain_log_prob(theta, z, u, family="rqs")
    )(theta)
    shapes = re.findall(r":f32\[([\d,]+)\] = exp ", str(jaxpr))
    assert f"{DOMAINS},{N},{BINS}" in shapes
    assert f"{len(z)},{N},{BINS}" not in shapes


@pytest.mark.parametrize("family", FAMILIES)
def test_seeds_are_a_mapped_axis(family):
    seeds = [(*table(family, seed=i), *rows(seed=i)) for i in range(3)]

    def one(theta, shared, z, u):
        return log_prob(theta, z, u, family, shared)

    stacked = jax.tree.map(lambda *a: jnp.stack(a), *seeds)
    together = jax.jit(jax.vmap(one))(*stacked)
    for row, seed in zip(together, seeds, strict=True):
        np.testing.assert_allclose(row, one(*seed), rtol=1e-4, atol=1e-4)
