"""Shared features: the loss, a step and what it remembers, the encoders, mistakes."""

import dataclasses
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.systems.shared_features import make
from jaxdis.systems.shared_features.model import (
    build,
    default_hyper,
    features,
    init,
    shared_features_loss,
    step,
)
from jaxdis.systems.shared_features.presets import PRESETS
from jaxdis.systems.shared_features.tasks import batches
from jaxdis.types import Spec
from tests.systems.shared_features.tiny import IMAGES, SMALL, TOY, Tiles

KEY = jax.random.key(0)


def variant(**changes):
    return dataclasses.replace(SMALL, **changes)


@pytest.fixture(scope="module")
def toy():
    return TOY.load()


@pytest.fixture(scope="module")
def sample(toy):
    return batches(SMALL, TOY.spec(), toy).sample


@pytest.fixture(scope="module")
def draw(sample):
    """`seed -> tasks` of the toy."""
    compiled = jax.jit(sample)
    return lambda seed: compiled(jax.random.key(seed))


def initial(config, **hyper):
    """A model of the toy, its first state, and hyper-parameters."""
    spec = TOY.spec()
    values = default_hyper(config, spec, 10)._replace(**hyper)
    values = jax.tree.map(lambda h: jnp.asarray(h, float), values)
    model = build(config, spec)
    return model, jax.jit(init, static_argnums=0)(model, KEY, values), values


def trained(config, sample, steps, **hyper):
    """What every step measures, in one program."""
    model, state, values = initial(config, **hyper)
    values = values._replace(decay_steps=float(steps))

    @jax.jit
    def run(state, sample):
        def body(state, i):
            key = jax.random.fold_in(KEY, i)
            return step(model)(state, sample(key), values, key)

        return jax.lax.scan(body, state, jnp.arange(steps))

    return run(state, sample)


VARIANTS = {
    "default": SMALL,
    "linear": variant(encoder=()),
    "adam": variant(solver="adam"),
    "implicit": variant(outer="implicit"),
    "unroll": variant(outer="unroll"),
    "relative": variant(relative=True),
    "classes": variant(tasks="thresholds"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains(toy, sample, name):
    config = VARIANTS[name]
    if name == "classes":
        sample = batches(config, TOY.spec(), toy).sample
    _, seen = trained(config, sample, 60, learning_rate=0.01)
    assert all(np.isfinite(a).all() for a in seen.values())
    assert seen["loss"][-20:].mean() < seen["loss"][:20].mean()
    density = seen["density"][-20:].mean()
    assert density == 1 if name == "adam" else density < 1


# The loss.


def loss_of(model):
    return jax.jit(lambda *args: shared_features_loss(model, *args))


def test_loss_is_that_of_the_fitted_heads_on_other_samples(draw):
    """Written out for a linear encoder and heads that are not penalised."""
    config = variant(encoder=(), z_dim=3, rounds=4, iters=300)
    model, state, hyper = initial(config, alpha=0.0, beta=0.0, ridge=0.0)
    batch = draw(0)
    value, (fit, moments) = loss_of(model)(state.params, batch, hyper)
    h = np.asarray(batch.x) @ np.asarray(state.params["params"]["Dense_0"]["kernel"])
    mean, std = h.mean((0, 1)), h.std((0, 1))
    np.testing.assert_allclose(moments.mean, mean, atol=1e-5)
    np.testing.assert_allclose(moments.std, std, rtol=1e-5)
    f, losses = (h - mean) / (std + 1e-5), []
    for t in range(config.batch):
        w = np.linalg.lstsq(f[t, :12], batch.y[t, :12])[0]
        np.testing.assert_allclose(fit.w[t, :, 0], w, atol=1e-3)
        losses.append(0.5 * np.mean((f[t, 12:] @ w - batch.y[t, 12:]) ** 2))
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-3)


def test_scale_of_a_feature_changes_nothing(draw):
    model, state, hyper = initial(SMALL)
    last = state.params["params"]["Dense_1"]["kernel"]
    scale = jnp.array([10.0, 0.5, -3.0, 2.0, 7.0])
    dense = {"Dense_1": {"kernel": last * scale[None]}}
    scaled = {"params": state.params["params"] | dense}
    assert "bias" not in state.params["params"]["Dense_1"]
    loss, batch = loss_of(model), draw(0)
    first, (fit, _) = loss(state.params, batch, hyper)
    other, (same, _) = loss(scaled, batch, hyper)
    np.testing.assert_allclose(first, other, rtol=1e-3)
    sign = np.sign(scale)[None, :, None]
    np.testing.assert_allclose(fit.w, same.w * sign, atol=2e-3)


@pytest.mark.parametrize("outer", ["stop_gradient", "implicit"])
def test_dead_features_have_a_finite_gradient(draw, outer):
    model, state, hyper = initial(variant(outer=outer))

    @jax.jit
    def value_and_grad(params, batch):
        def loss(params):
            return shared_features_loss(model, params, batch, hyper)[0]

        return jax.value_and_grad(loss)(params)

    kernel = state.params["params"]["Dense_1"]["kernel"]
    for dead in (kernel.at[:, 2].set(0.0), jnp.zeros_like(kernel)):
        dense = {"Dense_1": {"kernel": dead}}
        params = {"params": state.params["params"] | dense}
        chex.assert_tree_all_finite(value_and_grad(params, draw(0)))


# A step.


@pytest.fixture(scope="module")
def stepped():
    """One compiled step, the state that it starts from, and hyper-parameters."""
    model, state, hyper = initial(SMALL)
    return jax.jit(step(model)), state, hyper


def test_past_usage_counts_from_the_second_step(draw, stepped):
    move, start, hyper = stepped

    def usage(*decays):
        state = start
        for i, decay in enumerate(decays):
            state, _ = move(state, draw(i), hyper._replace(usage_decay=decay), KEY)
        return np.asarray(state.extra.usage)

    first, second = usage(0.0), usage(0.0, 0.0)
    np.testing.assert_allclose(usage(0.9), first, rtol=1e-6)
    np.testing.assert_allclose(usage(0.9, 1.0), first, rtol=1e-5)
    assert not np.allclose(second, first, rtol=1e-2)


def test_sharing_rises_along_a_line(draw, stepped):
    move, start, hyper = stepped

    def objective(beta, warmup, taken):
        state = start._replace(step=jnp.full((), taken, int))
        new = hyper._replace(beta=beta, warmup=warmup)
        return float(move(state, draw(0), new, KEY)[1]["objective"])

    half = objective(0.1, 0.0, 0)
    assert objective(0.2, 2.0, 0) == pytest.approx(half, rel=1e-6)
    assert objective(0.1, 2.0, 5) == pytest.approx(half, rel=1e-6)
    assert objective(0.2, 0.0, 0) > half + 1e-3


def test_strong_sparsity_empties_the_heads(draw, stepped):
    move, state, hyper = stepped
    for i in range(3):
        state, seen = move(state, draw(i), hyper._replace(alpha=100.0), KEY)
        assert seen["density"] == 0
    chex.assert_tree_all_finite(state.params)


def test_running_moments(draw, stepped):
    move, state, hyper = stepped
    hyper = hyper._replace(learning_rate=0.0)
    model = build(SMALL, TOY.spec())
    encode = jax.jit(lambda params, x: features(model, params, x))
    seen = []
    for i in range(3):
        batch = draw(i)
        h = np.asarray(encode(state.params, batch.x))
        seen.append((h.mean((0, 1)), h.var((0, 1))))
        state, _ = move(state, batch, hyper, KEY)
    weights = np.array([0.81, 0.09, 0.1])[:, None]
    mean, variance = ((weights * np.array(s)).sum(0) for s in zip(*seen, strict=True))
    np.testing.assert_allclose(state.extra.moments.mean, mean, atol=1e-5)
    np.testing.assert_allclose(state.extra.moments.std**2, variance, rtol=1e-4)


def test_rate_falls_along_a_cosine_to_nothing(draw, stepped):
    move, state, hyper = stepped
    hyper, moved = hyper._replace(decay_steps=2.0), []
    for _ in range(4):
        before = jax.device_get(state.params)
        state, _ = move(state, draw(0), hyper, KEY)
        after = jax.device_get(state.params)
        change = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, after)
        moved.append(max(map(float, jax.tree.leaves(change))))
    # The first step of Adam is as long as the rate; the next one has half of it.
    np.testing.assert_allclose(moved[0], 1e-3, rtol=0.01)
    assert 3e-4 < moved[1] < 7e-4
    assert moved[2:] == [0, 0]


# Encoders.


def test_images_are_scaled_and_convolved():
    data = Tiles()
    model, x = build(IMAGES, data.spec()), data.load().test.x
    params = jax.jit(model.encoder.init)(KEY)
    encode = jax.jit(lambda x: features(model, params, x))
    codes = np.asarray(encode(x))
    assert codes.shape == (len(x), IMAGES.z_dim)
    np.testing.assert_allclose(codes, encode(x.astype(float) / 255), atol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fit_their_data(name):
    preset = PRESETS[name]
    if name in ("linear_probe", "own"):
        with pytest.raises(ValueError, match=r"data\.file must name an? "):
            preset.data.spec()
        return
    spec = preset.data.spec()
    system = make(preset.config, spec)
    hyper = default_hyper(preset.config, spec, preset.steps)._replace(**preset.hyper)
    state = jax.eval_shape(lambda key: system.init(key, hyper), KEY)
    x = jax.ShapeDtypeStruct((2, *spec.shape), float)
    code = jax.eval_shape(system.encode, state.params, x)
    assert code.shape == (2, preset.config.z_dim)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z_dim": 0}, "config.z_dim must be at least 1, got 0"),
        (
            {"z_dim": 2},
            "config.z_dim must be at least the 3 factors of the data, got 2",
        ),
        ({"batch": 0}, "config.batch must be at least 1, got 0"),
        ({"rounds": 0}, "config.rounds must be at least 1, got 0"),
        ({"iters": -1}, "config.iters must be at least 1, got -1"),
        ({"width": 0}, "config.width must be at least 1, got 0"),
        ({"encoder": (8, 0)}, "config.encoder must be positive widths, got (8, 0)"),
        ({"network": "conv"}, "config.network='conv' needs images [h, w, c]"),
        ({"support": 0}, "config.support must be at least 1, got 0"),
    ],
)
def test_bad_configs_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build(variant(**changes), TOY.spec())


@pytest.mark.parametrize(
    ("name", "word", "message"),
    [
        ("network", "cnn", "config.network must be one of 'mlp', 'conv', got 'cnn'"),
        ("solver", "sgd", "config.solver must be one of 'reweighted_fista', 'adam'"),
        ("outer", "none", "config.outer must be one of 'stop_gradient'"),
    ],
)
def test_unknown_words_are_named(name, word, message):
    config = variant()
    object.__setattr__(config, name, word)  # past the check of types
    with pytest.raises(ValueError, match=re.escape(message)):
        build(config, TOY.spec())


def test_images_that_the_encoder_cannot_halve_are_named():
    with pytest.raises(ValueError, match="sides that are multiples of 16"):
        build(variant(network="conv"), Spec((24, 64, 1), z_dim=3))
