"""Networks in slices, against the same networks all at once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.nets import slices

PARAMS = {"w": jnp.float32([[1.0, -2.0, 0.5], [0.3, 0.7, -1.0]]), "b": jnp.ones(3)}
Z = jnp.float32(np.random.default_rng(0).normal(size=(12, 2)))
X = jnp.float32(np.random.default_rng(1).normal(size=(12, 3)))


def layer(params, z):
    return jnp.tanh(z @ params["w"]) * params["b"][None]


def error(params, z, x):
    return jnp.sum((layer(params, z) - x) ** 2)


def in_slices(monkeypatch, rows):
    """Lets so many rows fit, and a few bytes more."""
    each = slices.kept(layer, PARAMS, Z)
    monkeypatch.setattr(slices, "LIMIT", rows * each + each // 2)


def test_what_a_derivative_keeps_of_an_input():
    # The input, for the weights, and tanh, for its own slope and for b.
    assert 4 * (2 + 3) <= slices.kept(layer, PARAMS, Z) <= 4 * (2 + 3 * 3)
    wide = jnp.zeros((5, 200))
    params = {"w": jnp.zeros((200, 3)), "b": jnp.ones(3)}
    assert 800 <= slices.kept(layer, params, wide) <= 800 + 4 * 3 * 3


@pytest.mark.parametrize(
    ("rows", "expected"), [(0, 1), (1, 1), (2, 2), (5, 4), (11, 6), (12, 12), (99, 12)]
)
def test_slices_are_even_and_fit(monkeypatch, rows, expected):
    in_slices(monkeypatch, rows)
    assert slices.size(layer, PARAMS, Z) == expected


@pytest.mark.parametrize("count", [12, 11], ids=["even", "prime"])
def test_slices_change_nothing(monkeypatch, count):
    z_all, x_all = Z[:count], X[:count]

    def both(params, z, x):
        total = slices.summed(error, layer, params, z, x)
        return 3.0 * total + jnp.sum(jnp.cos(slices.mapped(layer, params, z)))

    def found():
        given = PARAMS, z_all, x_all
        return both(*given), jax.value_and_grad(both, (0, 1, 2))(*given)

    def loops():
        return str(jax.make_jaxpr(lambda: found())()).count("scan[")

    assert loops() == 0
    expected = jax.jit(found)()
    in_slices(monkeypatch, 4)
    assert loops() > 0
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
        jax.jit(lambda: found())(),
        expected,
    )


def test_no_input_at_all():
    assert slices.mapped(layer, PARAMS, Z[:0]).shape == (0, 3)


def test_slices_of_stacked_seeds(monkeypatch):
    in_slices(monkeypatch, 3)
    seeds = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), PARAMS)
    slope = jax.grad(partial(slices.summed, error, layer))
    stacked = jax.jit(jax.vmap(slope, (0, None, None)))(seeds, Z, X)
    for i in range(2):
        alone = slope(jax.tree.map(lambda a, i=i: a[i], seeds), Z, X)
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
            jax.tree.map(lambda a, i=i: a[i], stacked),
            alone,
        )


def test_no_derivative_computes_none(monkeypatch):
    in_slices(monkeypatch, 3)
    program = str(jax.make_jaxpr(partial(slices.summed, error, layer))(PARAMS, Z, X))
    assert program.count("dot_general") == 1
