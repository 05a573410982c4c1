"""What both networks pay for, and how the effect of a style latent is measured."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.systems.sparse_mixing_gan import generator as gan
from jaxdis.systems.sparse_mixing_gan.model import build
from jaxdis.systems.sparse_mixing_gan.objective import (
    EFFECTS,
    discriminator_loss,
    generator_loss,
    image_sparsity,
)
from tests.systems.sparse_mixing_gan.tiny import PATHS, PaintedHalves, draw

MODEL = build(PATHS, PaintedHalves().spec())
DOMAINS = jnp.array([0, 1, 1, 0])
SCORES = jax.jit(MODEL.discriminator_net.apply)


@jax.jit
@partial(jax.value_and_grad, has_aux=True)
def generator(params, discriminator, hyper):
    path, key = jnp.float32(2.0), jax.random.key(3)
    return generator_loss(MODEL, params, discriminator, DOMAINS, hyper, path, key)


def test_generator_loss_is_the_sum_of_its_terms(params, hyper):
    few = {"lambda_w": 0.7, "lambda_img": 0.6, "path": 0.0, "path_decay": 0.25}
    hyper = hyper._replace(**{n: jnp.float32(v) for n, v in few.items()})
    (loss, terms), _ = generator(*params, hyper)
    scores = SCORES(params.discriminator, terms.images, DOMAINS)
    np.testing.assert_allclose(
        terms.adversarial, np.log1p(np.exp(-scores)).mean(), rtol=1e-4
    )
    rest = terms.adversarial + 0.7 * terms.importance + 0.6 * terms.sparsity
    assert terms.sparsity > 0
    np.testing.assert_allclose(loss, rest, rtol=1e-5)
    # The mean length moved a quarter of the way to that of the batch.
    mean = 2.0 + 4 * (terms.path - 2.0)
    long = generator(*params, hyper._replace(path=jnp.float32(0.5)))
    assert long[0][0] - loss > 0.5 * (mean - terms.path) ** 2


@pytest.mark.parametrize("w", [1.0, 0.05, 0.0], ids=["all", "none", "zero"])
def test_all_and_no_style_latents_are_finite(params, hyper, w):
    own = params.generator._replace(importance=jnp.full(4, w, jnp.float32))
    (value, _), gradient = generator(own, params.discriminator, hyper)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


def test_a_latent_that_is_off_hears_of_its_size_alone(params, hyper):
    hyper = hyper._replace(lambda_w=jnp.float32(0.8))
    _, gradient = generator(*params, hyper)
    pull = 0.8 / 4
    np.testing.assert_allclose(gradient.importance[3], pull, rtol=1e-5)
    assert (np.abs(gradient.importance[:3] - pull) > 1e-6).all()


def test_discriminator_loss_is_the_sum_of_its_terms(params, hyper):
    batch, params = draw(4, jax.random.key(0), 4), params.discriminator
    real, fake = gan.scaled(batch.x), jnp.zeros((4, 4, 4, 3))
    hyper = hyper._replace(r1=jnp.float32(3.0))

    @jax.jit
    def both(params, real):
        loss = discriminator_loss(MODEL, params, fake, real, batch.u, hyper)

        def score(x):  # of the half of the batch that the penalty is taken on
            return MODEL.discriminator_net.apply(params, x, batch.u[:2]).sum()

        return loss, jax.grad(score)(real[:2])

    (loss, terms), slope = both(params, real)
    scores = [np.asarray(SCORES(params, x, batch.u)) for x in (fake, real)]
    plain = np.log1p(np.exp(scores[0])) + np.log1p(np.exp(-scores[1]))
    slope = 0.5 * (np.asarray(slope) ** 2).sum() / 2
    np.testing.assert_allclose(terms["slope"], slope, rtol=1e-4)
    np.testing.assert_allclose(terms["score_fake"], scores[0].mean(), rtol=1e-4)
    np.testing.assert_allclose(terms["score_real"], scores[1].mean(), rtol=1e-4)
    np.testing.assert_allclose(terms["discriminator"], plain.mean(), rtol=1e-4)
    np.testing.assert_allclose(loss, plain.mean() + 3 * slope, rtol=1e-4)


def test_scores_are_of_the_domain_asked_for(params):
    x = gan.scaled(draw(4, jax.random.key(1), 4).x)
    scores = [SCORES(params.discriminator, x, jnp.full(4, u)) for u in (0, 1)]
    assert not np.isclose(*scores).any()


# The effect of a style latent.


def size(params, delta, mixing=0.9, mode="intended", noise=True):
    """The penalty of four examples, all draws fixed."""
    u = jax.nn.one_hot(DOMAINS, 2)
    z = jax.random.normal(jax.random.key(2), (4, PATHS.z_dim))
    x, mask, _ = gan.style_mapping(MODEL, params, z, u)
    drawn = gan.draw_variation(MODEL, params, u, mixing, jax.random.key(4))
    drawn = drawn if noise else drawn._replace(noise=None)

    def images(x):
        style = gan.styles(MODEL, params, x, mask)
        return gan.synthesise(MODEL, params, style, drawn)

    def again(x):
        style = gan.styles(MODEL, params, x, mask)
        alone = gan.unmixed(style, jax.random.key(5) if noise else None)
        return gan.synthesise(MODEL, params, style, alone)

    key = jax.random.key(6)
    return image_sparsity(EFFECTS[mode], images, again, x, mask, delta, key)


WORDS = ("mode", "noise")
sparsity = jax.jit(size, static_argnames=WORDS)
slope = jax.jit(jax.value_and_grad(size), static_argnames=WORDS)


def test_small_differences_are_the_tangent_of_the_generator(params):
    sizes = [
        sparsity(params.generator, 0.01, mode=mode) for mode in ("intended", "jvp")
    ]
    assert sizes[1] > 0
    np.testing.assert_allclose(sizes[0], sizes[1], rtol=0.02)


def test_error_of_the_difference_falls_with_its_step():
    """To first order, where the function bends one way."""
    x, mask = jnp.ones((2, 5)), jnp.array([1.0, 0.0, 1.0, 1.0, 0.0])

    def images(x):
        return jnp.exp(x)[:, None, None]

    @jax.jit
    def sizes(delta):
        key = jax.random.key(1)
        return [
            image_sparsity(EFFECTS[mode], images, images, x, mask, delta, key) / delta
            for mode in ("intended", "jvp")
        ]

    np.testing.assert_allclose(sizes(0.2)[1], np.e / 5, rtol=1e-5)
    gaps = [abs(sizes(d)[0] - np.e / 5) for d in (0.2, 0.1)]
    assert 1.8 < gaps[0] / gaps[1] < 2.2


def test_no_step_is_no_change(params):
    """Noise and mixed styles are those of the other image."""
    assert sparsity(params.generator, 0.0) == 0
    assert sparsity(params.generator, 0.1) > 0


def test_only_active_latents_are_drawn():
    """One that is not would change these images a thousand times more."""
    mask = jnp.array([0.0, 1.0, 0.0, 1.0])
    weights = jnp.array([1e3, 1.0, 1e3, 2.0])

    def images(x):
        return (x @ weights)[:, None, None, None]

    def size(key):
        x, effect = jnp.zeros((2, 4)), EFFECTS["intended"]
        return image_sparsity(effect, images, images, x, mask, 0.5, key)

    keys = jax.random.split(jax.random.key(0), 400)
    sizes = np.asarray(jax.jit(jax.vmap(size))(keys))
    assert set(np.round(sizes, 4)) == {0.5, 1.0}
    assert abs((sizes > 0.7).mean() - 0.5) < 0.1


def test_released_penalty_says_nothing_of_latents(params):
    """Without noise and mixing it is 0 with gradient 0; with them it is neither."""
    params = params.generator
    value, gradient = slope(params, 0.1, 0.0, mode="released", noise=False)
    assert value == 0
    assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(gradient))

    noisy = [float(sparsity(params, d, mode="released")) for d in (0.1, 1.0)]
    assert noisy[0] == noisy[1] > 0
    value, gradient = slope(params, 0.1)
    assert not np.isclose(value, noisy[0])
    assert all((np.asarray(g) != 0).any() for g in jax.tree.leaves(gradient.mapping))


def test_every_effect_can_be_asked_for():
    for mode, effect in EFFECTS.items():
        config = dataclasses.replace(PATHS, img_sparse=mode)
        assert build(config, PaintedHalves().spec()).effect is effect
