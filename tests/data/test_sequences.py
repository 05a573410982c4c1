import functools
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdis.data import factors, images, sequences, tfds
from jaxdis.data.factors import FactorImages, FactorSet
from jaxdis.data.images import Images
from jaxdis.data.sequences import Config, from_frames, load, make_spec, sampler
from jaxdis.data.transforms import transform, transform_red

RNG = np.random.default_rng(0)
NAMES = ("scale", "rotation", "hue")
N, SIDE, T = 30, 6, 3
PIXELS = RNG.integers(0, 256, (N, SIDE, SIDE, 1)).astype(np.uint8)
LABELS = np.arange(N, dtype=np.int32) % 3
PAIRS = set(itertools.permutations(range(3), 2))

SMALL = Config(size=SIDE, steps=T, held_out=0.2, valid_rows=6, test_rows=12, fit_rows=9)


def small(**changes):
    return Config(**vars(SMALL) | changes)


@functools.cache
def loaded(config):
    """`load`, with thirty small images of noise in place of the digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "digits", lambda size: Images(PIXELS, LABELS))
        return load(config)


_draw = jax.jit(lambda sample, key: sample(key))


def drawn(data, batch, seed=0):
    """A batch of training sequences."""
    return _draw(sampler(data.train, batch), jax.random.key(seed))


def first_images(x):
    """Which images the first frames are, in the red channel."""
    red = 255 * np.asarray(x)[:, 0, ..., :1]
    off = np.abs(red[:, None] - PIXELS[None]).max((2, 3, 4))
    assert off.min(1).max() < 0.01
    return off.argmin(1)


@functools.partial(jax.jit, static_argnums=(2, 3))
def transformed(starts, amounts, names=NAMES, form=transform_red):
    """Frames of images after amounts `[row, t, k]`."""
    rows = jax.vmap(lambda i, a: form(i, a, names), (None, 0))
    return jax.vmap(rows)(jnp.asarray(PIXELS)[starts] / 255.0, amounts)


def along(k, times):
    """Amounts `[row, t, 3]` of `times` steps of transformation k."""
    amounts = np.zeros((len(k), len(times), 3), np.float32)
    amounts[np.arange(len(k)), :, k] = times
    return amounts


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def training_starts(data):
    """For each transformation, where its training sequences start."""
    pairs = zip(data.train.starts, data.train.counts, strict=True)
    return [set(np.asarray(row[:count]).tolist()) for row, count in pairs]


class TestSpec:
    def test_images(self):
        spec = make_spec(Config())
        assert spec == sequences.Spec((28, 28, 3), 8, NAMES)
        config = Config(size=9, colour="none", transformations=("rotation",), steps=2)
        assert make_spec(config) == sequences.Spec((9, 9, 1), 2, ("rotation",))

    def test_blobs(self):
        spec = make_spec(Config(name="blobs", size=14, steps=4))
        assert spec == sequences.Spec((14, 14, 1), 4, ("right", "down"))

    @pytest.mark.parametrize("name", [n for n, s in factors.SETS.items() if s.moving])
    def test_factor_sets(self, name):
        known = factors.SETS[name]
        spec = make_spec(Config(name=name, steps=known.steps))
        assert spec == sequences.Spec(known.shape, known.steps, known.moving)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"steps": 0}, "data.steps must be at least 1, got 0"),
            ({"steps": 18}, "data.steps must be below 18, where a hue .*; got 18"),
            ({"transformations": ()}, r"data.transformations must name .*; got \(\)"),
            ({"transformations": ("scale", "shear")}, "rotation, hue, .*'shear'"),
            ({"transformations": ("hue", "hue")}, r"none twice; got \('hue', 'hue'\)"),
            ({"colour": "none"}, "data.transformations has 'hue'.*set data.colour to"),
            ({"held_out": 0.0}, r"data.held_out is .* in \(0, .5\); got 0.0"),
            ({"held_out": 0.5}, "data.held_out is .* got 0.5"),
            ({"held_out": float("nan")}, "data.held_out is .* got nan"),
            ({"valid_rows": 0}, "data.valid_rows must be at least 1, got 0"),
            ({"test_rows": -1}, "data.test_rows must be at least 1, got -1"),
            ({"fit_rows": 0}, "data.fit_rows must be at least 1, got 0"),
            ({"size": 0}, "data.size must be at least 1, got 0"),
        ],
    )
    def test_values_that_are_out_of_range(self, changes, message):
        with pytest.raises(ValueError, match=message):
            make_spec(Config(**changes))

    @pytest.mark.parametrize(
        ("name", "steps", "message"),
        [
            ("shapes3d", 8, "needs 9 values .*; shapes3d has {'scale': 8}; .* most 7"),
            ("falcor3d", 5, "needs 6 .* {'lighting_intensity': 5}; take at most 4"),
            ("isaac3d", 4, "needs 5 .* {'camera_height': 4, .*; take at most 3"),
        ],
    )
    def test_steps_beyond_the_values_of_a_factor(self, name, steps, message):
        with pytest.raises(ValueError, match=f"data.steps is {steps}, which {message}"):
            make_spec(Config(name=name, steps=steps))

    def test_steps_beyond_the_values_of_the_slowest_factor(self):
        # Others carry into a slower factor; five lighting intensities allow four steps.
        with pytest.raises(ValueError, match=r"data.steps .* falcor3d .* at most 4"):
            make_spec(Config(name="falcor3d", steps=5, sequence_rule="carry"))


class TestWhatCannotBeLoaded:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"valid_rows": 2}, r"data.valid_rows and .* the 3 .*, got 2 and 12"),
            ({"test_rows": 2}, r"data.valid_rows and .* the 3 .*, got 6 and 2"),
            (
                {"held_out_classes": (7,)},
                r"data.held_out_classes .*\[0, 1, 2\].*\(7,\)",
            ),
            ({"held_out_classes": (0, 7)}, r"data.held_out_classes .* got \(0, 7\)"),
            ({"held_out_classes": (0, 1, 2)}, r"data.held_out_classes must leave some"),
            ({"steps": 0}, "data.steps"),  # as `make_spec`
        ],
    )
    def test_images(self, changes, message):
        with pytest.raises(ValueError, match=message):
            loaded(small(**changes))

    @pytest.mark.parametrize("name", ["falcor3d", "isaac3d"])
    def test_folder_that_is_not_given(self, name):
        with pytest.raises(ValueError, match=f"data.directory must name .* {name}"):
            load(Config(name=name, steps=3))

    def test_mnist_of_another_size(self, monkeypatch):
        found = np.zeros((20, 28, 28, 1), np.uint8), np.zeros(20, np.int32)
        monkeypatch.setattr(tfds, "mnist", lambda directory: found)
        with pytest.raises(ValueError, match=r"data.size must be 28 .* got 14"):
            load(Config(name="mnist", size=14))


@pytest.mark.parametrize("directory", [None, "some/folder"])
def test_mnist_is_read_from_its_directory(monkeypatch, directory):
    asked = []

    def mnist(where):
        asked.append(where)
        return PIXELS, LABELS

    monkeypatch.setattr(tfds, "mnist", mnist)
    config = small(name="mnist", directory=directory, transformations=("hue",))
    spec, data = load(config)
    assert asked == [None if directory is None else Path(directory)]
    assert spec.names == ("hue",)
    close(data.test.x[:, 0, ..., :1], PIXELS[first_images(data.test.x)] / 255.0)
    # One transformation has no other to go with.
    for parts in (data.valid, data.test):
        assert parts.other is parts.superposed is parts.switched is None
        assert parts.longer.shape == (len(parts.k), 4, SIDE, SIDE, 3)


def test_digits_of_their_own_size():
    spec, data = load(Config(valid_rows=3, test_rows=3, fit_rows=3, steps=2))
    assert spec == sequences.Spec((28, 28, 3), 2, NAMES)
    # A tenth of 1,797 for each of valid and test.
    np.testing.assert_array_equal(data.train.counts, [1797 - 2 * 179] * 3)
    digits = images.digits().pixels
    first = np.round(255 * np.asarray(data.test.x[:, 0]))
    assert not first[..., 1:].any()
    used = set(np.asarray(data.train.starts).ravel().tolist())
    for red in first[..., :1]:
        (i,) = np.flatnonzero((digits == red).all((1, 2, 3)))
        assert i not in used
    batch = drawn(data, 2)
    assert batch.x.shape == (2, 3, 28, 28, 3)
    assert batch.x.min() >= 0
    assert 0.5 < batch.x.max() <= 1


class TestTraining:
    def test_frames_are_of_one_transformation(self):
        spec, data = loaded(SMALL)
        batch = drawn(data, 40)
        assert batch.x.shape == (40, T + 1, *spec.shape)
        k, first = np.asarray(batch.k), first_images(batch.x)
        assert set(k) == {0, 1, 2}
        assert len(set(first)) > 10
        close(batch.x, transformed(first, along(k, np.arange(T + 1))))

    def test_one_transformation_in_a_batch(self):
        _, data = loaded(small(index_per="batch"))
        seen = set()
        for seed in range(12):
            batch = drawn(data, 40, seed)
            (k,) = set(np.asarray(batch.k).tolist())
            seen.add(k)
            first = first_images(batch.x)
            assert len(set(first)) > 1
            close(batch.x, transformed(first, along(batch.k, np.arange(T + 1))))
        assert seen == {0, 1, 2}

    def test_every_start_and_transformation_is_as_likely(self):
        _, data = loaded(SMALL)
        batch = drawn(data, 3000, 1)
        first = first_images(batch.x)
        cells = np.unique(first * 3 + batch.k, return_counts=True)[1]
        assert len(cells) == 18 * 3  # of 30 images, 6 are valid and 6 test
        assert stats.chisquare(cells).pvalue > 1e-4

    def test_grey_images_stay_grey(self):
        changes = {"colour": "none", "transformations": NAMES[:2]}
        spec, data = loaded(small(**changes))
        assert spec.shape == (SIDE, SIDE, 1)
        batch = drawn(data, 5)
        first = first_images(batch.x)
        amounts = along(np.asarray(batch.k), np.arange(T + 1))[..., :2]
        close(batch.x, transformed(first, amounts, NAMES[:2], transform))

    def test_batch_depends_on_the_key_alone(self):
        _, data = loaded(SMALL)
        one, again, other = (drawn(data, 40, seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(one.x, again.x)
        np.testing.assert_array_equal(one.k, again.k)
        assert not np.array_equal(one.x, other.x)

    def test_keys_can_be_mapped(self):
        _, data = loaded(SMALL)
        keys = jax.vmap(jax.random.key)(jnp.arange(3))
        together = jax.jit(jax.vmap(sampler(data.train, 40)))(keys)
        for i in range(3):
            alone = drawn(data, 40, i)
            np.testing.assert_array_equal(together.k[i], alone.k)
            close(together.x[i], alone.x)

    def test_empty_batch(self):
        with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
            sampler(loaded(SMALL)[1].train, 0)


class TestSamplerIsData:
    def draw(self):
        """A compiled program that takes the sampler as an argument, and its traces."""
        traces = []

        @jax.jit
        def program(sample, key):
            traces.append(1)
            return sample(key)

        return program, traces

    def test_leaves(self):
        sample = sampler(loaded(SMALL)[1].train, 4)
        shapes = {leaf.shape for leaf in jax.tree.leaves(sample)}
        assert shapes == {PIXELS.shape, (3, 18), (3,)}

    def test_other_values_need_no_trace(self):
        program, traces = self.draw()
        sample, key = sampler(loaded(SMALL)[1].train, 4), jax.random.key(0)
        bright = program(sample, key)
        black = jax.tree.map(
            lambda leaf: 0 * leaf if leaf.shape == PIXELS.shape else leaf, sample
        )
        dark = program(black, key)
        assert len(traces) == 1
        assert bright.x.max() > 0.5
        assert dark.x.max() == 0

    def test_another_split_needs_no_trace(self):
        program, traces = self.draw()
        for seed in (0, 1):
            data = loaded(small(seed=seed))[1]
            batch = program(sampler(data.train, 40), jax.random.key(0))
            assert set(first_images(batch.x)) <= training_starts(data)[0]
        assert len(traces) == 1


class TestSplits:
    def test_no_image_is_in_two_splits(self):
        _, data = loaded(SMALL)
        train = training_starts(data)
        assert train[0] == train[1] == train[2]
        parts = [train[0]]
        for part, rows in ((data.valid, 6), (data.test, 12)):
            first = first_images(part.x)
            assert len(first) == rows
            parts.append(set(first))
        for a, b in itertools.combinations(parts, 2):
            assert not a & b
        assert [len(part) for part in parts] == [18, 2, 4]  # rows of 3 share an image
        for part in (data.valid, data.test):
            assert not part.new_class.any()

    def test_seed_makes_the_splits(self):
        one, again = (load_anew(small(seed=0)) for _ in range(2))
        other = loaded(small(seed=1))[1]
        assert training_starts(one) == training_starts(again)
        close(one.test.x, again.test.x)
        assert training_starts(one) != training_starts(other)

    def test_sequences_seen_in_training(self):
        _, data = loaded(small(eval_split="train", held_out_classes=(2,)))
        (train, *_) = training_starts(data)
        assert not (LABELS[list(train)] == 2).any()
        for part in (data.valid, data.test):
            assert set(first_images(part.x)) <= train
            assert not part.new_class.any()

    def test_classes_that_training_never_sees(self):
        config = small(held_out_classes=(1,), test_rows=18, valid_rows=18)
        _, data = loaded(config)
        for starts in training_starts(data):
            assert set(LABELS[list(starts)]) == {0, 2}
        batch = drawn(data, 40)
        assert set(LABELS[first_images(batch.x)]) == {0, 2}
        flags = []
        for part in (data.valid, data.test):
            expected = LABELS[first_images(part.x)] == 1
            np.testing.assert_array_equal(part.new_class, expected)
            flags.extend(expected)
            assert set(LABELS[first_images(part.fitting.x)]) <= {0, 2}
        assert set(flags) == {False, True}


def load_anew(config):
    return loaded.__wrapped__(config)[1]


@pytest.mark.parametrize("steps", [T, 4])
class TestHeldOut:
    def test_rows(self, steps):
        data = loaded(small(steps=steps))[1]
        half, times = steps // 2, np.arange(steps + 1)
        for part, rows in ((data.valid, 6), (data.test, 12)):
            k, other, first = map(
                np.asarray, (part.k, part.other, first_images(part.x))
            )
            np.testing.assert_array_equal(np.bincount(k), [rows // 3] * 3)
            assert set(zip(k.tolist(), other.tolist(), strict=True)) == PAIRS
            close(part.x, transformed(first, along(k, times)))
            both = along(k, times) + along(other, times)
            close(part.superposed, transformed(first, both))
            turns = along(k, np.minimum(times, half))
            turns += along(other, np.maximum(times - half, 0))
            close(part.switched, transformed(first, turns))
            more = steps + np.arange(1, 5)
            close(part.longer, transformed(first, along(k, more)))

    def test_frames_are_in_range(self, steps):
        data = loaded(small(steps=steps))[1]
        part = data.test
        for x in (part.x, part.longer, part.superposed, part.switched, part.fitting.x):
            assert np.isfinite(x).all()
            assert x.min() >= 0
            assert 0.5 < x.max() <= 1

    def test_training_sequences_to_fit(self, steps):
        data = loaded(small(steps=steps))[1]
        fitting = data.test.fitting
        np.testing.assert_array_equal(np.bincount(fitting.k), [3, 3, 3])
        first = first_images(fitting.x)
        assert set(first) <= training_starts(data)[0]
        close(fitting.x, transformed(first, along(fitting.k, np.arange(steps + 1))))
        np.testing.assert_array_equal(data.valid.fitting.x, fitting.x)


def blob(x):
    """Centre (x, y) and squared width of blobs in frames `[..., h, w, 1]`.

    The logarithm of exp(-|p - c|^2 / (2 s^2)) has the second difference -1 / s^2, and
    the first one from p - 1 to p + 1 is 2 (c - p) / s^2.
    """
    x = np.asarray(x, np.float64)[..., 0]
    frames = x.reshape(-1, *x.shape[-2:])
    found = []
    for frame in frames:
        inside = frame[1:-1, 1:-1]
        i, j = (v + 1 for v in np.unravel_index(inside.argmax(), inside.shape))
        lines = [np.log(frame[i, j - 1 : j + 2]), np.log(frame[i - 1 : i + 2, j])]
        width = [-1 / (a - 2 * b + c) for a, b, c in lines]
        centre = [
            p + s * (line[2] - line[0]) / 2
            for p, s, line in zip((j, i), width, lines, strict=True)
        ]
        np.testing.assert_allclose(width[0], width[1], rtol=1e-3)
        found.append([*centre, width[0]])
    found = np.reshape(found, (*x.shape[:-2], 3))
    return found[..., :2], found[..., 2]


def test_blobs_move_along_axes():
    config = Config(
        name="blobs", size=14, steps=4, valid_rows=2, test_rows=20, fit_rows=4
    )
    _, data = load(config)
    part, times, axes = data.test, np.arange(5), np.eye(2)
    k, other = np.asarray(part.k), np.asarray(part.other)
    assert set(k) == {0, 1}
    np.testing.assert_array_equal(other, 1 - k)
    assert part.longer is None
    assert not part.new_class.any()
    centres, widths = blob(part.x)
    start = centres[:, :1]
    assert (start > 3).all()
    assert (start < 6).all()
    assert np.ptp(start, 0).min() > 1
    assert (widths > 1 - 1e-3).all()
    assert (widths < 1.8**2 + 1e-3).all()
    one, two = axes[k][:, None], axes[other][:, None]
    far = 1.2 * times[None, :, None]  # pixels in so many steps
    np.testing.assert_allclose(centres, start + far * one, atol=1e-3)
    superposed, _ = blob(part.superposed)
    np.testing.assert_allclose(superposed, start + far * (one + two), atol=1e-3)
    before, after = np.minimum(far, 2.4), np.maximum(far - 2.4, 0)
    switched, _ = blob(part.switched)
    np.testing.assert_allclose(switched, start + before * one + after * two, atol=1e-3)
    batch = drawn(data, 6)
    assert batch.x.shape == (6, 5, 14, 14, 1)
    centres, _ = blob(batch.x)
    moved = far * axes[np.asarray(batch.k)][:, None]
    np.testing.assert_allclose(centres, centres[:, :1] + moved, atol=1e-3)
    assert len(training_starts(data)[0]) == 16_000  # of 20,000


SIZES = (3, 4, 5)
BASES = (20, 5, 1)
MINI = FactorSet(("a", "b", "c"), SIZES, ("a", "b", "c"), shape=(2, 2, 1), steps=2)
PAGES = np.broadcast_to(
    np.arange(60, dtype=np.uint8)[:, None, None, None], (60, 2, 2, 1)
)


def numbered(x):
    """The flat index that an image of `PAGES` shows, of every frame."""
    shown = np.asarray(jnp.round(255 * x)).astype(int)
    assert (shown == shown[..., :1, :1, :1]).all()
    return shown[..., 0, 0, 0]


@functools.cache
def factor_data(rule, eval_split="heldout", moving=MINI.moving):
    config = Config(
        name="falcor3d", directory="anywhere", steps=2, sequence_rule=rule,
        held_out=0.3, eval_split=eval_split, valid_rows=18, test_rows=18, fit_rows=9,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(factors.SETS, "falcor3d", MINI._replace(moving=moving))
        patch.setattr(
            factors, "read_folder", lambda name, directory: FactorImages(PAGES, SIZES)
        )
        return load(config)


def digits(index):
    return np.stack(np.unravel_index(index, SIZES), -1)


class TestFactors:
    def test_sweep_moves_one_factor_from_its_first_value(self):
        spec, data = factor_data("sweep")
        assert spec == sequences.Spec((2, 2, 1), 2, ("a", "b", "c"))
        batch = drawn(data, 500)
        for x, k in (
            (batch.x, batch.k),
            (data.valid.x, data.valid.k),
            (data.test.x, data.test.k),
            (data.test.fitting.x, data.test.fitting.k),
        ):
            values = digits(numbered(x))  # [row, t, factor]
            assert set(np.asarray(k).tolist()) == {0, 1, 2}
            for row, moving in zip(values, np.asarray(k), strict=True):
                np.testing.assert_array_equal(row[:, moving], [0, 1, 2])
                still = np.delete(row, moving, 1)
                np.testing.assert_array_equal(still, still[[0, 0, 0]])

    def test_sweep_of_two_factors(self):
        part = factor_data("sweep")[1].test
        assert part.longer is None
        pairs = zip(np.asarray(part.k).tolist(), part.other.tolist(), strict=True)
        assert set(pairs) == PAIRS
        first = digits(numbered(part.x))[:, 0]
        superposed, switched = (
            digits(numbered(x)) for x in (part.superposed, part.switched)
        )
        for r, (k, other) in enumerate(zip(part.k, part.other, strict=True)):
            (rest,) = {0, 1, 2} - {int(k), int(other)}
            expected = np.zeros((3, 3), int)
            expected[:, rest] = first[r, rest]
            expected[:, k] = expected[:, other] = [0, 1, 2]
            np.testing.assert_array_equal(superposed[r], expected)
            expected[:, k], expected[:, other] = [0, 1, 1], [0, 0, 1]
            np.testing.assert_array_equal(switched[r], expected)

    def test_carry_overflows_into_the_next_factor(self):
        _, data = factor_data("carry")
        batch = drawn(data, 500)
        index, k = numbered(batch.x), np.asarray(batch.k)
        # The slowest factor starts at its first value, all others anywhere.
        assert index[:, 0].max() < BASES[0]
        assert len(set(index[:, 0])) > 15
        steps = np.array(BASES)[k][:, None] * np.arange(3)
        np.testing.assert_array_equal(index, index[:, :1] + steps)
        # From (0, 3, 4), two steps of b are (1, 0, 4) and (1, 1, 4).
        overflow = index[(k == 1) & (index[:, 0] >= 15)]
        assert len(overflow)
        np.testing.assert_array_equal(digits(overflow)[:, 1:, 0], 1)
        np.testing.assert_array_equal(
            digits(overflow)[:, 1:, 1], [[0, 1]] * len(overflow)
        )

    def test_carry_of_two_factors(self):
        part = factor_data("carry")[1].test
        k, other = np.asarray(part.k), np.asarray(part.other)
        bases, t = np.array(BASES), np.arange(3)
        assert set(zip(k.tolist(), other.tolist(), strict=True)) == PAIRS
        both = (bases[k] + bases[other])[:, None] * t
        index = numbered(part.superposed)
        np.testing.assert_array_equal(index - index[:, :1], both)
        index = numbered(part.switched)
        turns = bases[k][:, None] * [0, 1, 1] + bases[other][:, None] * [0, 0, 1]
        np.testing.assert_array_equal(index - index[:, :1], turns)

    @pytest.mark.parametrize("rule", ["sweep", "carry"])
    def test_no_sequence_is_in_two_splits(self, rule):
        _, data = factor_data(rule)
        train = training_starts(data)
        for k in range(3):
            valid, test = (
                set(numbered(part.x[np.asarray(part.k) == k])[:, 0].tolist())
                for part in (data.valid, data.test)
            )
            assert train[k]
            assert not train[k] & valid
            assert not train[k] & test
            assert not valid & test
            # The six rows of a transformation are enough to show all that is held out.
            # Starts have its first value; or the slowest factor's first value.
            digit = k if rule == "sweep" else 0
            everywhere = {i for i in range(60) if digits(i)[digit] == 0}
            assert train[k] | valid | test == everywhere

    def test_draws_keep_to_training(self):
        _, data = factor_data("sweep")
        batch = drawn(data, 500)
        first, k = numbered(batch.x)[:, 0], np.asarray(batch.k)
        for i, starts in enumerate(training_starts(data)):
            assert set(first[k == i].tolist()) == starts
            counts = np.unique(first[k == i], return_counts=True)[1]
            assert stats.chisquare(counts).pvalue > 1e-4

    def test_all_sequences_are_seen_in_training(self):
        _, data = factor_data("sweep", eval_split="train")
        train = training_starts(data)
        assert [len(starts) for starts in train] == [20, 15, 12]
        for k, x in zip(data.test.k, data.test.x, strict=True):
            assert int(numbered(x[:1])[0]) in train[int(k)]

    def test_factor_that_never_moves(self):
        spec, data = factor_data("sweep", moving=("a", "c"))
        assert spec.names == ("a", "c")
        values = digits(numbered(data.test.superposed))
        np.testing.assert_array_equal(values[..., 0], [[0, 1, 2]] * 18)
        np.testing.assert_array_equal(values[..., 2], [[0, 1, 2]] * 18)
        np.testing.assert_array_equal(values[..., 1], values[:, :1, 1].repeat(3, 1))
        assert len(set(values[..., 1].ravel().tolist())) > 1


# Sequences in which another factor changes as well: those that start at the last T of
# the n values of their factor, T / n of all; the slowest starts at its first.
CONTAMINATED = {
    "falcor3d": [0, *[4 / 6] * 6],
    "isaac3d": [0.375, 0.6, 0.75, 0.75, 0.75, 0.5, 0.75, 0.75],
}


@pytest.mark.parametrize("name", CONTAMINATED)
@pytest.mark.parametrize("rule", ["sweep", "carry"])
def test_sequences_of_published_sets_that_change_two_factors(monkeypatch, name, rule):
    known = factors.SETS[name]
    n = int(np.prod(known.sizes))
    number = np.arange(n)[:, None] // [1, 256, 256**2] % 256  # a pixel tells its index
    found = FactorImages(number.astype(np.uint8)[:, None, None], known.sizes)
    asked = []
    monkeypatch.setattr(
        factors, "read_folder", lambda *which: (asked.append(which), found)[1]
    )
    config = Config(
        name=name, directory="my/files", steps=known.steps, sequence_rule=rule,
        eval_split="train", valid_rows=8, test_rows=8, fit_rows=8,
    )  # fmt: skip
    source = load(config)[1].train
    assert asked == [(name, Path("my/files"))]

    @jax.jit
    def render(starts, k):
        amounts = (
            jnp.arange(known.steps + 1.0)[:, None]
            * jax.nn.one_hot(k, len(known.moving))[None]
        )
        frames = jax.vmap(jax.vmap(source.render, (None, 0)), (0, None))(
            starts, amounts
        )
        bytes_ = jnp.round(255 * frames[:, :, 0, 0]).astype(int)
        return bytes_ @ jnp.array([1, 256, 256**2])

    shares = []
    for k, factor in enumerate(known.moving):
        index = np.asarray(render(source.starts[k], k))[: source.counts[k]]
        values = np.stack(np.unravel_index(index, known.sizes))
        moving = known.names.index(factor)
        changes = (values != values[:, :, :1]).any(2)
        assert changes[moving].all()
        changes[moving] = False
        shares.append(changes.any(0).mean())
        first = values[:, :, 0]
        if rule == "sweep":
            assert not first[moving].any()
            assert len(index) == n // known.sizes[moving]
        else:
            assert not first[0].any()
            assert len(index) == n // known.sizes[0]
    expected = CONTAMINATED[name] if rule == "carry" else np.zeros(len(shares))
    np.testing.assert_allclose(shares, expected, atol=1e-12)


OWN = RNG.uniform(size=(20, 4, 3, 5, 2)).astype(np.float32)
OWN_K = np.arange(20) % 2


def with_one(value):
    """The frames, a single number of which is not one."""
    frames = OWN.copy()
    frames[7, 2, 1, 1, 0] = value
    return frames


def own_rows(x, given):
    """Which of the given sequences each is, frame by frame."""
    same = np.isclose(np.asarray(x)[:, None], given[None], atol=1e-6).all((2, 3, 4, 5))
    assert (same.sum(1) == 1).all()
    return same.argmax(1)


class TestOwnFrames:
    @pytest.mark.parametrize(
        ("form", "dtype"),
        [
            (np.asarray, np.float32),
            (np.asarray, np.float64),
            (list, np.uint8),
            (jnp.asarray, np.uint8),
        ],
    )
    def test_sequences_come_back(self, form, dtype):
        given = OWN if dtype != np.uint8 else np.round(255 * OWN)
        spec, data = from_frames(
            form(given.astype(dtype)), OWN_K, ["left", "right"], held_out=0.2
        )
        wanted = given / (255 if dtype == np.uint8 else 1)
        assert spec == sequences.Spec((3, 5, 2), 3, ("left", "right"))
        batch = drawn(data, 100)
        assert batch.x.dtype == np.float32
        rows = own_rows(batch.x, wanted)
        np.testing.assert_array_equal(batch.k, OWN_K[rows])
        # Of ten sequences of each, two are valid and two test.
        parts = [set(rows.tolist())]
        for part in (data.valid, data.test):
            rows = own_rows(part.x, wanted)
            np.testing.assert_array_equal(part.k, OWN_K[rows])
            parts.append(set(rows.tolist()))
            assert part.longer is part.other is part.superposed is part.switched is None
            np.testing.assert_array_equal(part.new_class, np.zeros(len(rows), bool))
            fitting = own_rows(part.fitting.x, wanted)
            np.testing.assert_array_equal(part.fitting.k, OWN_K[fitting])
            assert set(fitting.tolist()) == parts[0]
        assert [len(p) for p in parts] == [12, 4, 4]
        assert len(set.union(*parts)) == 20

    def test_seed_makes_the_split(self):
        def train(seed):
            data = from_frames(OWN, OWN_K, ["left", "right"], seed=seed)[1]
            return training_starts(data)

        assert train(0) == train(0)
        assert train(0) != train(1)

    @pytest.mark.parametrize(
        ("frames", "message"),
        [
            ([*OWN[:19], OWN[19, :3]], r"of one length, got lengths \[3, 4\]: .* to 3"),
            (
                [*OWN[:19], OWN[19, :, :2]],
                r"one shape .*\(4, 2, 5, 2\), \(4, 3, 5, 2\)",
            ),
            (OWN[..., 0], r"sequences \[t, h, w, c\] .*\(4, 3, 5\)"),
            (OWN[:, :1], r"t of at least 2, got shapes \[\(1, 3, 5, 2\)\]"),
            ([], r"sequences \[t, h, w, c\] .*\[\]"),
            (255 * OWN, r"frames must lie in \[0, 1\], got .* 25\d.*divide by 255"),
            (OWN - 0.5, r"frames must lie in \[0, 1\], got -0.4\d* .. 0.4"),
            (with_one(np.nan), r"frames must lie in \[0, 1\]"),
            (with_one(np.inf), r"frames must lie in .* inf"),
            (
                (9 * OWN).astype(int),
                "frames must be uint8 or floating point, got int64",
            ),
            (OWN > 0.5, "frames must be uint8 or floating point, got bool"),
        ],
    )
    def test_frames_that_do_not_fit(self, frames, message):
        with pytest.raises(ValueError, match=message):
            from_frames(frames, OWN_K, ["left", "right"])

    @pytest.mark.parametrize(
        ("k", "message"),
        [
            (OWN_K + 1, r"in 0 .. 1 for each of the 20 .* values \[1, 2\]"),
            (OWN_K - 1, r"in 0 .. 1 for each of the 20 .* values \[-1, 0\]"),
            (OWN_K * 0.5, r"k must hold one number .* values \[0.0, 0.5\]"),
            (OWN_K[1:], r"k must hold one number .* 20 sequences, got shape \(19,\)"),
            (OWN_K[None], r"k must hold one number .* got shape \(1, 20\)"),
            (np.arange(20) > 17, r"every transformation at least 3 .*\['right'\]"),
            (np.zeros(20, int), r"every transformation at least 3 .*\['right'\]"),
        ],
    )
    def test_transformations_that_do_not_fit(self, k, message):
        with pytest.raises(ValueError, match=message):
            from_frames(OWN, k, ["left", "right"])

    @pytest.mark.parametrize("held_out", [0.5, 0.7])
    def test_share_that_leaves_nothing_to_train_on(self, held_out):
        with pytest.raises(ValueError, match=f"held_out .*{held_out}"):
            from_frames(OWN, OWN_K, ["left", "right"], held_out=held_out)

    def test_three_sequences_are_enough(self):
        _, data = from_frames(OWN[:3], [0, 0, 0], ["left"], held_out=0.4)
        rows = [own_rows(p.x, OWN[:3]) for p in (data.valid, data.test)]
        rows.append(own_rows(drawn(data, 4).x, OWN[:3]))
        assert {frozenset(r.tolist()) for r in rows} == {
            frozenset([0]), frozenset([1]), frozenset([2]),
        }  # fmt: skip
