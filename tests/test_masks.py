"""Relaxed binary masks: their draws, probabilities, gradients and frozen edges."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxdis import masks

ALL = sorted(masks.RELAXATIONS)
TEMPERATURES = [0.5, 1.0, 2.0]
DRAWS = 100_000


@cache
def noise_of_draws():
    return masks.logistic_noise(jax.random.key(0), (DRAWS,))


@partial(jax.jit, static_argnums=0)
def sampled(relaxation, log_alpha, noise, temperature):
    return relaxation.sample(jnp.full(noise.shape, log_alpha), noise, temperature)


def draws(relaxation, log_alpha, temperature):
    arguments = np.float32(log_alpha), noise_of_draws(), np.float32(temperature)
    return np.asarray(sampled(relaxation, *arguments))


def off_by(frequency, probability):
    """Distance of a frequency from its probability in standard errors."""
    return abs(frequency - probability) / np.sqrt(
        probability * (1 - probability) / DRAWS
    )


def grid():
    """Logits and noise in all combinations, away from the threshold."""
    log_alpha, noise = np.meshgrid(np.linspace(-3, 3, 7), np.linspace(-4.3, 4.3, 9))
    return jnp.float32(log_alpha.ravel()), jnp.float32(noise.ravel())


def test_noise_is_logistic():
    noise = np.asarray(masks.logistic_noise(jax.random.key(0), (40, 500)))
    assert noise.shape == (40, 500)
    assert stats.kstest(noise.ravel(), "logistic").pvalue > 1e-3


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_soft_mask_is_a_sigmoid(temperature):
    log_alpha, noise = grid()
    mask = masks.SOFT.sample(log_alpha, noise, jnp.asarray(temperature))
    total = np.float64(log_alpha) + np.float64(noise)
    np.testing.assert_allclose(mask, special.expit(total / temperature), rtol=1e-5)


@pytest.mark.parametrize("name", ["soft", "straight_through"])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("log_alpha", [-1.0, 0.0, 2.5])
def test_edge_probability_is_the_chance_of_more_than_a_half(
    name, temperature, log_alpha
):
    # m > 1/2 iff log_alpha + e > 0, at any temperature, and P(e > -x) = sigmoid(x).
    relaxation = masks.RELAXATIONS[name]
    frequency = (draws(relaxation, log_alpha, temperature) > 0.5).mean()
    assert off_by(frequency, special.expit(log_alpha)) < 4
    probability = relaxation.probability(
        jnp.asarray(log_alpha), jnp.asarray(temperature)
    )
    assert float(probability) == pytest.approx(special.expit(log_alpha), rel=1e-5)


def test_mean_of_the_soft_mask():
    # At temperature 1, e = logit(u) with u uniform, and with r = exp(log_alpha)
    # m = r u / (r u + 1 - u); its integral over u is r (r - 1 - log r) / (r - 1)^2.
    r = np.exp(2.0)
    mean = r * (r - 1 - 2.0) / (r - 1) ** 2
    sample = draws(masks.SOFT, 2.0, 1.0)
    assert abs(sample.mean() - mean) < 4 * sample.std() / np.sqrt(DRAWS)


@pytest.mark.parametrize("name", ["soft", "straight_through"])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_soft_masks_start_nearly_dense(name, temperature):
    relaxation = masks.RELAXATIONS[name]
    temperature = jnp.asarray(temperature)
    log_alpha = relaxation.initial(temperature)
    start = float(relaxation.probability(log_alpha, temperature))
    assert start == pytest.approx(0.9933, abs=1e-4)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_straight_through_is_binary_forward_and_soft_backward(temperature):
    log_alpha, noise = grid()
    temperature = jnp.asarray(temperature)
    hard = masks.STRAIGHT_THROUGH.sample(log_alpha, noise, temperature)
    np.testing.assert_array_equal(hard, np.asarray(log_alpha + noise) > 0)
    assert 0 < hard.mean() < 1

    def total(log_alpha, noise, temperature, relaxation):
        weights = jnp.arange(1.0, log_alpha.size + 1)
        return (weights * relaxation.sample(log_alpha, noise, temperature)).sum()

    gradient = jax.jit(jax.grad(total, (0, 1, 2)), static_argnums=3)
    through = gradient(log_alpha, noise, temperature, masks.STRAIGHT_THROUGH)
    soft = gradient(log_alpha, noise, temperature, masks.SOFT)
    assert float(jnp.abs(soft[0]).min()) > 0
    for ours, expected in zip(through, soft, strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("log_alpha", [-4.0, -1.0, 1.0])
def test_hard_concrete_probability_against_draws(temperature, log_alpha):
    mask = draws(masks.HARD_CONCRETE, log_alpha, temperature)
    probability = masks.HARD_CONCRETE.probability(
        jnp.asarray(log_alpha), jnp.asarray(temperature)
    )
    assert off_by((mask > 0).mean(), float(probability)) < 4
    # m = 1 iff s >= 1.1 / 1.2, that is log_alpha + e >= tau log 11.
    ones = special.expit(log_alpha - temperature * np.log(11))
    assert off_by((mask == 1).mean(), ones) < 4
    assert 0 <= mask.min() <= mask.max() <= 1
    assert np.unique(mask).size > 100  # and values in between


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_hard_concrete_starts_at_one_half_the_time(temperature):
    log_alpha = masks.HARD_CONCRETE.initial(jnp.asarray(temperature))
    mask = draws(masks.HARD_CONCRETE, log_alpha, temperature)
    assert off_by((mask == 1).mean(), 0.5) < 4
    if temperature == 1.0:  # P(m > 0) = sigmoid(2 log 11) = 121 / 122
        probability = masks.HARD_CONCRETE.probability(log_alpha, jnp.ones(()))
        assert float(probability) == pytest.approx(121 / 122, rel=1e-5)


def test_hard_concrete_values_and_gradient():
    # s = 1/2, .05 and .95: stretched to .5, -.04 and 1.04; the slope of the stretch is
    # 1.2 and that of s is s (1 - s); where the mask is cut there is no gradient.
    log_alpha = jnp.float32([0.0, special.logit(0.05), special.logit(0.95)])
    zero, one = jnp.zeros(3), jnp.ones(())

    @jax.jit
    def mask_and_slope(a):
        mask, pull = jax.vjp(lambda a: masks.HARD_CONCRETE.sample(a, zero, one), a)
        return mask, *pull(jnp.ones(3))

    mask, slope = mask_and_slope(log_alpha)
    np.testing.assert_allclose(mask, [0.5, 0, 1], atol=1e-6)
    np.testing.assert_allclose(slope, [0.3, 0, 0], atol=1e-6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_frozen_masks_never_move(name, dtype):
    relaxation = masks.RELAXATIONS[name]
    graph = np.array([[1, 0, 1], [0, 0, 1]])
    # A logistic draw log(u) - log(1 - u) of a float64 stays within +-40.
    noise = np.r_[-40.0, -15.0, 15.0, 40.0, stats.logistic.rvs(size=50, random_state=0)]
    noise, temperature = map(np.ravel, np.meshgrid(noise, TEMPERATURES))

    @jax.jit
    @partial(jax.vmap, in_axes=(None, 0, 0))
    def look(log_alpha, e, temperature):
        noise = jnp.full((2, 3), e)
        mask, pull = jax.vjp(
            lambda a: relaxation.sample(a, noise, temperature), log_alpha
        )
        probability, push = jax.vjp(
            lambda a: relaxation.probability(a, temperature), log_alpha
        )
        gradients = pull(jnp.ones_like(mask)), push(jnp.ones_like(probability))
        return mask, probability, *gradients

    with jax.enable_x64(dtype == "float64"):
        log_alpha = masks.frozen(graph).astype(dtype)
        seen = look(
            log_alpha, jnp.asarray(noise, dtype), jnp.asarray(temperature, dtype)
        )
    mask, probability, *gradients = seen
    assert mask.dtype == dtype
    for values in (mask, probability):
        np.testing.assert_array_equal(
            np.float64(values), np.broadcast_to(graph, values.shape)
        )
    for (gradient,) in gradients:
        np.testing.assert_array_equal(np.float64(gradient), 0.0)


def test_frozen_takes_booleans():
    graph = np.array([True, False])
    np.testing.assert_array_equal(masks.frozen(graph), masks.frozen(graph.astype(int)))
    np.testing.assert_array_equal(masks.frozen(graph) > 0, graph)


@pytest.mark.parametrize("name", ALL)
def test_expected_size_is_the_mean_number_of_edges(name):
    relaxation = masks.RELAXATIONS[name]
    log_alpha, one = jnp.float32([[-2.0, 0.5], [1.0, -0.3]]), jnp.ones(())
    noise = masks.logistic_noise(jax.random.key(1), (20_000, 2, 2))
    sample = jax.jit(jax.vmap(relaxation.sample, (None, 0, None)))
    drawn = sample(log_alpha, noise, one)
    present = drawn > (0 if name == "hard_concrete" else 0.5)
    counts = np.asarray(present).sum((1, 2))
    expected = float(masks.expected_size(relaxation.probability(log_alpha, one)))
    assert abs(counts.mean() - expected) < 4 * counts.std() / np.sqrt(counts.size)


def test_threshold_cuts_above_one_half():
    probability = jnp.float32([0.0, 0.49, 0.5, 0.51, 1.0])
    kept = masks.threshold(probability)
    assert kept.dtype == bool
    np.testing.assert_array_equal(kept, [False, False, False, True, True])
