"""The judge of generated images: what it sees, how it is trained, what it is told."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.neural_network

from jaxdis.data import colours
from jaxdis.data.domain_images import TwoColourDigits
from jaxdis.systems.sparse_mixing_gan import judge as judging
from jaxdis.systems.sparse_mixing_gan.judge import (
    as_they_are,
    batches,
    hold_out,
    in_any_hue,
    judged_classes,
    train_judge,
)
from jaxdis.types import Label, Rows
from tests.systems.sparse_mixing_gan.tiny import PATHS, PaintedHalves, PlainHalves

# One program each, rather than one per operation.
features = jax.jit(judging.features)
classify = jax.jit(judging.classify)
two_colours = jax.jit(colours.two_colours)


# On real digits.


@pytest.fixture(scope="module")
def digits():
    """Held-out digits and their judge, trained a third as long as for a user."""
    data = TwoColourDigits(test_rows=600)
    splits = data.load()
    grey = splits.controls["unpainted"][0]
    labels = np.asarray(grey.y[:, 0])
    judge = train_judge(grey.x, labels, 10, in_any_hue, passes=20)
    return splits, hold_out(judge, splits.test)


def test_judge_reads_held_out_digits_in_every_domain(digits):
    splits, held_out = digits
    found = classify(held_out.judge, held_out.rows.x)
    right = np.asarray(found == splits.test.y[:, 0])
    for u in range(3):
        chosen = np.asarray(held_out.rows.u) == u
        assert chosen.sum() == 200
        assert right[chosen].mean() >= 0.94


def test_moments_are_those_of_the_features(digits):
    held_out = digits[1]
    rows = np.asarray(features(held_out.judge, held_out.rows.x), float)
    assert rows.shape == (600, 64)
    np.testing.assert_allclose(held_out.mean, rows.mean(0), atol=1e-4)
    np.testing.assert_allclose(held_out.cov, np.cov(rows.T), atol=1e-3)


def test_features_say_nothing_of_hues(digits):
    splits, held_out = digits
    grey = splits.controls["unpainted"][0].x[:20]
    # Red, green and blue are as bright as each other, and so are their opposites.
    red, green = (
        features(
            held_out.judge,
            two_colours(grey, jnp.full(20, hue), jnp.full(20, hue + 0.5)),
        )
        for hue in (0.0, 1 / 3)
    )
    np.testing.assert_allclose(red, green, atol=1e-4)
    distance = np.linalg.norm(red[:, None] - red[None], axis=-1)
    assert distance[~np.eye(20, dtype=bool)].min() > 0.1


def test_bytes_and_numbers_are_read_alike(digits):
    held_out = digits[1]
    x = held_out.rows.x[:30]
    np.testing.assert_allclose(
        features(held_out.judge, x), features(held_out.judge, x / 255.0), atol=1e-4
    )
    with pytest.raises(ValueError, match=r"images must be uint8.*got int32"):
        features(held_out.judge, x.astype(jnp.int32))


# On images that are made up.


@pytest.fixture
def spied(monkeypatch):
    """Models that were fitted, and what they were fitted to."""
    models, inputs = [], []
    classifier = sklearn.neural_network.MLPClassifier

    class Spy:
        def __init__(self, *args, **kwargs):
            self.model = classifier(*args, **kwargs)
            models.append(self.model)

        def partial_fit(self, x, y, classes):
            self.model.partial_fit(x, y, classes=classes)
            inputs.append((np.asarray(x), np.asarray(y)))

        def __getattr__(self, name):
            return getattr(self.model, name)

    monkeypatch.setattr(sklearn.neural_network, "MLPClassifier", Spy)
    return models, inputs


@pytest.mark.parametrize(
    ("classes", "side", "show"),
    [(2, 8, as_they_are), (3, 28, in_any_hue), (2, 40, as_they_are)],
    ids=["8", "28 grey", "40"],
)
def test_judge_is_the_model_that_was_fitted(spied, classes, side, show):
    channels = 1 if show is in_any_hue else 3
    rng = np.random.default_rng(0)
    labels = np.arange(120) % classes
    level = np.array([40, 130, 220])[labels][:, None, None, None]
    noise = rng.integers(-40, 36, (120, side, side, channels))
    x = jnp.asarray(level + noise, jnp.uint8)
    judge = train_judge(x, labels, classes, show, passes=1)
    model = spied[0][-1]

    seen = np.asarray(jnp.broadcast_to(x, (120, side, side, 3)), float) / 255
    seen = seen if channels == 3 else seen.max(-1, keepdims=True)
    k = {8: 1, 28: 2, 40: 3}[side]  # so that at most 16 are left
    h = -(-side // k)
    edge = ((0, 0), (0, h * k - side), (0, h * k - side), (0, 0))
    seen = np.pad(seen, edge, mode="edge")
    inputs = seen.reshape(120, h, k, h, k, -1).mean((2, 4)).reshape(120, -1) * 2 - 1
    hidden = inputs
    for w, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        hidden = np.maximum(hidden @ w + b, 0)

    shown = jnp.asarray(np.broadcast_to(x, (120, side, side, 3)))
    np.testing.assert_allclose(features(judge, shown), hidden, atol=1e-4)
    found = np.asarray(classify(judge, shown))
    np.testing.assert_array_equal(found, model.predict(inputs))
    assert len(np.unique(found)) == classes  # else a constant would pass
    assert spied[1][-1][0].shape == (2_000, inputs.shape[1])


@pytest.mark.parametrize("show", [in_any_hue, as_they_are])
def test_judge_is_trained_on_images_moved_by_a_pixel(spied, show):
    channels = 1 if show is in_any_hue else 3
    x = np.zeros((4, 9, 9, channels), np.uint8)
    x[:, 4, 4] = 255
    train_judge(jnp.asarray(x), np.arange(4) % 2, 2, show, passes=1)
    rows = spied[1][0][0].reshape(2_000, 81, channels)
    at = np.divmod(rows[..., 0].argmax(1), 9)
    moves, counts = np.unique(np.stack(at), axis=1, return_counts=True)
    np.testing.assert_array_equal(moves, np.indices((3, 3)).reshape(2, 9) + 3)
    assert counts.min() > 2_000 / 9 / 2
    # Of grey images it sees the brightness, where a background has .4.
    lowest = 2 * 0.4 - 1 if channels == 1 else -1.0
    np.testing.assert_allclose(np.median(rows), lowest, atol=1e-6)
    np.testing.assert_allclose(rows.max((1, 2)), 1.0, atol=1e-6)


# What it is told.


def test_classes_are_those_of_the_first_label_that_has_any():
    spec = PaintedHalves().spec()
    assert judged_classes(spec) == (1, 2)
    spec = spec._replace(labels=(Label("level"),), domains=("a", "b", "c"))
    assert judged_classes(spec) == (None, 3)


@pytest.mark.parametrize("kind", ["painted", "source", "rows"])
def test_batches_of_every_kind_of_data(monkeypatch, spied, kind):
    """From grey images if there are any, else from training rows or what is drawn."""
    monkeypatch.setattr(judging, "train_judge", partial(train_judge, passes=1))
    data = PlainHalves() if kind == "rows" else PaintedHalves()
    spec, splits = data.spec(), data.load()
    if kind == "source":
        splits = splits._replace(controls={})
    made = batches(PATHS, spec, splits)
    x, y = spied[1][0]
    assert x.shape == (2_000, 16 if kind == "painted" else 48)
    bright = x.reshape(2_000, 4, 4, -1).max(-1)
    np.testing.assert_array_equal(y, bright[:, 2, 0] > bright[:, 2, 3])
    for held_out, rows in ((made.valid, splits.valid), (made.test, splits.test)):
        assert held_out.rows.x.dtype == jnp.uint8
        shown = np.asarray(rows.x, float) * (255 if kind == "rows" else 1)
        np.testing.assert_allclose(held_out.rows.x, shown, atol=0.5)
        np.testing.assert_array_equal(held_out.rows.u, rows.u)
        seen = np.asarray(features(held_out.judge, held_out.rows.x))
        np.testing.assert_allclose(held_out.mean, seen.mean(0), atol=1e-4)
    batch = made.sample(jax.random.key(0))
    assert isinstance(batch, Rows)
    assert batch.x.shape == (PATHS.batch, 4, 4, 3)
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        batches(dataclasses.replace(PATHS, batch=0), spec, splits)
