"""Sparse mixing in a GAN: mapping, losses, networks, scores, the compiled contract."""

import dataclasses
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxdis import losses, monotone, runner
from jaxdis.data import bind, domain_images
from jaxdis.systems import sparse_mixing_gan as gan

SIDE = 8
SPEC = domain_images.Spec((SIDE, SIDE, 3), 2, ("hue 0", "hue 180"), 2, True)
TINY = gan.Config(
    z_dim=6, style_dims=4, w_dim=8, layers=1, widths=(4, 4), batch=4, r1_part=2,
    path_part=0, sparse_part=2,
)  # fmt: skip
PATHS = dataclasses.replace(TINY, path_part=2)
COLLECTIVE = r"= [^=]* (all-gather|all-reduce|all-to-all|collective-permute)"
RATES = {"learning_rate": 0.01, "discriminator_rate": 0.01}


def variant(**changes):
    return dataclasses.replace(TINY, **changes)


def halves(left):
    """Grey images that are bright on the left or on the right."""
    side = jnp.arange(SIDE)[None, None, :, None] < SIDE // 2
    bright = jnp.where(jnp.asarray(left)[:, None, None, None], side, ~side)
    bright = jnp.broadcast_to(bright, (len(left), SIDE, SIDE, 1))
    return jnp.where(bright, 255, 0).astype(jnp.uint8)


@pytest.fixture(scope="module")
def data():
    """Two domains of images that are bright on one side, and a judge of the side."""
    grey = halves(np.arange(32) % 2 == 0)
    draw = Partial(bind(domain_images._draw_coloured, SPEC.domains))
    stored = domain_images.Train(grey, None, draw)
    side = np.where(np.arange(SIDE) < SIDE // 2, 1.0, -1.0)
    side = side[None].repeat(SIDE, 0).reshape(1, -1)
    hidden = jnp.asarray(np.concatenate([side, -side, 0.1 * abs(side)]) / SIDE**2)
    judge = domain_images.Judge(
        (hidden, jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])),
        (jnp.zeros(3), jnp.zeros(2)),
    )
    u = np.arange(300) // 2 % 2
    x = domain_images._jittered(
        jax.random.key(1), halves(np.arange(300) % 2 == 0), jnp.asarray(u / 2, float)
    )
    held_out = domain_images._judged(judge, x, u, np.arange(300) % 2)
    return domain_images.Dataset(stored, held_out, held_out)


def values(config=TINY, **changes):
    return gan.default_hyper(config, SPEC, 10)._replace(**changes)


def typed(hyper):
    """Arrays, so that one program serves all values."""
    return jax.tree.map(lambda h: jnp.asarray(h, float), hyper)


@pytest.fixture(scope="module")
def start():
    """A state in which noise, biases and maps are not at the special values of init."""
    state = jax.jit(gan.make(TINY, SPEC).init)(jax.random.key(0), values())
    leaves, tree = jax.tree.flatten(state.params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [
        a + 0.3 * jax.random.normal(k, a.shape)
        for a, k in zip(leaves, keys, strict=True)
    ]
    params = jax.tree.unflatten(tree, moved)
    w = jnp.array([0.9, 0.6, 1.2, 0.05])
    return state._replace(
        params=params._replace(generator=params.generator._replace(importance=w))
    )


@pytest.fixture(scope="module")
def inputs():
    z = jax.random.normal(jax.random.key(2), (4, TINY.z_dim))
    return z, jax.nn.one_hot(jnp.array([0, 1, 1, 0]), SPEC.domains)


# Latents.


def test_released_sizes_of_the_mapping():
    config = gan.Config()
    init = gan.make(config, SPEC._replace(shape=(32, 32, 3))).init
    state = jax.eval_shape(init, jax.random.key(0), values(config))
    generator = state.params.generator
    assert monotone.PARAMETERS == 71
    z = jax.ShapeDtypeStruct((3, 512), float)
    u = jax.ShapeDtypeStruct((3, 2), float)
    network = gan._domain_net(config)
    assert jax.eval_shape(network.apply, generator.domain, u).shape == (3, 18_176)
    x, mask, size = jax.eval_shape(
        lambda p, z, u: gan.style_mapping(p, config, z, u), generator, z, u
    )
    assert (x.shape, mask.shape, size.shape) == ((3, 512), (512,), ())


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
    scaled = gan.masked_unit_square(jnp.asarray(x), jnp.asarray(mask, float))
    np.testing.assert_allclose(scaled, expected, rtol=1e-5)


def test_latents_are_moved_by_their_maps(start, inputs):
    """Written out: the gate, the maps and the scale."""
    (z, u), params = inputs, start.params.generator
    x, mask, size = gan.style_mapping(params, TINY, z, u)
    theta = gan._domain_net(TINY).apply(params.domain, u).reshape(4, 4, 71)
    f = np.asarray(monotone.ddsf(theta, params.maps, z[:, :4]))
    moved = np.asarray(z).copy()
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


def test_style_latents_increase_with_z(start, inputs):
    """Seen through the ratio to a latent that stays, which the scale cancels in."""
    (z, u), grid = inputs, jnp.linspace(-4.0, 4.0, 60)

    def ratio(value):
        x = gan.style_mapping(
            start.params.generator, TINY, z.at[:, 1].set(value), u
        )[0]  # fmt: skip
        return x[:, 1] * jnp.sign(x[:, 0]) / jnp.abs(x[:, 0]) * jnp.sign(x[:, 0])

    ratios = np.asarray(jax.vmap(ratio)(grid))
    assert (np.diff(ratios, axis=0) > 0).all()


@pytest.mark.parametrize("w", [1.0, 0.05, 0.0], ids=["all", "none", "zero"])
def test_all_and_no_style_latents_are_finite(start, inputs, w):
    batch = jnp.zeros(4, int)
    params = start.params.generator._replace(importance=jnp.full(4, w))
    (value, _), gradient = generator_loss(
        params, start.params.discriminator, batch, typed(values())
    )
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    mask = gan.style_mapping(params, TINY, *inputs)[1]
    assert mask.sum() == (4 if w == 1 else 0)


def test_domains_move_active_style_latents_alone(start, inputs):
    z, u = inputs
    x, other = (
        gan.style_mapping(start.params.generator, TINY, z, v)[0] for v in (u, 1 - u)
    )
    assert (np.abs(x - other)[:, :3] > 1e-3).any(0).all()
    np.testing.assert_array_equal(x[:, 3:], other[:, 3:])


# Losses.


@jax.jit
@partial(jax.value_and_grad, has_aux=True)
def generator_loss(params, discriminator, u, hyper):
    return gan.generator_loss(
        params,
        discriminator,
        PATHS,
        SPEC,
        u,
        hyper,
        jnp.float32(2.0),
        jax.random.key(3),
    )


def test_scores_that_fool_or_are_right_cost_less():
    score = jnp.linspace(-3.0, 3.0, 7)
    rising, falling = np.log1p(np.exp(score)), np.log1p(np.exp(-score))
    np.testing.assert_allclose(losses.gan_generator(score), falling, rtol=1e-5)
    zero = jnp.zeros(7)
    np.testing.assert_allclose(
        losses.gan_discriminator(score, zero), rising + np.log(2), rtol=1e-5
    )
    np.testing.assert_allclose(
        losses.gan_discriminator(zero, score), falling + np.log(2), rtol=1e-5
    )


def test_gradient_penalty_of_a_quadratic():
    x = jax.random.normal(jax.random.key(0), (5, 2, 3))
    penalty = losses.gradient_penalty(lambda x: 0.5 * (x**2).sum((1, 2)), x)
    np.testing.assert_allclose(penalty, 0.5 * (x**2).sum((1, 2)).mean(), rtol=1e-5)


def test_path_lengths_of_a_linear_generator():
    """Their mean square is `|A|^2 / (height width)`, a mean over both layers."""
    a = jax.random.normal(jax.random.key(0), (2, 3, 2 * 4 * 3))

    def images(styles):
        return jnp.einsum("blw,lwx->bx", styles, a).reshape(-1, 2, 4, 3)

    lengths = losses.path_lengths(images, jnp.ones((20_000, 2, 3)), jax.random.key(1))
    np.testing.assert_allclose((lengths**2).mean(), (a**2).sum() / 16, rtol=0.03)


def test_generator_loss_is_the_sum_of_its_terms(start):
    u = jnp.array([0, 1, 1, 0])
    hyper = typed(values(lambda_w=0.7, lambda_img=0.6, path=0.0, path_decay=0.25))
    (loss, figures), _ = generator_loss(*start.params, u, hyper)
    scores = gan._discriminator_net(TINY, SPEC).apply(
        start.params.discriminator, figures.images, u
    )
    np.testing.assert_allclose(
        figures.adversarial, np.log1p(np.exp(-scores)).mean(), rtol=1e-4
    )
    rest = figures.adversarial + 0.7 * figures.importance + 0.6 * figures.sparsity
    assert figures.sparsity > 0
    np.testing.assert_allclose(loss, rest, rtol=1e-5)
    # The mean length moved a quarter of the way to that of the batch.
    mean = 2.0 + 4 * (figures.path - 2.0)
    long = generator_loss(*start.params, u, hyper._replace(path=jnp.float32(0.5)))
    assert long[0][0] - loss > 0.5 * (mean - figures.path) ** 2


def test_discriminator_loss_is_the_sum_of_its_terms(start, data):
    batch = gan.sampler(data.train, 4)(jax.random.key(0))
    real, fake = gan.scaled(batch.images), jnp.zeros((4, SIDE, SIDE, 3))
    judge, params = gan._discriminator_net(TINY, SPEC), start.params.discriminator
    loss, figures = gan.discriminator_loss(
        params, TINY, SPEC, fake, real, batch.u, values(r1=3.0)
    )
    scores = [np.asarray(judge.apply(params, x, batch.u)) for x in (fake, real)]
    plain = np.log1p(np.exp(scores[0])) + np.log1p(np.exp(-scores[1]))

    def score(x):  # of the half of the batch that the penalty is taken on
        return judge.apply(params, x, batch.u[:2]).sum()

    slope = 0.5 * (np.asarray(jax.grad(score)(real[:2])) ** 2).sum() / 2
    np.testing.assert_allclose(figures["slope"], slope, rtol=1e-4)
    np.testing.assert_allclose(loss, plain.mean() + 3 * slope, rtol=1e-4)


def test_a_latent_that_is_off_hears_of_its_size_alone(start):
    hyper = values(lambda_w=0.8)
    u = jnp.array([0, 1, 1, 0])
    _, gradient = generator_loss(*start.params, u, typed(hyper))
    pull = 0.8 / 4
    np.testing.assert_allclose(gradient.importance[3], pull, rtol=1e-5)
    assert (np.abs(gradient.importance[:3] - pull) > 1e-6).all()


# The penalty of the effect of a style latent.


@partial(jax.jit, static_argnames=("mode", "noise"))
def sparsity(params, delta, mixing=0.9, mode="intended", noise=True):
    """The penalty of four examples and its gradient, all draws fixed."""
    u = jax.nn.one_hot(jnp.array([0, 1, 1, 0]), SPEC.domains)
    z = jax.random.normal(jax.random.key(2), (4, TINY.z_dim))

    def size(params):
        x, mask, _ = gan.style_mapping(params, TINY, z, u)
        drawn = gan.draw_variation(params, TINY, u, mixing, jax.random.key(4))
        drawn = drawn if noise else drawn._replace(noise=None)

        def images(x):
            style = gan.styles(params, TINY, x, mask)
            return gan.synthesise(params, TINY, SPEC, style, drawn)

        def again(x):
            style = gan.styles(params, TINY, x, mask)
            alone = gan.unmixed(TINY, style, jax.random.key(5) if noise else None)
            return gan.synthesise(params, TINY, SPEC, style, alone)

        key = jax.random.key(6)
        return gan.image_sparsity(
            images, x, mask, key, delta=delta, mode=mode, again=again
        )

    return jax.value_and_grad(size)(params)


def test_small_differences_are_the_tangent_of_the_generator(start):
    sizes = [
        sparsity(start.params.generator, 0.01, mode=mode)[0]
        for mode in ("intended", "jvp")
    ]
    assert sizes[1] > 0
    np.testing.assert_allclose(sizes[0], sizes[1], rtol=0.02)


def test_error_of_the_difference_falls_with_its_step():
    """To first order, where the function bends one way."""
    x, mask = jnp.ones((2, 5)), jnp.array([1.0, 0.0, 1.0, 1.0, 0.0])

    def size(mode, delta):
        value = gan.image_sparsity(
            lambda x: jnp.exp(x)[:, None, None], x, mask, jax.random.key(1),
            delta=delta, mode=mode,
        )  # fmt: skip
        return float(value) / delta

    np.testing.assert_allclose(size("jvp", 0.2), np.e / 5, rtol=1e-5)
    gaps = [abs(size("intended", d) - np.e / 5) for d in (0.2, 0.1)]
    assert 1.8 < gaps[0] / gaps[1] < 2.2


def test_no_step_is_no_change(start):
    """Noise and mixed styles are those of the other image."""
    assert sparsity(start.params.generator, 0.0)[0] == 0
    assert sparsity(start.params.generator, 0.1)[0] > 0


def test_only_active_latents_are_drawn():
    """One that is not would change these images a thousand times more."""
    mask = jnp.array([0.0, 1.0, 0.0, 1.0])
    weights = jnp.array([1e3, 1.0, 1e3, 2.0])

    def size(key):
        return gan.image_sparsity(
            lambda x: (x @ weights)[:, None, None, None], jnp.zeros((2, 4)), mask, key,
            delta=0.5,
        )  # fmt: skip

    sizes = np.asarray(jax.vmap(size)(jax.random.split(jax.random.key(0), 400)))
    assert set(np.round(sizes, 4)) == {0.5, 1.0}
    assert abs((sizes > 0.7).mean() - 0.5) < 0.1


def test_released_penalty_says_nothing_of_latents(start):
    """Without noise and mixing it is 0 with gradient 0; with them it is neither."""
    params = start.params.generator
    size, gradient = sparsity(params, 0.1, 0.0, mode="released", noise=False)
    assert size == 0
    assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(gradient))

    noisy = [float(sparsity(params, d, mode="released")[0]) for d in (0.1, 1.0)]
    assert noisy[0] == noisy[1] > 0
    size, gradient = sparsity(params, 0.1)
    assert not np.isclose(size, noisy[0])
    assert all((np.asarray(g) != 0).any() for g in jax.tree.leaves(gradient.mapping))


@pytest.mark.parametrize("mode", ["other", "released"])
def test_modes_that_cannot_be(mode):
    with pytest.raises(ValueError, match=f"mode must be .* got '{mode}'"):
        gan.image_sparsity(
            lambda x: x, jnp.ones((2, 3)), jnp.ones(3), jax.random.key(0), delta=0.1,
            mode=mode,
        )  # fmt: skip


# Networks.


def test_matrix_products_are_the_convolutions(start, data):
    lax = variant(convolutions="lax")
    u = jnp.array([0, 1, 1, 0])
    by_layer = jax.random.normal(jax.random.key(0), (4, 4, 8))
    generator, discriminator = start.params
    images = [
        gan._synthesis_net(c, SPEC).apply(
            generator.synthesis, by_layer, jax.random.key(1)
        )
        for c in (TINY, lax)
    ]
    np.testing.assert_allclose(images[0], images[1], rtol=1e-3, atol=1e-4)
    scores = [
        gan._discriminator_net(c, SPEC).apply(discriminator, images[0], u)
        for c in (TINY, lax)
    ]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-3, atol=1e-4)


def test_every_style_matters_and_noise_too(start):
    network = gan._synthesis_net(TINY, SPEC)
    params = start.params.generator.synthesis
    by_layer = jax.random.normal(jax.random.key(0), (2, 4, 8))

    @jax.jit
    def slopes(by_layer):
        return jax.grad(lambda s: (network.apply(params, s, None) ** 2).sum())(by_layer)

    assert (np.abs(slopes(by_layer)).max((0, 2)) > 0).all()
    plain, first, same, other = (
        network.apply(params, by_layer, k)
        for k in (None, *map(jax.random.key, (0, 0, 1)))
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)
    assert not np.allclose(first, plain)


def test_early_layers_are_the_same_in_all_domains(start):
    """The digit is early layers', colours are late ones'; pruned latents reach all."""
    params, early = start.params.generator, variant(style_from=3)
    params = params._replace(importance=jnp.array([1.0, 0.05, 1.0, 1.0]))
    z = jax.random.normal(jax.random.key(0), (4, TINY.z_dim))

    def by_layer(z, u):
        u = jnp.broadcast_to(jax.nn.one_hot(u, SPEC.domains)[None], (4, SPEC.domains))
        return gan.styles(params, early, *gan.style_mapping(params, early, z, u)[:2])

    one, other = by_layer(z, 0), by_layer(z, 1)
    np.testing.assert_array_equal(one[:, :3], other[:, :3])
    assert (np.abs(one - other)[:, 3:].max((0, 2)) > 1e-3).all()
    moved = np.abs(by_layer(z.at[:, 0].add(1.0), 0) - one).max((0, 2))
    assert (moved[:3] == 0).all()
    assert moved[3] > 1e-3
    moved = np.abs(by_layer(z.at[:, 1].add(1.0), 0) - one).max((0, 2))
    assert (moved > 1e-3).all()
    # All layers are late in the released code.
    u = jnp.ones((4, 1)) * jax.nn.one_hot(0, SPEC.domains)[None]
    x, mask, _ = gan.style_mapping(params, TINY, z, u)
    style = gan.styles(params, TINY, x, mask)
    alone = gan._mapping_net(TINY).apply(params.mapping, x)
    np.testing.assert_array_equal(style, np.repeat(alone[:, None], 4, 1))


def test_second_style_takes_over_at_the_cut(start):
    params, layers = start.params.generator, jnp.arange(4)
    a, b = jax.random.normal(jax.random.key(0), (2, 2, 4, 8))
    variation = gan.Variation(None, b, jnp.array([1, 3]))
    images = gan.synthesise(params, TINY, SPEC, a, variation)
    by_layer = jnp.stack(
        [jnp.where(layers[:, None] < cut, a[i], b[i]) for i, cut in enumerate((1, 3))]
    )
    expected = gan._synthesis_net(TINY, SPEC).apply(params.synthesis, by_layer, None)
    np.testing.assert_allclose(images, expected, rtol=1e-6)


def test_scores_are_of_the_domain_asked_for(start, data):
    network, params = gan._discriminator_net(TINY, SPEC), start.params.discriminator
    x = gan.scaled(data.valid.images[:4])
    scores = [network.apply(params, x, jnp.full(4, u)) for u in (0, 1)]
    assert not np.isclose(scores[0], scores[1]).any()


# Training.


@pytest.fixture(scope="module")
def stepped(data):
    """One compiled step, and the state that it starts from."""
    system = gan.make(TINY, SPEC)
    state = jax.jit(system.init)(jax.random.key(0), values())
    batch = gan.sampler(data.train, TINY.batch)(jax.random.key(1))
    return jax.jit(system.step), state, batch


def test_each_network_beats_the_other_while_that_stands_still(stepped):
    step, start, batch = stepped

    def trained(**rates):
        state, seen = start, []
        hyper = values(lambda_w=0.0, **(dict.fromkeys(RATES, 0.0) | rates))
        for _ in range(25):
            state, figures = step(state, batch, hyper, jax.random.key(2))
            seen.append(figures)
        return seen, state.params

    seen, params = trained(learning_rate=0.01)
    assert seen[-1]["adversarial"] < 0.7 * seen[0]["adversarial"]
    assert seen[-1]["score_fake"] > seen[0]["score_fake"]
    jax.tree.map(
        np.testing.assert_array_equal, params.discriminator, start.params.discriminator
    )
    seen, params = trained(discriminator_rate=0.01)
    assert seen[-1]["discriminator"] < 0.7 * seen[0]["discriminator"]
    gaps = [f["score_real"] - f["score_fake"] for f in (seen[0], seen[-1])]
    assert gaps[1] > gaps[0]
    jax.tree.map(
        np.testing.assert_array_equal, params.generator, start.params.generator
    )


def test_a_latent_that_is_off_stays_off(stepped):
    step, state, batch = stepped
    w = jnp.array([1.0, 1.0, 0.1, 0.06])
    generator = state.params.generator._replace(importance=w)
    state = state._replace(params=state.params._replace(generator=generator))
    sizes = []
    for i in range(8):
        hyper = values(learning_rate=0.01)
        state, figures = step(state, batch, hyper, jax.random.key(i))
        sizes.append(np.asarray(state.params.generator.importance[2:]))
        assert figures["active"] == 2
    # The first step of Adam without momentum is as long as the rate.
    np.testing.assert_allclose(sizes[0], [0.09, 0.05], atol=1e-4)
    assert (np.abs(sizes) <= 0.1).all()


def test_average_follows_by_its_half_life(stepped):
    step, start, batch = stepped
    state, mean = start, start.params.generator.synthesis
    for i in range(3):
        hyper = values(half_life=0.5, **RATES)
        state, _ = step(state, batch, hyper, jax.random.key(i))
        # At most a twentieth of the images seen.
        share = 0.5 ** (4 / min(0.5, 0.05 * 4 * (i + 1)))
        mean = jax.tree.map(
            lambda a, b, share=share: share * a + (1 - share) * b,
            mean,
            state.params.generator.synthesis,
        )
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
        state.extra.average.synthesis,
        mean,
    )


def test_penalty_waits_for_its_images(stepped):
    step, state, batch = stepped
    losses_seen = []
    for begin in (0.0, 4.0, 5.0):
        hyper = values(lambda_img=100.0, img_from=begin)
        after, _ = step(state, batch, hyper, jax.random.key(0))
        _, figures = step(after, batch, hyper, jax.random.key(1))
        rest = figures["adversarial"] + 0.1 * figures["importance"]
        penalty = 100 * figures["sparsity"]
        losses_seen.append(float((figures["loss"] - rest) / penalty))
    np.testing.assert_allclose(losses_seen, [1, 1, 0], atol=1e-3)


# The report.


def scored(data, state, config=TINY):
    report = jax.jit(gan.make(config, SPEC).report)
    return report(state, data.valid, jax.random.key(0))


def test_scores_and_pictures(stepped, data):
    _, state, _ = stepped
    figures = scored(data, state)
    p = gan.PICTURES
    shapes = {
        "translation": (p, 2, SIDE, SIDE, 3),
        "samples": (2, p, SIDE, SIDE, 3),
        "traversal": (2, gan.MOVED, gan.VALUES, SIDE, SIDE, 3),
        "true_images": (2, p, SIDE, SIDE, 3),
    }
    assert {n: figures[n].shape for n in shapes} == shapes
    assert all(figures[n].dtype == jnp.uint8 for n in shapes)
    np.testing.assert_array_equal(figures["importance"], np.ones(4))
    assert figures["active"] == 4
    assert set(gan.PRESETS["quickstart"].scores) <= set(figures)
    for u in range(2):
        seen = domain_images.colour_domain(figures["true_images"][u], 2)
        assert (seen == u).all()


@pytest.mark.parametrize("keeps", [True, False])
def test_scores_of_a_known_generator(stepped, data, monkeypatch, keeps):
    """Its images are bright on the side of the first latent, or on a domain's own."""
    _, state, _ = stepped

    def placed(params, config, z, u):
        return z.at[:, 1].set(u[:, 1]), jnp.ones(TINY.z_dim), jnp.zeros(())

    def drawn(params, config, spec, x, variation):
        left = (x[:, 0] > 0) if keeps else (x[:, 0] > 0) ^ (x[:, 1] > 0.5)
        asked = x[:, 1] if keeps else 1 - x[:, 1]
        hue = asked / 2
        return gan.scaled(domain_images.two_colours(halves(left), hue, hue + 0.5))

    monkeypatch.setattr(gan, "style_mapping", placed)
    monkeypatch.setattr(gan, "styles", lambda params, config, x, mask: x)
    monkeypatch.setattr(gan, "synthesise", drawn)
    figures = scored(data, state)
    assert figures["digit_kept"] == keeps
    assert figures["colour_right"] == keeps
    np.testing.assert_allclose(figures["class_entropy"], np.log(2), atol=0.03)
    # Like real images, but for the jitter of the hues.
    np.testing.assert_allclose(figures["diversity"], 1.0, atol=0.05)
    np.testing.assert_allclose(figures["frechet"], 0.0, atol=0.01)


def test_pair_distance_of_groups():
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    groups = np.array([0, 0, 1, 1, 1, 2])
    expected = np.mean(
        [
            np.linalg.norm(x[i] - x[j])
            for i in range(6)
            for j in range(6)
            if i != j and groups[i] == groups[j]
        ]
    )
    distance = gan.pair_distance(jnp.asarray(x), jnp.asarray(groups))
    np.testing.assert_allclose(distance, expected, rtol=1e-4)


def test_images_are_not_encoded(stepped):
    with pytest.raises(ValueError, match="encode: a GAN has no encoder"):
        gan.make(TINY, SPEC).encode(stepped[1].params, jnp.zeros((1, SIDE, SIDE, 3)))


def test_bytes_and_numbers():
    x = jnp.arange(256).astype(jnp.uint8)[None, :, None, None]
    np.testing.assert_array_equal(gan.to_bytes(gan.scaled(x)), x)
    assert gan.to_bytes(jnp.full((1, 1, 1, 1), 1.7)) == 255


# The compiled contract.


@pytest.fixture(scope="module")
def grid(data):
    """Losses of a grid, how often it was traced and on how many devices it was."""
    traces, loss, chunks = [], gan.generator_loss, []
    keys, rows, points = runner.grid(
        runner.seed_keys(2), values(lambda_w=[0.0, 0.5], **RATES)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            gan, "generator_loss", lambda *args: traces.append(1) or loss(*args)
        )
        result = runner.run(
            gan.make(TINY, SPEC),
            gan.sampler(data.train, TINY.batch),
            keys,
            rows,
            steps=3,
            chunk=1,
            on_chunk=[chunks.append],
        )
    assert points[1]["lambda_w"] == 0.5
    return chunks, len(traces), result


def test_one_trace_for_a_grid(grid):
    _, traces, result = grid
    assert traces == 1
    assert result.devices == 4
    assert not np.asarray(result.rows.skipped).any()


def test_solo_run_equals_its_row_of_the_grid(grid, data):
    """In the losses: Adam magnifies rounding in gradients that are nearly 0."""
    solo = []
    runner.run(
        gan.make(TINY, SPEC),
        gan.sampler(data.train, TINY.batch),
        runner.seed_keys(1, 1),
        values(lambda_w=0.5, **RATES),
        steps=3,
        chunk=1,
        on_chunk=[solo.append],
    )
    for name in ("loss", "discriminator"):
        rows = np.array([c.metrics[name] for c in grid[0]])
        alone = [c.metrics[name][0] for c in solo]
        np.testing.assert_allclose(rows[:, 3], alone, rtol=2e-3)
        assert not np.allclose(rows[:, 2], alone, rtol=2e-3)


def chunk_arguments(data, config, seeds, mesh):
    system = gan.make(config, SPEC)
    keys = runner.seed_keys(seeds)
    hyper = jax.tree.map(lambda h: jnp.full(seeds, h, float), values(config))
    rows = runner.init_rows(system, keys, hyper, mesh)
    sample = gan.sampler(data.train, config.batch)
    chunk = runner.make_chunk(system, mesh)
    return chunk, (rows, keys, hyper, sample, jnp.int32(0), jnp.int32(5))


def test_no_collectives(data):
    chunk, arguments = chunk_arguments(data, TINY, 8, runner.seed_mesh(8))
    text = chunk.lower(*arguments).compile().as_text()
    assert re.findall(COLLECTIVE, text) == []
    assert "while" in text


@pytest.mark.parametrize(
    "changes",
    [{"path_part": 2}, {"img_sparse": "jvp"}, {"img_sparse": "released"}],
    ids=["paths", "jvp", "released"],
)
def test_training_chunk_exports(data, changes):
    config = variant(**changes)
    chunk, arguments = chunk_arguments(data, config, 2, runner.seed_mesh(1))
    export = jax.export.export(chunk, platforms=["tpu", "cuda"])
    assert export(*arguments).platforms == ("tpu", "cuda")


def test_scores_export_for_every_platform(stepped, data):
    system = gan.make(TINY, SPEC)
    leaves, tree = jax.tree.flatten((stepped[1], data.valid, jax.random.key(1)))
    report = jax.jit(lambda leaves: system.report(*jax.tree.unflatten(tree, leaves)))
    exported = jax.export.export(report, platforms=["cpu", "tpu", "cuda"])(leaves)
    assert "lapack" not in exported.mlir_module().lower()


# Presets and mistakes.


@pytest.mark.parametrize("name", gan.PRESETS)
def test_presets_fit_their_data(name):
    preset = gan.PRESETS[name]
    spec = gan.make_spec(preset.data)
    hyper = gan.default_hyper(preset.config, spec, preset.steps)
    hyper = hyper._replace(**preset.hyper)
    for point in preset.points:
        hyper._replace(**point)
    assert preset.expects
    assert preset.source
    gan.check(preset.config, spec)
    system = gan.make(preset.config, spec)
    state = jax.eval_shape(lambda k: system.init(k, hyper), jax.random.key(0))
    importance = state.params.generator.importance
    assert importance.shape == (preset.config.style_dims,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z_dim": 0}, "config.z_dim must be at least 1, got 0"),
        ({"style_dims": 0}, "config.style_dims must be at least 1"),
        ({"w_dim": -1}, "config.w_dim must be at least 1"),
        ({"layers": 0}, "config.layers must be at least 1"),
        ({"rate": 0.0}, "config.rate must be positive, got 0.0"),
        ({"batch": 0}, "config.batch must be at least 1"),
        ({"style_dims": 7}, "config.style_dims must be at most config.z_dim = 6"),
        ({"style_from": 4}, "config.style_from must be one of 0 to 3, two layers"),
        ({"style_from": -1}, "config.style_from must be one of 0 to 3, two layers"),
        ({"img_sparse": "none"}, "config.img_sparse must be one of intended, jvp"),
        ({"widths": (4, 0)}, "config.widths must be positive, got (4, 0)"),
        ({"widths": (4,)}, "config.widths must name 2 widths, for 4 x 4 to 8 x 8"),
        ({"r1_part": 5}, "config.r1_part must be 0 or one of 1 to config.batch = 4"),
        ({"path_part": -1}, "config.path_part must be 0 or one of 1"),
        ({"sparse_part": 9}, "config.sparse_part must be 0 or one of 1"),
    ],
)
def test_bad_configs_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        gan.make(variant(**changes), SPEC)


@pytest.mark.parametrize("changes", [{"domains": 1}, {"shape": (8,)}])
def test_data_that_are_no_images_of_domains_are_named(changes):
    with pytest.raises(ValueError, match=r"data must be images \[h, w, c\] of at"):
        gan.make(TINY, SPEC._replace(**changes))
