"""Images of domains: what is painted, splits that do not overlap."""

import dataclasses
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv

from jaxdis.data import colours, images, tfds
from jaxdis.data.domain_images import TwoColourDigits, TwoColourMNIST
from jaxdis.data.rows import sampler
from jaxdis.types import Label, Source

KEY = jax.random.key(0)
JITTER = 0.04

# One program each, rather than one per operation.
nearest_hue = jax.jit(colours.nearest_hue)


# Digits that are painted.


@pytest.fixture(scope="module")
def digits():
    """Real digits, as a user gets them, but for fewer rows."""
    return TwoColourDigits(valid_rows=600, test_rows=600).load()


def drawn(splits, count):
    return jax.device_get(jax.jit(lambda key: splits.train.draw(key, count))(KEY))


@pytest.mark.parametrize("split", ["valid", "test"])
def test_held_out_digits_have_the_hue_of_their_domain(digits, split):
    rows = getattr(digits, split)
    seen = np.asarray(nearest_hue(rows.x, np.arange(3) / 3) == rows.u)
    for u in range(3):
        chosen = np.asarray(rows.u) == u
        assert chosen.sum() == 200
        assert seen[chosen].mean() >= 0.99


def test_drawn_colours_and_domains(monkeypatch):
    """Hues are u / D + U(+-.04), and the opposite + U(+-.04), anew for each image."""
    domains, rows = 4, 6_000
    # Left or right is bright, and the label says which.
    right = np.arange(60) % 2
    bright = (np.arange(28) >= 14)[None] == right[:, None]
    grey = np.repeat(255 * bright.astype(np.uint8)[:, None], 28, 1)[..., None]
    monkeypatch.setattr(images, "digits", lambda size: images.Images(grey, right))
    splits = TwoColourDigits(size=28, domains=domains).load()
    found = drawn(splits, rows)
    x, u = found.x[:, :1, ::27], found.u
    assert found.x.shape == (rows, 28, 28, 3)
    hsv = rgb_to_hsv(x[:, 0] / 255.0)
    right = hsv[:, 1, 2] > hsv[:, 0, 2]
    np.testing.assert_array_equal(found.y[:, 0], right)
    wanted = np.mean(splits.controls["unpainted"][0].y)
    np.testing.assert_allclose(right.mean(), wanted, atol=0.03)
    shares = np.bincount(u, minlength=domains) / rows
    np.testing.assert_allclose(shares, 1 / domains, atol=0.025)
    hsv = np.where(right[:, None, None], hsv[:, ::-1], hsv)
    np.testing.assert_allclose(hsv[:, 0, 2], 1.0, atol=1e-6)
    np.testing.assert_allclose(hsv[:, 1, 2], 0.4, atol=1e-6)
    centre = u[:, None] / domains + np.array([0.0, 0.5])
    off = (hsv[..., 0] - centre + 0.5) % 1 - 0.5
    rounding = 0.002
    for i in range(2):
        assert np.abs(off[:, i]).max() <= JITTER + rounding
        np.testing.assert_allclose(off[:, i].mean(), 0.0, atol=0.0015)
        np.testing.assert_allclose(off[:, i].std(), JITTER / 3**0.5, atol=0.001)
    together = np.column_stack([off, u, right])
    others = np.corrcoef(together.T) - np.eye(4)
    assert np.abs(others).max() < 0.06


# Splits of digits.

DIGITS = 60


def marked(inner):
    """Images whose number, from 1, is written in vertical bars, and labels."""
    bars = (np.arange(1, DIGITS + 1)[:, None] >> np.arange(7)) & 1
    pixels = np.repeat(255 * bars.astype(np.uint8), inner // 7, 1)
    pixels = np.repeat(pixels[:, None], inner, 1)[..., None]
    return pixels, (np.arange(1, DIGITS + 1) * 3 % 10).astype(np.int32)


def numbers(x, inner):
    """The number in each image."""
    x = np.asarray(x).max(-1)
    margin = (x.shape[1] - inner) // 2
    bar = inner // 7
    at = margin + bar // 2 + bar * np.arange(7)
    return (x[:, x.shape[1] // 2, at] > 180) @ (1 << np.arange(7))


@pytest.fixture
def found(monkeypatch):
    asked = []

    def own(size):
        return images.Images(*marked(size))

    def mnist(directory):
        asked.append(directory)
        return marked(28)

    monkeypatch.setattr(images, "digits", own)
    monkeypatch.setattr(tfds, "mnist", mnist)
    return asked


@pytest.mark.parametrize(
    ("data", "inner"),
    [
        (TwoColourDigits(size=28), 28),
        (TwoColourMNIST(size=32), 28),
        (TwoColourMNIST("some/folder", size=64), 56),
    ],
    ids=["digits", "mnist", "mnist in a folder"],
)
def test_splits_of_digits(found, data, inner):
    splits = dataclasses.replace(data, held_out=0.2, valid_rows=36, test_rows=20).load()
    size = data.size
    if isinstance(data, TwoColourMNIST):
        assert found == [data.directory and Path(data.directory)]
    assert isinstance(splits.train, Source)
    unpainted, same = splits.controls["unpainted"]
    assert unpainted is same
    assert unpainted.x.shape == (36, size, size, 1)
    parts = [unpainted, splits.valid, splits.test]
    seen = [numbers(part.x, inner) for part in parts]
    sets = [set(n.tolist()) for n in seen]
    assert [len(s) for s in sets] == [36, 12, 12]
    assert set.union(*sets) == set(range(1, DIGITS + 1))  # so that none is in two
    for part, n in zip(parts, seen, strict=True):
        np.testing.assert_array_equal(part.y[:, 0], n * 3 % 10)
    for part, n in zip(parts[1:], seen[1:], strict=True):
        assert part.x.shape == (len(n), size, size, 3)
        assert part.x.dtype == jnp.uint8
        np.testing.assert_array_equal(nearest_hue(part.x, np.arange(3) / 3), part.u)
    assert np.ptp(np.bincount(splits.test.u, minlength=3)) <= 1
    # Each digit in each domain, before any comes in a domain for the second time.
    pairs = set(zip(seen[1].tolist(), np.asarray(splits.valid.u).tolist(), strict=True))
    assert len(pairs) == 36
    assert len(set(seen[1][:12].tolist())) == 12
    margin = (size - inner) // 2
    assert not np.asarray(unpainted.x)[:, :margin].any()
    assert not np.asarray(unpainted.x)[:, :, size - margin :].any()


def test_training_digits_alone_are_drawn(found):
    splits = TwoColourDigits(size=28, held_out=0.2).load()
    rows = drawn(splits, 300)
    seen = set(numbers(splits.controls["unpainted"][0].x, 28).tolist())
    assert set(numbers(rows.x, 28).tolist()) == seen
    hues = np.arange(3) / 3
    np.testing.assert_array_equal(nearest_hue(jnp.asarray(rows.x), hues), rows.u)


def test_seed_is_that_of_splits_and_colours(found):
    marked = TwoColourDigits(held_out=0.2, valid_rows=36, test_rows=20)
    first, again, other = (
        dataclasses.replace(marked, seed=seed).load() for seed in (0, 0, 1)
    )
    chex.assert_trees_all_equal(first[1:], again[1:])
    assert set(numbers(first.test.x, 28)) != set(numbers(other.test.x, 28))
    # An image of the same domain has other colours elsewhere and under another seed.
    borders = [np.asarray(s.valid.x)[:, 0, 0] for s in (first, other)]
    same = np.asarray(first.valid.u) == 0
    assert len(np.unique(borders[0][same], axis=0)) > 6
    np.testing.assert_array_equal(first.valid.u, other.valid.u)
    assert not np.array_equal(*borders)


def test_keys_draw_batches(digits):
    draw = jax.jit(sampler(digits.train, 16))
    first, again, other = draw(KEY), draw(KEY), draw(jax.random.key(1))
    assert first.x.shape == (16, 32, 32, 3)
    assert first.x.dtype == jnp.uint8
    chex.assert_trees_all_equal(first, again)
    assert not np.array_equal(first.u, other.u)
    assert not np.array_equal(first.x, other.x)


def test_data_are_arguments_of_the_program(found):
    """Other digits of the same number are no other program."""

    @jax.jit
    @chex.assert_max_traces(n=1)
    def draw(sample, key):
        return sample(key).x

    first, other = (
        draw(sampler(TwoColourDigits(seed=seed).load().train, 4), KEY)
        for seed in (0, 1)
    )
    assert not np.array_equal(first, other)


# What is known beforehand, and bad input.


@pytest.mark.parametrize("kind", [TwoColourDigits, TwoColourMNIST])
def test_spec_of_digits(kind):
    spec = kind(domains=4, size=64).spec()
    assert spec.shape == (64, 64, 3)
    assert spec.domains == ("hue 0", "hue 90", "hue 180", "hue 270")
    assert spec.labels == (Label("digit", 10),)
    np.testing.assert_allclose(spec.truth.hues, [0, 0.25, 0.5, 0.75])
    assert kind().spec().domains == ("hue 0", "hue 120", "hue 240")
    assert {"images", "u", "y"} <= set(spec.offers)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TwoColourDigits(size=30), "data.size must be one of 28, 32, 64, got 30"),
        (TwoColourMNIST(size=30), "data.size must be one of 28, 32, 64, got 30"),
        (TwoColourDigits(domains=1), "data.domains must be at least 2, got 1"),
        (TwoColourDigits(domains=11), "data.domains must be at most 10, .* got 11"),
        (TwoColourDigits(held_out=0.0), r"data.held_out .* got 0.0"),
        (TwoColourDigits(held_out=0.5), r"data.held_out .* got 0.5"),
        (TwoColourMNIST(held_out=float("nan")), r"data.held_out .* got nan"),
        (
            TwoColourDigits(valid_rows=2),
            "data.valid_rows must hold .* the 3 domains, got 2",
        ),
        (
            TwoColourDigits(test_rows=2),
            "data.test_rows must hold .* the 3 domains, got 2",
        ),
    ],
)
def test_bad_settings(data, message):
    with pytest.raises(ValueError, match=message):
        data.load()
