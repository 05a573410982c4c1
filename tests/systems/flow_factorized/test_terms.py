"""The terms of the loss against worked examples."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdis import flows
from jaxdis.kernels import potential_flow
from jaxdis.systems.flow_factorized.model import gumbel_index
from jaxdis.systems.flow_factorized.terms import (
    CONDITIONS,
    DIVERGENCES,
    EQUATIONS,
    INDEX_LOSSES,
    heat_variance,
    path_kl,
)


def test_gumbel_index_is_one_hot_with_the_soft_gradient():
    logits = jax.random.normal(jax.random.key(0), (5, 3))
    gumbel = jax.random.gumbel(jax.random.key(1), (5, 3))
    weights = jax.random.normal(jax.random.key(2), (5, 3))
    y = gumbel_index(logits, gumbel, 0.5)
    np.testing.assert_allclose(y, np.eye(3)[np.argmax(logits + gumbel, -1)], atol=1e-6)

    def hard(logits):
        return jnp.sum(weights * gumbel_index(logits, gumbel, 0.5))

    found = jax.jit(jax.grad(hard))(logits)
    # d softmax / d logits = (diag(p) - p p') / tau
    p = np.exp((logits + gumbel) / 0.5)
    p /= p.sum(-1, keepdims=True)
    w = np.asarray(weights)
    expected = p * (w - (p * w).sum(-1, keepdims=True)) / 0.5
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_index_losses():
    logits = jnp.log(jnp.array([[0.8, 0.2], [0.4, 0.6]]))
    y = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    truth = jnp.array([0, 0])
    # KL to uniform of (.8, .2) is .8 log 1.6 + .2 log .4 = .192745, of (.4, .6) it is
    # .020136, and of the average (.6, .4) as well.
    value = INDEX_LOSSES["uniform_kl"](logits, y, truth, 20.0)
    np.testing.assert_allclose(
        value, (0.192745 + 0.020136) / 2 + 20 * 0.020136, rtol=1e-4
    )
    # The average of y is (.5, .5).
    value = INDEX_LOSSES["batch_consistency"](logits, y, None, 20.0)
    np.testing.assert_allclose(value, np.log(2.0), rtol=1e-6)
    # One sequence of two is right: -log(1e-20) / 2 = 23.0259.
    value = INDEX_LOSSES["true_label"](logits, y, truth, 20.0)
    np.testing.assert_allclose(value, 23.02585, rtol=1e-5)


def test_variance_of_the_heat_prior():
    rates = jnp.array([0.0, 2.0])
    y = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    d = np.log1p(np.exp([0.0, 2.0, 0.0]))
    d[2] = (d[0] + d[1]) / 2
    expected = 1 + 2 * np.arange(1, 5)[:, None] * d
    np.testing.assert_allclose(heat_variance(rates, y, 4), expected, rtol=1e-6)


def test_path_kl_without_flow_is_the_gaussian_one():
    """With no motion and D -> 0, KL_t in expectation is KL(N(mean, var) || N(0, I))."""
    mean, log_var = np.array([[0.5, -1.0, 0.0, 2.0]]), np.array([[0.0, -1.0, 0.5, 0]])
    n = 40_000
    noise = np.random.default_rng(0).normal(size=(n, 4))
    z0 = (mean + np.exp(0.5 * log_var) * noise).astype(np.float32)
    still, none = jnp.tile(z0, (4, 1, 1)), jnp.zeros((4, n))
    path = flows.Path(still, none, none[:, None], none[:, None], none[:, None])
    y = jnp.tile(jnp.array([[1.0, 0.0]]), (n, 1))
    spread = jnp.broadcast_to(jnp.asarray(log_var, jnp.float32), (n, 4))
    found = path_kl(jnp.full(2, -50.0), y, spread, path)
    # 1/2 sum (var + mean^2 - 1 - log var), four steps of it.
    exact = 4 * 0.5 * np.sum(np.exp(log_var) + mean**2 - 1 - log_var)
    np.testing.assert_allclose(found, exact, rtol=0.02)
    # A volume that shrinks by e in every step raises log q_t by 1, 2, 3 and 4.
    shrinking = path._replace(log_det=none - 1.0)
    found = path_kl(jnp.full(2, -50.0), y, spread, shrinking)
    np.testing.assert_allclose(found, exact + 10, rtol=0.02)


def test_free_scales_have_no_rate_of_their_own():
    prior = DIVERGENCES["softmax_dims"].initial(3, 4)
    np.testing.assert_array_equal(prior, np.ones((3, 4)))
    np.testing.assert_array_equal(DIVERGENCES["softmax_dims"].rates(prior), np.zeros(3))
    rates = jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(DIVERGENCES["density"].rates(rates), rates)


def test_exact_and_released_hamilton_jacobi_sums():
    time = jnp.array([[[1.0, 3.0], [0.0, 0.0]]])  # [t=1, k=2, b=2]
    speed = jnp.array([[[2.0, 6.0], [0.0, 0.0]]])
    force = jnp.array([[[0.0, 1.0], [0.0, 0.0]]])
    path = flows.Path(jnp.zeros((1, 2, 4)), jnp.zeros((1, 2)), time, speed, force)
    y = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    # R = 1 + 1 = 2 and 3 + 3 + 1 = 7: (4 + 49) / 2.
    np.testing.assert_allclose(EQUATIONS["sample"].path(y, path), 26.5)
    # sum of du/dt 4, half the mean of 8 squares (8 in all) .5: 4.5 and 5.5 with f^2.
    released = (4.5**2 + 5.5**2) / 2
    np.testing.assert_allclose(EQUATIONS["batch"].path(y, path), released)


def test_exact_and_released_initial_conditions():
    square = jnp.array([[4.0, 8.0], [12.0, 16.0]])  # [k, b], of 4 dimensions
    force = jnp.array([[1.0, 0.0], [2.0, 0.0]])
    y = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    # The first sample has k = 0 and 4 + 1, the second k = 1 and 16.
    np.testing.assert_allclose(EQUATIONS["sample"].start(y, square, force, 4), 10.5)
    # k = 0: 6 / 4 + .5, k = 1: 14 / 4 + 2, each with the weight 1/2.
    np.testing.assert_allclose(EQUATIONS["batch"].start(y, square, force, 4), 3.75)


def test_which_transformations_the_initial_condition_is_of():
    networks = [potential_flow.init(jax.random.key(i), 2, 4, 4) for i in (0, 1)]
    flow = flows.Flow(*networks, "linear")
    z0 = jax.random.normal(jax.random.key(2), (6, 4))
    y = jax.nn.one_hot(jnp.array([0, 1, 0, 1, 0, 1]), 2)
    first = jnp.tile(jnp.array([[1.0, 0.0]]), (6, 1))
    equation = EQUATIONS["batch"]

    @jax.jit
    def conditions(y):
        return {
            (supervision, ic): condition(flow, equation, y, z0)
            for supervision, table in CONDITIONS.items()
            for ic, condition in table.items()
        }

    both, alone = conditions(y), conditions(first)
    assert both["known", "all_k"] > 0
    assert both["known", "off"] == both["inferred", "off"] == 0
    # Of an inferred transformation the released condition is the last one's alone.
    assert alone["inferred", "last_k"] == 0
    assert both["inferred", "all_k"] > both["inferred", "last_k"] > 0
    assert alone["known", "last_k"] == alone["known", "all_k"] > 0
