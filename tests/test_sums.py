"""Sums over parts in turn, against closed forms."""

import jax.numpy as jnp
import numpy as np

from jaxdis import sums

SHARED = {"a": jnp.float32([1.0, -2.0]), "b": jnp.float32(0.5)}
OWN = jnp.float32([[3.0, 1.0], [0.0, -1.0], [2.0, 2.0]])


def term(shared, own):
    return (shared["a"] @ own) ** 2 + shared["b"]


def test_the_sum_and_its_slopes():
    inner = np.array([1.0, 2.0, -2.0])  # a'x of each part
    value = (inner**2).sum() + 3 * 0.5
    assert sums.total(term, SHARED, OWN) == value
    found, (of_shared, of_own) = sums.total_and_slopes(term, SHARED, OWN)
    assert found == value
    np.testing.assert_array_equal(of_shared["a"], 2 * inner @ np.asarray(OWN))
    np.testing.assert_array_equal(of_shared["b"], 3)
    np.testing.assert_array_equal(of_own, 2 * inner[:, None] * [[1.0, -2.0]])
    np.testing.assert_array_equal(sums.scaled(of_own, jnp.float32(2)), 2 * of_own)
