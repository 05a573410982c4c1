"""Steps of both networks, the moving average, presets, and configs that do not fit."""

import copy
import dataclasses
import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import PIL.Image
import pytest

from jaxdis import check, experiment
from jaxdis.systems.sparse_mixing_gan import METHOD
from jaxdis.systems.sparse_mixing_gan import judge as judging
from jaxdis.systems.sparse_mixing_gan.config import Config, default_hyper
from jaxdis.systems.sparse_mixing_gan.judge import train_judge
from jaxdis.systems.sparse_mixing_gan.model import build, init, make, step
from jaxdis.systems.sparse_mixing_gan.objective import Losses, generator_loss
from tests.systems.sparse_mixing_gan.tiny import (
    PATHS,
    PaintedHalves,
    PlainHalves,
    draw,
)

SPEC = PaintedHalves().spec()
RATES = ("learning_rate", "discriminator_rate")


@pytest.fixture(scope="module")
def initial(model, hyper):
    """The state at the start."""
    return jax.jit(partial(init, model))(jax.random.key(0), hyper)


@pytest.fixture(scope="module")
def run(model, hyper):
    """Steps of one program: `(state, keys, **hyper) -> (state, metrics by step)`."""
    batch = draw(4, jax.random.key(1), PATHS.batch)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def one(state, hyper, key):
        return step(model, state, batch, hyper, key)

    def steps(state, keys, **changes):
        changes = {n: jnp.float32(v) for n, v in changes.items()}
        seen = []
        for key in keys:
            state, metrics = one(state, hyper._replace(**changes), jax.random.key(key))
            seen.append(jax.device_get(metrics))
        return state, {n: np.array([m[n] for m in seen]) for n in seen[0]}

    return steps


def test_each_network_beats_the_other_while_that_stands_still(run, initial):
    key = [2] * 25
    still = {"lambda_w": 0.0} | dict.fromkeys(RATES, 0.0)
    state, seen = run(initial, key, **still | {"learning_rate": 0.01})
    assert seen["adversarial"][-1] < 0.7 * seen["adversarial"][0]
    assert seen["score_fake"][-1] > seen["score_fake"][0]
    chex.assert_trees_all_equal(
        state.params.discriminator, initial.params.discriminator
    )
    state, seen = run(initial, key, **still | {"discriminator_rate": 0.01})
    assert seen["discriminator"][-1] < 0.7 * seen["discriminator"][0]
    gap = seen["score_real"] - seen["score_fake"]
    assert gap[-1] > gap[0]
    chex.assert_trees_all_equal(state.params.generator, initial.params.generator)


def test_a_latent_that_is_off_stays_off(run, initial):
    w = jnp.array([1.0, 1.0, 0.1, 0.06])
    generator = initial.params.generator._replace(importance=w)
    state = initial._replace(params=initial.params._replace(generator=generator))
    sizes = []
    for i in range(8):
        state, seen = run(state, [i], learning_rate=0.01)
        sizes.append(np.asarray(state.params.generator.importance[2:]))
        assert seen["active"] == 2
    # The first step of Adam without momentum is as long as the rate.
    np.testing.assert_allclose(sizes[0], [0.09, 0.05], atol=1e-4)
    assert (np.abs(sizes) <= 0.1).all()


def test_average_follows_by_its_half_life(run, initial):
    rates = dict.fromkeys(RATES, 0.01)
    state = initial
    mean = jax.device_get(initial.params.generator.synthesis)
    for i in range(3):
        state, _ = run(state, [i], half_life=0.5, **rates)
        # At most a twentieth of the images seen.
        share = 0.5 ** (4 / min(0.5, 0.05 * 4 * (i + 1)))
        mean = jax.tree.map(
            lambda a, b, share=share: share * a + (1 - share) * b,
            mean,
            jax.device_get(state.params.generator.synthesis),
        )
    chex.assert_trees_all_close(
        jax.device_get(state.extra.average.synthesis), mean, rtol=1e-4, atol=1e-6
    )


def test_penalty_waits_for_its_images(run, initial):
    found = []
    for begin in (0.0, 4.0, 5.0):
        _, seen = run(initial, [0, 1], lambda_img=100.0, img_from=begin)
        rest = seen["adversarial"] + 0.1 * seen["importance"]
        found.append((seen["loss"] - rest)[1] / (100 * seen["sparsity"][1]))
    np.testing.assert_allclose(found, [1, 1, 0], atol=1e-3)


def test_images_are_neither_encoded_nor_decoded():
    system = make(PATHS, SPEC)
    assert system.encode is None
    assert system.decode is None


# Parts of one's own, presets and mistakes.


def test_an_optimiser_and_losses_of_ones_own_are_used(hyper):
    """Plain gradients, each of its own rate; one loss doubled, the other nothing."""

    def doubled(*args):
        value, terms = generator_loss(*args)
        return 2 * value, terms

    def nothing(model, params, fake, real, u, hyper):
        slope = sum(a.sum() for a in jax.tree.leaves(params))
        return 1.0 * slope, {"nothing": slope}

    small = dataclasses.replace(PATHS, path_part=0, r1_part=0, sparse_part=0)
    system = make(
        small,
        SPEC,
        optimiser=lambda hyper: optax.sgd(hyper.learning_rate),
        loss=Losses(doubled, nothing),
    )
    model, batch = build(small, SPEC), draw(4, jax.random.key(1), PATHS.batch)
    hyper = hyper._replace(discriminator_rate=jnp.float32(0.25))

    @jax.jit
    def run(key):
        state = system.init(key, hyper)
        new, seen = system.step(state, batch, hyper, key)
        slope = jax.grad(lambda g: generator_loss(
            model, g, state.params.discriminator, batch.u, hyper, state.extra.path, key
        )[0])(state.params.generator)  # fmt: skip
        return state.params, new.params, seen, slope

    before, after, seen, slope = run(jax.random.key(0))
    assert "nothing" in seen
    rate = 2 * hyper.learning_rate
    chex.assert_trees_all_close(
        after.generator,
        jax.tree.map(lambda p, g: p - rate * g, before.generator, slope),
        rtol=1e-4,
        atol=1e-6,
    )
    chex.assert_trees_all_close(
        after.discriminator,
        jax.tree.map(lambda p: p - 0.25, before.discriminator),
        atol=1e-6,
    )
    with pytest.raises(ValueError, match=r"loss must be a pair objective\.Losses"):
        make(small, SPEC, loss=generator_loss)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((4, 4, 1), (64,)),
        ((32, 9, 3), (64, 32, 16, 8)),
        ((33, 30, 3), (64, 32, 16, 8, 8)),
    ],
)
def test_channels_and_layers_by_the_size_of_images(shape, wanted):
    config = dataclasses.replace(PATHS, widths=(), style_from=None)
    spec = SPEC._replace(shape=shape)
    made = METHOD.sized(config, spec)
    assert made.widths == wanted
    assert made.style_from == len(wanted)  # of two layers for each
    assert build(config, spec).layers == 2 * len(wanted)
    assert METHOD.sized(PATHS, spec) is PATHS


@pytest.mark.parametrize("name", [n for n in METHOD.presets if n != "own"])
def test_presets_fit_their_data(name):
    preset = METHOD.presets[name]
    spec = preset.data.spec()
    check.needs(METHOD.name, METHOD.needs, spec)
    hyper = default_hyper(preset.config, spec, preset.steps)
    hyper = hyper._replace(**preset.hyper)
    assert preset.source
    start = partial(make(preset.config, spec).init, hyper=hyper)
    state = jax.eval_shape(start, jax.random.key(0))
    importance = state.params.generator.importance
    assert importance.shape == (preset.config.style_dims,)


def test_a_folder_of_ones_own(tmp_path, monkeypatch):
    """Sub-folders are domains, and the judge tells them apart."""
    rng = np.random.default_rng(0)
    for domain, level in (("night", 40), ("day", 200)):
        (tmp_path / domain).mkdir()
        for i in range(40):
            pixels = level + rng.integers(-40, 40, (8, 8, 3))
            image = PIL.Image.fromarray(pixels.astype(np.uint8))
            image.save(tmp_path / domain / f"{i}.png")
    plan = experiment.plan("sparse_mixing_gan/own", data={"file": str(tmp_path)})
    assert plan.config.widths == (64, 32)
    spec = plan.data.spec()
    assert spec.domains == ("day", "night")
    declared = {score.name for score in METHOD.scores(plan.config, spec)}
    assert {"domain_right", "frechet", "active"} <= declared
    assert set(plan.preset.scores) - declared == {"digit_kept"}  # there are no labels
    monkeypatch.setattr(judging, "train_judge", partial(train_judge, passes=1))
    held_out = METHOD.batches(plan.config, spec, plan.data.load()).test
    found = jax.jit(judging.classify)(held_out.judge, held_out.rows.x)
    np.testing.assert_array_equal(found, held_out.rows.u)


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
        ({"style_from": 2}, "config.style_from must be one of 0 to 1, two layers"),
        ({"style_from": -1}, "config.style_from must be one of 0 to 1, two layers"),
        ({"img_sparse": "none"}, "config.img_sparse must be one of 'intended', 'jvp'"),
        ({"convolutions": "fft"}, "config.convolutions must be one of 'auto', "),
        ({"widths": (4, 0)}, "config.widths must be positive widths, got (4, 0)"),
        ({"widths": (4, 2)}, "config.widths must name 1 widths, for 4 x 4 to 4 x 4"),
        ({"r1_part": 5}, "config.r1_part must be 0 or one of 1 to config.batch = 4"),
        ({"path_part": -1}, "config.path_part must be 0 or one of 1"),
        ({"sparse_part": 9}, "config.sparse_part must be 0 or one of 1"),
    ],
)
def test_bad_configs_are_named(changes, message):
    config = copy.copy(PATHS)
    for name, value in changes.items():
        object.__setattr__(config, name, value)  # past the types of the fields
    with pytest.raises(ValueError, match=re.escape(message)):
        make(config, SPEC)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domains": ("one",)}, r"data must be images \[h, w, c\] of at .* 1 domains"),
        ({"shape": (8,)}, r"data must be images \[h, w, c\] of at least 2 domains"),
        ({"steps": 5}, "data must be single images that all seeds share, got steps 5"),
        ({"worlds": 2}, "data must be single images that all .* and worlds 2"),
    ],
)
def test_data_that_are_no_images_of_domains_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        make(PATHS, SPEC._replace(**changes))


def test_released_weight_of_the_slope():
    spec = PlainHalves().spec()._replace(shape=(8, 16, 3))
    hyper = default_hyper(Config(batch=32), spec, 1)
    np.testing.assert_allclose(hyper.r1, 2e-4 * 16**2 / 32)
