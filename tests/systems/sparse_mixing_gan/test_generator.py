"""Latents that a domain moves, the styles of layers, and what images take of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import monotone
from jaxdis.systems.sparse_mixing_gan import generator as gan
from jaxdis.systems.sparse_mixing_gan.config import Config, default_hyper
from jaxdis.systems.sparse_mixing_gan.model import build, init
from tests.systems.sparse_mixing_gan.tiny import PATHS, PaintedHalves

SPEC = PaintedHalves().spec()


@pytest.fixture(scope="module")
def mapping(model):
    return jax.jit(lambda params, z, u: gan.style_mapping(model, params, z, u))


@pytest.fixture(scope="module")
def inputs():
    z = jax.random.normal(jax.random.key(2), (4, PATHS.z_dim))
    return z, jax.nn.one_hot(jnp.array([0, 1, 1, 0]), 2)


def test_released_sizes_of_the_mapping():
    config, spec = Config(), SPEC._replace(shape=(32, 32, 3))
    model, hyper = build(config, spec), default_hyper(config, spec, 10)
    state = jax.eval_shape(lambda key: init(model, key, hyper), jax.random.key(0))
    generator = state.params.generator
    assert monotone.PARAMETERS == 71
    z = jax.ShapeDtypeStruct((3, 512), float)
    u = jax.ShapeDtypeStruct((3, 2), float)
    theta = jax.eval_shape(model.domain_net.apply, generator.domain, u)
    assert theta.shape == (3, 18_176)
    x, mask, size = jax.eval_shape(
        lambda p, z, u: gan.style_mapping(model, p, z, u), generator, z, u
    )
    assert (x.shape, mask.shape, size.shape) == ((3, 512), (512,), ())


scale = jax.jit(gan.masked_unit_square)


@pytest.mark.parametrize("mask", [[1, 0, 1, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
def test_masked_norm_is_that_of_the_chosen_entries(mask):
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    mask = np.array(mask, bool)
    expected = np.zeros_like(x)
    for side in (mask, ~mask):
        if side.any():
            chosen = x[:, side]
            length = np.sqrt((chosen**2).mean(1, keepdims=True) + 1e-8)
            expected[:, side] = chosen / length
    scaled = scale(jnp.asarray(x), jnp.asarray(mask, float))
    np.testing.assert_allclose(scaled, expected, rtol=1e-5)


def test_latents_are_moved_by_their_maps(model, mapping, params, inputs):
    """Written out: the gate, the maps and the scale."""
    (z, u), params = inputs, params.generator
    x, mask, size = mapping(params, z, u)

    @jax.jit
    def maps(params, z, u):
        theta = model.domain_net.apply(params.domain, u).reshape(4, 4, 71)
        return monotone.ddsf(theta, params.maps, z[:, :4])

    f, moved = np.asarray(maps(params, z, u)), np.asarray(z).copy()
    moved[:, :3] += np.array([0.9, 0.6, 1.2]) * f[:, :3]
    scaled = np.concatenate(
        [
            moved[:, part] / np.sqrt((moved[:, part] ** 2).mean(1, keepdims=True))
            for part in (slice(0, 3), slice(3, 6))
        ],
        1,
    )
    np.testing.assert_allclose(x, scaled, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(mask, [1, 1, 1, 0, 0, 0])
    np.testing.assert_allclose(size, (0.9 + 0.6 + 1.2 + 0.05) / 4, rtol=1e-6)


def test_style_latents_increase_with_z(mapping, params, inputs):
    """Seen through the ratio to a latent that stays, which the scale cancels in."""
    z, u = inputs
    values = np.linspace(-4.0, 4.0, 60, dtype=np.float32)
    # All values of the four examples as one batch.
    z = jnp.asarray(np.asarray(z)[None].repeat(60, 0))
    z = z.at[:, :, 1].set(values[:, None]).reshape(240, -1)
    u = jnp.asarray(np.asarray(u)[None].repeat(60, 0).reshape(240, -1))
    x = np.asarray(mapping(params.generator, z, u)[0]).reshape(60, 4, -1)
    assert (np.diff(x[..., 1] / np.abs(x[..., 0]), axis=0) > 0).all()


@pytest.mark.parametrize("w", [1.0, 0.05, 0.0], ids=["all", "none", "zero"])
def test_latents_are_on_above_the_gate(mapping, params, inputs, w):
    params = params.generator._replace(importance=jnp.full(4, w, jnp.float32))
    x, mask, _ = mapping(params, *inputs)
    assert mask.sum() == (4 if w == 1 else 0)
    assert np.isfinite(x).all()


def test_domains_move_active_style_latents_alone(mapping, params, inputs):
    z, u = inputs
    x, other = (mapping(params.generator, z, v)[0] for v in (u, 1 - u))
    assert (np.abs(x - other)[:, :3] > 1e-3).any(0).all()
    np.testing.assert_array_equal(x[:, 3:], other[:, 3:])


def test_early_layers_are_the_same_in_all_domains(large, large_params):
    """The digit is early layers', colours are late ones'; pruned latents reach all."""
    model, params = large._replace(style_from=3), large_params.generator
    params = params._replace(importance=jnp.array([1.0, 0.05, 1.0, 1.0]))
    z = jax.random.normal(jax.random.key(0), (4, PATHS.z_dim))

    @jax.jit
    def by_layer(z, u):
        u = jnp.broadcast_to(jax.nn.one_hot(u, 2)[None], (4, 2))
        x, mask, _ = gan.style_mapping(model, params, z, u)
        alone = model.mapping_net.apply(params.mapping, x)
        every = gan.styles(large, params, x, mask)
        return gan.styles(model, params, x, mask), every, alone

    one, every, alone = by_layer(z, 0)
    other = by_layer(z, 1)[0]
    np.testing.assert_array_equal(one[:, :3], other[:, :3])
    assert (np.abs(one - other)[:, 3:].max((0, 2)) > 1e-3).all()
    moved = np.abs(by_layer(z.at[:, 0].add(1.0), 0)[0] - one).max((0, 2))
    assert (moved[:3] == 0).all()
    assert moved[3] > 1e-3
    moved = np.abs(by_layer(z.at[:, 1].add(1.0), 0)[0] - one).max((0, 2))
    assert (moved > 1e-3).all()
    # All layers are late in the released code.
    np.testing.assert_array_equal(every, np.repeat(alone[:, None], 4, 1))


def test_second_style_takes_over_at_the_cut(large, large_params):
    params = large_params.generator
    a, b = np.random.default_rng(0).normal(size=(2, 2, 4, 8)).astype(np.float32)
    cut = jnp.array([1, 3])

    @jax.jit
    def images(params, a, b):
        return gan.synthesise(large, params, a, gan.Variation(None, b, cut))

    by_layer = np.where(
        np.arange(4)[None, :, None] < np.asarray(cut)[:, None, None], a, b
    )
    expected = images(params, by_layer, by_layer)
    np.testing.assert_allclose(images(params, a, b), expected, rtol=1e-6)


def test_share_of_second_styles(large, large_params):
    """A second style is of the same domain, and takes over behind the first layer."""
    u = jax.nn.one_hot(jnp.arange(200) % 2, 2)

    @jax.jit
    def drawn(mixing):
        key = jax.random.key(0)
        return gan.draw_variation(large, large_params.generator, u, mixing, key)

    for mixing in (0.0, 0.9, 1.0):
        cut = np.asarray(drawn(mixing).cut)
        np.testing.assert_allclose((cut < 4).mean(), mixing, atol=0.06)
        assert cut.min() >= 1
    assert set(cut.tolist()) == {1, 2, 3}
    assert drawn(1.0).other.shape == (200, 4, PATHS.w_dim)


def test_bytes_and_numbers():
    x = jnp.arange(256).astype(jnp.uint8)[None, :, None, None]
    np.testing.assert_array_equal(gan.to_bytes(gan.scaled(x)), x)
    np.testing.assert_allclose(gan.scaled(x / 255.0), gan.scaled(x), atol=1e-6)
    assert gan.to_bytes(jnp.full((1, 1, 1, 1), 1.7)) == 255
    with pytest.raises(ValueError, match=r"images must be uint8, .* got int32"):
        gan.scaled(jnp.zeros((1, 4, 4, 3), jnp.int32))
