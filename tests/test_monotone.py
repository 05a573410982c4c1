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


ddsf = jax.jit(monotone.ddsf)


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
    actual = ddsf(theta, shared, x)
    np.testing.assert_allclose(actual[:20], expected, rtol=2e-4, atol=1e-5)


def test_slope_is_positive_and_that_of_autodiff(maps):
    theta, shared, x = maps
    value, slope = jax.jit(monotone.ddsf_and_slope)(theta, shared, x)
    np.testing.assert_allclose(value, ddsf(theta, shared, x), rtol=1e-6, atol=1e-6)
    # Reverse mode; no map sees another's number.
    by_sum = jax.jit(jax.grad(lambda x: monotone.ddsf(theta, shared, x).sum()))
    np.testing.assert_allclose(slope, by_sum(x), rtol=1e-4)
    assert (slope > 0).all()


def test_maps_increase_and_are_bounded_below(maps):
    theta, shared, _ = maps
    grid = jnp.linspace(-50.0, 50.0, 201)

    @jax.jit
    def rows(theta):
        every = jnp.broadcast_to(theta[:, None], (200, 201, 71))
        return monotone.ddsf(every, shared, jnp.broadcast_to(grid[None], (200, 201)))

    values = np.asarray(rows(theta))
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
