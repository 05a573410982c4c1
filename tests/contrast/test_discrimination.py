"""Real against permuted pairs, in closed form."""

import jax.numpy as jnp
import numpy as np
from sklearn.metrics import log_loss

from jaxdis.contrast import permuted, real_or_permuted


def test_the_loss_is_that_of_a_balanced_logistic_regression():
    rng = np.random.default_rng(0)
    real, other = 2 * rng.normal(size=(2, 40)).astype(np.float32)
    loss, logged = real_or_permuted(jnp.asarray(real), jnp.asarray(other))
    p = 1 / (1 + np.exp(-np.concatenate([real, other]).astype(float)))
    label = np.repeat([1, 0], 40)
    np.testing.assert_allclose(loss, log_loss(label, p), rtol=1e-5)
    right = ((p > 0.5) == label).mean()
    np.testing.assert_allclose(logged["accuracy"], right, rtol=1e-6)


def test_nothing_told_apart_costs_the_logarithm_of_two():
    loss, logged = real_or_permuted(jnp.zeros(3), jnp.zeros(3))
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-6)
    assert logged["accuracy"] == 0.5


def test_no_row_of_a_permutation_stays_and_none_is_lost():
    x = jnp.arange(10.0).reshape(5, 2)
    found = np.asarray(permuted(x))
    assert (found != np.asarray(x)).all()
    np.testing.assert_array_equal(np.sort(found, 0), x)
