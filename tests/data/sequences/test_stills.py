import functools
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdis.data import images, tfds
from jaxdis.data.images import Images
from jaxdis.data.rows import sampler
from jaxdis.data.sequences import DigitSequences, MnistSequences
from jaxdis.data.transforms import transform, transform_red
from jaxdis.types import Label, Spec
from tests.data.sequences.common import (
    PAIRS,
    drawn,
    forced,
    held_out,
    training_starts,
)

RNG = np.random.default_rng(0)
NAMES = ("scale", "rotation", "hue")
N, SIDE, T = 30, 6, 3
PIXELS = RNG.integers(0, 256, (N, SIDE, SIDE, 1)).astype(np.uint8)
LABELS = np.arange(N, dtype=np.int32) % 3

SMALL = DigitSequences(
    size=SIDE, steps=T, held_out=0.2, valid_rows=6, test_rows=12, fit_rows=9
)


def small(**changes):
    return DigitSequences(**vars(SMALL) | changes)


def load_anew(data):
    """With thirty small images of noise in place of the digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "digits", lambda size: Images(PIXELS, LABELS))
        return data.load()


loaded = functools.cache(load_anew)


def first_images(x, pixels=PIXELS):
    """Which images the first frames are, in the red channel."""
    red = 255 * np.asarray(x)[:, 0, ..., :1]
    off = np.abs(red[:, None] - pixels[None]).max((2, 3, 4))
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


class TestSpec:
    def test_sizes_and_names(self):
        assert DigitSequences().spec() == Spec((28, 28, 3), 9, transformations=NAMES)
        assert MnistSequences().spec() == DigitSequences().spec()
        data = DigitSequences(
            size=9, colour="none", transformations=("rotation",), steps=2
        )
        assert data.spec() == Spec((9, 9, 1), 3, transformations=("rotation",))

    def test_classes_left_out_are_a_label(self):
        spec = DigitSequences(held_out_classes=(9,)).spec()
        assert spec.labels == (Label("new_class", 2),)

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
            DigitSequences(**changes).spec()

    @pytest.mark.parametrize("field", ["colour", "index_per", "eval_split"])
    def test_unknown_words(self, field):
        message = rf"data\.{field} must be one of .*, got 'x'"
        with pytest.raises(ValueError, match=message):
            forced(SMALL, field, "x").spec()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid_rows": 2}, r"data.valid_rows and .* the 3 .*, got 2 and 12"),
        ({"test_rows": 2}, r"data.valid_rows and .* the 3 .*, got 6 and 2"),
        ({"held_out_classes": (7,)}, r"data.held_out_classes .*\[0, 1, 2\].*\(7,\)"),
        ({"held_out_classes": (0, 7)}, r"data.held_out_classes .* got \(0, 7\)"),
        ({"held_out_classes": (0, 1, 2)}, r"data.held_out_classes must leave some"),
        ({"steps": 0}, "data.steps"),  # as `spec`
    ],
)
def test_what_cannot_be_loaded(changes, message):
    with pytest.raises(ValueError, match=message):
        load_anew(small(**changes))


@pytest.mark.parametrize("directory", [None, "some/folder"])
def test_mnist_is_read_from_its_directory(monkeypatch, directory):
    asked = []

    def mnist(where):
        asked.append(where)
        return PIXELS, LABELS

    monkeypatch.setattr(tfds, "mnist", mnist)
    fields = {n: v for n, v in vars(SMALL).items() if n not in ("size", "directory")}
    data = MnistSequences(
        **fields | {"directory": directory, "transformations": ("hue",)}
    )
    splits = data.load()
    assert asked == [None if directory is None else Path(directory)]
    x = splits.test.x
    close(x[:, 0, ..., :1], PIXELS[first_images(x)] / 255.0)
    # One transformation has no other to go with.
    assert set(splits.controls) == {"longer", "fitting"}
    for rows, controls in held_out(splits):
        assert controls["longer"].x.shape == (len(rows.k), 4, SIDE, SIDE, 3)


def test_digits_of_their_own_size():
    data = DigitSequences(valid_rows=3, test_rows=3, fit_rows=3, steps=2)
    assert data.spec() == Spec((28, 28, 3), 3, transformations=NAMES)
    splits = data.load()
    # A tenth of 1,797 for each of valid and test.
    assert [len(s) for s in training_starts(splits)] == [1797 - 2 * 179] * 3
    digits = images.digits().pixels
    first = np.round(255 * np.asarray(splits.test.x[:, 0]))
    assert not first[..., 1:].any()
    used = training_starts(splits)[0]
    for red in first[..., :1]:
        (i,) = np.flatnonzero((digits == red).all((1, 2, 3)))
        assert i not in used
    batch = drawn(splits, 2)
    assert batch.x.shape == (2, 3, 28, 28, 3)
    assert batch.x.min() >= 0
    assert 0.5 < batch.x.max() <= 1


class TestTraining:
    def test_frames_are_of_one_transformation(self):
        splits = loaded(SMALL)
        batch = drawn(splits, 40)
        assert batch.x.shape == (40, T + 1, *SMALL.spec().shape)
        assert batch.y is None
        k, first = np.asarray(batch.k), first_images(batch.x)
        assert set(k) == {0, 1, 2}
        assert len(set(first)) > 10
        close(batch.x, transformed(first, along(k, np.arange(T + 1))))

    def test_one_transformation_in_a_batch(self):
        splits = loaded(small(index_per="batch"))
        seen = set()
        for seed in range(12):
            batch = drawn(splits, 40, seed)
            (k,) = set(np.asarray(batch.k).tolist())
            seen.add(k)
            first = first_images(batch.x)
            assert len(set(first)) > 1
            close(batch.x, transformed(first, along(batch.k, np.arange(T + 1))))
        assert seen == {0, 1, 2}

    def test_every_start_and_transformation_is_as_likely(self):
        batch = drawn(loaded(SMALL), 3000, 1)
        first = first_images(batch.x)
        cells = np.unique(first * 3 + batch.k, return_counts=True)[1]
        assert len(cells) == 18 * 3  # of 30 images, 6 are valid and 6 test
        assert stats.chisquare(cells).pvalue > 1e-4

    def test_grey_images_stay_grey(self):
        data = small(colour="none", transformations=NAMES[:2])
        assert data.spec().shape == (SIDE, SIDE, 1)
        batch = drawn(loaded(data), 5)
        first = first_images(batch.x)
        amounts = along(np.asarray(batch.k), np.arange(T + 1))[..., :2]
        close(batch.x, transformed(first, amounts, NAMES[:2], transform))

    def test_batch_depends_on_the_key_alone(self):
        splits = loaded(SMALL)
        one, again, other = (drawn(splits, 40, seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(one.x, again.x)
        np.testing.assert_array_equal(one.k, again.k)
        assert not np.array_equal(one.x, other.x)

    def test_keys_can_be_mapped(self):
        splits = loaded(SMALL)
        keys = jax.vmap(jax.random.key)(jnp.arange(3))
        together = jax.jit(jax.vmap(sampler(splits.train, 40)))(keys)
        for i in range(3):
            alone = drawn(splits, 40, i)
            np.testing.assert_array_equal(together.k[i], alone.k)
            close(together.x[i], alone.x)

    def test_empty_batch(self):
        with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
            sampler(loaded(SMALL).train, 0)


class TestSamplerIsData:
    def program(self):
        """A compiled program that takes the sampler as an argument, and its traces."""
        traces = []

        @jax.jit
        def program(sample, key):
            traces.append(1)
            return sample(key)

        return program, traces

    def test_leaves(self):
        sample = sampler(loaded(SMALL).train, 4)
        shapes = {leaf.shape for leaf in jax.tree.leaves(sample)}
        assert shapes == {PIXELS.shape, (3, 18), (3,)}

    def test_other_values_and_another_split_need_no_trace(self):
        program, traces = self.program()
        sample, key = sampler(loaded(SMALL).train, 40), jax.random.key(0)
        bright = program(sample, key)
        black = jax.tree.map(
            lambda leaf: 0 * leaf if leaf.shape == PIXELS.shape else leaf, sample
        )
        assert bright.x.max() > 0.5
        assert program(black, key).x.max() == 0
        splits = loaded(small(seed=1))
        batch = program(sampler(splits.train, 40), jax.random.key(0))
        assert set(first_images(batch.x)) <= training_starts(splits)[0]
        assert len(traces) == 1


class TestSplits:
    def test_no_image_is_in_two_splits(self):
        splits = loaded(SMALL)
        train = training_starts(splits)
        assert train[0] == train[1] == train[2]
        parts = [train[0]]
        for rows, count in ((splits.valid, 6), (splits.test, 12)):
            first = first_images(rows.x)
            assert len(first) == count
            parts.append(set(first))
        for a, b in itertools.combinations(parts, 2):
            assert not a & b
        assert [len(part) for part in parts] == [18, 2, 4]  # rows of 3 share an image
        assert splits.test.y is splits.valid.y is None

    def test_seed_makes_the_splits(self):
        one, again = (load_anew(small(seed=0)) for _ in range(2))
        other = loaded(small(seed=1))
        assert training_starts(one) == training_starts(again)
        close(one.test.x, again.test.x)
        assert training_starts(one) != training_starts(other)

    def test_sequences_seen_in_training(self):
        splits = loaded(small(eval_split="train", held_out_classes=(2,)))
        (train, *_) = training_starts(splits)
        assert not (LABELS[list(train)] == 2).any()
        for rows in (splits.valid, splits.test):
            assert set(first_images(rows.x)) <= train
            assert not rows.y.any()

    def test_classes_that_training_never_sees(self):
        splits = loaded(small(held_out_classes=(1,), test_rows=18, valid_rows=18))
        for starts in training_starts(splits):
            assert set(LABELS[list(starts)]) == {0, 2}
        batch = drawn(splits, 40)
        assert set(LABELS[first_images(batch.x)]) == {0, 2}
        assert batch.y.shape == (40, 1)
        assert not batch.y.any()
        flags = []
        for rows, controls in held_out(splits):
            expected = LABELS[first_images(rows.x)] == 1
            np.testing.assert_array_equal(rows.y[:, 0], expected)
            flags.extend(expected)
            assert set(LABELS[first_images(controls["fitting"].x)]) <= {0, 2}
        assert set(flags) == {False, True}


@pytest.mark.parametrize("steps", [T, 4])
class TestHeldOut:
    def test_rows(self, steps):
        splits = loaded(small(steps=steps))
        half, times = steps // 2, np.arange(steps + 1)
        for (rows, controls), count in zip(held_out(splits), (6, 12), strict=True):
            k, first = np.asarray(rows.k), first_images(rows.x)
            both = controls["superposed"].k
            np.testing.assert_array_equal(both, controls["switched"].k)
            np.testing.assert_array_equal(both[:, 0], k)
            other = np.asarray(both[:, 1])
            np.testing.assert_array_equal(np.bincount(k), [count // 3] * 3)
            assert set(zip(k.tolist(), other.tolist(), strict=True)) == PAIRS
            close(rows.x, transformed(first, along(k, times)))
            at_once = along(k, times) + along(other, times)
            close(controls["superposed"].x, transformed(first, at_once))
            turns = along(k, np.minimum(times, half))
            turns += along(other, np.maximum(times - half, 0))
            close(controls["switched"].x, transformed(first, turns))
            more = steps + np.arange(1, 5)
            close(controls["longer"].x, transformed(first, along(k, more)))

    def test_frames_are_in_range(self, steps):
        splits = loaded(small(steps=steps))
        _, (rows, controls) = held_out(splits)
        for x in (rows.x, *(control.x for control in controls.values())):
            assert np.isfinite(x).all()
            assert x.min() >= 0
            assert 0.5 < x.max() <= 1

    def test_training_sequences_to_fit(self, steps):
        splits = loaded(small(steps=steps))
        valid, test = splits.controls["fitting"]
        np.testing.assert_array_equal(np.bincount(test.k), [3, 3, 3])
        first = first_images(test.x)
        assert set(first) <= training_starts(splits)[0]
        close(test.x, transformed(first, along(test.k, np.arange(steps + 1))))
        np.testing.assert_array_equal(valid.x, test.x)
