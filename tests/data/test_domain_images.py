"""Images of domains: what is painted, splits that do not overlap, folders."""

import dataclasses
import os
import re
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from matplotlib.colors import rgb_to_hsv

from jaxdis.data import colours, images, tfds
from jaxdis.data.domain_images import DomainFolder, TwoColourDigits, TwoColourMNIST
from jaxdis.data.rows import sampler
from jaxdis.types import Label, Rows, Source, Spec

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


# Folders.

COUNTS = {"red": 20, "blue": 11, "green": 14}
NAMES = ("blue", "green", "red")
CHANNEL = np.array([2, 1, 0])


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def plain(colour=(1, 2, 3), width=32, height=32):
    return np.broadcast_to(np.uint8(colour), (height, width, 3))


@pytest.fixture
def folder(tmp_path):
    """Images of one colour, 200 in the channel of the domain and else a number."""
    number = 0
    for name, count in COUNTS.items():
        for i in range(count):
            number += 1
            colour = np.full(3, number)
            colour[CHANNEL[NAMES.index(name)]] = 200
            suffix = ".PNG" if i % 2 else ".png"
            save(tmp_path / name / f"{i}{suffix}", plain(colour))
    # Neither images nor domains.
    (tmp_path / "red" / "notes.txt").write_text("of mine")
    (tmp_path / "red" / "._0.png").write_bytes(b"left by a file system")
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / "LICENSE").write_text("mine")
    return tmp_path


def test_folder(folder):
    data = DomainFolder(str(folder), size=32, held_out=0.2, test_rows=4)
    assert data.spec() == Spec((32, 32, 3), domains=NAMES)
    splits = data.load()
    assert splits.controls == {}
    parts = [splits.train, splits.valid, splits.test]
    for part in parts:
        assert isinstance(part, Rows)
        pixels = np.asarray(part.x)
        assert pixels.dtype == np.uint8
        assert (np.ptp(pixels, (1, 2)) == 0).all()
        np.testing.assert_array_equal(pixels[:, 0, 0].argmax(-1), CHANNEL[part.u])
    number = [np.asarray(part.x)[:, 0, 0].min(-1).tolist() for part in parts]
    shares = [np.bincount(part.u, minlength=3).tolist() for part in parts]
    assert shares == [[7, 10, 12], [2, 2, 4], [2, 1, 1]]
    # Held-out images take turns; the last to have any are the most frequent.
    assert np.asarray(splits.valid.u).tolist() == [0, 1, 2, 0, 1, 2, 2, 2]
    assert np.asarray(splits.test.u).tolist() == [0, 1, 2, 0]
    every = [n for part in number for n in part]
    assert len(set(every)) == len(every) == 29 + 8 + 4

    other = dataclasses.replace(data, seed=1).load().valid.x
    assert set(np.asarray(other)[:, 0, 0].min(-1).tolist()) != set(number[1])


def test_images_that_have_changed_are_read_again(folder, monkeypatch):
    read, data, opened = PIL.Image.open, DomainFolder(str(folder), size=32), []

    def spy(path, *args, **settings):
        opened.append(path)
        return read(path, *args, **settings)

    monkeypatch.setattr(PIL.Image, "open", spy)
    first = data.load()
    assert len(opened) == sum(COUNTS.values())
    chex.assert_trees_all_equal(data.load(), first)
    assert len(opened) == sum(COUNTS.values())
    path = save(folder / "red" / "2.png", plain())
    os.utime(path, ns=(1, 1))
    data.load()
    assert len(opened) == 2 * sum(COUNTS.values())


def test_images_of_a_folder_are_cropped_to_squares_in_rgb(tmp_path, capsys):
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:32, 32:64] = (250, 120, 0)  # a quarter of the central square
    for domain in ("a", "b"):
        save(tmp_path / domain / "wide.png", wide)
        save(tmp_path / domain / "grey.png", wide[..., 0])
        tall = np.transpose(wide, (1, 0, 2))[32:96, :]
        save(tmp_path / domain / "square.png", np.transpose(tall, (1, 0, 2)))
    splits = DomainFolder(str(tmp_path), size=32).load()
    assert "4 of 6 images are cropped to the central square" in capsys.readouterr().out
    x = np.concatenate([splits.train.x, splits.valid.x, splits.test.x])
    assert x.shape == (6, 32, 32, 3)
    inside = np.zeros((32, 32), bool)
    inside[:16, :16] = True
    edge = np.zeros((32, 32), bool)  # is blurred
    edge[13:19] = edge[:, 13:19] = True
    colours_seen = []
    for image in x:
        assert not image[~inside & ~edge].any()
        (colour,) = np.unique(image[inside & ~edge], axis=0).tolist()
        colours_seen.append(tuple(colour))
    assert sorted(colours_seen) == [(250, 120, 0)] * 4 + [(250,) * 3] * 2


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


def test_spec_of_a_folder_that_is_to_be_named():
    assert DomainFolder().spec() == Spec((64, 64, 3), domains=("0", "1"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TwoColourDigits(size=30), "data.size must be one of 28, 32, 64, got 30"),
        (TwoColourMNIST(size=30), "data.size must be one of 28, 32, 64, got 30"),
        (DomainFolder(size=28), "data.size must be one of 32, 64, got 28"),
        (TwoColourDigits(domains=1), "data.domains must be at least 2, got 1"),
        (TwoColourDigits(domains=11), "data.domains must be at most 10, .* got 11"),
        (TwoColourDigits(held_out=0.0), r"data.held_out .* got 0.0"),
        (TwoColourDigits(held_out=0.5), r"data.held_out .* got 0.5"),
        (TwoColourMNIST(held_out=float("nan")), r"data.held_out .* got nan"),
        (DomainFolder(held_out=0.5), r"data.held_out .* got 0.5"),
        (
            TwoColourDigits(valid_rows=2),
            "data.valid_rows must hold .* the 3 domains, got 2",
        ),
        (
            TwoColourDigits(test_rows=2),
            "data.test_rows must hold .* the 3 domains, got 2",
        ),
        (DomainFolder(), "data.directory must name a folder .*, got none"),
        (
            DomainFolder("no/such"),
            "data.directory must be a folder .* there is no folder no/such",
        ),
    ],
)
def test_bad_settings(data, message):
    with pytest.raises(ValueError, match=message):
        data.load()


def test_folder_of_one_domain(tmp_path):
    save(tmp_path / "only" / "a.png", plain())
    message = r"at least 2 sub-folders, one for each domain; .* has \['only'\]"
    for read in (DomainFolder.spec, DomainFolder.load):
        with pytest.raises(ValueError, match=message):
            read(DomainFolder(str(tmp_path)))


def test_folder_with_more_domains_than_rows(folder):
    for field in ("valid_rows", "test_rows"):
        data = DomainFolder(str(folder), **{field: 2})
        with pytest.raises(ValueError, match=rf"data.{field} must .* the 3 domains"):
            data.spec()


def test_domain_without_images(folder):
    (folder / "empty").mkdir()
    (folder / "empty" / "a.txt").write_text("not an image")
    message = re.escape(f"{folder / 'empty'} has none")
    with pytest.raises(ValueError, match=r"data.directory .*\.png.* " + message):
        DomainFolder(str(folder)).spec()


def test_domain_with_too_few_images(folder):
    for i in range(2):
        save(folder / "few" / f"{i}.png", plain())
    message = r"at least 3 images of every domain, .* got \{'few': 2\}"
    with pytest.raises(ValueError, match=message):
        DomainFolder(str(folder)).load()


def test_fewest_images(tmp_path):
    """Three of each domain are enough, whatever the share."""
    for name in ("a", "b"):
        for i in range(3):
            save(tmp_path / name / f"{i}.png", plain((i, i, i)))
    for share in (0.01, 0.49):
        splits = DomainFolder(str(tmp_path), held_out=share).load()
        for part in (splits.train, splits.valid, splits.test):
            assert np.asarray(part.u).tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["no image", "cut short", "a folder", "too large"])
def test_file_that_cannot_be_read(folder, monkeypatch, kind):
    path = folder / "red" / "0.png"
    if kind == "no image":
        path.write_bytes(b"certainly not an image")
    elif kind == "cut short":
        rng = np.random.default_rng(0)
        save(path, rng.integers(0, 256, (32, 32, 3)))
        path.write_bytes(path.read_bytes()[:900])
    elif kind == "a folder":
        path.unlink()
        path.mkdir()
    else:
        save(path, plain(width=100, height=100))
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 2_000)
    message = (
        f"data.directory must hold images that can be read; {re.escape(str(path))}"
    )
    with pytest.raises(ValueError, match=message):
        DomainFolder(str(folder)).load()
