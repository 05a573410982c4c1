"""Images of domains: colours, splits that do not overlap, the judge, folders."""

import colorsys
import dataclasses
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
import sklearn.neural_network
from jax.tree_util import Partial
from matplotlib.colors import rgb_to_hsv

from jaxdis.data import bind, domain_images, images, tfds
from jaxdis.data.domain_images import Config, Train, load, make_spec, sampler

KEY = jax.random.key(0)
JITTER = 0.04

# One program each, rather than one an operation.
features = jax.jit(domain_images.features)
classify = jax.jit(domain_images.classify)
foreground_hue = jax.jit(domain_images.foreground_hue)
colour_domain = jax.jit(domain_images.colour_domain, static_argnums=1)
two_colours = jax.jit(domain_images.two_colours)


@pytest.fixture(scope="module")
def digits():
    """Real digits and their judge, as a user gets them, but for fewer rows."""
    return load(Config(valid_rows=600, test_rows=600))


@pytest.fixture
def quick(monkeypatch):
    """A judge that is hardly trained, where it does not matter."""
    monkeypatch.setattr(domain_images, "PASSES", 1)
    monkeypatch.setattr(domain_images, "PASS_ROWS", 100)


# The judge, on real digits.


@pytest.mark.parametrize("split", ["valid", "test"])
def test_judge_reads_held_out_digits_in_every_domain(digits, split):
    held_out = getattr(digits[1], split)
    right = np.asarray(classify(held_out.judge, held_out.images) == held_out.labels)
    seen = np.asarray(colour_domain(held_out.images, 3) == held_out.u)
    for u in range(3):
        chosen = np.asarray(held_out.u) == u
        assert chosen.sum() == 200
        assert right[chosen].mean() >= 0.96
        assert seen[chosen].mean() >= 0.99


def test_real_moments_are_those_of_the_features(digits):
    for held_out in (digits[1].valid, digits[1].test):
        rows = np.asarray(features(held_out.judge, held_out.images), float)
        assert rows.shape == (600, 64)
        np.testing.assert_allclose(held_out.real_mean, rows.mean(0), atol=1e-4)
        np.testing.assert_allclose(held_out.real_cov, np.cov(rows.T), atol=1e-3)


def test_features_say_nothing_of_hues(digits):
    _, data = digits
    judge = data.test.judge
    grey = data.train.images[:20]
    # Red, green and blue are as bright as each other, and so are their opposites.
    red, green = (
        features(judge, two_colours(grey, jnp.full(20, hue), jnp.full(20, hue + 0.5)))
        for hue in (0.0, 1 / 3)
    )
    np.testing.assert_allclose(red, green, atol=1e-4)
    distance = np.linalg.norm(red[:, None] - red[None], axis=-1)
    assert distance[~np.eye(20, dtype=bool)].min() > 0.1


def test_bytes_and_numbers_in_minus_1_to_1_are_read_alike(digits):
    held_out = digits[1].test
    x = held_out.images[:30]
    scaled = x / 127.5 - 1.0
    np.testing.assert_allclose(
        features(held_out.judge, x), features(held_out.judge, scaled), atol=1e-4
    )
    np.testing.assert_allclose(foreground_hue(x), foreground_hue(scaled), atol=1e-5)
    for f in (lambda x: features(held_out.judge, x), foreground_hue):
        with pytest.raises(ValueError, match=r"images must be uint8.*got int32"):
            f(x.astype(jnp.int32))


# The judge, on images that are made up.


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
            inputs.append(np.asarray(x))
            self.model.partial_fit(x, y, classes=classes)

        def __getattr__(self, name):
            return getattr(self.model, name)

    monkeypatch.setattr(sklearn.neural_network, "MLPClassifier", Spy)
    monkeypatch.setattr(domain_images, "PASSES", 3)
    monkeypatch.setattr(domain_images, "PASS_ROWS", 400)
    return models, inputs


@pytest.mark.parametrize(
    ("classes", "side", "channels"), [(2, 8, 3), (3, 28, 1), (2, 32, 3)]
)
def test_judge_is_the_model_that_was_fitted(spied, classes, side, channels):
    rng = np.random.default_rng(0)
    labels = np.arange(120) % classes
    level = np.array([40, 130, 220])[labels][:, None, None, None]
    noise = rng.integers(-40, 36, (120, side, side, channels))
    x = jnp.asarray(level + noise, jnp.uint8)
    judge = domain_images.train_judge(x, labels, classes, 0)
    model = spied[0][-1]

    seen = np.asarray(jnp.broadcast_to(x, (120, side, side, 3)), float) / 255
    seen = seen if channels == 3 else seen.max(-1, keepdims=True)
    k = {8: 1, 28: 2, 32: 2}[side]  # 28 would do, but 16 is the most
    h = side // k
    inputs = seen.reshape(120, h, k, h, k, -1).mean((2, 4)).reshape(120, -1) * 2 - 1
    hidden = inputs
    for w, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        hidden = np.maximum(hidden @ w + b, 0)

    shown = jnp.asarray(np.broadcast_to(x, (120, side, side, 3)))
    np.testing.assert_allclose(features(judge, shown), hidden, atol=1e-4)
    found = np.asarray(classify(judge, shown))
    np.testing.assert_array_equal(found, model.predict(inputs))
    assert len(np.unique(found)) == classes  # else a constant would pass
    assert spied[1][-1].shape == (400, inputs.shape[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_judge_is_trained_on_images_moved_by_a_pixel(spied, channels):
    x = np.zeros((4, 9, 9, channels), np.uint8)
    x[:, 4, 4] = 255
    domain_images.train_judge(jnp.asarray(x), np.arange(4) % 2, 2, 0)
    rows = spied[1][0].reshape(400, 81, channels)
    at = np.divmod(rows[..., 0].argmax(1), 9)
    moves, counts = np.unique(np.stack(at), axis=1, return_counts=True)
    np.testing.assert_array_equal(moves, np.indices((3, 3)).reshape(2, 9) + 3)
    assert counts.min() > 400 / 9 / 2
    # Of grey images it sees the brightness, where a background has .4.
    lowest = 2 * 0.4 - 1 if channels == 1 else -1.0
    np.testing.assert_allclose(np.median(rows), lowest, atol=1e-6)
    np.testing.assert_allclose(rows.max((1, 2)), 1.0, atol=1e-6)


# Colours.


def test_colours_are_those_of_colorsys():
    grey = jnp.asarray([255, 0, 51], jnp.uint8)[None, None, :, None]
    grey = jnp.repeat(grey, 7, 0)
    hues = np.linspace(-0.3, 1.2, 7)
    x = two_colours(grey, jnp.float32(hues), jnp.float32(hues + 0.3))
    front = np.array([colorsys.hsv_to_rgb(h % 1, 1, 1) for h in hues])
    back = np.array([colorsys.hsv_to_rgb((h + 0.3) % 1, 1, 0.4) for h in hues])
    expected = np.stack([front, back, 0.2 * front + 0.8 * back], 1)[:, None]
    assert x.dtype == jnp.uint8
    assert np.abs(255 * expected - np.asarray(x, float)).max() <= 0.51


def test_drawn_colours_and_domains():
    """Hues are u / D + U(+-.04), and the opposite + U(+-.04), anew for each image."""
    domains, rows = 4, 6_000
    grey = jnp.asarray([[255, 0], [0, 255]], jnp.uint8)[:, None, :, None]
    train = Train(grey, None, Partial(bind(domain_images._draw_coloured, domains)))
    x, u = jax.device_get(jax.jit(sampler(train, rows))(KEY))
    assert x.shape == (rows, 1, 2, 3)
    hsv = rgb_to_hsv(x[:, 0] / 255.0)
    right = hsv[:, 1, 2] > hsv[:, 0, 2]  # the second image
    np.testing.assert_allclose(right.mean(), 0.5, atol=0.03)
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
    drawn = np.column_stack([off, u, right])
    others = np.corrcoef(drawn.T) - np.eye(4)
    assert np.abs(others).max() < 0.06


def test_hue_of_the_foreground():
    rng = np.random.default_rng(0)
    colours = np.concatenate(
        [rng.integers(0, 256, (40, 3)), np.eye(3) * 200, [[90, 90, 90], [0, 0, 0]]]
    ).astype(np.uint8)
    x = jnp.asarray(np.broadcast_to(colours[:, None, None], (45, 4, 4, 3)))
    expected = [colorsys.rgb_to_hsv(*c)[0] for c in colours / 255.0]
    np.testing.assert_allclose(foreground_hue(x), expected, atol=1e-5)


@pytest.mark.parametrize("domains", [2, 3, 10])
def test_domain_of_a_digit_of_one_pixel(domains):
    """The background, of the opposite hue, does not matter however large it is."""
    u = np.arange(30) % domains
    hue = jnp.float32(u / domains + np.repeat([-JITTER, 0.0, JITTER], 10))
    grey = np.zeros((30, 32, 32, 1), np.uint8)
    grey[:, 5, 9] = 255
    x = two_colours(jnp.asarray(grey), hue, hue + 0.5)
    np.testing.assert_array_equal(colour_domain(x, domains), u)


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


MARKED = Config(held_out=0.2, valid_rows=36, test_rows=20)


@pytest.mark.parametrize(
    ("name", "size", "inner"),
    [
        ("two_color_digits", 28, 28),
        ("two_color_mnist", 32, 28),
        ("two_color_mnist", 64, 56),
    ],
)
def test_splits_of_digits(quick, found, name, size, inner):
    directory = "some/folder" if size == 64 else None
    spec, data = load(
        dataclasses.replace(MARKED, name=name, size=size, directory=directory)
    )
    assert spec.shape == (size, size, 3)
    if name == "two_color_mnist":
        assert found == [None if directory is None else Path(directory)]
    assert data.train.u is None
    assert data.train.images.shape == (36, size, size, 1)
    parts = [data.train, data.valid, data.test]
    seen = [numbers(part.images, inner) for part in parts]
    sets = [set(n.tolist()) for n in seen]
    assert [len(s) for s in sets] == [36, 12, 12]
    assert set.union(*sets) == set(range(1, DIGITS + 1))  # so that none is in two
    for part, n in zip(parts[1:], seen[1:], strict=True):
        assert part.images.shape == (len(n), size, size, 3)
        assert part.images.dtype == jnp.uint8
        np.testing.assert_array_equal(part.labels, n * 3 % 10)
        np.testing.assert_array_equal(colour_domain(part.images, 3), part.u)
    assert np.ptp(np.bincount(data.test.u, minlength=3)) <= 1
    # Each digit in each domain, before any comes in a domain for the second time.
    pairs = set(zip(seen[1].tolist(), np.asarray(data.valid.u).tolist(), strict=True))
    assert len(pairs) == 36
    assert len(set(seen[1][:12].tolist())) == 12
    margin = (size - inner) // 2
    assert not np.asarray(data.train.images)[:, :margin].any()
    assert not np.asarray(data.train.images)[:, :, size - margin :].any()


def test_seed_is_that_of_splits_and_colours(quick, found):
    first, again, other = (
        load(dataclasses.replace(MARKED, seed=seed))[1] for seed in (0, 0, 1)
    )
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert set(numbers(first.test.images, 28)) != set(numbers(other.test.images, 28))
    assert not np.array_equal(first.test.judge.weights[0], other.test.judge.weights[0])
    # An image of the same domain has other colours elsewhere and under another seed.
    borders = [np.asarray(d.valid.images)[:, 0, 0] for d in (first, other)]
    same = np.asarray(first.valid.u) == 0
    assert len(np.unique(borders[0][same], axis=0)) > 6
    np.testing.assert_array_equal(first.valid.u, other.valid.u)
    assert not np.array_equal(*borders)


# Samplers.


def test_keys_draw_batches(digits):
    _, data = digits
    draw = jax.jit(sampler(data.train, 16))
    first, again, other = draw(KEY), draw(KEY), draw(jax.random.key(1))
    assert first.images.shape == (16, 32, 32, 3)
    assert first.images.dtype == jnp.uint8
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first.u, other.u)
    assert not np.array_equal(first.images, other.images)
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        sampler(data.train, 0)


def test_data_are_arguments_of_the_program():
    traces = []

    @jax.jit
    def draw(sample, key):
        traces.append(0)
        return sample(key).images

    def train(value):
        draw = Partial(bind(domain_images._draw_stored))
        return Train(jnp.full((5, 2, 2, 3), value, jnp.uint8), jnp.zeros(5, int), draw)

    for value in (3, 7):
        assert (draw(sampler(train(value), 4), KEY) == value).all()
    assert len(traces) == 1


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


def test_folder(folder, monkeypatch):
    monkeypatch.setattr(domain_images, "PASSES", 5)
    config = Config("folder", str(folder), held_out=0.2, test_rows=4)
    spec, data = load(config)
    assert spec == make_spec(config)
    assert spec == domain_images.Spec((32, 32, 3), 3, NAMES, 3, False)
    parts = [data.train, data.valid, data.test]
    for part in parts:
        pixels = np.asarray(part.images)
        assert (np.ptp(pixels, (1, 2)) == 0).all()
        np.testing.assert_array_equal(pixels[:, 0, 0].argmax(-1), CHANNEL[part.u])
    number = [np.asarray(part.images)[:, 0, 0].min(-1).tolist() for part in parts]
    shares = [np.bincount(part.u, minlength=3).tolist() for part in parts]
    assert shares == [[7, 10, 12], [2, 2, 4], [2, 1, 1]]
    # Held-out images take turns; the last to have any are the most frequent.
    assert np.asarray(data.valid.u).tolist() == [0, 1, 2, 0, 1, 2, 2, 2]
    assert np.asarray(data.test.u).tolist() == [0, 1, 2, 0]
    every = [n for part in number for n in part]
    assert len(set(every)) == len(every) == 29 + 8 + 4
    for part in parts[1:]:
        np.testing.assert_array_equal(part.labels, part.u)
        np.testing.assert_array_equal(classify(part.judge, part.images), part.u)

    other = load(dataclasses.replace(config, seed=1))[1].valid.images
    assert set(np.asarray(other)[:, 0, 0].min(-1).tolist()) != set(number[1])

    batch = jax.jit(sampler(data.train, 3_000))(KEY)
    colour = np.asarray(batch.images)[:, 0, 0]
    np.testing.assert_array_equal(colour.argmax(-1), CHANNEL[batch.u])
    drawn, times = np.unique(colour.min(-1), return_counts=True)
    assert drawn.tolist() == sorted(number[0])
    np.testing.assert_allclose(times / 3_000, 1 / 29, atol=0.015)


def test_images_of_a_folder_are_made_square_and_rgb(tmp_path):
    corner = np.zeros((64, 128, 3), np.uint8)
    corner[:32, :64] = (250, 120, 0)
    paths = [save(tmp_path / "wide.png", corner), tmp_path / "see-through.png"]
    PIL.Image.fromarray(corner).convert("RGBA").save(paths[1])
    paths.append(save(tmp_path / "grey.png", corner[..., 0]))
    x = domain_images._read_images(paths, 32)
    assert x.shape == (3, 32, 32, 3)
    inside = np.zeros((32, 32), bool)
    inside[:16, :16] = True
    edge = np.zeros((32, 32), bool)  # is blurred
    edge[13:19] = edge[:, 13:19] = True
    for image, colour in zip(x, [(250, 120, 0)] * 2 + [(250,) * 3], strict=True):
        assert (image[inside & ~edge] == colour).all()
        assert not image[~inside & ~edge].any()


# What is known beforehand, and bad input.


@pytest.mark.parametrize("name", ["two_color_digits", "two_color_mnist"])
def test_spec_of_digits(name):
    spec = make_spec(Config(name, domains=4, size=64))
    names = ("hue 0", "hue 90", "hue 180", "hue 270")
    assert spec == domain_images.Spec((64, 64, 3), 4, names, 10, True)
    assert make_spec(Config(name)).names == ("hue 0", "hue 120", "hue 240")


def test_spec_of_a_folder_that_is_to_be_named():
    spec = make_spec(Config("folder", domains=2, size=64))
    assert spec == domain_images.Spec((64, 64, 3), 2, ("0", "1"), 2, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "cifar"}, "data.name must be one of two_color_digits, .* 'cifar'"),
        ({"size": 30}, r"data.size must be one of \(28, 32, 64\) for two_color_digits"),
        (
            {"name": "folder", "size": 28},
            r"data.size must be one of \(32, 64\) for folder, got 28",
        ),
        ({"domains": 1}, "data.domains must be at least 2, got 1"),
        ({"domains": 11}, "data.domains must be at most 10, .* got 11"),
        ({"held_out": 0.0}, r"data.held_out .* got 0.0"),
        ({"held_out": 0.5}, r"data.held_out .* got 0.5"),
        ({"held_out": float("nan")}, r"data.held_out .* got nan"),
        ({"valid_rows": 2}, "data.valid_rows must hold .* the 3 domains, got 2"),
        ({"test_rows": 2}, "data.test_rows must hold .* the 3 domains, got 2"),
        ({"name": "folder"}, "data.directory must name a folder .*, got none"),
        (
            {"name": "folder", "directory": "no/such"},
            "data.directory must be a folder .* there is no folder no/such",
        ),
    ],
)
def test_bad_config(changes, message):
    with pytest.raises(ValueError, match=message):
        load(dataclasses.replace(Config(), **changes))


def test_folder_of_one_domain(tmp_path):
    save(tmp_path / "only" / "a.png", plain())
    message = r"at least 2 sub-folders, one for each domain; .* has \['only'\]"
    for read in (make_spec, load):
        with pytest.raises(ValueError, match=message):
            read(Config("folder", str(tmp_path)))


def test_folder_with_more_domains_than_rows(folder):
    for field in ("valid_rows", "test_rows"):
        config = Config("folder", str(folder), domains=2, **{field: 2})
        with pytest.raises(ValueError, match=rf"data.{field} must .* the 3 domains"):
            make_spec(config)


def test_domain_without_images(folder):
    (folder / "empty").mkdir()
    (folder / "empty" / "a.txt").write_text("not an image")
    message = re.escape(f"{folder / 'empty'} has none")
    with pytest.raises(ValueError, match=r"data.directory .*\.png.* " + message):
        make_spec(Config("folder", str(folder)))


def test_domain_with_too_few_images(folder):
    for i in range(2):
        save(folder / "few" / f"{i}.png", plain())
    message = r"at least 3 images of every domain, .* got \{'few': 2\}"
    with pytest.raises(ValueError, match=message):
        load(Config("folder", str(folder)))


def test_fewest_images(tmp_path, quick):
    """Three of each domain are enough, whatever the share."""
    for name in ("a", "b"):
        for i in range(3):
            save(tmp_path / name / f"{i}.png", plain((i, i, i)))
    for share in (0.01, 0.49):
        _, data = load(Config("folder", str(tmp_path), held_out=share))
        for part in (data.train, data.valid, data.test):
            assert np.asarray(part.u).tolist() == [0, 1]


def test_images_of_mixed_sizes(folder):
    odd = save(folder / "green" / "5.png", plain(width=40, height=24))
    first = folder / "blue" / "0.png"
    message = re.escape(f"{first} has 32 x 32 pixels and {odd} has 40 x 24")
    with pytest.raises(ValueError, match=r"data.directory .* mixed sizes: " + message):
        load(Config("folder", str(folder)))


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
        load(Config("folder", str(folder)))
