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
