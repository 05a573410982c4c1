"""Style-based generators and discriminators, layer by layer."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import nets


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_equalised_layer(rate):
    layer = nets.EqualDense(300, rate, bias=2.0)
    x = np.random.default_rng(0).normal(size=(5, 200)).astype(np.float32)
    params = jax.jit(layer.init)(jax.random.key(1), x)
    kernel, bias = (np.asarray(params["params"][k]) for k in ("kernel", "bias"))
    np.testing.assert_allclose(kernel.std() * rate, 1.0, rtol=0.02)
    y = rate / np.sqrt(200) * x @ kernel + rate * bias
    np.testing.assert_allclose(jax.jit(layer.apply)(params, x), y, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(rate * bias, 2.0, rtol=1e-6)


def leaky(x):
    return np.sqrt(2) * np.where(x > 0, x, 0.2 * x)


def styled(layer, x, style, convolve, demodulate):
    """A convolution with weights of each example's own, one example at a time."""
    scale = nets.EqualDense(x.shape[-1], bias=1.0)
    scale = np.asarray(scale.apply({"params": layer["EqualDense_0"]}, style))
    kernel = np.float64(layer["kernel"])
    images = []
    for image, factors in zip(x, scale, strict=True):
        weights = kernel * np.prod(kernel.shape[:3]) ** -0.5 * factors[:, None]
        if demodulate:
            power = (weights**2).sum((0, 1, 2))
            weights = weights * (power + 1e-8) ** -0.5
        images.append(convolve(image[None], weights)[0])
    return np.stack(images) + np.asarray(layer["bias"])


@pytest.mark.parametrize("form", nets.CONVOLUTIONS)
def test_generator_of_one_size_has_weights_of_each_example(form, convolved):
    """A map that is learned, convolved by a style and coloured by the next."""
    network = nets.Synthesis((2,), (4, 4, 3), form)
    styles = jax.random.normal(jax.random.key(1), (3, 2, 7))
    params = jax.jit(network.init)(jax.random.key(2), styles, None)
    own = params["params"]
    first, colour = own["_StyledConv_0"], own["_StyledConv_1"]
    first["bias"], colour["bias"] = jnp.arange(2.0), jnp.arange(3.0)
    x = np.broadcast_to(np.float64(own["start"]), (3, 4, 4, 2))
    x = leaky(styled(first, x, styles[:, 0], partial(convolved, "smooth"), True))
    expected = styled(
        colour, x, styles[:, 1], lambda x, taps: x @ taps[0, 0], demodulate=False
    )
    y = jax.jit(network.apply, static_argnums=2)(params, styles, None)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_noise_has_a_learned_strength():
    network = nets.Synthesis((2,), (4, 4, 3))
    styles, key = jnp.ones((2, 2, 7)), jax.random.key(5)
    params = jax.jit(network.init)(jax.random.key(2), styles, None)
    run = jax.jit(network.apply)
    np.testing.assert_array_equal(*run(params, styles, key))  # of strength 0 at first
    params["params"]["noise_0"] = jnp.float32(0.5)
    one, other = run(params, styles, key)
    assert float(jnp.abs(one - other).max()) > 0.01


def test_bilinear_doubling():
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 2))
    expected = jax.image.resize(x, (2, 6, 10, 2), "linear")
    np.testing.assert_allclose(jax.jit(nets.bilinear)(x), expected, atol=1e-6)


def test_images_are_the_centre_of_the_last_size():
    key, styles = jax.random.key(0), jnp.ones((1, 4, 8))
    whole, part = (nets.Synthesis((4, 4), shape) for shape in ((8, 8, 3), (4, 6, 3)))
    params = jax.jit(partial(whole.init, key=None))(key, styles)
    image, centre = (
        jax.jit(partial(network.apply, key=None))(params, styles)
        for network in (whole, part)
    )
    assert centre.shape == (1, 4, 6, 3)
    np.testing.assert_allclose(centre, image[:, 2:6, 1:7], rtol=1e-5)


@pytest.mark.parametrize(("batch", "group"), [(8, 4), (6, 3), (5, 1)])
def test_deviation_of_the_minibatch(batch, group):
    x = np.random.default_rng(0).normal(size=(batch, 2, 3, 4)).astype(np.float32)
    y = np.asarray(jax.jit(nets.batch_deviation)(x))
    np.testing.assert_array_equal(y[..., :4], x)
    for first in range(0, batch, group):
        rows = slice(first, first + group)
        deviation = np.sqrt(x[rows].var(0) + 1e-8).mean()
        np.testing.assert_allclose(y[rows, ..., 4], deviation, rtol=1e-4)
