"""SlowVAE: the divergence by integration, the bound, the pairs, what is refused."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import laplace, norm

from jaxdis import systems, vae
from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.experiment import plan
from jaxdis.gaussian import Posterior
from jaxdis.systems import beta_vae
from jaxdis.systems.beta_vae.model import objective as beta_objective
from jaxdis.systems.slow_vae import default_hyper, make
from jaxdis.systems.slow_vae.model import objective, pairs
from jaxdis.systems.slow_vae.transition import (
    TRANSITIONS,
    entropy,
    laplace_cross_entropy,
    transition_kl,
)
from jaxdis.types import Spec
from tests.systems.slow_vae.tiny import SMALL, STEPS

SCALAR = Spec(shape=(1,), steps=2, z_dim=1)


def hyper_of(**values):
    hyper = default_hyper(SMALL, SCALAR, 100)._replace(**values)
    return jax.tree.map(jnp.float32, hyper)


def column(*values):
    return jnp.asarray(values, jnp.float32)[None]


@pytest.mark.parametrize(
    ("mean", "std", "rate"),
    [(0.0, 1.0, 1.0), (1.5, 0.7, 2.0), (-3.0, 0.2, 6.0), (0.05, 0.3, 0.5)],
)
def test_cross_entropy_is_the_integral(mean, std, rate):
    q, p = norm(mean, std), laplace(0, 1 / rate)
    edges = mean - 12 * std, mean + 12 * std
    value, _ = quad(
        lambda d: -q.pdf(d) * p.logpdf(d), *edges, points=[0.0, mean], limit=200
    )
    found = laplace_cross_entropy(column(mean), column(std**2), rate)
    np.testing.assert_allclose(found, value, rtol=1e-5)
    np.testing.assert_allclose(entropy(column(std**2)), q.entropy(), rtol=1e-5)


def test_cross_entropy_at_its_limits():
    """A point is at its distance; at 0 it is that of a half-normal law."""
    point = laplace_cross_entropy(column(-2.0, 3.0), column(1e-12, 1e-12), 4.0)
    np.testing.assert_allclose(point, [[8 - np.log(2), 12 - np.log(2)]], rtol=1e-6)
    none = laplace_cross_entropy(column(0.0), column(9.0), 2.0)
    np.testing.assert_allclose(none, 6 * np.sqrt(2 / np.pi), rtol=1e-6)
    # Both signs cost the same, and the slope at 0 is 0.
    slope = jax.grad(lambda m: laplace_cross_entropy(m, column(1.0), 2.0).sum())
    np.testing.assert_allclose(slope(column(0.0)), 0, atol=1e-7)
    np.testing.assert_allclose(slope(column(9.0)), 2.0, rtol=1e-5)
    np.testing.assert_allclose(slope(column(-9.0)), -2.0, rtol=1e-5)


def test_divergence_of_a_step_is_the_integral_over_both_frames():
    past, now, rate = norm(0.3, 0.6), norm(1.1, 0.4), 3.0
    grid = np.linspace(-3, 5, 2001)
    old, new = grid[:, None], grid[None]
    log_ratio = now.logpdf(new) - laplace.logpdf(new, old, 1 / rate)
    value = (past.pdf(old) * now.pdf(new) * log_ratio).sum() * (grid[1] - grid[0]) ** 2
    posteriors = (
        Posterior(column(one.mean()), column(one.var())) for one in (past, now)
    )
    np.testing.assert_allclose(transition_kl(*posteriors, rate), value, rtol=1e-4)


def test_released_weights():
    """As the released program: means of the other frame, one entropy for both."""
    rng = np.random.default_rng(0)
    m0, m1 = rng.normal(size=(2, 4, 3))
    v0, v1 = rng.uniform(0.1, 1, size=(2, 4, 3))
    found = TRANSITIONS["released"](
        Posterior(*map(jnp.float32, (m0, v0))),
        Posterior(*map(jnp.float32, (m1, v1))),
        6.0,
    )

    def cross(mean, var):
        std = np.sqrt(var)
        spread = std * np.sqrt(2 / np.pi) * np.exp(-(mean**2) / (2 * var))
        return -np.log(3.0) + 6 * (spread - mean * (1 - 2 * norm.cdf(mean / std)))

    both = cross(m0 - m1, v0) + cross(m1 - m0, v1)
    entropies = norm(0, np.sqrt(np.stack([v0, v1]))).entropy().mean(0)
    np.testing.assert_allclose(found, both - entropies, rtol=1e-4)


def scalar():
    """A linear model of one latent, pairs, and noise whose two moments are exact."""
    config = replace(SMALL, z_dim=1, encoder=(), decoder=())
    model = vae.build(config, SCALAR)
    params = vae.init_params(jax.random.key(0), model)
    rows = jnp.asarray([[0.4, 1.3], [-0.8, -0.7]])
    signs = jnp.asarray(list(itertools.product([-1.0, 1.0], repeat=2)))
    x = jnp.repeat(rows, len(signs), 0)[..., None]
    return model, params, x, jnp.tile(signs, (len(rows), 1))[..., None]


def test_the_gap_of_the_bound_is_the_divergence_from_the_true_posterior():
    """`log p(x, x') - bound = KL(q q' || p(z, z' | x, x'))`, both directions' mean."""
    model, params, x, noise = scalar()
    hyper = hyper_of(beta=1.0, gamma=1.0, rate=2.0, noise_std=0.5)
    loss, logged = objective(params, model, x, noise, hyper)
    q = vae.posterior(params, model, x[::4, :, 0, None])
    mean, std = np.asarray(q.mean)[..., 0], np.sqrt(np.asarray(q.var))[..., 0]
    grid = np.linspace(-7, 7, 701)
    decoded = np.asarray(vae.decode(params, model, jnp.float32(grid[:, None])))[:, 0]
    cell, bounds = (grid[1] - grid[0]) ** 2, []
    step = laplace.logpdf(grid[:, None] - grid[None], 0, 0.5)
    for row, m, s in zip(np.asarray(x[::4, :, 0]), mean, std, strict=True):
        error = [norm.logpdf(v, decoded, 0.5) for v in row]
        q0, q1 = (norm.logpdf(grid, *pair) for pair in zip(m, s, strict=True))
        log_q = q0[:, None] + q1[None]
        for first in (norm.logpdf(grid)[:, None], norm.logpdf(grid)[None]):
            joint = error[0][:, None] + error[1][None] + step + first
            evidence = np.log(np.exp(joint).sum() * cell)
            gap = (np.exp(log_q) * (log_q - (joint - evidence))).sum() * cell
            assert gap > 0.01
            bounds.append(evidence - gap)
    np.testing.assert_allclose(-loss, np.mean(bounds), rtol=2e-3)
    total = logged["reconstruction"] + logged["kl"] + logged["transition"]
    np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_without_gamma_it_is_the_beta_vae():
    model, params, x, noise = scalar()
    loss, _ = objective(params, model, x, noise, hyper_of(beta=3.0, gamma=0.0))
    theirs = beta_vae.Hyper(0.0, beta=1.5, noise_std=1.0, capacity=0.0, warmup=0.0)
    plain = model._replace(config=beta_vae.Config())
    frames, flat = x.reshape(-1, 1), noise.reshape(-1, 1)
    value, _ = beta_objective(params, plain, frames, flat, jnp.asarray(0), theirs)
    np.testing.assert_allclose(loss, 2 * value, rtol=1e-5)


def test_pairs_are_of_consecutive_frames():
    x = jnp.arange(3.0)[:, None, None] * 100 + jnp.arange(5.0)[None, :, None]
    keys = jax.random.split(jax.random.key(0), 40)
    found = np.asarray(jax.vmap(pairs, (None, 0))(x, keys))[..., 0]
    np.testing.assert_array_equal(found[..., 1] - found[..., 0], 1)
    np.testing.assert_array_equal(found // 100, np.tile([[[0], [1], [2]]], (40, 1, 2)))
    for row in range(3):
        assert set(found[:, row, 0] % 100) == {0, 1, 2, 3}
    only = pairs(x[:, :2], jax.random.key(1))
    np.testing.assert_array_equal(only, x[:, :2])


def test_steps_of_held_out_sequences_are_scored():
    data = replace(STEPS, worlds=1)
    spec = data.spec()._replace(z_dim=0)  # scores of latents are not of interest here
    rows = data.load().test._replace(z=None)
    system, model = make(SMALL, spec), vae.build(SMALL, spec)
    state = system.init(jax.random.key(0), hyper_of(rate=3.0))
    found = jax.jit(system.report)(state, rows, jax.random.key(1))
    q = vae.posterior(state.params, model, rows.x)
    mean, std = np.asarray(q.mean), np.sqrt(q.var)
    both = np.sqrt(std[:, 1:] ** 2 + std[:, :-1] ** 2)
    move = np.abs(mean[:, 1:] - mean[:, :-1])
    # The mean of a folded normal law, by another formula.
    size = 2 * both * norm.pdf(move / both) + move * (2 * norm.cdf(move / both) - 1)
    kl = 3 * size - np.log(1.5) - norm(0, std[:, 1:]).entropy()
    np.testing.assert_allclose(found["transition"], kl.sum(-1).mean(), rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "spec", "said"),
    [
        ({}, Spec(shape=(4,)), "of this data set have no axis of time"),
        ({}, Spec(shape=(4,), steps=1), "at least 2 steps; .* have 1 step"),
        ({"transition": "both"}, SCALAR, "config.transition must be one of 'bound'"),
        ({"batch": 0}, SCALAR, "config.batch must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(changes, spec, said, unchecked):
    with pytest.raises(ValueError, match=said):
        make(replace(SMALL, **changes), spec)


def test_data_without_time_are_refused_before_anything_is_drawn():
    wanted = "slow_vae needs sequences; this data set has x, z"
    with pytest.raises(ValueError, match=wanted):
        plan("slow_vae/quickstart", data=MixedFactors())
    assert systems.find("slow_vae").needs == ("sequences",)
