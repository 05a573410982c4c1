"""Scores and pictures of a generator, from known ones and from one at its start."""

from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.data import colours
from jaxdis.systems.sparse_mixing_gan.generator import scaled
from jaxdis.systems.sparse_mixing_gan.judge import Judge, hold_out
from jaxdis.systems.sparse_mixing_gan.model import Extra
from jaxdis.types import Rows, TrainState
from tests.systems.sparse_mixing_gan.tiny import (
    HUES,
    PATHS,
    PaintedHalves,
    PlainHalves,
    halves,
)

# The package's own `scores` is the function of that name.
scoring = import_module("jaxdis.systems.sparse_mixing_gan.scores")
ROWS = 300


@pytest.fixture(scope="module")
def held_out():
    """Halves in two colours, and a judge of the side that is written out."""
    side = np.where(np.arange(4) < 2, 1.0, -1.0)
    side = side[None].repeat(4, 0).reshape(1, -1)
    hidden = jnp.asarray(np.concatenate([side, -side, 0.1 * abs(side)]) / 16)
    judge = Judge(
        (hidden, jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])),
        (jnp.zeros(3), jnp.zeros(2)),
    )
    u = np.arange(ROWS) // 2 % 2
    grey = halves(np.arange(ROWS) % 2 == 0)
    x = jax.jit(colours.painted)(jax.random.key(1), grey, jnp.asarray(u / 2, float))
    return hold_out(judge, Rows(x, u=jnp.asarray(u)))


@pytest.fixture(scope="module")
def state(params):
    """At which all style latents are on."""
    ones = params.generator._replace(importance=jnp.ones(4))
    step, path = jnp.zeros((), int), jnp.zeros(())
    return TrainState(params, (), Extra(ones, path), step)


def scored(model, state, held_out):
    report = jax.jit(lambda s, b, key: scoring.report(model, s, b, key))
    return jax.device_get(report(state, held_out, jax.random.key(0)))


def test_scores_and_pictures(model, state, held_out):
    found = scored(model, state, held_out)
    pictures, moved, values = scoring.PICTURES, scoring.MOVED, scoring.VALUES
    shapes = {
        "translation": (pictures, 2, 4, 4, 3),
        "samples": (2, pictures, 4, 4, 3),
        "traversal": (2, moved, values, 4, 4, 3),
        "real_images": (2, pictures, 4, 4, 3),
    }
    assert {n: found[n].shape for n in shapes} == shapes
    assert all(found[n].dtype == np.uint8 for n in shapes)
    np.testing.assert_array_equal(found["importance"], np.ones(4))
    assert found["active"] == 4
    declared = [s.name for s in scoring.scores(PATHS, PaintedHalves().spec())]
    assert set(found) == {*declared, *scoring.ARRAYS}
    for u in range(2):
        seen = colours.nearest_hue(jnp.asarray(found["real_images"][u]), HUES)
        assert (seen == u).all()


@pytest.mark.parametrize("keeps", [True, False])
def test_scores_of_a_known_generator(model, state, held_out, monkeypatch, keeps):
    """Its images are bright on the side of the first latent, or on a domain's own."""

    def placed(model, params, z, u):
        return z.at[:, 1].set(u[:, 1]), jnp.ones(PATHS.z_dim), jnp.zeros(())

    def drawn(model, params, style, variation):
        x = style[:, 0]
        left = (x[:, 0] > 0) if keeps else (x[:, 0] > 0) ^ (x[:, 1] > 0.5)
        hue = (x[:, 1] if keeps else 1 - x[:, 1]) / 2
        return scaled(colours.two_colours(halves(left), hue, hue + 0.5))

    monkeypatch.setattr(scoring, "style_mapping", placed)
    monkeypatch.setattr(scoring, "styles", lambda model, params, x, mask: x[:, None])
    monkeypatch.setattr(scoring, "synthesise", drawn)
    found = scored(model, state, held_out)
    assert found["digit_kept"] == keeps
    assert found["colour_right"] == keeps
    np.testing.assert_allclose(found["class_entropy"], np.log(2), atol=0.03)
    # Like real images, but for the jitter of the hues.
    np.testing.assert_allclose(found["diversity"], 1.0, atol=0.05)
    np.testing.assert_allclose(found["frechet"], 0.0, atol=0.01)


def test_what_is_judged_depends_on_what_is_known():
    """Colours where hues are, and the class where there are labels."""
    painted, plain = (
        [score.name for score in scoring.scores(PATHS, data.spec())]
        for data in (PaintedHalves(), PlainHalves())
    )
    assert set(painted) - set(plain) == {"colour_right", "digit_kept"}
    assert set(plain) - set(painted) == {"domain_right"}


def test_images_without_labels_are_judged_by_their_domains(
    model, state, held_out, monkeypatch
):
    """Images of a domain's own side, of which one in four is on the wrong side."""

    def placed(model, params, z, u):
        return z.at[:, 1].set(u[:, 1]), jnp.ones(PATHS.z_dim), jnp.zeros(())

    def drawn(model, params, style, variation):
        x = style[:, 0]
        wrong = jnp.arange(len(x)) % 4 == 0
        return scaled(jnp.repeat(halves((x[:, 1] < 0.5) ^ wrong), 3, -1))

    monkeypatch.setattr(scoring, "style_mapping", placed)
    monkeypatch.setattr(scoring, "styles", lambda model, params, x, mask: x[:, None])
    monkeypatch.setattr(scoring, "synthesise", drawn)
    plain = model._replace(labelled=False, hues=None)
    found = scored(plain, state, held_out)
    np.testing.assert_allclose(found["domain_right"], 0.75)
    assert not {"digit_kept", "colour_right"} & set(found)


def test_examples_of_a_domain_with_few_images_come_again():
    u = jnp.array([0, 1, 0, 0, 1, 0])
    picked = [np.asarray(scoring.examples(u, jnp.int32(v))) for v in (0, 1)]
    np.testing.assert_array_equal(picked, [[0, 2, 3, 5, 0, 2], [1, 4, 1, 4, 1, 4]])


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
    distance = jax.jit(scoring.pair_distance)(jnp.asarray(x), jnp.asarray(groups))
    np.testing.assert_allclose(distance, expected, rtol=1e-4)
