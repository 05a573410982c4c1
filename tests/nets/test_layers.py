"""Dense layers: values, initial weights, biases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import nets


def numpy_mlp(params, x):
    layers = [params["params"][f"Dense_{i}"] for i in range(len(params["params"]))]
    for index, layer in enumerate(layers):
        x = x @ np.float64(layer["kernel"]) + np.float64(layer["bias"])
        if index < len(layers) - 1:
            x = np.where(x > 0, x, 0.2 * x)
    return x


@pytest.mark.parametrize(
    ("hidden", "leading"), [((), (6,)), ((8,), ()), ((16, 5, 8), (2, 3))]
)
def test_forward_against_numpy(hidden, leading):
    net = nets.MLP(hidden, 4)
    params = jax.jit(net.init)(jax.random.key(0), jnp.zeros(7))
    x = np.random.default_rng(0).normal(size=(*leading, 7)).astype(np.float32)
    out = jax.jit(net.apply)(params, x)
    assert out.shape == (*leading, 4)
    np.testing.assert_allclose(
        out, numpy_mlp(params, np.float64(x)), rtol=1e-5, atol=1e-6
    )


def test_initial_weights_and_biases():
    # U(-b, b) with b = 1 / sqrt(fan_in), for weights and biases: variance b^2 / 3.
    net = nets.MLP((400, 100), 900)
    params = jax.jit(net.init)(jax.random.key(1), jnp.zeros(25))["params"]
    for name, fan_in, width in [
        ("Dense_0", 25, 400),
        ("Dense_1", 400, 100),
        ("Dense_2", 100, 900),
    ]:
        bound = fan_in**-0.5
        for leaf, shape in [("kernel", (fan_in, width)), ("bias", (width,))]:
            values = np.asarray(params[name][leaf])
            assert values.shape == shape
            assert 0.9 * bound < np.abs(values).max() <= bound
            # The standard error of a uniform's variance is b^2 sqrt(4 / 45 n).
            error = np.sqrt(4 / 45 / values.size) * bound**2
            assert abs(values.var() - bound**2 / 3) < 5 * error
            assert abs(values.mean()) < 5 * bound / np.sqrt(3 * values.size)


def test_layers_do_not_share_numbers():
    net = nets.MLP((9, 9), 9)
    params = jax.jit(net.init)(jax.random.key(0), jnp.zeros(9))["params"]
    first, second = params["Dense_0"], params["Dense_1"]
    assert not np.isin(first["kernel"], second["kernel"]).any()
    assert not np.isin(first["bias"], first["kernel"]).any()


def test_he_normal_weights(he_normal):
    net = nets.MLP((400, 100), 900, weights="he_normal")
    params = jax.jit(net.init)(jax.random.key(1), jnp.zeros(25))["params"]
    for name, fan_in in [("Dense_0", 25), ("Dense_1", 400), ("Dense_2", 100)]:
        he_normal(params[name]["kernel"], fan_in)
        np.testing.assert_array_equal(params[name]["bias"], 0)


@pytest.mark.parametrize("weights", ["uniform", "he_normal"])
def test_last_layer_without_a_bias(weights):
    key, x = jax.random.key(0), jnp.arange(3.0)
    with_bias, without = (
        nets.MLP((5, 6), 4, weights=weights, final_bias=bias) for bias in (True, False)
    )
    params, rest = (jax.jit(net.init)(key, x)["params"] for net in (with_bias, without))
    # All else is the same.
    bias = params["Dense_2"].pop("bias")
    assert jax.tree.structure(params) == jax.tree.structure(rest)
    jax.tree.map(np.testing.assert_array_equal, params, rest)
    y = jax.jit(without.apply)({"params": rest}, x)
    params["Dense_2"]["bias"] = bias
    found = jax.jit(with_bias.apply)({"params": params}, x)
    np.testing.assert_allclose(found, y + bias, rtol=1e-6)


def test_unknown_weights():
    net = nets.MLP((5,), 4, weights="glorot")
    message = "weights must be 'uniform' or 'he_normal', got 'glorot'"
    with pytest.raises(ValueError, match=message):
        net.init(jax.random.key(0), jnp.zeros(3))
