"""Deep sigmoidal flows of single numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import monotone


@pytest.fixture(scope="module")
def maps():
    """200 maps of very different parameters, and a number for each."""
    rng = np.random.default_rng(0)
    theta = jnp.float32(rng.normal(size=(200, 71)) * 1.5)
    shared = jax.tree.map(
        lambda a: jnp.float32(rng.normal(size=a.shape)),
        monotone.init_shared(jax.random.key(0)),
    )
    return theta, shared, jnp.float32(rng.uniform(-4, 4, 200))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def by_hand(theta, shared, x):
    """One map in float64: `out = softmax(W + w) selu(a (softmax(U + u) in) + b)`."""
    values = np.array([x], float)
    for part, size, (u, w) in zip((0, 31), (1, 10), shared, strict=True):
        own = np.asarray(theta[part:], float)
        a = np.log1p(np.exp(own[:10] + np.log(np.expm1(1 - 1e-7))))
        b, out, inner = own[10:20], own[20:30], own[30 : 30 + size]
        pre = a * (softmax(np.asarray(u, float) + inner) @ values) + b
        scale, alpha = 1.0507009873554805, 1.6732632423543772
        hidden = scale * np.where(pre > 0, pre, alpha * np.expm1(np.minimum(pre, 0)))
        values = softmax(np.asarray(w, float) + out) @ hidden
    return values.item()


def test_maps_are_the_formula(maps):
    theta, shared, x = maps
    blocks = [(block.mix_in, block.mix_out) for block in shared]
    assert [(u.shape, w.shape) for u, w in blocks] == [
        ((10, 1), (10, 10)),
        ((10, 10), (1, 10)),
    ]
    expected = [by_hand(theta[i], blocks, float(x[i])) for i in range(20)]
    actual = monotone.ddsf(theta, shared, x)
    np.testing.assert_allclose(actual[:20], expected, rtol=2e-4, atol=1e-5)


def test_slope_is_positive_and_that_of_autodiff(maps):
    theta, shared, x = maps
    value, slope = monotone.ddsf_and_slope(theta, shared, x)
    np.testing.assert_array_equal(value, monotone.ddsf(theta, shared, x))

    def one(theta, x):
        return monotone.ddsf(theta[None], shared, x[None])[0]

    np.testing.assert_allclose(slope, jax.vmap(jax.grad(one, 1))(theta, x), rtol=1e-4)
    assert (slope > 0).all()


def test_maps_increase_and_are_bounded_below(maps):
    theta, shared, _ = maps
    grid = jnp.linspace(-50.0, 50.0, 201)

    def row(theta):
        return monotone.ddsf(jnp.tile(theta[None], (201, 1)), shared, grid)

    values = np.asarray(jax.vmap(row)(theta))
    # Far out on the left a map is flat to the last digit.
    assert (np.diff(values) >= -1e-6).all()
    assert (np.diff(values[:, 80:121]) > 0).all()
    # The least of a mean of SELUs: -1.0507 * 1.6733.
    assert values.min() >= -1.7581


def test_parameters_are_counted():
    assert monotone.PARAMETERS == 71
    shared = monotone.init_shared(jax.random.key(0))
    assert all(np.abs(a).max() <= 1e-3 for a in jax.tree.leaves(shared))
    with pytest.raises(ValueError, match=r"theta must be \[\*n, 71\] for x \[\*n\]"):
        monotone.ddsf(jnp.zeros((3, 70)), shared, jnp.zeros(3))
    with pytest.raises(ValueError, match=r"got \(3, 71\) for \(2,\)"):
        monotone.ddsf(jnp.zeros((3, 71)), shared, jnp.zeros(2))
