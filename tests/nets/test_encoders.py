"""Encoders and decoders of images, against scipy."""

from functools import cache, partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import nets


class Layers:
    """The layers of a network one after the other, in numpy."""

    def __init__(self, params, convolved):
        self.params = params["params"]
        self.convolved = convolved
        self.used = []

    def _next(self, kind):
        name = f"{kind}_{sum(used.startswith(kind) for used in self.used)}"
        self.used.append(name)
        leaves = self.params[name]
        return np.float64(leaves["kernel"]), np.float64(leaves.get("bias", 0))

    def conv(self, layer, x):
        kernel, bias = self._next("_Conv")
        return self.convolved(layer, x, kernel) + bias

    def dense(self, x):
        kernel, bias = self._next("Dense")
        return x @ kernel + bias

    def spread(self, x):
        kernel, bias = self._next("_Spread")
        return np.tensordot(x, kernel, 1) + bias

    def done(self):
        assert sorted(self.used) == sorted(self.params)


def relu(x):
    return np.maximum(x, 0)


def numpy_conv_encoder(layers, x):
    for _ in range(2):
        x = relu(layers.conv("halve", x))
    x = x.reshape(len(x), -1)
    x = relu(layers.dense(relu(layers.dense(x))))
    return layers.dense(layers.dense(x))


def numpy_conv_decoder(layers, z):
    for _ in range(3):
        z = relu(layers.dense(z))
    x = relu(layers.conv("double", relu(layers.spread(z))))
    return layers.conv("double", x)


def numpy_deep_encoder(layers, x):
    for _ in range(4):
        x = relu(layers.conv("smooth", relu(layers.conv("halve", x))))
    x = x.reshape(len(x), -1)
    x = relu(layers.dense(relu(layers.dense(x))))
    return layers.dense(layers.dense(x))


def numpy_deep_decoder(layers, z):
    for _ in range(3):
        z = relu(layers.dense(z))
    x = relu(layers.spread(z))
    for _ in range(3):
        x = relu(layers.conv("smooth", relu(layers.conv("double", x))))
    return layers.conv("smooth", relu(layers.conv("double", x)))


def numpy_merging_encoder(layers, x):
    for layer in ("halve", "halve", "merge", "merge"):
        x = relu(layers.conv(layer, x))
    return layers.dense(relu(layers.dense(x.reshape(len(x), -1))))


# Networks, shapes of what goes in and out, oracles, and the fan-ins of the weights and
# biases of each layer; those of transposed convolutions, as of all layers of decoders
# after the dense ones, count what they put out.
NETWORKS = {
    "conv encoder": (
        partial(nets.ConvEncoder, 6, 5, neck=7),
        (8, 12, 3),
        (5,),
        numpy_conv_encoder,
        {
            "_Conv": [4 * 4 * 3, 4 * 4 * 6],
            "Dense": [2 * 3 * 12, 18, 12, 7],
        },
    ),
    "conv decoder": (
        partial(nets.ConvDecoder, 6, (8, 12, 3)),
        (5,),
        (8, 12, 3),
        numpy_conv_decoder,
        {
            "Dense": [5, 5, 12],
            "_Spread": [2 * 3 * 12],
            "_Conv": [4 * 4 * 6, 4 * 4 * 3],
        },
    ),
    "deep encoder": (
        partial(nets.DeepConvEncoder, 6, 5),
        (16, 32, 3),
        (5,),
        numpy_deep_encoder,
        {
            "_Conv": [4 * 4 * 3, 3 * 3 * 6, *[4 * 4 * 6, 3 * 3 * 6] * 3],
            "Dense": [1 * 2 * 6, 6, 6, 6],
        },
    ),
    # As many units as colours: the images are still not cut at 0.
    "deep decoder": (
        partial(nets.DeepConvDecoder, 3, (16, 32, 3)),
        (5,),
        (16, 32, 3),
        numpy_deep_decoder,
        {
            "Dense": [5, 3, 3],
            "_Spread": [1 * 2 * 3],
            "_Conv": [4 * 4 * 3, 3 * 3 * 3] * 4,
        },
    ),
    "merging encoder": (
        partial(nets.MergingConvEncoder, 5, 6),
        (16, 32, 3),
        (5,),
        numpy_merging_encoder,
        {
            "_Conv": [4 * 4 * 3, 4 * 4 * 6, 2 * 2 * 6, 2 * 2 * 12],
            "Dense": [1 * 2 * 12, 48],
        },
    ),
}
each_network = pytest.mark.parametrize("name", NETWORKS)


@cache
def initial(name):
    made, inside, *_ = NETWORKS[name]
    # These keys compile faster.
    return jax.jit(made().init)(jax.random.key(0, impl="rbg"), jnp.zeros(inside))


@each_network
def test_convolutional_network_against_scipy(name, convolved, close):
    made, inside, outside, oracle, _ = NETWORKS[name]
    x = np.float32(np.random.default_rng(0).normal(size=(2, 1, *inside)))
    params = initial(name)
    layers = Layers(params, convolved)
    expected = oracle(layers, x.reshape(2, *inside))
    layers.done()
    assert expected.min() < 0  # the last layer is linear
    run = jax.jit(partial(nets.apply, made(convolutions="matmul")))
    out = run(params, x)
    # Any number of leading axes.
    assert out.shape == (2, 1, *outside)
    close(out.reshape(2, *outside), np.float32(expected))
    assert jax.eval_shape(run, params, x[0, 0]).shape == outside


@each_network
def test_form_of_the_convolutions_of_a_network(name):
    made, inside, _, _, fan_ins = NETWORKS[name]
    for form, convolutions in [("matmul", 0), ("lax", len(fan_ins["_Conv"]))]:
        run = jax.jit(partial(nets.apply, made(convolutions=form)))
        text = run.lower(initial(name), jnp.zeros(inside)).as_text()
        assert text.count("stablehlo.convolution") == convolutions


@pytest.mark.parametrize(
    "name", [name for name in NETWORKS if name != "merging encoder"]
)
def test_initial_convolutional_weights(name):
    params, fan_ins = initial(name)["params"], NETWORKS[name][-1]
    names = [f"{kind}_{i}" for kind, rows in fan_ins.items() for i in range(len(rows))]
    assert sorted(names) == sorted(params)
    for kind, rows in fan_ins.items():
        for i, fan_in in enumerate(rows):
            bound = fan_in**-0.5
            kernel, bias = (params[f"{kind}_{i}"][leaf] for leaf in ("kernel", "bias"))
            assert float(jnp.abs(bias).max()) <= bound
            assert 0.8 * bound < float(jnp.abs(kernel).max()) <= bound
            assert np.unique(np.r_[bias, kernel.ravel()]).size > 0.9 * kernel.size


def test_initial_weights_of_a_merging_encoder(he_normal):
    network = nets.MergingConvEncoder(100)
    params = jax.jit(network.init)(jax.random.key(3), jnp.zeros((32, 32, 3)))["params"]
    fan_ins = {
        "_Conv_0": 4 * 4 * 3, "_Conv_1": 4 * 4 * 32, "_Conv_2": 2 * 2 * 32,
        "_Conv_3": 2 * 2 * 64, "Dense_0": 2 * 2 * 64, "Dense_1": 256,
    }  # fmt: skip
    assert sorted(fan_ins) == sorted(params)
    for name, fan_in in fan_ins.items():
        he_normal(params[name]["kernel"], fan_in)
    assert list(params["Dense_1"]) == ["kernel"]
    for name in list(fan_ins)[:-1]:
        np.testing.assert_array_equal(params[name]["bias"], 0)


def test_seeds_of_a_merging_encoder(close):
    # As many networks at once, each with its own images, as one after the other.
    seeds, inside = 3, (16, 32, 3)
    x = jnp.float32(np.random.default_rng(0).normal(size=(seeds, 2, *inside)))
    keys = jax.random.split(jax.random.key(0, impl="rbg"), seeds)
    network = nets.MergingConvEncoder(5, 6)
    params = jax.jit(jax.vmap(lambda key: network.init(key, x[0])))(keys)
    run = jax.jit(jax.vmap(partial(nets.apply, network)))
    one = jax.jit(partial(nets.apply, nets.MergingConvEncoder(5, 6, "lax")))
    each = (jax.tree.map(itemgetter(i), params) for i in range(seeds))
    expected = [one(*pair) for pair in zip(each, x, strict=True)]
    close(run(params, x), np.stack(expected))
    assert "stablehlo.convolution" not in run.lower(params, x).as_text()


@pytest.mark.parametrize("form", nets.CONVOLUTIONS)
@pytest.mark.parametrize("shape", [(16, 24, 3), (2, 8, 16, 1)])
def test_images_that_a_merging_encoder_cannot_halve(form, shape):
    message = rf"multiples of 16, got {shape[-3]} x {shape[-2]}"
    with pytest.raises(ValueError, match=message):
        count(nets.MergingConvEncoder(5, 6, form), *shape)


def count(network, *shape):
    """Parameters of a network that sees arrays of this shape."""
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(shape))
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_published_sizes_at_28_pixels():
    """n = 324 latents and units, 3 colours, 7 x 7 pixels in the middle.

    encoder 4x4  3 -> n    16*3*324+324     =     15,876
            4x4  n -> 2n   16*324*648+648   =  3,359,880
            7x7 2n -> 3n   49*648*972+972   = 30,863,916
            3n -> 2n       972*648+648      =    630,504
            2n -> 2n       648*648+648      =    420,552
            2n -> mean and log-variance, n each: 420,552
    decoder n -> n         324*324+324      =    105,300
            n -> 2n        324*648+648      =    210,600
            2n -> 3n       648*972+972      =    630,828
            7x7 3n -> 2n   972*49*648+648   = 30,863,592
            4x4 2n -> n    16*648*324+324   =  3,359,556
            4x4  n -> 3    16*324*3+3       =     15,555
    """
    encoder = count(nets.ConvEncoder(324, 648), 28, 28, 3)
    decoder = count(nets.ConvDecoder(324, (28, 28, 3)), 324)
    assert encoder == 15_876 + 3_359_880 + 30_863_916 + 630_504 + 2 * 420_552
    assert decoder == 105_300 + 210_600 + 630_828 + 30_863_592 + 3_359_556 + 15_555
    assert encoder + decoder == 70_896_711


def test_published_sizes_at_64_pixels():
    # As above with n = 226, and 16 x 16 pixels in the middle.
    n, area = 226, 16 * 16
    encoder = count(nets.ConvEncoder(n, 2 * n), 64, 64, 3)
    convolutions = (16 * 3 * n + n) + (16 * n * 2 * n + 2 * n)
    dense = (area * 2 * n * 3 * n + 3 * n) + (3 * n * 2 * n + 2 * n)
    heads = 2 * (2 * n * 2 * n + 2 * n)
    assert encoder == convolutions + dense + heads
    decoder = count(nets.ConvDecoder(n, (64, 64, 3)), n)
    dense = (n * n + n) + (n * 2 * n + 2 * n) + (2 * n * 3 * n + 3 * n)
    spread = area * 3 * n * 2 * n + 2 * n
    convolutions = (16 * 2 * n * n + n) + (16 * n * 3 + 3)
    assert decoder == dense + spread + convolutions
    assert encoder + decoder == 161_375_529


def test_published_sizes_at_128_pixels():
    """n = 324 everywhere, 3 colours, 8 x 8 pixels in the middle.

    4x4 and 3x3 n -> n     16*324*324+324 = 1,679,940 and 9*324*324+324 = 945,108
    dense n -> n           324*324+324      =    105,300
    8x8 n -> n             64*324*324+324   =  6,718,788
    4x4 3 -> n             16*3*324+324     =     15,876
    3x3 n -> 3             9*324*3+3        =      8,751
    """
    encoder = count(nets.DeepConvEncoder(324, 648), 128, 128, 3)
    decoder = count(nets.DeepConvDecoder(324, (128, 128, 3)), 324)
    # Two dense layers, and two heads of one.
    body = 15_876 + 3 * 1_679_940 + 4 * 945_108 + 6_718_788
    assert encoder == body + 2 * 105_300 + 2 * 105_300
    body = 3 * 105_300 + 6_718_788 + 4 * 1_679_940 + 3 * 945_108
    assert decoder == body + 8_751
    assert encoder + decoder == 32_574_639


def test_published_sizes_of_a_merging_encoder():
    """64 x 64 pixels, 3 colours, 50 features.

    4x4  3 -> 32           16*3*32+32       =      1,568
    4x4 32 -> 32           16*32*32+32      =     16,416
    2x2 32 -> 64           4*32*64+64       =      8,256
    2x2 64 -> 64           4*64*64+64       =     16,448
    4x4 64 -> 256          16*64*256+256    =    262,400
    256 -> 50              256*50           =     12,800
    """
    encoder = count(nets.MergingConvEncoder(50), 64, 64, 3)
    assert encoder == 1_568 + 16_416 + 8_256 + 16_448 + 262_400 + 12_800
